"""Points in InfluxDB 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stream_lineage.store import flux
from stream_lineage.store.health import Health
from stream_lineage.store.influx_api import BAD_REQUEST, NOT_FOUND, InfluxApi, QueryRefused
from stream_lineage.store.influx_text import decode
from stream_lineage.store.line_protocol import lines
from stream_lineage.store.ports import Aggregation, Bucket, FieldValue, Point
from stream_lineage.store.tiers import COMBINED, STATISTIC, Tier, tier_for, turning_point
from stream_lineage.store.windows import checked_window, microseconds, moment, series_order, window_start

BATCH_LINES = 5_000
_ITS_OWN = frozenset({"result", "table"})
_FIRST = datetime(1677, 9, 22, tzinfo=UTC)

Series = tuple[tuple[str, str], ...]


class InfluxStore:
    """Writes at once and without a second try: ``OutboxStore`` is what survives an InfluxDB that is away.

    Aggregates of what is older than the ``retention`` come from ``tiers``, the coarser copies, where the windows that
    are asked for are made of theirs.
    """

    def __init__(
        self, api: InfluxApi, bucket: str, retention: timedelta | None = None, tiers: Sequence[Tier] = ()
    ) -> None:
        self._api = api
        self._bucket = bucket
        self._retention = retention
        self._tiers = tiers

    def write(self, points: Iterable[Point]) -> None:
        written = lines(points)
        for start in range(0, len(written), BATCH_LINES):
            answer = self._api.write(self._bucket, b"\n".join(written[start : start + BATCH_LINES]))
            if not answer.ok:
                raise self._api.failed("write to", answer)

    def latest(
        self, measurement: str, tags: Mapping[str, str] | None = None, *, before: datetime | None = None
    ) -> list[Point]:
        end = flux.LATEST if before is None else microseconds(before)
        chosen = flux.selection(self._bucket, measurement, flux.EARLIEST, end, tags=tags)
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
        found: list[Bucket] = []
        now = datetime.now(UTC)
        retention = self._retention
        tier = None if retention is None else tier_for(self._tiers, start, window_seconds, retention, now)
        if tier is not None and retention is not None:
            middle = min(max(microseconds(turning_point(window_seconds, retention, now)), first), last)
            found += self._of_tier(tier, measurement, field, (first, middle), width, aggregation, tags)
            first = middle
        if first < last:
            chosen = flux.selection(self._bucket, measurement, first, last, tags=tags, field=field)
            found += self._windows(chosen, width, aggregation)
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

    def _windows(self, chosen: str, width: int, aggregation: Aggregation, *, may_miss: bool = False) -> list[Bucket]:
        """``may_miss``: a bucket that is not there holds nothing."""
        try:
            rows = list(self._api.rows(flux.windowed(chosen, width, aggregation)))
        except QueryRefused as refused:
            if may_miss and refused.answer.status == NOT_FOUND:
                return []
            if refused.answer.status != BAD_REQUEST:
                raise self._api.failed("read", refused.answer) from None
            rows = list(self._answered(flux.windowed_of_any(chosen, width, aggregation)))
        return [
            Bucket(_tags(row), window_start(row["_time"], width / 1_000_000), float(row["_value"]))
            for row in rows
            if isinstance(row["_value"], int | float)
        ]

    def _of_tier(
        self, tier: Tier, measurement: str, field: str, time: tuple[int, int], width: int, aggregation: Aggregation,
        tags: Mapping[str, str] | None,
    ) -> list[Bucket]:  # fmt: skip
        def combined(statistic: Aggregation) -> dict[tuple[Series, datetime], float]:
            chosen = flux.selection(
                tier.bucket, measurement, *time, tags=tags, field=field, statistic=statistic
            )  # fmt: skip
            return {
                (tuple(each for each in series_order(window.tags) if each[0] != STATISTIC), window.time): window.value
                for window in self._windows(chosen, width, COMBINED[statistic], may_miss=True)
            }

        if aggregation != "mean":
            return [Bucket(dict(series), at, value) for (series, at), value in combined(aggregation).items()]
        counts = combined("count")
        return [
            Bucket(dict(key[0]), key[1], value / counts[key])
            for key, value in combined("sum").items()
            if counts.get(key)
        ]

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
