"""If this failed, a picture of the graph would not show what is known, or be read as something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage.errors import NotFound
from stream_lineage.graph.cypher import cypher
from stream_lineage.graph.dot import dot
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.mermaid import mermaid
from stream_lineage.graph.openlineage_events import openlineage_events
from stream_lineage.graph.picture import around, document, whole
from stream_lineage.graph.walk import downstream_names, impact, reach
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def topic(name: str) -> Node:
    return Node(NodeKind.DATASET, "kafka://prod", name)


def job(name: str) -> Node:
    return Node(NodeKind.JOB, "kafka://prod", name)


def column(name: str, path: str) -> Node:
    return Node(NodeKind.COLUMN, "kafka://prod", name, path)


def says(
    source: Node, target: Node, sure: float = 1.0, by: EvidenceClass = EvidenceClass.DECLARED, hours: int = 0,
    over: int | None = None,
) -> GraphEvent:  # fmt: skip
    until = None if over is None else NOON + timedelta(hours=over)
    last = NOON + timedelta(hours=hours)
    return GraphEvent(GraphEdge(source, target), Evidence(by, "x", NOON, last, sure, (), until))


ORDERS, SCORE, SCORES = topic('or"ders'), job("it's"), topic("scores")
GUESSED = says(SCORES, job("guess"), 0.3, EvidenceClass.VALUES)
GRAPH = Graph([
    says(ORDERS, SCORE, hours=2), says(ORDERS, SCORE, 0.9, EvidenceClass.HEADER), says(SCORE, SCORES), GUESSED,
])  # fmt: skip


def test_graphviz_draws_nodes_by_kind_and_guesses_dashed() -> None:
    assert (
        dot(around(GRAPH, "scores", ("upstream", "downstream"), at_least=0.0))
        == """digraph lineage {
    rankdir=LR;
    "dataset:kafka://prod/or%22ders" [label="or\\"ders", shape=cylinder];
    "dataset:kafka://prod/scores" [label="scores", shape=cylinder, penwidth=3];
    "job:kafka://prod/guess" [label="guess", shape=box];
    "job:kafka://prod/it%27s" [label="it's", shape=box];
    "dataset:kafka://prod/or%22ders" -> "job:kafka://prod/it%27s" [label="declared, header"];
    "dataset:kafka://prod/scores" -> "job:kafka://prod/guess" [label="values", style=dashed];
    "job:kafka://prod/it%27s" -> "dataset:kafka://prod/scores" [label="declared"];
}
"""
    )


def test_mermaid_draws_nodes_by_kind_and_guesses_dotted() -> None:
    assert (
        mermaid(around(GRAPH, "scores", ("upstream", "downstream"), at_least=0.0))
        == """flowchart LR
    n0[("or#34;ders")]
    n1[("scores")]
    n2["guess"]
    n3["it#39;s"]
    n0 -->|"declared#44; header"| n3
    n1 -.->|"values"| n2
    n3 -->|"declared"| n1
    style n1 stroke-width:4px
"""
    )
    assert "style" not in mermaid(whole(GRAPH)), "all of the graph begins nowhere"


def test_cypher_says_when_and_by_what_an_edge_is_known() -> None:
    graph = Graph([says(ORDERS, SCORE, hours=2), GraphEvent(column("a", "b"), Evidence(
        EvidenceClass.DECLARED, "x", NOON, NOON, 1.0
    ))])  # fmt: skip
    assert cypher(whole(graph)) == (
        "MERGE (n:Column {id: 'column:kafka://prod/a/b'}) SET n.namespace = 'kafka://prod', n.name = 'a', "
        "n.kind = 'column', n.field = 'b';\n"
        "MERGE (n:Dataset {id: 'dataset:kafka://prod/or%22ders'}) SET n.namespace = 'kafka://prod', "
        "n.name = 'or\"ders', n.kind = 'dataset';\n"
        "MERGE (n:Job {id: 'job:kafka://prod/it%27s'}) SET n.namespace = 'kafka://prod', n.name = 'it\\'s', "
        "n.kind = 'job';\n"
        "MATCH (a:Dataset {id: 'dataset:kafka://prod/or%22ders'}), (b:Job {id: 'job:kafka://prod/it%27s'}) "
        "MERGE (a)-[e:FEEDS]->(b) SET e.confidence = 1.0, e.evidence = ['declared'], "
        "e.first_seen = '2026-03-01T12:00:00.000Z', e.last_seen = '2026-03-01T14:00:00.000Z';\n"
    )


def test_what_lies_around_a_node_is_told_with_how_far_and_how_sure_it_is() -> None:
    found = document(around(GRAPH, "scores", ("upstream", "downstream"), at_least=0.0, at=NOON))
    assert (found["at"], found["start"]) == ("2026-03-01T12:00:00.000Z", SCORES.id)
    assert {each["id"]: (each["depth"], each["confidence"]) for each in found["nodes"]} == {
        SCORES.id: (0, 1.0), SCORE.id: (1, 1.0), ORDERS.id: (2, 1.0), job("guess").id: (1, 0.3),
    }  # fmt: skip
    near = around(GRAPH, "scores", ("upstream",), depth=1)
    assert near.nodes == (SCORES, SCORE)
    with pytest.raises(NotFound):
        around(GRAPH, "nothing of this name", ("upstream",))


def test_what_is_made_of_a_node_the_nearest_first() -> None:
    a, b, c, d, e = (topic(name) for name in "abcde")
    graph = Graph([says(a, c), says(a, b), says(b, d), says(c, e), says(c, job("a job"))])
    assert downstream_names(graph, a, 10) == ["b", "c", "a job", "d", "e"]
    assert downstream_names(graph, a, 3) == ["b", "c", "a job"]
    assert downstream_names(graph, a, 1) == ["b"]
    assert downstream_names(graph, topic("unheard of"), 3) == []
    assert impact(graph, reach(graph, a, "downstream")) == {NodeKind.DATASET: 4, NodeKind.JOB: 1}
    assert reach(graph, topic("unheard of"), "upstream").edges == ()
    assert reach(graph, a, "downstream", depth=0).nodes == {}


def test_the_surest_of_the_shortest_paths_counts() -> None:
    a, b, c, d = (topic(name) for name in "abcd")
    graph = Graph([says(a, b, 0.9), says(a, c, 0.6), says(b, d, 1.0), says(c, d, 1.0), says(d, a, 1.0)])
    found = reach(graph, a, "downstream")
    assert {graph.nodes[n].name: found.sure[n] for n in found.nodes} == pytest.approx({"b": 0.9, "c": 0.6, "d": 0.9})


def test_openlineage_events_of_a_picture() -> None:
    owner = Evidence(EvidenceClass.OPENLINEAGE, "x", NOON, NOON, 1.0, (("owner", "shop"),))
    raw = Node(NodeKind.DATASET, "s3://raw", "orders")
    theirs = GraphEvent(GraphEdge(raw, job("theirs")), Evidence(EvidenceClass.OPENLINEAGE, "x", NOON, NOON, 1.0))
    graph = Graph([
        says(SCORE, SCORES), says(raw, SCORES), says(column("in", "id"), column("scores", "user")),
        GraphEvent(SCORES, owner), theirs, GUESSED,
    ])  # fmt: skip
    events = openlineage_events(whole(graph), NOON)
    jobs = {event["job"]["name"]: event for event in events if "job" in event}
    sets = {event["dataset"]["name"]: event["dataset"]["facets"] for event in events if "dataset" in event}
    assert {event["eventTime"] for event in events} == {"2026-03-01T12:00:00.000Z"}
    assert [each["name"] for each in jobs["it's"]["outputs"]] == ["scores"]
    assert jobs["guess"]["inputs"] == [], "what is only guessed is left out"
    assert (jobs["theirs"]["job"]["facets"], list(jobs["it's"]["job"]["facets"])) == ({}, ["jobType"])
    scores = sets["scores"]
    assert [each["name"] for each in scores["ownership"]["owners"]] == ["shop"]
    assert [each["name"] for each in scores["lineage"]["inputs"]] == ["orders"]
    assert scores["columnLineage"]["fields"]["user"]["inputFields"] == [
        {"namespace": "kafka://prod", "name": "in", "field": "id"}
    ]
    assert sets["in"] == {}
