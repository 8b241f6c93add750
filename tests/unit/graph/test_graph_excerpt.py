"""If this failed, a part of the graph would lack what has become known since it was shown last, or not be what the
command shows."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from stream_lineage.graph import graph as graph_module
from stream_lineage.graph.excerpt import excerpt
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.picture import around, document, whole
from stream_lineage.graph.walk import Direction, reach
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BOTH: tuple[Direction, ...] = ("upstream", "downstream")
NODES = [Node(NodeKind.JOB if n % 3 else NodeKind.DATASET, "kafka://prod", f"n {n}") for n in range(12)]


def said(subject: Node | GraphEdge, sure: float, minutes: int = 0, *, over: bool = False) -> GraphEvent:
    at = NOW + timedelta(minutes=minutes)
    withdrawn = at + timedelta(minutes=1) if over else None
    return GraphEvent(subject, Evidence(EvidenceClass.DECLARED, "file", NOW, at, sure, (), withdrawn))


def made() -> Graph:
    """Every pair of nodes with a chance of a third, of which some are guessed and some over; two nodes know more."""
    chance = random.Random(3)
    found = Graph([said(NODES[1], 1.0), said(NODES[5], 0.7)])
    for one in NODES:
        for other in NODES:
            if one != other and chance.random() < 0.3:
                found.take(said(GraphEdge(one, other), chance.choice([1.0, 0.6, 0.3]), over=chance.random() < 0.2))
    return found


def shown(
    graph: Graph, name: str | None, ways: tuple[Direction, ...] = BOTH, depth: int | None = 1, **more: Any
) -> Any:
    [start] = graph.called(name) if name is not None else [None]
    reaches = None if start is None else [reach(graph, start, way, depth=depth) for way in ways]
    bounds = {"at_least": 0.5, "nodes": 1000, "edges": 1000, **more}
    return orjson.loads(orjson.dumps(excerpt(graph, reaches, **bounds)))


@pytest.mark.parametrize("ways", [BOTH, ("upstream",), ("downstream",)])
@pytest.mark.parametrize("depth", [1, 2, None])
def test_it_is_what_the_command_shows(ways: tuple[Direction, ...], depth: int | None) -> None:
    graph = made()
    for node in NODES:
        expected = orjson.loads(orjson.dumps(document(around(graph, node.name, ways, depth=depth))))
        for _ in range(2):  # made, and remembered
            assert shown(graph, node.name, ways, depth) == {**expected, "cut": False}
    everything = orjson.loads(orjson.dumps(document(whole(graph, at_least=0.5, at=NOW))))
    assert shown(graph, None, at=NOW) == {**everything, "cut": False}


def test_a_step_goes_along_what_holds_and_is_sure_enough() -> None:
    graph = made()
    for node in NODES:
        edges = {each.edge: each.confidence for each in graph.edges() if each.confidence >= 0.5}
        for way in BOTH:
            found = reach(graph, node, way, depth=1)
            beside = {
                (edge.target if way == "downstream" else edge.source): sure
                for edge, sure in edges.items()
                if node == (edge.source if way == "downstream" else edge.target)
            }
            assert {graph.nodes[number]: sure for number, sure in found.sure.items()} == beside
            assert {graph.nodes[number]: step for number, step in found.nodes.items()} == dict.fromkeys(beside, 1)
            assert len(found.edges) == len(beside)
    assert reach(graph, Node(NodeKind.JOB, "kafka://prod", "nobody"), "upstream", depth=1).nodes == {}


def test_less_is_said_to_be_so() -> None:
    graph = made()
    all_nodes, all_edges = (len(shown(graph, "n 0", depth=None)[what]) for what in ("nodes", "edges"))
    near = shown(graph, "n 0", depth=None, nodes=3)
    assert near["cut"]
    assert sorted(each["depth"] for each in near["nodes"]) == [0, 1, 1]
    ids = {each["id"] for each in near["nodes"]}
    assert all({each["from"], each["to"]} <= ids for each in near["edges"])
    few = shown(graph, "n 0", depth=None, edges=all_edges - 1)
    assert (few["cut"], len(few["edges"]), len(few["nodes"])) == (True, all_edges - 1, all_nodes)


def test_a_node_that_nobody_knows_stands_alone() -> None:
    stranger = Node(NodeKind.JOB, "kafka://prod", "stranger")
    found = excerpt(made(), [reach(made(), stranger, "upstream", depth=1)], at_least=0.5, nodes=5, edges=5)
    assert (found["start"], found["nodes"], found["edges"], found["cut"]) == (stranger.id, [], [], False)


def test_what_it_takes_to_answer_is_there_once_all_nodes_have_names() -> None:
    graph = made()
    known = []
    for made_now in (lambda: graph.index, lambda: graph.called("n 0"), graph.node_keys):
        known.append(graph.is_indexed)
        made_now()
    assert [*known, graph.is_indexed] == [False, False, False, True]


@pytest.mark.parametrize("remembered", [1, 100])
def test_what_becomes_known_is_shown(remembered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "MOST_SAID", remembered)
    one, other, third = NODES[:3]
    graph = Graph([said(GraphEdge(one, other), 0.6), said(GraphEdge(other, third), 0.6)])
    known = [graph.is_indexed]
    before = shown(graph, one.name)
    known.append(graph.is_indexed)
    assert [node["evidence"] for node in before["nodes"]] == [[], []]
    graph.take(said(GraphEdge(one, other), 0.9, 5))
    assert [*known, graph.is_indexed] == [False, True, False]
    graph.take(said(one, 1.0))
    after = shown(graph, one.name)
    [was], [edge] = before["edges"], after["edges"]
    assert (was["confidence"], edge["confidence"]) == (0.6, 0.9)
    assert edge["evidence"][0]["last_seen"] == "2026-03-01T00:05:00.000Z"
    assert [len(node["evidence"]) for node in after["nodes"] if node["name"] == one.name] == [1]
    assert len(shown(graph, None)["edges"]) == 2
    assert len(graph.said_of_edges) <= remembered
