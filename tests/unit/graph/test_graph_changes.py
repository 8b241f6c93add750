"""If this failed, what changed in the graph between two times would be told otherwise than from the graphs of both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.graph.differences import changes, differences
from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind, Subject

NODES = [Node(NodeKind.DATASET, "kafka://test", name) for name in "abcd"]
PAIRS = [GraphEdge(source, target) for source in NODES for target in NODES if source != target]
HOURS = st.integers(0, 6)


def at(hour: int) -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour)


@st.composite
def events(draw: st.DrawFn) -> GraphEvent:
    subject: Subject = draw(st.sampled_from([*NODES, *PAIRS[:6]]))
    first, last = sorted((draw(HOURS), draw(HOURS)))
    gone = draw(st.none() | st.integers(first, 6))
    detail = draw(st.sampled_from([(), (("owner", "x"),)]))
    by = draw(st.sampled_from([EvidenceClass.DECLARED, EvidenceClass.GROUP, EvidenceClass.VALUES]))
    sure = draw(st.sampled_from([0.3, 0.9]))
    piece = Evidence(
        by, draw(st.sampled_from("st")), at(first), at(last), sure, detail, None if gone is None else at(gone)
    )
    return GraphEvent(subject, piece)


@settings(max_examples=400, database=None)
@given(st.lists(events(), max_size=12), HOURS, HOURS, st.sampled_from([0.01, 0.5]), st.sampled_from([None, 2]))
def test_they_are_the_differences_of_the_graphs_of_both_times(
    told: list[GraphEvent], since: int, until: int, at_least: float, most: int | None
) -> None:
    graph = Graph(told)
    expected = differences(graph.as_of(at(since)), graph.as_of(at(until)), at_least=at_least, most=most)
    assert changes(graph, at(since), at(until), at_least=at_least, most=most) == expected
