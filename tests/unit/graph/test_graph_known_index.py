"""If this failed, whoever has no time to wait would wait until it is known who leads to whom."""

from __future__ import annotations

from datetime import UTC, datetime

from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE, OTHER = (Node(NodeKind.DATASET, "kafka://prod", name) for name in ("one", "other"))


def test_what_is_taken_in_changes_who_leads_to_whom() -> None:
    graph = Graph()
    assert not graph.is_indexed
    assert len(graph.index.sources) == 0
    assert graph.is_indexed
    graph.take(GraphEvent(GraphEdge(ONE, OTHER), Evidence(EvidenceClass.DECLARED, "file", NOW, NOW, 1.0)))
    assert not graph.is_indexed
    assert len(graph.index.sources) == 1
    assert graph.is_indexed
