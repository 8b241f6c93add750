"""Windows aligned to the epoch, and aggregation over them for stores that do not aggregate themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from stream_lineage.store.ports import Aggregation, Bucket, FieldValue, Point

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_AGGREGATIONS: Mapping[Aggregation, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "sum": math.fsum,
    "count": len,
    "last": lambda values: values[-1],
}


def microseconds(time: datetime) -> int:
    """Since the epoch, exactly.

    Raises:
        ValueError: the time has no zone.
    """
    if time.tzinfo is None:
        raise ValueError("times are timezone-aware")
    return (time - EPOCH) // _MICROSECOND


def moment(since_epoch: int) -> datetime:
    """The inverse of ``microseconds``."""
    return EPOCH + timedelta(microseconds=since_epoch)


def window_start(time: datetime, window_seconds: float) -> datetime:
    """The start of the window that ``time`` is in."""
    width = checked_window(window_seconds)
    return moment(microseconds(time) // width * width)


def checked_window(window_seconds: float) -> int:
    """The width in microseconds.

    Raises:
        ValueError: the window is not longer than a microsecond.
    """
    if window_seconds < 1e-6:
        raise ValueError("window_seconds must be at least a microsecond")
    return round(window_seconds * 1_000_000)


def series_order(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    """What series are ordered by."""
    return sorted(tags.items())


def finite_fields(fields: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    """The fields that stores can hold: those that are no NaN and no infinity."""
    return {name: value for name, value in fields.items() if not isinstance(value, float) or math.isfinite(value)}


def aggregated(points: Iterable[Point], field: str, window_seconds: float, aggregation: Aggregation) -> list[Bucket]:
    """Aggregate points, which come ordered by time.

    Raises:
        ValueError: the window is not longer than a microsecond.
    """
    checked_window(window_seconds)
    values: dict[tuple[tuple[tuple[str, str], ...], datetime], list[float]] = {}
    for point in points:
        value = point.fields.get(field)
        if isinstance(value, int | float):
            key = (tuple(series_order(point.tags)), window_start(point.time, window_seconds))
            values.setdefault(key, []).append(float(value))
    combine = _AGGREGATIONS[aggregation]
    return [Bucket(dict(tags), time, float(combine(found))) for (tags, time), found in sorted(values.items())]
