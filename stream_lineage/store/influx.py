"""Points in InfluxDB 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from stream_lineage.store import flux
from stream_lineage.store.health import Health
from stream_lineage.store.influx_api import BAD_REQUEST, InfluxApi, QueryRefused
from stream_lineage.store.influx_text import decode
from stream_lineage.store.line_protocol import lines
from stream_lineage.store.ports import Aggregation, Bucket, FieldValue, Point
from stream_lineage.store.windows import checked_window, microseconds, moment, series_order, window_start

BATCH_LINES = 5_000
_ITS_OWN = frozenset({"result", "table"})
_FIRST = datetime(1677, 9, 22, tzinfo=UTC)

Series = tuple[tuple[str, str], ...]


class InfluxStore:
    """Writes at once and without a second try: ``OutboxStore`` is what survives an InfluxDB that is away."""

    def __init__(self, api: InfluxApi, bucket: str) -> None:
        self._api = api
        self._bucket = bucket

    def write(self, points: Iterable[Point]) -> None:
        written = lines(points)
        for start in range(0, len(written), BATCH_LINES):
            answer = self._api.write(self._bucket, b"\n".join(written[start : start + BATCH_LINES]))
            if not answer.ok:
                raise self._api.failed("write to", answer)

    def latest(self, measurement: str, tags: Mapping[str, str] | None = None) -> list[Point]:
        chosen = flux.selection(self._bucket, measurement, flux.EARLIEST, flux.LATEST, tags=tags)
        last: dict[Series, Point] = {}
        for series, time, name, value in self._fields(f"{chosen} |> last()"):
            known = last.get(series)
            if known is None or known.time < time:
                last[series] = Point(measurement, dict(series), {name: value}, time)
            elif known.time == time:
                last[series] = Point(measurement, known.tags, {**known.fields, name: value}, time)
        return sorted(last.values(), key=lambda point: series_order(point.tags))

    def range(
        self, measurement: str, start: datetime, end: datetime, tags: Mapping[str, str] | None = None
    ) -> list[Point]:
        first, last = microseconds(start), microseconds(end)
        if first >= last:
            return []
        found: dict[tuple[Series, datetime], dict[str, FieldValue]] = {}
        chosen = flux.selection(self._bucket, measurement, first, last, tags=tags)
        for series, time, name, value in self._fields(chosen):
            found.setdefault((series, time), {})[name] = value
        points = [Point(measurement, dict(series), fields, time) for (series, time), fields in found.items()]
        return sorted(points, key=lambda point: (point.time, series_order(point.tags)))

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
        width = checked_window(window_seconds)
        first, last = microseconds(start), microseconds(end)
        if first >= last:
            return []
        chosen = flux.selection(self._bucket, measurement, first, last, tags=tags, field=field)
        try:
            rows = list(self._api.rows(flux.windowed(chosen, width, aggregation)))
        except QueryRefused as refused:
            if refused.answer.status != BAD_REQUEST:
                raise self._api.failed("read", refused.answer) from None
            rows = list(self._answered(flux.windowed_of_any(chosen, width, aggregation)))
        found = [
            Bucket(_tags(row), window_start(row["_time"], window_seconds), float(row["_value"]))
            for row in rows
            if isinstance(row["_value"], int | float)
        ]
        return sorted(found, key=lambda bucket: (series_order(bucket.tags), bucket.time))

    def forget(self, before: datetime) -> None:
        # Its end is inclusive, in nanoseconds.
        stop = moment(microseconds(before) - 1)
        answer = self._api.delete(self._bucket, _FIRST, stop)
        if not answer.ok:
            raise self._api.failed("delete from", answer)

    def health(self) -> Health:
        return Health()

    def close(self) -> None:
        self._api.close()

    def _fields(self, query: str) -> Iterator[tuple[Series, datetime, str, FieldValue]]:
        for row in self._answered(query):
            value = row["_value"]
            text = decode(value) if isinstance(value, str) else value
            yield tuple(series_order(_tags(row))), row["_time"], decode(row["_field"]), text

    def _answered(self, query: str) -> Iterator[dict[str, Any]]:
        try:
            yield from self._api.rows(query)
        except QueryRefused as refused:
            raise self._api.failed("read", refused.answer) from None


def _tags(row: Mapping[str, Any]) -> dict[str, str]:
    """Columns that are no tags start with an underscore, but for the two of the answer itself."""
    return {
        decode(name): decode(value)
        for name, value in row.items()
        if not name.startswith("_") and name not in _ITS_OWN and value is not None
    }
