"""If this failed, nobody would see that a topic has lost its source, or that something is not as it is declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage.graph.coverage import TopicFacts, coverage
from stream_lineage.graph.differences import differences
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.graph.standing import oddities
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node

T0 = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = naming("test", [("b", 9092)])
CLASSES = {
    "h": EvidenceClass.HEADER, "d": EvidenceClass.DECLARED, "g": EvidenceClass.GROUP, "o": EvidenceClass.OPENLINEAGE,
    "t": EvidenceClass.TRANSACTION, "v": EvidenceClass.VALUES,
}  # fmt: skip


def node(name: str) -> Node:
    return NAMES.job(name[1:]) if name.startswith("@") else NAMES.topic(name)


def at(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def event(text: str, first: float = 0, last: float = 100, gone: float | None = None) -> GraphEvent:
    """``a > @job d``: from topic a to a job, declared."""
    source, _, target, by = text.split()
    withdrawn = None if gone is None else at(gone)
    piece = Evidence(CLASSES[by], "s", at(first), at(last if gone is None else gone), 0.9, (), withdrawn)
    return GraphEvent(GraphEdge(node(source), node(target)), piece)


TABLE = [
    # events, what is odd, why
    (["a > @j d", "a > @j g", "@j > b d", "@j > b t"], [], "all that is declared is seen"),
    (["a > @j d", "@j > b d"], ["unobserved a @j", "unobserved @j b"], "nothing of it is seen"),
    (["a > @j d", "@j > b d", "a > b h"], [], "records show both"),
    (["a > @j d", "c > @j d", "@j > b d", "a > b h"], ["unobserved c @j"], "one input is not in the records"),
    (["a > @j d", "@j > b d", "a > b h", "x > b h"], ["undeclared x b"], "records come from elsewhere too"),
    (["a > @j d", "a > @j g", "x > @j g", "@j > b d", "@j > b o"], ["undeclared x @j"], "a declared job reads more"),
    (["a > @j g", "x > b h"], [], "where nothing is declared nothing is undeclared"),
    (["a > @j d", "a > @j g", "a > @other g"], [], "other groups may read what they like"),
    (["a > b v"], [], "a guess is nothing"),
]


@pytest.mark.parametrize(("events", "expected", "why"), TABLE)
def test_what_is_declared_against_what_is_seen(events: list[str], expected: list[str], why: str) -> None:
    found = oddities(Graph(map(event, events)), at(50))
    said = [f"{each.kind} {_name(each.edge.source)} {_name(each.edge.target)}" for each in found if each.edge]
    assert sorted(said) == sorted(expected), why


def _name(end: Node) -> str:
    return f"@{end.name}" if end.kind == "job" else end.name


def test_a_dataset_that_is_read_and_made_no_more_is_orphaned() -> None:
    gone = [event("a > b h", gone=3), event("b > @j g"), event("x > y h", gone=3), event("raw > @j g")]
    [orphan] = oddities(Graph(gone), at(0))
    assert (orphan.kind, orphan.node, orphan.last_seen) == ("orphaned", node("b"), at(3))
    assert oddities(Graph([*gone, event("z > b h")]), at(0)) == []


def test_what_was_not_seen_for_a_while_is_stale() -> None:
    graph = Graph([event("a > b h", last=10), event("c > d h", last=60), event("e > @j d", last=10), event("e > @j g")])
    assert [(each.kind, each.edge) for each in oddities(graph, at(50))] == [("stale", event("a > b h").subject)]


def test_changes_between_two_times() -> None:
    events = [event("a > b h", 0), event("b > c h", 10), event("a > b d", 20), event("a > x h", 0, gone=15)]
    graph = Graph(events)
    found = differences(graph.as_of(at(5)), graph.as_of(at(30)))
    assert [each.edge for each in found.edges_added] == [events[1].subject]
    assert [each.edge for each in found.edges_removed] == [events[3].subject]
    assert [new.edge for _, new in found.edges_changed] == [events[0].subject]
    assert (found.nodes_added, found.nodes_removed) == ((node("c"),), (node("x"),))
    assert differences(graph, graph).none


def test_coverage_puts_the_busiest_unprotected_first() -> None:
    owned = Evidence(EvidenceClass.DECLARED, "f", at(0), at(0), 1.0, (("owner", "x"),))
    graph = Graph([event("full > b h"), GraphEvent(node("full"), owned), event("read > @j g"), event("v > w v")])
    facts = [
        TopicFacts("full", 900.0, True, True), TopicFacts("read", 10.0, True, False),
        TopicFacts("v", 50.0, False, False),
    ]  # fmt: skip
    found = coverage(graph, facts, NAMES)
    assert [(each.topic, each.score) for each in found.topics] == [("v", 0.0), ("read", 0.25), ("full", 1.0)]
    shares = {name: round(found.share(name), 3) for name in ("schema", "owner", "traced", "expectations", "score")}
    assert shares == {"schema": 0.667, "owner": 0.333, "traced": 0.333, "expectations": 0.333, "score": 0.417}
    assert coverage(Graph(), [], NAMES).share("score") == 0.0
