"""What the API says of itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.model.telemetry import Condition, Metric, Sample
from stream_lineage.serving.followers import Follower
from stream_lineage.serving.index_age import Age, IndexAge, standing
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.lineage import LiveLineage

_PREFIX = "stream_lineage_serve_"
STALE_SECONDS = 60.0


class ServeTelemetry:
    """Asks what is there; waits for nothing."""

    def __init__(
        self, lineage: LiveLineage, fold: GraphFold, pool: IndexPool, graph: Follower, age: IndexAge, most_age: float
    ) -> None:
        self._lineage = lineage
        self._fold = fold
        self._pool = pool
        self._graph = graph
        self._age = age
        self._most_age = timedelta(seconds=most_age) if most_age else None

    def metrics(self) -> Sequence[Metric]:
        """As they are now."""
        nodes, edges = self._fold.graph.size
        age = self._age.age or Age()
        seconds = age.seconds(datetime.now(UTC))
        return [
            Metric(
                f"{_PREFIX}openlineage_events_total", "counter", "OpenLineage's events that were kept.",
                [Sample(self._lineage.accepted)],
            ),
            Metric(
                f"{_PREFIX}listeners", "gauge", "Who listens to alerts as they come.",
                [Sample(self._lineage.alerts.listeners)],
            ),
            Metric(
                f"{_PREFIX}graph_size", "gauge", "Nodes and edges of the graph in memory.",
                [Sample(nodes, {"what": "nodes"}), Sample(edges, {"what": "edges"})],
            ),
            Metric(
                f"{_PREFIX}index_age_seconds", "gauge", "So long nothing that was written is sure to be in the index.",
                [] if seconds is None else [Sample(seconds)],
            ),
            Metric(
                f"{_PREFIX}index_missing_messages", "gauge", "Messages of our own topics that the index lacks.",
                [] if age.missing is None else [Sample(age.missing)],
            ),
        ]  # fmt: skip

    def alive(self) -> Sequence[Condition]:
        """That this is answered."""
        return [Condition("answers", True, "it answers")]

    def ready(self) -> Sequence[Condition]:
        """The graph was read and is read on, and there is an index that is not too old."""
        age = time.monotonic() - self._graph.since
        fresh = self._graph.done > 0 and age < STALE_SECONDS
        return [
            Condition("graph", fresh, f"read to its end {age:.0f} s ago" if self._graph.done else "not read yet"),
            self._index(),
        ]

    def _index(self) -> Condition:
        if self._pool.usable():
            return Condition("index", *standing(self._age.age, datetime.now(UTC), self._most_age))
        return Condition("index", False, "there is none, or it cannot be read")
