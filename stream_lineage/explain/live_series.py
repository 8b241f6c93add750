"""Series of the nodes of a neighbourhood, from the metric store.

At the width in which agents write, the points themselves are read, all metrics of a topic at once. At wider ones the
store aggregates, so that copies of what is older than it keeps points are read too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.store.ports import Aggregation, MetricStore, Point
from stream_lineage.store.series_cap import ADDED_UP
from stream_lineage.store.windows import window_start

POINT_SECONDS = 10
"""How far the points of topics are apart, at most: ``metric_window_seconds`` is this or less."""
OF_TOPICS = ("records", "bytes_per_record", "key_distinct", "lag_ms_mean", "out_of_order_ratio", "undecoded")
OF_FIELDS = ("null_ratio", "missing_ratio", "mean", "distinct", "length_mean")
"""Read of every node, besides the metric that is asked about. What is left out says the same again (minima, quantiles)
or nothing about the data."""
OF_PAYLOADS = frozenset({"mean", "variance", "min", "max", "p01", "p05", "p25", "p50", "p75", "p95", "p99"})
"""In the unit of the payloads."""
MOST_FIELDS = 60
_LAG = "lag"
_LATELY = timedelta(minutes=2)
_TOPIC, _FIELD, _GROUP, _PUSHED = "lineage_topic", "lineage_field", "lineage_group", "lineage_pushed"


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when, half-open, and how wide the windows are, in seconds."""

    start: datetime
    end: datetime
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One series of a node. ``points`` are epoch seconds and values, in the order of time."""

    metric: str
    field: str | None
    points: tuple[tuple[float, float], ...]


class LiveSeries:
    """Reads the series of one node after the other. ``cluster`` is the one whose topics are asked for, ``namespace``
    that of its nodes; ``metric`` and ``field`` are what is asked about.

    Raises:
        ConnectionFailed: from every method, when the store cannot be read.
    """

    def __init__(
        self, store: MetricStore, cluster: str, namespace: str, span: Span, metric: str, field: str | None
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._namespace = namespace
        self._span = span
        self._metric = metric
        self._field = field
        self._lags: dict[str, tuple[tuple[float, float], ...]] | None = None
        self._pushed: dict[str, list[Measured]] | None = None

    def of(self, node: Node) -> list[Measured]:
        """What is known of a node, what is asked about first."""
        found = list(self.pushed.get(node.label, ()))
        if node.namespace == self._namespace and node.kind is NodeKind.DATASET:
            found += self._of_topic(node.name)
        if node.kind is NodeKind.JOB and node.name in self.lags:
            found.append(Measured(_LAG, None, self.lags[node.name]))
        return sorted(found, key=self._rank)

    @property
    def lags(self) -> Mapping[str, tuple[tuple[float, float], ...]]:
        """How far consumer groups are behind, in records, by group."""
        if self._lags is None:
            tags = {"cluster": self._cluster, "partition": "all"}
            rows = self._rows(_GROUP, (_LAG,), tags)
            groups = {row.tags.get("group", "") for row in rows}
            self._lags = {}
            for group in groups:
                own = [row for row in rows if row.tags.get("group") == group]
                self._lags[group] = _combined(own, True)  # over the topics that it reads
        return self._lags

    @property
    def pushed(self) -> Mapping[str, list[Measured]]:
        """What was pushed, by the node that it was pushed for."""
        if self._pushed is None:
            self._pushed = {}
            rows: dict[tuple[str, str], list[_Row]] = {}
            for row in self._rows(_PUSHED, ("value",), {}):
                rows.setdefault((row.tags.get("node", ""), row.tags.get("metric", "")), []).append(row)
            for (node, metric), own in sorted(rows.items()):
                self._pushed.setdefault(node, []).append(Measured(metric, None, _combined(own, False)))
        return self._pushed

    def _of_topic(self, topic: str) -> Iterator[Measured]:
        tags = {"cluster": self._cluster, "topic": topic}
        yield from _by_metric(self._rows(_TOPIC, self._wanted(OF_TOPICS), tags), None)
        fields: dict[str, list[_Row]] = {}
        for row in self._rows(_FIELD, self._wanted(OF_FIELDS), tags):
            fields.setdefault(row.tags.get("field", ""), []).append(row)
        for field in sorted(fields, key=lambda name: (name != self._field, name))[:MOST_FIELDS]:
            yield from _by_metric(fields[field], field)

    def _wanted(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self._metric, *names)))

    def _rank(self, each: Measured) -> tuple[bool, bool, str, str]:
        return (each.metric != self._metric, each.field != self._field, each.metric, each.field or "")

    def _rows(self, measurement: str, metrics: Sequence[str], tags: Mapping[str, str]) -> list[_Row]:
        span = self._span
        if span.window_seconds <= POINT_SECONDS:
            points = self._store.range(measurement, span.start, span.end, tags)
            return [row for metric in metrics for row in _of_points(points, metric, span.window_seconds)]
        found = []
        for metric in metrics:
            how: Aggregation = "sum" if metric in ADDED_UP else "mean"
            buckets = self._store.aggregate(
                measurement, metric, span.start, span.end,
                window_seconds=span.window_seconds, aggregation=how, tags=tags,
            )  # fmt: skip
            found += [_Row(metric, bucket.tags, bucket.time, bucket.value) for bucket in buckets]
        return found


@dataclass(frozen=True, slots=True)
class _Row:
    metric: str
    tags: Mapping[str, str]
    time: datetime
    value: float


def _of_points(points: Iterable[Point], metric: str, width: int) -> Iterator[_Row]:
    for point in points:
        value = point.fields.get(metric)
        if isinstance(value, int | float):
            yield _Row(metric, point.tags, window_start(point.time, width), float(value))


def _by_metric(rows: Iterable[_Row], field: str | None) -> Iterator[Measured]:
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(row.metric, []).append(row)
    for metric, own in found.items():
        yield Measured(metric, field, _combined(own, metric in ADDED_UP))


def _combined(rows: Iterable[_Row], added_up: bool) -> tuple[tuple[float, float], ...]:
    """One value a window of all series: their sum, or their mean."""
    windows: dict[float, list[float]] = {}
    for row in rows:
        windows.setdefault(row.time.timestamp(), []).append(row.value)
    return tuple((at, sum(each) if added_up else sum(each) / len(each)) for at, each in sorted(windows.items()))


def point_seconds(store: MetricStore, topic: str, cluster: str, at: datetime) -> int:
    """How far the points of a topic are apart just before a time; ``POINT_SECONDS`` where that cannot be told.

    Raises:
        ConnectionFailed: the store cannot be read.
    """
    tags = {"cluster": cluster, "topic": topic, "partition": "all"}
    found = {point.time for point in store.range(_TOPIC, at - _LATELY, at, tags)}
    apart = [(later - time).total_seconds() for time, later in itertools.pairwise(sorted(found))]
    return max(1, min(POINT_SECONDS, round(min(apart, default=POINT_SECONDS))))


def latest_names(store: MetricStore, node: Node, cluster: str) -> list[str]:
    """What is measured of a node at all, as ``metric`` or ``metric of field``.

    Raises:
        ConnectionFailed: the store cannot be read.
    """
    tags = {"cluster": cluster, "topic": node.name}
    found = {point.tags.get("metric", "") for point in store.latest(_PUSHED, {"node": node.label})}
    for point in store.latest(_TOPIC, tags):
        found.update(_numbers(point))
    fields: dict[str, set[str]] = {}
    for point in store.latest(_FIELD, tags):
        for name in _numbers(point):
            fields.setdefault(name, set()).add(point.tags.get("field", ""))
    if node.kind is NodeKind.JOB and store.latest(_GROUP, {"cluster": cluster, "group": node.name}):
        found.add(_LAG)
    return [*sorted(found), *(f"{name} (of {', '.join(sorted(each)[:8])})" for name, each in sorted(fields.items()))]


def _numbers(point: Point) -> Iterator[str]:
    return (name for name, value in point.fields.items() if not isinstance(value, str | bool))
