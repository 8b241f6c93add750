"""Coarser copies of the points: windows of five minutes and of an hour, kept for longer than the points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stream_lineage.store.flux import quoted
from stream_lineage.store.ports import Aggregation
from stream_lineage.store.windows import checked_window, microseconds, window_start

STATISTIC = "statistic"
"""The tag that says which aggregate of its window a point is."""
STATISTICS: tuple[Aggregation, ...] = ("mean", "min", "max", "sum", "count", "last")
COPIED = ("lineage_topic", "lineage_field", "lineage_pushed", "lineage_group")
"""Measurements that are copied."""
EVENTS = ("lineage_alert", "lineage_deploy", "lineage_incident", "lineage_incident_label")
"""Those that are not: each point is something that happened, and no window has a mean of it."""
NO_NUMBERS = ("decoder", "key_decoder", "empty")
"""Their fields that are no numbers."""
COMBINED: Mapping[Aggregation, Aggregation] = {
    "min": "min", "max": "max", "sum": "sum", "count": "sum", "last": "last",
}  # fmt: skip
"""How windows of a copy become larger windows. A mean is the sum of sums by the sum of counts."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A copy, which InfluxDB has in a bucket of its own. ``late_seconds`` is how far back each run of InfluxDB's task
    looks for points that came late."""

    bucket: str
    window_seconds: int
    retention_seconds: int
    late_seconds: int

    @property
    def name(self) -> str:
        return f"{self.window_seconds // 3600}h" if self.window_seconds % 3600 == 0 else f"{self.window_seconds // 60}m"

    def task(self, source: str, name: str) -> str:
        """The task in Flux that fills it. What it writes again replaces what it wrote."""
        return (
            'import "date"\n'
            f"option task = {{name: {quoted(name)}, every: {self.window_seconds}s, offset: 30s}}\n"
            f"stop = date.truncate(t: now(), unit: {self.name[-1] if self.name[:-1] == '1' else self.name})\n"
            f"start = date.sub(from: stop, d: {self.late_seconds}s)\n" + self._copy(source)
        )

    def once(self, source: str, start: datetime, stop: datetime) -> str:
        """The same for a time of one's choice, whose ends are aligned."""
        return (
            f"start = time(v: {microseconds(start) * 1000})\nstop = time(v: {microseconds(stop) * 1000})\n"
            + self._copy(source)
        )

    def _copy(self, source: str) -> str:
        measured = " or ".join(f"r._measurement == {quoted(name)}" for name in COPIED)
        numbers = " and ".join(f"r._field != {quoted(name)}" for name in NO_NUMBERS)
        copies = "".join(
            f"points |> aggregateWindow(every: {self.window_seconds}s, fn: {each}, createEmpty: false,"
            f' timeSrc: "_start") |> toFloat() |> set(key: {quoted(STATISTIC)}, value: {quoted(each)})'
            f" |> to(bucket: {quoted(self.bucket)}) |> yield(name: {quoted(each)})\n"
            for each in STATISTICS
        )
        return (
            f"points = from(bucket: {quoted(source)}) |> range(start: start, stop: stop)"
            f" |> filter(fn: (r) => {measured}) |> filter(fn: (r) => {numbers})\n{copies}"
        )


def tiers(bucket: str, days_of_5m: float, days_of_1h: float) -> tuple[Tier, ...]:
    """The copies of a bucket, finest first."""
    return (
        Tier(f"{bucket}_5m", 300, round(days_of_5m * 86_400), 1800),
        Tier(f"{bucket}_1h", 3600, round(days_of_1h * 86_400), 3 * 3600),
    )


def tier_for(
    tiers: Sequence[Tier], start: datetime, window_seconds: float, retention: timedelta, now: datetime
) -> Tier | None:
    """Of the copies whose windows those asked for are made of, the finest that reaches back to ``start``, else the one
    that reaches furthest. Null where the points themselves do, or where there is none."""
    if start >= now - retention:
        return None
    width = checked_window(window_seconds)
    fitting = [tier for tier in tiers if width % (tier.window_seconds * 1_000_000) == 0]
    far = [tier for tier in fitting if start >= now - timedelta(seconds=tier.retention_seconds)]
    return far[0] if far else fitting[-1] if fitting else None


def turning_point(window_seconds: float, retention: timedelta, now: datetime) -> datetime:
    """The start of the first window of which all points are there."""
    return window_start(now - retention, window_seconds) + timedelta(seconds=window_seconds)
