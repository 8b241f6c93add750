"""A metric store in memory, for tests of what writes or reads metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from stream_lineage.store.health import Health
from stream_lineage.store.ports import Aggregation, Bucket, FieldValue, Point
from stream_lineage.store.windows import aggregated, finite_fields, microseconds, moment, series_order

Series = tuple[str, tuple[tuple[str, str], ...]]


class MemoryStore:
    """Keeps everything until it is dropped. Fulfils the contract of ``MetricStore``."""

    def __init__(self) -> None:
        self._points: dict[Series, dict[int, dict[str, FieldValue]]] = {}

    def write(self, points: Iterable[Point]) -> None:
        rows = [
            (
                (point.measurement, tuple(series_order(point.tags))),
                microseconds(point.time),
                finite_fields(point.fields),
            )
            for point in points
        ]
        for series, time, fields in rows:
            if fields:
                self._points.setdefault(series, {}).setdefault(time, {}).update(fields)

    def latest(
        self, measurement: str, tags: Mapping[str, str] | None = None, *, before: datetime | None = None
    ) -> list[Point]:
        last: dict[Series, Point] = {}
        for point in self._matching(measurement, tags):
            if before is not None and point.time >= before:
                continue
            last[measurement, tuple(series_order(point.tags))] = point
        return sorted(last.values(), key=lambda point: series_order(point.tags))

    def range(
        self, measurement: str, start: datetime, end: datetime, tags: Mapping[str, str] | None = None
    ) -> list[Point]:
        microseconds(start), microseconds(end)  # naive times are refused even when there is nothing to compare with
        return [point for point in self._matching(measurement, tags) if start <= point.time < end]

    def aggregate(
        self,
        measurement: str,
        field: str,
        start: datetime,
        end: datetime,
        *,
        window_seconds: float,
        aggregation: Aggregation = "mean",
        tags: Mapping[str, str] | None = None,
    ) -> list[Bucket]:
        return aggregated(self.range(measurement, start, end, tags), field, window_seconds, aggregation)

    def forget(self, before: datetime) -> None:
        until = microseconds(before)
        kept = {
            series: {time: fields for time, fields in times.items() if time >= until}
            for series, times in self._points.items()
        }
        self._points = {series: times for series, times in kept.items() if times}

    def health(self) -> Health:
        return Health()

    def close(self) -> None:
        self._points = {}

    def _matching(self, measurement: str, tags: Mapping[str, str] | None) -> list[Point]:
        wanted = set((tags or {}).items())
        found = [
            Point(measurement, dict(its_tags), dict(fields), moment(time))
            for (name, its_tags), times in self._points.items()
            if name == measurement and wanted <= set(its_tags)
            for time, fields in times.items()
        ]
        return sorted(found, key=lambda point: (point.time, series_order(point.tags)))
