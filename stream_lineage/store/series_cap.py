"""A bound on the series that one process writes: what exceeds it goes into one, ``__other__``.

Events, such as alerts, have a bound of their own beside it, for each day: beyond that they lose their topic and all
else that there may be many of, and keep what they say.

Series are let in as they come, and forgotten when nothing was written to them for a day or two. Fields may take up four
fifths of the bound, so that topics are known when there are too many fields. Of the points that are not let in,
``__other__`` has the sum of what can be added up, for each time, and how many there were.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from stream_lineage.logs import get_logger
from stream_lineage.store.ports import Point
from stream_lineage.store.tiers import EVENTS

OTHER = "__other__"
KEPT_TAG, WORKER_TAG = "cluster", "worker"
ADDED_UP = frozenset(
    {"records", "missing", "lost", "bytes", "tombstones", "out_of_order", "undecoded", "slots", "nulls"}
)
FIELDS, SHARE_OF_FIELDS = "lineage_field", 0.8
EVENT_SHARE, LEAST_EVENTS = 0.1, 1_000
"""Series of events besides the others: a share of the bound, and so many at least."""
EVENT_TAGS = frozenset({"cluster", "kind", "severity", "phase", "state", "verdict"})
"""Of these there are few values: events beyond their bound keep them, and so make few series."""
TURN_SECONDS = 86_400.0
MAX_TIMES = 120
"""Times of which sums are kept. A point that comes for an earlier one begins a new sum."""
MAX_COUNTED = 10_000
"""Series that are told apart among those that are left out."""
_log = get_logger("stream_lineage.store")


class SeriesCap:
    """``worker`` tells apart what several processes write to ``__other__``. Thread-safe."""

    def __init__(self, most: int, worker: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._worker = worker
        self._clock = clock
        self._lock = threading.Lock()
        self._turned = clock()
        self._current: set[int] = set()
        self._before: set[int] = set()
        self._fields = 0
        self._events: set[int] = set()
        self._sums: OrderedDict[tuple[str, str, datetime], dict[str, float]] = OrderedDict()
        self._left_out: set[int] = set()

    def within(self, points: Iterable[Point]) -> list[Point]:
        """The points as they may be written."""
        with self._lock:
            self._turn()
            kept: list[Point] = []
            summed: dict[tuple[str, str, datetime], None] = {}
            for point in points:
                key = _key(point.measurement, point.tags)
                if point.measurement in EVENTS:
                    kept.append(point if self._let_event_in(key) else self._bare(point, key))
                elif self._let_in(point.measurement, key):
                    kept.append(point)
                else:
                    summed[self._add(point, key)] = None
            return [*kept, *map(self._other, summed)]

    @property
    def series(self) -> int:
        """Series that are written, events apart."""
        with self._lock:
            return len(self._current) + len(self._before)

    @property
    def left_out(self) -> int:
        """Series that went into ``__other__`` since the start, ``MAX_COUNTED`` where there are more."""
        with self._lock:
            return len(self._left_out)

    def _turn(self) -> None:
        if self._clock() - self._turned >= TURN_SECONDS:
            self._turned = self._clock()
            self._before, self._current = self._current, set()
            self._fields = 0
            self._events = set()

    def _let_event_in(self, key: int) -> bool:
        if key not in self._events and len(self._events) >= max(LEAST_EVENTS, self.most * EVENT_SHARE):
            return False
        self._events.add(key)
        return True

    def _bare(self, event: Point, key: int) -> Point:
        self._leave_out(event, key)
        tags = {name: value for name, value in event.tags.items() if name in EVENT_TAGS}
        return Point(event.measurement, {**tags, WORKER_TAG: self._worker, "topic": OTHER}, event.fields, event.time)

    def _let_in(self, measurement: str, key: int) -> bool:
        if key in self._current:
            return True
        is_field = measurement == FIELDS
        if key in self._before:
            self._before.discard(key)
        elif len(self._current) + len(self._before) >= self.most or (
            is_field and self._fields >= self.most * SHARE_OF_FIELDS
        ):
            return False
        self._current.add(key)
        self._fields += is_field
        return True

    def _leave_out(self, point: Point, key: int) -> None:
        if not self._left_out:
            first = point.tags.get("topic") or point.tags.get("node") or point.measurement
            _log.error("too many series: what exceeds max_series goes to __other__", most=self.most, first=first)
        if len(self._left_out) < MAX_COUNTED:
            self._left_out.add(key)

    def _add(self, point: Point, key: int) -> tuple[str, str, datetime]:
        self._leave_out(point, key)
        place = (point.measurement, point.tags.get(KEPT_TAG, ""), point.time)
        sums = self._sums.setdefault(place, {"points": 0})
        self._sums.move_to_end(place)
        sums["points"] += 1
        for name in ADDED_UP & point.fields.keys():
            value = point.fields[name]
            if isinstance(value, int | float):
                sums[name] = sums.get(name, 0) + value
        return place

    def _other(self, place: tuple[str, str, datetime]) -> Point:
        measurement, cluster, at = place
        sums = dict(self._sums[place])
        while len(self._sums) > MAX_TIMES:
            self._sums.popitem(last=False)
        tags = {KEPT_TAG: cluster, WORKER_TAG: self._worker, "topic": OTHER}
        return Point(measurement, {**tags, "field": OTHER} if measurement == FIELDS else tags, sums, at)


def _key(measurement: str, tags: Mapping[str, str]) -> int:
    """64 bits of a series' name: two in a hundred thousand series are one with a chance of one in four billion."""
    said = repr((measurement, sorted(tags.items()))).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest())
