"""A part of the graph to be shown: nodes, and the edges between them, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stream_lineage.graph.codec import evidence_to_json, node_to_json, time_to_json
from stream_lineage.graph.graph import EdgeView, Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.lookup import find
from stream_lineage.graph.walk import Direction, Reach, reach
from stream_lineage.model.graph import Evidence, GraphEdge, Node


@dataclass(frozen=True, slots=True)
class Picture:
    """``steps``: how far each node is from ``start``, where there is one. ``at``: as of when; null for now."""

    nodes: tuple[Node, ...]
    edges: tuple[EdgeView, ...]
    known: dict[Node, tuple[Evidence, ...]] = field(default_factory=dict)
    start: Node | None = None
    steps: dict[Node, int] = field(default_factory=dict)
    sure: dict[Node, float] = field(default_factory=dict)
    at: datetime | None = None


def whole(graph: Graph, *, at_least: float = 0.0, at: datetime | None = None) -> Picture:
    """All that holds."""
    edges = graph.edges(at_least)
    return _picture(graph, set(graph.present()), edges, at=at)


def around(
    graph: Graph,
    text: str,
    ways: Iterable[Direction],
    *,
    depth: int | None = None,
    at_least: float = LOW,
    at: datetime | None = None,
) -> Picture:
    """What lies in these directions of the node that somebody means.

    Raises:
        NotFound: there is none, or more than one.
    """
    start = find(graph, text)
    return reached(graph, *(reach(graph, start, way, depth=depth, at_least=at_least) for way in ways), at=at)


def reached(graph: Graph, *reaches: Reach, at: datetime | None = None) -> Picture:
    """What was walked from one start."""
    steps = {graph.nodes[number]: step for each in reaches for number, step in each.nodes.items()}
    sure = {graph.nodes[number]: part for each in reaches for number, part in each.sure.items()}
    numbers = {number for each in reaches for number in each.edges}
    start = reaches[0].start
    edges = sorted(map(graph.view, numbers), key=lambda each: each.edge)
    return _picture(graph, {start, *steps}, edges, start=start, steps=steps, sure=sure, at=at)


def document(picture: Picture) -> dict[str, Any]:
    """As JSON."""
    return {
        "at": None if picture.at is None else time_to_json(picture.at),
        "start": None if picture.start is None else picture.start.id,
        "nodes": [_node(node, picture) for node in picture.nodes],
        "edges": [edge_document(each.edge, each.evidence, each.confidence) for each in picture.edges],
    }


def edge_document(edge: GraphEdge, evidence: Iterable[Evidence], confidence: float) -> dict[str, Any]:
    return edge_fields(edge.source.id, edge.target.id, evidence, confidence)


def edge_fields(source: str, target: str, evidence: Iterable[Evidence], confidence: float) -> dict[str, Any]:
    """The same by the ids of its nodes."""
    return {
        "id": f"{source}>{target}",
        "from": source,
        "to": target,
        "confidence": confidence,
        "evidence": [evidence_to_json(each) for each in evidence],
    }


def _node(node: Node, picture: Picture) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if picture.start is not None:
        more = {"depth": picture.steps.get(node, 0), "confidence": round(picture.sure.get(node, 1.0), 4)}
    evidence = [evidence_to_json(each) for each in picture.known.get(node, ())]
    return {"id": node.id, **node_to_json(node), **more, "evidence": evidence}


def _picture(graph: Graph, nodes: set[Node], edges: Iterable[EdgeView], **more: Any) -> Picture:
    known = {node: tuple(found) for node in nodes if (found := graph.known(node))}
    return Picture(tuple(sorted(nodes)), tuple(edges), known, **more)
