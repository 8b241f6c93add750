"""A store around another: what it does not do itself is asked of the one inside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from stream_lineage.store.ports import Aggregation, Bucket, MetricStore, Point


class StoreAround:
    """Reading, forgetting and closing are those of the store inside; writing is what stores around one differ in."""

    def __init__(self, store: MetricStore) -> None:
        self._store = store

    @property
    def inside(self) -> MetricStore:
        return self._store

    def latest(
        self, measurement: str, tags: Mapping[str, str] | None = None, *, before: datetime | None = None
    ) -> list[Point]:
        return self._store.latest(measurement, tags, before=before)

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

    def close(self) -> None:
        self._store.close()
