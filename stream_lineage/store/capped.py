"""A store into which no process writes more series than it may."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from stream_lineage.otel import span
from stream_lineage.store.health import Health
from stream_lineage.store.ports import Aggregation, Bucket, MetricStore, Point
from stream_lineage.store.series_cap import SeriesCap


class CappedStore:
    """Reading asks the store inside."""

    def __init__(self, store: MetricStore, cap: SeriesCap) -> None:
        self._store = store
        self._cap = cap

    @property
    def inside(self) -> MetricStore:
        return self._store

    def write(self, points: Iterable[Point]) -> None:
        within = self._cap.within(points)
        with span("store.write", points=len(within)):
            self._store.write(within)

    def latest(self, measurement: str, tags: Mapping[str, str] | None = None) -> list[Point]:
        return self._store.latest(measurement, tags)

    def range(
        self, measurement: str, start: datetime, end: datetime, tags: Mapping[str, str] | None = None
    ) -> list[Point]:
        return self._store.range(measurement, start, end, tags)

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
        return self._store.aggregate(
            measurement, field, start, end, window_seconds=window_seconds, aggregation=aggregation, tags=tags
        )

    def forget(self, before: datetime) -> None:
        self._store.forget(before)

    def health(self) -> Health:
        return replace(
            self._store.health(),
            series=self._cap.series,
            max_series=self._cap.most,
            series_left_out=self._cap.left_out,
        )

    def close(self) -> None:
        self._store.close()
