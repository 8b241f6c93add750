"""A metric over time beside what is usual for it, with what happened meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Literal

from stream_lineage.errors import NotFound
from stream_lineage.store.comparison import DAY, Compared
from stream_lineage.store.ports import Aggregation, Bucket, MetricStore
from stream_lineage.store.series_cap import ADDED_UP
from stream_lineage.store.windows import window_start

WINDOWS = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
"""Widths that windows may have, in seconds: each divides the day."""
DAYS = 7
BEFORE, LEAST_BEFORE = 30, 8
"""Where the days before are not known: so many windows before say what is usual, and no fewer than these."""
_REACH = 3 * 1.4826
_LEAST_SHARE = 0.05
"""Of what is usual: so far to each side the band of the windows before reaches at least."""

MarkKind = Literal["schema", "alert", "deploy"]
Band = Literal["same hours of the days before", "windows before"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened. ``until`` is given where it lasted."""

    time: datetime
    kind: MarkKind
    label: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class TrendWindow:
    """``value`` is null where nothing was measured; ``low`` and ``high`` are null where nothing is usual yet."""

    time: datetime
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def outside(self) -> bool:
        """Whether the value is not where it usually is."""
        return (
            self.value is not None
            and self.low is not None
            and self.high is not None
            and not self.low <= self.value <= self.high
        )


@dataclass(frozen=True, slots=True)
class Trend:
    """``aggregation`` is how the points of a window became one value; ``band`` is what ``low`` and ``high`` are of."""

    target: str
    metric: str
    measurement: str
    window_seconds: int
    aggregation: Aggregation
    band: Band | None
    windows: tuple[TrendWindow, ...]
    marks: tuple[Mark, ...] = ()

    def with_marks(self, marks: Iterable[Mark]) -> Trend:
        """With these marks too, ordered by time."""
        return replace(self, marks=tuple(sorted((*self.marks, *marks), key=lambda mark: (mark.time, mark.kind))))


def fitting_window(start: datetime, end: datetime, most: int) -> int:
    """The narrowest width of which so many windows at most cover the time."""
    seconds = (end - start).total_seconds()
    return next((width for width in WINDOWS if seconds / width <= most), WINDOWS[-1])


def trend(
    store: MetricStore, target: str, metric: str, start: datetime, end: datetime, *, most_windows: int = 96
) -> Trend:
    """The trend of a metric of a topic, of a field (``topic:field``) or of what metrics are pushed for, with the schema
    changes of the topic as marks. Windows that are not over at ``end`` are left out.

    Raises:
        NotFound: the store has no such metric at that time.
        ConnectionFailed: the store cannot be read.
    """
    width = fitting_window(start, end, most_windows)
    first, last = window_start(start, width), window_start(end, width)
    aggregation: Aggregation = "sum" if metric in ADDED_UP else "mean"
    for measurement, field, tags in _places(target, metric):
        buckets = store.aggregate(
            measurement, field, first - DAYS * DAY, last, window_seconds=width, aggregation=aggregation, tags=tags
        )
        values = _combined(buckets, aggregation)
        if any(time >= first for time in values):
            windows, band = _windows(values, first, last, width)
            found = Trend(target, metric, measurement, width, aggregation, band, windows)
            return found.with_marks(_schema_changes(store, target.partition(":")[0], first, last, width))
    raise _nothing(store, target, metric)


def _places(target: str, metric: str) -> list[tuple[str, str, Mapping[str, str]]]:
    topic, mark, field = target.partition(":")
    pushed: tuple[str, str, Mapping[str, str]] = ("lineage_pushed", "value", {"node": target, "metric": metric})
    if mark:
        return [("lineage_field", metric, {"topic": topic, "field": field}), pushed]
    return [("lineage_topic", metric, {"topic": topic}), pushed]


def _combined(buckets: Iterable[Bucket], aggregation: Aggregation) -> dict[datetime, float]:
    """One value for each window: all series of it together."""
    found: dict[datetime, list[float]] = {}
    for bucket in buckets:
        found.setdefault(bucket.time, []).append(bucket.value)
    return {
        time: sum(values) if aggregation == "sum" else sum(values) / len(values)
        for time, values in sorted(found.items())
    }


def _windows(
    values: Mapping[datetime, float], first: datetime, last: datetime, width: int
) -> tuple[tuple[TrendWindow, ...], Band | None]:
    count = round((last - first).total_seconds() / width)
    times = [first + timedelta(seconds=n * width) for n in range(count)]
    rows = [
        Compared({}, time, values.get(time), tuple(values.get(time - day * DAY) for day in range(1, DAYS + 1)))
        for time in times
    ]
    if any(row.band is not None for row in rows):
        windows = [TrendWindow(row.time, row.value, *(row.band or (None, None))) for row in rows]
        return tuple(windows), "same hours of the days before"
    known = sorted(values)
    windows = []
    for time in times:
        before = [values[at] for at in known if time - BEFORE * timedelta(seconds=width) <= at < time]
        windows.append(TrendWindow(time, values.get(time), *_reach(before)))
    return tuple(windows), "windows before" if any(window.low is not None for window in windows) else None


def _reach(before: Sequence[float]) -> tuple[float | None, float | None]:
    if len(before) < LEAST_BEFORE:
        return None, None
    middle = median(before)
    reach = max(_REACH * median(abs(value - middle) for value in before), _LEAST_SHARE * abs(middle))
    return middle - reach, middle + reach


def _schema_changes(store: MetricStore, topic: str, first: datetime, last: datetime, width: int) -> list[Mark]:
    """When a schema version came that was not there before."""
    seen: dict[str, datetime] = {}
    start = first - DAYS * DAY
    for bucket in store.aggregate(
        "lineage_topic", "records", start, last, window_seconds=width, aggregation="sum", tags={"topic": topic}
    ):
        version = bucket.tags.get("schema_version", "all")
        if bucket.value > 0 and version != "all":
            seen[version] = min(bucket.time, seen.get(version, bucket.time))
    earliest = min(seen.values(), default=start)
    return [
        Mark(time, "schema", f"schema version {version}")
        for version, time in seen.items()
        if time > earliest and time >= first
    ]


def _nothing(store: MetricStore, target: str, metric: str) -> NotFound:
    """With what there is instead."""
    topic, _, field = target.partition(":")
    names: set[str] = set()
    if field:
        tags = {"topic": topic, "field": field}
        names = {name for point in store.latest("lineage_field", tags) for name in point.fields}
    else:
        names = {name for point in store.latest("lineage_topic", {"topic": topic}) for name in point.fields}
        names |= {point.tags.get("metric", "") for point in store.latest("lineage_pushed", {"node": target})}
    if names:
        hint = f"{target} has {', '.join(sorted(names))}. --since asks for earlier."
    else:
        topics = {point.tags.get("topic", "") for point in store.latest("lineage_topic", {"partition": "all"})}
        shown = ", ".join(sorted(topics)[:20]) or "nothing at all"
        hint = f"The store knows {shown}. A field is TOPIC:FIELD."
    return NotFound(f"the store has no {metric} of {target} at that time", hint=hint)
