"""From excursions to findings: what begins together is told once, when it begins, gets graver, and is over.

An episode holds the excursions of one topic that began within a few windows of each other. It is told under the
fingerprint of the first of them, in the order of their ranks, so that the same cause is the same problem each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.detect.offset_trail import Offsets, OffsetTrail
from stream_lineage.detect.window import Window
from stream_lineage.model.finding import Finding, Phase, SchemaChange, Severity

JOIN_WINDOWS = 30
"""An excursion that begins so soon after another one is part of the same problem. Larger: fewer alerts, and more often
two problems in one."""
COOLDOWN_WINDOWS = 60
"""A problem that comes back so soon after its end is told again only if it is graver, or still there by then."""
_MOST_MEMBERS = 50
_MOST_LEFT_OUT = 500
"""Excursions of an episode that are known as its, and are not listed."""
_MOST_EPISODES = 50
_MOST_COOLDOWNS = 500
_SHOWN = 4
_GRAVITY = list(Severity)


Muted = Callable[[Finding], bool]


def never(_: Finding) -> bool:
    """Nothing is muted."""
    return False


@dataclass(slots=True)
class _Member:
    excursion: Excursion
    alive: bool


@dataclass(slots=True)
class _Episode:
    fingerprint: str
    opened: int
    began: float
    first: Offsets
    last: Offsets
    members: dict[str, _Member] = field(default_factory=dict)
    left_out: dict[str, None] = field(default_factory=dict)
    told: Severity | None = None

    @property
    def severity(self) -> Severity:
        return max((member.excursion.severity for member in self.members.values()), key=_GRAVITY.index)

    @property
    def primary(self) -> Excursion:
        """The excursion that gives the episode its name: the first member."""
        return next(iter(self.members.values())).excursion


class Episodes:
    """The episodes of one topic. ``advance`` once for each window."""

    __slots__ = ("_cooldown_windows", "_cooldowns", "_episodes", "_family", "_join_windows", "_windows")

    def __init__(
        self,
        family: str,
        state: Mapping[str, Any] | None = None,
        *,
        join_windows: int = JOIN_WINDOWS,
        cooldown_windows: int = COOLDOWN_WINDOWS,
    ) -> None:
        state = state or {}
        self._family = family
        self._join_windows = join_windows
        self._cooldown_windows = cooldown_windows
        self._windows: int = state.get("windows", 0)
        self._cooldowns: dict[str, list[int]] = {
            each: list(until) for each, until in state.get("cooldowns", {}).items()
        }
        self._episodes = [_episode(each) for each in state.get("episodes", ())]

    def state(self) -> dict[str, Any]:
        return {
            "windows": self._windows,
            "cooldowns": {each: list(until) for each, until in self._cooldowns.items()},
            "episodes": [_document(each) for each in self._episodes],
        }

    @property
    def open(self) -> int:
        return len(self._episodes)

    def advance(
        self, window: Window, found: Mapping[str, Excursion | None], trail: OffsetTrail, muted: Muted = never
    ) -> list[Finding]:
        """What is to be told now that ``found`` are the excursions of this window, by their keys. One that is ``muted``
        is told when it no longer is, if it is still there."""
        self._windows += 1
        for episode in self._episodes:
            self._refresh(episode, found)
        fresh = self._fresh(found)
        if fresh:
            self._take_in(window, fresh, trail)
        findings: list[Finding] = []
        still: list[_Episode] = []
        for episode in self._episodes:
            alive = any(member.alive for member in episode.members.values())
            phase = self._phase(episode, alive)
            if phase is not None:
                last = trail.at(1)[2] if phase == "close" else episode.last
                finding = self._finding(window, episode, phase, last or episode.last)
                if not muted(finding):
                    findings.append(finding)
                    episode.told = finding.severity
            if alive:
                still.append(episode)
            elif episode.told is not None and self._cooldown_windows:
                until = self._windows + self._cooldown_windows
                self._cooldowns[episode.fingerprint] = [until, _GRAVITY.index(episode.told)]
        self._episodes = still
        if self._cooldowns:
            running = [(each, until) for each, until in self._cooldowns.items() if until[0] > self._windows]
            self._cooldowns = dict(running[-_MOST_COOLDOWNS:])
        return findings

    def _refresh(self, episode: _Episode, found: Mapping[str, Excursion | None]) -> None:
        for key, member in episode.members.items():
            member.alive = key in found
            now = found.get(key)
            if now is not None and _graver(now.severity, member.excursion.severity):
                member.excursion = now
        if episode.left_out:
            episode.left_out = {key: None for key in episode.left_out if key in found}

    def _fresh(self, found: Mapping[str, Excursion | None]) -> list[tuple[str, Excursion]]:
        if not found:
            return []
        known = {key for episode in self._episodes for key in (*episode.members, *episode.left_out)}
        fresh = [(key, each) for key, each in found.items() if each is not None and key not in known]
        return sorted(fresh, key=lambda item: (item[1].rank, item[0]))

    def _take_in(self, window: Window, fresh: Sequence[tuple[str, Excursion]], trail: OffsetTrail) -> None:
        if not self._join_windows:
            for key, each in fresh[: max(0, _MOST_EPISODES - len(self._episodes))]:
                self._episodes.append(self._opened(window, [(key, each)], trail))
            return
        latest = self._episodes[-1] if self._episodes else None
        if latest is not None and (
            self._windows - latest.opened < self._join_windows or len(self._episodes) >= _MOST_EPISODES
        ):
            _join(latest, fresh)
            return
        self._episodes.append(self._opened(window, fresh, trail))

    def _opened(self, window: Window, fresh: Sequence[tuple[str, Excursion]], trail: OffsetTrail) -> _Episode:
        primary = fresh[0][1]
        fingerprint = finding_fingerprint(
            self._family, window.cluster, window.topic, primary.path, primary.metric,
            *([fresh[0][0]] if not self._join_windows else []),
        )  # fmt: skip
        began, first, last = trail.at(max(each.began for _, each in fresh))
        episode = _Episode(fingerprint, self._windows, began, first, last)
        _join(episode, fresh)
        return episode

    def _phase(self, episode: _Episode, alive: bool) -> Phase | None:
        """What is to be told of an episode now; null: nothing."""
        severity = episode.severity
        if not alive:
            return "close" if episode.told is not None else None
        if episode.told is None:
            until, gravity = self._cooldowns.get(episode.fingerprint, (0, -1))
            if self._windows < until and _GRAVITY.index(severity) <= gravity:
                return None
            return "open"
        return "update" if _graver(severity, episode.told) else None

    def _finding(self, window: Window, episode: _Episode, phase: Phase, last: Offsets) -> Finding:
        excursions = [member.excursion for member in episode.members.values()]
        primary = excursions[0]
        return Finding(
            kind=primary.metric,
            severity=episode.severity,
            topic=window.topic,
            field_path=primary.path if len({each.path for each in excursions}) == 1 else None,
            summary=_summary(window, episode, phase),
            fingerprint=episode.fingerprint,
            first_offsets=episode.first or {0: 0},
            last_offsets=last,
            changes=tuple(
                SchemaChange(each.metric, each.path or "", each.expected, each.actual) for each in excursions
            ),
            phase=phase,
            score=round(max(each.score for each in excursions), 4),
        )


def _join(episode: _Episode, fresh: Sequence[tuple[str, Excursion]]) -> None:
    for key, each in fresh:
        if len(episode.members) < _MOST_MEMBERS:
            episode.members[key] = _Member(each, alive=True)
        elif len(episode.left_out) < _MOST_LEFT_OUT:
            episode.left_out[key] = None


def _graver(one: Severity, other: Severity) -> bool:
    return _GRAVITY.index(one) > _GRAVITY.index(other)


def _summary(window: Window, episode: _Episode, phase: Phase) -> str:
    primary = episode.primary
    since = datetime.fromtimestamp(episode.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    of = f" of {primary.path}" if primary.path else ""
    told = f"{primary.metric.replace('-', ' ')}{of} is {primary.actual}, expected {primary.expected}"
    if len(episode.members) > 1:
        others = dict.fromkeys(
            f"{each.excursion.metric.replace('-', ' ')}{f' of {each.excursion.path}' if each.excursion.path else ''}"
            for each in list(episode.members.values())[1:]
        )
        more = max(0, len(others) - _SHOWN) + len(episode.left_out)
        told += f"; with it {', '.join(list(others)[:_SHOWN])}{f' and {more} more' if more else ''}"
    if phase == "close":
        return f"{window.topic}: over, since {since}: {told.replace(' is ', ' was ', 1)}"
    return f"{window.topic}: {told}; since {since}, {_places(episode.first)}"


def _places(first: Offsets) -> str:
    places = [f"partition {partition} from offset {offset}" for partition, offset in sorted(first.items())]
    more = f" and {len(places) - _SHOWN} more partitions" if len(places) > _SHOWN else ""
    return ", ".join(places[:_SHOWN]) + more


def _document(episode: _Episode) -> dict[str, Any]:
    return {
        "fingerprint": episode.fingerprint,
        "opened": episode.opened,
        "began": episode.began,
        "first": {str(partition): offset for partition, offset in episode.first.items()},
        "last": {str(partition): offset for partition, offset in episode.last.items()},
        "members": {key: [*_row(member.excursion), member.alive] for key, member in episode.members.items()},
        "left_out": list(episode.left_out),
        "told": episode.told,
    }


def _row(each: Excursion) -> list[Any]:
    return [each.metric, each.path, each.expected, each.actual, each.severity.value, each.began, each.score]


def _episode(document: Mapping[str, Any]) -> _Episode:
    members = {}
    for key, (metric, path, expected, actual, severity, began, score, alive) in document["members"].items():
        members[key] = _Member(Excursion(metric, path, expected, actual, Severity(severity), began, score), alive)
    left_out = document["left_out"]  # states of before have their number
    return _Episode(
        document["fingerprint"],
        document["opened"],
        document["began"],
        {int(partition): offset for partition, offset in document["first"].items()},
        {int(partition): offset for partition, offset in document["last"].items()},
        members,
        dict.fromkeys(left_out if isinstance(left_out, list) else ()),
        None if document["told"] is None else Severity(document["told"]),
    )
