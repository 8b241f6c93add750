"""A store into which no process writes more series than it may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from stream_lineage.otel import span
from stream_lineage.store.around import StoreAround
from stream_lineage.store.health import Health
from stream_lineage.store.ports import MetricStore, Point
from stream_lineage.store.series_cap import SeriesCap


class CappedStore(StoreAround):
    """Reading asks the store inside."""

    def __init__(self, store: MetricStore, cap: SeriesCap) -> None:
        super().__init__(store)
        self._cap = cap

    def write(self, points: Iterable[Point]) -> None:
        within = self._cap.within(points)
        with span("store.write", points=len(within)):
            self._store.write(within)

    def health(self) -> Health:
        return replace(
            self._store.health(),
            series=self._cap.series,
            max_series=self._cap.most,
            series_left_out=self._cap.left_out,
        )
