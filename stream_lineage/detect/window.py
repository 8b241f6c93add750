"""What one topic was like in one closed window: plain numbers, from which every baseline is made.

A window is small and is kept as it was judged, so that whoever goes on after a crash judges the same: sketches, whose
merging is partly luck, have been read before. A window in which nothing came is a window as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from stream_lineage.detect.detector import State
from stream_lineage.detect.shift.digest import packed_points, unpacked_points
from stream_lineage.model.finding import Finding

MAX_FIELDS = 300
"""Fields of a topic that get baselines, the first ones of its profile. Larger: more memory, more in the changelog."""
MAX_ITEMS = 100
"""Categories of a field. One with more is none whose categories mean anything, and has null for them."""


@dataclass(frozen=True, slots=True)
class FieldWindow:
    """One field path; ``@key`` before the paths of keys.

    ``slots`` values there could have been, of which ``nulls`` were null, ``missing`` absent and ``numbers`` finite
    numbers with this ``mean`` and standard ``deviation``. ``items`` counts the values of a categorical field, as its
    profile writes them: ``=value`` where it may be shown, else ``#`` and a hash. ``points`` are the numbers at
    ``EVEN_RANKS`` in single precision, or none, read off a sketch whose ranks are off by ``rank_error`` at most.
    """

    path: str
    slots: int
    nulls: int
    missing: int
    distinct: float | None = None
    numbers: int = 0
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    types: Mapping[str, int] = field(default_factory=dict)
    items: Mapping[str, int] | None = None
    points: Sequence[float] = ()
    rank_error: float = 0.0

    @property
    def values(self) -> int:
        """Values that are neither null nor absent."""
        return max(0, self.slots - self.nulls - self.missing)

    def to_json(self) -> list[Any]:
        """Without names: there are many of them."""
        return [
            self.path, self.slots, self.nulls, self.missing, self.distinct, self.numbers, finite(self.mean),
            finite(self.deviation), finite(self.low), finite(self.high), dict(self.types),
            None if self.items is None else dict(self.items), packed_points(self.points), self.rank_error,
        ]  # fmt: skip

    @classmethod
    def from_json(cls, members: Sequence[Any]) -> FieldWindow:
        return replace(cls(*members), points=unpacked_points(members[12]))


@dataclass(frozen=True, slots=True)
class Window:
    """A topic in ``[start, start + seconds)``, by the time of observation.

    ``first_offsets`` and ``last_offsets`` by partition are empty where nothing came. ``lag_seconds`` is the mean time
    from a record's timestamp to its observation; ``keys`` estimates the distinct keys. ``schemas`` are the
    fingerprints of the value schemas. ``left_out`` fields are beyond ``MAX_FIELDS``.
    """

    cluster: str
    topic: str
    start: float
    seconds: float
    records: int = 0
    bytes: int = 0
    tombstones: int = 0
    sampled: int = 0
    out_of_order: int = 0
    lag_seconds: float | None = None
    profiled: int = 0
    undecoded: int = 0
    keys: float | None = None
    first_offsets: Mapping[int, int] = field(default_factory=dict)
    last_offsets: Mapping[int, int] = field(default_factory=dict)
    schemas: Sequence[str] = ()
    fields: tuple[FieldWindow, ...] = ()
    left_out: int = 0

    @property
    def end(self) -> float:
        return self.start + self.seconds

    def to_json(self) -> dict[str, Any]:
        """Members that say nothing are left out."""
        document: dict[str, Any] = {"cluster": self.cluster, "topic": self.topic, "start": self.start}
        document["seconds"] = self.seconds
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None and (value or name in _NULLABLE):
                document[name] = value
        for name in ("first_offsets", "last_offsets"):
            if offsets := getattr(self, name):
                document[name] = {str(partition): offset for partition, offset in offsets.items()}
        if self.schemas:
            document["schemas"] = list(self.schemas)
        if self.fields:
            document["fields"] = [each.to_json() for each in self.fields]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Window:
        members = dict(document)
        for name in ("first_offsets", "last_offsets"):
            members[name] = {int(partition): offset for partition, offset in members.get(name, {}).items()}
        members["fields"] = tuple(FieldWindow.from_json(each) for each in members.get("fields", ()))
        return cls(**members)


_NULLABLE = ("lag_seconds", "keys")
_NUMBERS = (
    "records", "bytes", "tombstones", "sampled", "out_of_order", "lag_seconds", "profiled", "undecoded", "keys",
    "left_out",
)  # fmt: skip


class WindowDetector(Protocol):
    """A pure rule over windows: what ``Detector`` is over observations. ``name`` is stable.

    Windows of a topic come in the order of their starts, each once, also those in which nothing came. Any float and any
    text is taken. The state is JSON and bounded.
    """

    @property
    def name(self) -> str: ...

    def initial(self) -> State:
        """The state of a topic that has not been seen."""
        ...

    def judge(self, state: State, window: Window, now: datetime) -> tuple[State, tuple[Finding, ...]]:
        """The next state and what was found, in order. ``now`` is the end of the window, unless it was closed late."""
        ...


def finite(value: float | None) -> float | None:
    """The value; null where it is no number or has no end."""
    return value if value is not None and math.isfinite(value) else None
