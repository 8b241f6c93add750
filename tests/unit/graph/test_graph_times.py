"""If this failed, the graph of a time would not be as it was then, or what changed since not be what did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage.graph.claim import Claim, news
from stream_lineage.graph.differences import Differences, changes, differences, differences_document
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.learning import Learning
from stream_lineage.graph.turns import turns
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind, Subject

A, B, C, D = (Node(NodeKind.DATASET, "kafka://prod", name) for name in "abcd")
JOB = Node(NodeKind.JOB, "kafka://prod", "job")


def at(hour: float) -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour)


def said(
    subject: Subject | tuple[Node, Node], first: float, last: float | None = None, over: float | None = None,
    sure: float = 1.0, by: EvidenceClass = EvidenceClass.DECLARED, source: str = "file", **detail: str,
) -> GraphEvent:  # fmt: skip
    if isinstance(subject, tuple):
        subject = GraphEdge(*subject)
    piece = Evidence(
        by, source, at(first), at(first if last is None else last), sure, tuple(detail.items()),
        None if over is None else at(over),
    )  # fmt: skip
    return GraphEvent(subject, piece)


STORY = [
    said(A, 0, owner="one"),
    said((A, B), 1, 2, over=4),  # from one o'clock to four
    said((B, C), 2),  # from two on
    said((B, C), 3, sure=0.8, by=EvidenceClass.HEADER, source="h"),  # by headers, too, from three on
    said((A, C), 2, 3, sure=0.3, by=EvidenceClass.VALUES),
    said(D, 5, owner="late"),
    said(A, 0, 3, owner="two"),
]
GRAPH = Graph(STORY)


def edges(graph: Graph) -> dict[str, float]:
    return {f"{each.edge.source.name}{each.edge.target.name}": each.confidence for each in graph.edges()}


HOURS: list[tuple[float, str, dict[str, float]]] = [
    (-1, "", {}),
    (0, "a", {}),
    (1, "ab", {"ab": 1.0}),
    (2, "abc", {"ab": 1.0, "bc": 1.0, "ac": 0.3}),
    (3, "abc", {"ab": 1.0, "bc": 1.0, "ac": 0.3}),
    (4, "abc", {"bc": 1.0, "ac": 0.3}),
    (5, "abcd", {"bc": 1.0, "ac": 0.3}),
]


@pytest.mark.parametrize(("hour", "nodes", "expected"), HOURS)
def test_the_graph_of_a_time_is_as_it_was(hour: float, nodes: str, expected: dict[str, float]) -> None:
    then = GRAPH.as_of(at(hour))
    assert "".join(node.name for node in then.present()) == nodes
    assert edges(then) == expected
    for edge, sure in zip(map(GRAPH.edge, range(GRAPH.size[1])), [GRAPH.sure_at(n, at(hour)) for n in range(3)],
                          strict=True):  # fmt: skip
        assert sure == expected.get(edge.source.name + edge.target.name, 0.0)
    for node in (A, B, C, D):
        number = GRAPH.number(node)
        assert number is not None
        assert GRAPH.was_present(number, at(hour)) is (node.name in nodes)
        there = then.number(node)
        assert there is None or then.is_present(there) is (node.name in nodes)


def test_what_was_said_of_a_node_is_what_was_said_then() -> None:
    assert GRAPH.attribute(A, "owner") == "two"
    assert GRAPH.as_of(at(2)).attribute(A, "owner") == "one"
    assert GRAPH.attribute(D, "team") is None
    assert GRAPH.as_of(at(4)).attribute(D, "owner") is None, "nobody had heard of it"
    gone = Graph([said(A, 0, 1, over=2, owner="one")])
    assert gone.attribute(A, "owner") is None
    assert gone.as_of(at(1)).attribute(A, "owner") == "one"
    # The event of its end may be the first to tell of its owner: it was so then, too.
    assert Graph([said(A, 0, 5, owner="one")]).as_of(at(2)).attribute(A, "owner") == "one"


def test_the_graph_of_a_time_changes_no_more_and_is_of_no_later_time() -> None:
    graph = Graph(STORY)
    then = graph.as_of(at(2))
    before = edges(then)
    for event in (said((C, D), 1), said((B, C), 2, 3, over=2.5), said(A, 0, owner="three")):
        graph.take(event)
    assert edges(then) == before
    assert then.attribute(A, "owner") == "one"
    assert edges(then.as_of(at(9))) == before
    assert edges(then.as_of(at(1))) == {"ab": 1.0}
    with pytest.raises(ValueError, match="another time"):
        then.take(STORY[0])
    assert (graph.first, then.first, Graph().first) == (at(0), at(0), None)
    assert edges(Graph(then.events())) == before


def test_what_is_unknown_has_no_evidence() -> None:
    assert GRAPH.known(GraphEdge(C, A)) == []
    assert GRAPH.known(GraphEdge(C, JOB)) == []
    assert GRAPH.known(JOB) == []
    assert GRAPH.known(B) == [], "known by its edges alone"
    assert GRAPH.number(JOB) is None


def test_nodes_and_edges_are_in_the_order_of_their_ids_while_they_grow() -> None:
    graph = Graph([said((C, A), 0)])
    assert list(graph.nodes_by_id()) == [1, 0]
    assert [graph.edge_id(n) for n in graph.edges_by_id()] == [f"{C.id}>{A.id}"]
    graph.take(said((A, B), 0))
    graph.take(said((A, JOB), 0))
    assert [graph.node_id(n) for n in graph.nodes_by_id()] == sorted([A.id, B.id, C.id, JOB.id])
    expected = sorted([f"{C.id}>{A.id}", f"{A.id}>{B.id}", f"{A.id}>{JOB.id}"])
    assert [graph.edge_id(n) for n in graph.edges_by_id()] == expected
    assert list(graph.nodes_by_id()) == list(graph.nodes_by_id())
    assert [node.name for node in graph.of_kind(NodeKind.JOB)] == ["job"]


def told(found: Differences) -> dict[str, list[str]]:
    """The names of what came, went and is otherwise."""
    rows = {
        "nodes added": [node.name for node in found.nodes_added],
        "nodes removed": [node.name for node in found.nodes_removed],
        "added": [each.edge.source.name + each.edge.target.name for each in found.edges_added],
        "removed": [each.edge.source.name + each.edge.target.name for each in found.edges_removed],
        "changed": [old.edge.source.name + old.edge.target.name for old, _ in found.edges_changed],
    }
    assert found.none is not any(rows.values())
    return {name: names for name, names in rows.items() if names}


TIMES: list[tuple[float, float, float, dict[str, list[str]]]] = [
    (0, 0, 0.5, {}),
    (0, 1, 0.5, {"nodes added": ["b"], "added": ["ab"]}),
    (1, 0, 0.5, {"nodes removed": ["b"], "removed": ["ab"]}),
    (1, 2, 0.5, {"nodes added": ["c"], "added": ["bc"]}),
    (1, 2, 0.1, {"nodes added": ["c"], "added": ["ac", "bc"]}),
    (2, 3, 0.5, {"changed": ["bc"]}),
    (3, 4, 0.5, {"removed": ["ab"]}),
    (4, 6, 0.5, {"nodes added": ["d"]}),
    (-1, 9, 0.5, {"nodes added": ["a", "b", "c", "d"], "added": ["bc"]}),
]


@pytest.mark.parametrize(("since", "until", "at_least", "expected"), TIMES)
def test_what_changed_between_two_times(
    since: float, until: float, at_least: float, expected: dict[str, list[str]]
) -> None:
    found = changes(GRAPH, at(since), at(until), at_least=at_least)
    assert told(found) == expected
    assert found == differences(GRAPH.as_of(at(since)), GRAPH.as_of(at(until)), at_least=at_least)


def test_of_many_changes_the_first_ones_are_told() -> None:
    pairs = [(A, B), (A, C), (B, C)]
    graph = Graph([*(said(pair, 0) for pair in pairs), *(said(p, 2, by=EvidenceClass.HEADER, sure=0.9) for p in pairs)])
    for found in (changes(graph, at(1), at(3), most=2), differences(graph.as_of(at(1)), graph.as_of(at(3)), most=2)):
        assert told(found) == {"changed": ["ab", "ac"]}
    assert told(differences(graph.as_of(at(1)), graph.as_of(at(1)))) == {}
    seen_again = Graph([said((A, B), 0), said((A, B), 0, 5)])
    assert changes(seen_again, at(1), at(9)).none, "that something was seen again is no change"
    again = Graph([said((A, B), 0), said((A, B), 0, 5, owner="x")])
    assert changes(again, at(1), at(9)).none, "nor what else is said of it"
    assert differences(again.as_of(at(1)), again.as_of(at(9))).none


def test_changes_as_json() -> None:
    found = differences_document(changes(GRAPH, at(2), at(4)))
    assert [each["id"] for each in found["edges_removed"]] == [f"{A.id}>{B.id}"]
    assert [(each["before"]["confidence"], len(each["after"]["evidence"])) for each in found["edges_changed"]] == [
        (1.0, 2)
    ]
    added = differences_document(changes(GRAPH, at(-1), at(1)))
    assert (added["nodes_added"], [each["to"] for each in added["edges_added"]]) == ([A.id, B.id], [B.id])


def test_a_claim_that_is_said_twice_is_told_once_and_one_that_is_surer_at_once() -> None:
    claim = Claim(A, EvidenceClass.GROUP, "group/x", 0.5)
    never = timedelta(days=99)
    [event] = news(Graph(), [claim, claim], lambda *_: False, at(1), never)
    graph = Graph([event])
    assert news(graph, [claim], lambda *_: False, at(2), never) == []
    surer = Claim(A, EvidenceClass.GROUP, "group/x", 0.9)
    [event] = news(graph, [surer], lambda *_: False, at(2), never)
    assert (event.evidence.confidence, event.evidence.first_seen, event.evidence.last_seen) == (0.9, at(1), at(2))


def test_what_shows_of_a_node_is_no_news_of_an_edge() -> None:
    learning = Learning()
    assert not learning.news(said(A, 5), at(0))
    assert not learning.news(said((A, B), 0, by=EvidenceClass.HEADER), at(0))
    assert learning.news(said((C, B), 2, by=EvidenceClass.HEADER), at(2))


def test_what_turns_around_columns_and_nodes_is_told_to_nobody() -> None:
    one, other = (Node(NodeKind.COLUMN, "kafka://prod", name, "id") for name in "ab")
    for event in (said(A, 0), said((one, other), 0, by=EvidenceClass.HEADER)):
        assert turns(event, [], Graph([event]), news=True) == []
    event = said((A, B), 0, by=EvidenceClass.HEADER)
    assert [each.kind for each in turns(event, [], Graph([event]), news=True)] == ["edge-appeared"]
    assert turns(event, [event.evidence], Graph([event]), news=True) == [], "it was there"
