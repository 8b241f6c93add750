"""What changed between two times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stream_lineage.graph.graph import EdgeView, Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.picture import edge_document
from stream_lineage.model.graph import GraphEdge, Node


@dataclass(frozen=True, slots=True)
class Differences:
    """Edges with their confidence; ``changed`` with that before and after."""

    nodes_added: tuple[Node, ...]
    nodes_removed: tuple[Node, ...]
    edges_added: tuple[EdgeView, ...]
    edges_removed: tuple[EdgeView, ...]
    edges_changed: tuple[tuple[EdgeView, EdgeView], ...]

    @property
    def none(self) -> bool:
        return not (
            self.nodes_added or self.nodes_removed or self.edges_added or self.edges_removed or self.edges_changed
        )


def differences(before: Graph, after: Graph, *, at_least: float = LOW) -> Differences:
    """Between two graphs, along edges of at least this confidence. An edge whose classes of evidence are others, or
    whose confidence is, has changed."""
    old, new = _edges(before, at_least), _edges(after, at_least)
    nodes_before, nodes_after = set(before.present()), set(after.present())
    return Differences(
        tuple(sorted(nodes_after - nodes_before)),
        tuple(sorted(nodes_before - nodes_after)),
        tuple(new[edge] for edge in sorted(new.keys() - old.keys())),
        tuple(old[edge] for edge in sorted(old.keys() - new.keys())),
        tuple(
            (old[edge], new[edge])
            for edge in sorted(old.keys() & new.keys())
            if _content(old[edge]) != _content(new[edge])
        ),
    )


def _edges(graph: Graph, at_least: float) -> dict[GraphEdge, EdgeView]:
    return {each.edge: each for each in graph.edges(at_least)}


def _content(view: EdgeView) -> tuple[float, frozenset[tuple[str, str]]]:
    return view.confidence, frozenset((each.by.value, each.source) for each in view.evidence if each.holds)


def differences_document(found: Differences) -> dict[str, Any]:
    """As JSON."""
    return {
        "nodes_added": [node.id for node in found.nodes_added],
        "nodes_removed": [node.id for node in found.nodes_removed],
        "edges_added": [_edge_document(each) for each in found.edges_added],
        "edges_removed": [_edge_document(each) for each in found.edges_removed],
        "edges_changed": [
            {"before": _edge_document(old), "after": _edge_document(new)} for old, new in found.edges_changed
        ],
    }


def _edge_document(each: EdgeView) -> dict[str, Any]:
    return edge_document(each.edge, each.evidence, each.confidence)
