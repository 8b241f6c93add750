"""If this failed, the API would read the whole topic of the graph at each start, or lose what is only in the index."""

from __future__ import annotations

from datetime import UTC, datetime

from stream_lineage.agents.graph_fold import GraphFold, Written
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEvent, Node, NodeKind
from stream_lineage.serving.followers import graph_follower

NAMES = naming("lab", [("b", 9092)])
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def said(name: str) -> GraphEvent:
    return GraphEvent(
        Node(NodeKind.DATASET, "kafka://b:9092", name), Evidence(EvidenceClass.HEADER, "s", NOW, NOW, 1.0, ())
    )


class Topic:
    """What is left of ``lineage.graph``: from offset 2 on."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.events = [said("c"), said("d")]

    def end(self) -> int:
        return 2 + len(self.events)

    def read(self, start: int) -> tuple[list[tuple[int, Written]], int]:
        self.asked.append(start)
        found = [(at, Written(event, event.at)) for at, event in enumerate(self.events, 2) if at >= start]
        return found, self.end()


def test_it_begins_with_what_the_index_knows_once_and_reads_on_from_there() -> None:
    topic = Topic()
    fold = GraphFold(topic, NAMES)
    times = []

    def known() -> tuple[Graph, int]:
        times.append(NOW)
        return Graph([said("a"), said("b")]), 2

    read: list[int] = []
    follower = graph_follower(fold, known, lambda: read.append(fold.offset))
    work = follower._work
    work(lambda: False)
    assert read == []
    work(lambda: True)
    topic.events.append(said("e"))
    work(lambda: True)
    assert [each.name for each in fold.graph.nodes] == ["a", "b", "c", "d", "e"]
    assert (topic.asked, len(times)) == ([2, 4], 1)
    assert read == [4]  # once, with all there was


def test_without_an_index_all_is_read() -> None:
    topic = Topic()
    fold = GraphFold(topic, NAMES)
    graph_follower(fold, lambda: None)._work(lambda: True)
    assert [each.name for each in fold.graph.nodes] == ["c", "d"]
    assert topic.asked == [0]
