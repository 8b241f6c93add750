"""Consumer groups that stall, stop, fall behind or are rewound: what a window of looks says, as findings.

One problem of a group with a topic lasts from when it is told until the group reads again, however its kind changes
meanwhile. It is told again only when it gets graver.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from stream_lineage.detect.detector import State
from stream_lineage.detect.episodes import Muted, never
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.group_window import GroupWindow, Reading, Rewound
from stream_lineage.detect.metric_series import amount
from stream_lineage.model.finding import Finding, Phase, SchemaChange, Severity
from stream_lineage.model.group import GroupLook

HABIT = 3
"""A pause that has been so long so often within ``HABIT_SECONDS`` is how the group works, as batches do. Larger: more
alerts before a habit is known; smaller: real stalls become habits."""
HABIT_SECONDS = 3 * 86_400.0
_LONGER = 1.5
_MOST_PAUSES = 12
_SHOWN = 4
_GRAVITY = (Reading.LAGGING, Reading.STALLED, Reading.STOPPED)
_SEVERITY = {
    Reading.LAGGING: Severity.WARNING,
    Reading.STALLED: Severity.CRITICAL,
    Reading.STOPPED: Severity.CRITICAL,
}


class GroupLag:
    """``judge`` each look, with the window that it goes into. ``cluster`` is a part of the fingerprints."""

    name = "group"

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    def initial(self) -> State:
        return {"alive": False, "pauses": [], "episode": None}

    def judge(
        self, state: State, window: GroupWindow, look: GroupLook, muted: Muted = never
    ) -> tuple[State, tuple[Finding, ...]]:
        """The next state, which is ``state`` itself when nothing changed, and what is to be told."""
        rewound, pauses = window.add(look)
        kept = dict(state)
        if not look.empty or window.advances:
            kept["alive"] = True
        if pauses:
            kept["pauses"] = [*state["pauses"], *([look.at, round(each, 1)] for each in pauses)][-_MOST_PAUSES:]
        found = []
        if rewound:
            back = self._rewound(look, rewound)
            if not muted(back):
                found.append(back)
        finding = self._problem(kept, window, look)
        if finding is not None and not muted(finding):
            found.append(finding)
            if finding.phase == "close":
                kept["episode"] = None
            else:
                kept["episode"] = {**kept["episode"], "told": finding.kind.removeprefix("group-")}
        elif kept["episode"] is not None and kept["episode"]["told"] is None and not kept["episode"]["there"]:
            kept["episode"] = None  # it was muted all the time
        return (state if kept == state else kept), tuple(found)

    def gone(self, state: State, group: str, topic: str) -> tuple[State, tuple[Finding, ...]]:
        """The group was deleted, or what it had committed of the topic, or the topic."""
        episode = state["episode"]
        if episode is None or episode["told"] is None:
            return self.initial(), ()
        finding = self._finding(
            group, topic, Reading(episode["told"]), "close", episode, "there is no such group any more", {}, {}
        )
        return self.initial(), (finding,)

    def _problem(self, state: State, window: GroupWindow, look: GroupLook) -> Finding | None:
        """What is to be said of the problem that there is; ``state`` gets it as ``episode``."""
        judged = window.judge(max(window.span, usual_pause(state["pauses"], look.at)))
        reading = judged.reading
        if reading is Reading.STOPPED and not state["alive"]:
            return None  # it was left behind long before: nobody reads by this name
        episode: dict[str, Any] | None = state["episode"]
        if reading in _GRAVITY:
            if episode is None:
                since = look.at - (window.span if reading is Reading.LAGGING else window.paused(judged.partitions))
                episode = {"told": None, "since": since}
            state["episode"] = {**episode, "there": True}
            before = episode["told"]
            if before is not None and _GRAVITY.index(reading) <= _GRAVITY.index(Reading(before)):
                return None
            phase: Phase = "open" if before is None else "update"
            reads = {each: window.partitions[each] for each in judged.partitions}
            first = {each: read.committed for each, read in reads.items()}
            last = {each: max(read.end - 1, read.committed) for each, read in reads.items()}
            said = _said(reading, window, judged.partitions)
            return self._finding(look.group, look.topic, reading, phase, episode, said, first, last)
        if episode is None:
            return None
        over = reading is Reading.FINE and (episode["told"] != Reading.LAGGING or window.recovers)
        state["episode"] = {**episode, "there": not over}
        if not over or episode["told"] is None:
            return None
        said = f"it reads again, {_lag(sum(read.lag for read in window.partitions.values()))}"
        first = {each: read.committed for each, read in window.partitions.items()}
        return self._finding(look.group, look.topic, Reading(episode["told"]), "close", episode, said, first, {})

    def _finding(
        self,
        group: str,
        topic: str,
        reading: Reading,
        phase: Phase,
        episode: State,
        said: str,
        first: dict[int, int],
        last: dict[int, int],
    ) -> Finding:
        kind = f"group-{reading}"
        since = datetime.fromtimestamp(episode["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        where = f", {_places(first)}" if first and phase != "close" else ""
        return Finding(
            kind=kind,
            severity=Severity.INFO if phase == "close" else _SEVERITY[reading],
            topic=topic,
            field_path=None,
            summary=f"{topic}: group {group} {_VERB[reading] if phase != 'close' else 'is over it'}: {said}; "
            f"since {since}{where}",
            fingerprint=finding_fingerprint("group", self._cluster, group, topic),
            first_offsets=first,
            last_offsets=last,
            changes=(SchemaChange(kind, group, _EXPECTED[reading], said),),
            phase=phase,
            job=group,
        )

    def _rewound(self, look: GroupLook, rewound: Sequence[Rewound]) -> Finding:
        back = sum(each.before - each.after for each in rewound)
        return Finding(
            kind="group-rewound",
            severity=Severity.WARNING,
            topic=look.topic,
            field_path=None,
            summary=f"{look.topic}: group {look.group} went back by {back:,} offsets, "
            f"{_places({each.partition: each.after for each in rewound})}: what comes from there is read again",
            fingerprint=finding_fingerprint("group-rewound", self._cluster, look.group, look.topic),
            first_offsets={each.partition: each.after for each in rewound},
            last_offsets={each.partition: each.before - 1 for each in rewound},
            changes=tuple(
                SchemaChange("group-rewound", look.group, str(each.before), str(each.after))
                for each in rewound[:_SHOWN]
            ),
            job=look.group,
        )


_VERB = {
    Reading.STALLED: "has stalled",
    Reading.STOPPED: "has stopped",
    Reading.LAGGING: "falls behind",
}
_EXPECTED = {
    Reading.STALLED: "commits that advance",
    Reading.STOPPED: "a member that reads",
    Reading.LAGGING: "a lag that does not grow all the time",
}


def usual_pause(pauses: Sequence[Sequence[float]], now: float) -> float:
    """How long a group may pause, in seconds, going by what has become a habit of it; 0 where nothing has."""
    recent = sorted((length for at, length in pauses if now - at <= HABIT_SECONDS), reverse=True)
    return _LONGER * recent[HABIT - 1] if len(recent) >= HABIT else 0.0


def _said(reading: Reading, window: GroupWindow, partitions: Sequence[int]) -> str:
    reads = [window.partitions[each] for each in partitions]
    lag = _lag(sum(read.lag for read in reads))
    if reading is Reading.LAGGING:
        seconds = max((window.lag_seconds(each) or 0.0 for each in partitions), default=0.0)
        return f"{lag} or {amount(seconds)} s, more at each of the last looks"
    who = "it has no members and" if reading is Reading.STOPPED else "it has members and"
    return f"{lag}, {who} has committed nothing for {amount(window.paused(partitions))} s"


def _lag(lag: int) -> str:
    return f"lag {lag:,}"


def _places(offsets: dict[int, int]) -> str:
    places = [f"partition {partition} from offset {offset}" for partition, offset in sorted(offsets.items())]
    more = f" and {len(places) - _SHOWN} more partitions" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more
