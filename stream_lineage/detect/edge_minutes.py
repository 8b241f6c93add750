"""Windows of the topics of a job, put together to minutes in which both sides of an edge are known.

Topics come by themselves, each in order, and each at its own pace. A minute is complete when every topic of the job
has been seen through it, or when some have been for so long that the others are not waited for: what is not known is
not taken for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_lineage.detect.window import Window

MINUTE = 60.0
PATIENCE_SECONDS = 3600.0
"""A topic that is not seen for so long, because nobody observes it or its worker is away, is waited for no more.
Larger: told later while one is away."""
LATE_SECONDS = 60.0
"""Records that were observed so much later after they were written than usual were not written in this minute."""
_SETTLED_WINDOWS = 360
_BACK_SECONDS = 3600.0
_MOST_MINUTES = 90
MOST_FIELDS = 60
"""Fields of a topic that are counted, of those that nobody named."""

Offsets = dict[int, int]


@dataclass(slots=True)
class Side:
    """One topic in one minute. ``fields`` by path: how many values there could have been, and how many there were not,
    null or missing. ``late``: its records say nothing of this minute."""

    seconds: float = 0.0
    records: int = 0
    late: bool = False
    fields: dict[str, list[int]] = field(default_factory=dict)
    first: Offsets = field(default_factory=dict)
    last: Offsets = field(default_factory=dict)

    def add(self, window: Window, late: bool, paths: Collection[str] | None) -> None:
        self.seconds += window.seconds
        self.records += window.records
        self.late = self.late or late
        for each in window.fields:
            known = self.fields.get(each.path)
            if known is None:
                if len(self.fields) >= MOST_FIELDS if paths is None else each.path not in paths:
                    continue
                known = self.fields[each.path] = [0, 0]
            known[0] += each.slots
            known[1] += each.nulls + each.missing
        for partition, offset in window.first_offsets.items():
            self.first[partition] = min(self.first.get(partition, offset), offset)
        for partition, offset in window.last_offsets.items():
            self.last[partition] = max(self.last.get(partition, offset), offset)

    def share(self, path: str) -> tuple[float, int] | None:
        """Which part of the values of a field are not there, and of how many; null where there is no such field."""
        slots, without = self.fields.get(path, (0, 0))
        return (min(without / slots, 1.0), slots) if slots else None


@dataclass(frozen=True, slots=True)
class Minute:
    """``sides`` by topic: those that are known."""

    start: float
    sides: Mapping[str, Side]


class Minutes:
    """``add`` the windows of a job's topics as they come; what that makes known is returned, in order. ``topics`` with
    the fields that are looked at; null for any."""

    def __init__(self, topics: Mapping[str, Collection[str] | None], state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self._topics = topics
        self._through: dict[str, float] = dict(state.get("through", {}))
        self._lags: dict[str, list[Any]] = {topic: list(each) for topic, each in state.get("lags", {}).items()}
        self._done: float = state.get("done", 0.0)
        self._open: dict[float, dict[str, Side]] = {
            float(start): {topic: _side(each) for topic, each in sides.items()}
            for start, sides in state.get("open", {}).items()
        }

    def state(self) -> dict[str, Any]:
        return {
            "through": self._through,
            "lags": self._lags,
            "done": self._done,
            "open": {
                str(start): {topic: _members(side) for topic, side in sides.items()}
                for start, sides in self._open.items()
            },
        }

    def add(self, window: Window) -> list[Minute]:
        """A window that was added before, or that comes before one that was, changes nothing."""
        through = self._through.get(window.topic)
        if through is not None and through - _BACK_SECONDS < window.end <= through:
            return []
        self._through[window.topic] = window.end
        late = self._is_late(window)
        start = window.start // MINUTE * MINUTE
        if start >= self._done or start < self._done - _BACK_SECONDS:
            self._open.setdefault(start, {}).setdefault(window.topic, Side()).add(
                window, late, self._topics[window.topic]
            )
        return self._known()

    def _known(self) -> list[Minute]:
        found: list[Minute] = []
        furthest = max(self._through.values())
        for start in sorted(self._open):
            sides = self._open[start]
            end = start + MINUTE
            seen = all(self._through.get(topic, 0.0) >= end for topic in self._topics)
            if not seen and furthest < end + PATIENCE_SECONDS and len(self._open) <= _MOST_MINUTES:
                break
            del self._open[start]
            self._done = end
            found.append(Minute(start, {topic: side for topic, side in sides.items() if side.seconds >= MINUTE}))
        return found

    def _is_late(self, window: Window) -> bool:
        """Whether a collector reads what has waited for it."""
        lag = window.lag_seconds
        if lag is None:
            return False
        seen, settled, usual = self._lags.get(window.topic, [0, False, 0.0])
        settled = settled or lag < LATE_SECONDS or seen >= _SETTLED_WINDOWS
        late = not settled or (seen > 0 and lag > LATE_SECONDS + 5 * usual)
        if not late:
            usual = lag if not usual or lag < usual / 10 else usual + (lag - usual) / 100
        self._lags[window.topic] = [seen + 1, settled, usual]
        return late


def _members(side: Side) -> list[Any]:
    return [
        side.seconds, side.records, side.late, side.fields,
        {str(partition): offset for partition, offset in side.first.items()},
        {str(partition): offset for partition, offset in side.last.items()},
    ]  # fmt: skip


def _side(members: list[Any]) -> Side:
    seconds, records, late, fields, first, last = members
    return Side(
        seconds, records, late, {path: list(each) for path, each in fields.items()},
        {int(partition): offset for partition, offset in first.items()},
        {int(partition): offset for partition, offset in last.items()},
    )  # fmt: skip
