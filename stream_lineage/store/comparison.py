"""A series beside the same hours of the days before: what is usual at this time of day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from stream_lineage.store.ports import Aggregation, MetricStore

DAY = timedelta(days=1)
_LEAST = 3
_TO_SIGMA = 1.4826
_WIDTH = 3.0
"""Of the band, in robust standard deviations to each side. Larger: fewer values are outside of it."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A window of one series. ``value`` is null where it is empty; ``earlier`` has the values of the days before, the
    last day first, null where there is none."""

    tags: Mapping[str, str]
    time: datetime
    value: float | None
    earlier: tuple[float | None, ...]

    @property
    def usual(self) -> float | None:
        """The median of the earlier days; null with fewer than three."""
        known = self._known()
        return median(known) if len(known) >= _LEAST else None

    @property
    def band(self) -> tuple[float, float] | None:
        """Where the earlier days lie: three robust deviations around their median, and never less than they span."""
        known = self._known()
        if len(known) < _LEAST:
            return None
        middle = median(known)
        reach = _WIDTH * _TO_SIGMA * median(abs(value - middle) for value in known)
        return min(middle - reach, *known), max(middle + reach, *known)

    def _known(self) -> list[float]:
        return [value for value in self.earlier if value is not None]


def same_hours(
    store: MetricStore,
    measurement: str,
    field: str,
    start: datetime,
    end: datetime,
    *,
    window_seconds: float,
    days: int = 7,
    aggregation: Aggregation = "mean",
    tags: Mapping[str, str] | None = None,
) -> list[Compared]:
    """The windows of ``[start, end)`` beside those of as many days before, ordered by tags and time. A window is there
    when any of the days holds it. Windows must divide the day.

    Raises:
        ValueError: the window does not divide the day.
        ConnectionFailed: the store cannot be read.
    """
    if DAY.total_seconds() % window_seconds:
        raise ValueError("window_seconds must divide a day: else windows of two days do not stand beside each other")
    found: dict[tuple[tuple[tuple[str, str], ...], datetime], list[float | None]] = {}
    for day in range(days + 1):
        buckets = store.aggregate(
            measurement, field, start - day * DAY, end - day * DAY, window_seconds=window_seconds,
            aggregation=aggregation, tags=tags,
        )  # fmt: skip
        for bucket in buckets:
            key = (tuple(sorted(bucket.tags.items())), bucket.time + day * DAY)
            found.setdefault(key, [None] * (days + 1))[day] = bucket.value
    return [Compared(dict(tags), time, row[0], tuple(row[1:])) for (tags, time), row in sorted(found.items())]
