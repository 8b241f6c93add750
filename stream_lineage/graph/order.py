"""Nodes and edges by number, in the order of their ids: kept while they grow, so that a page of them costs a page."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from stream_lineage.model.graph import Node


class Order:
    """Of one graph, of which nodes and edges never leave. ``ids`` of nodes by number."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._nodes: list[int] = []
        self._edges: list[int] = []

    def nodes(self, nodes: Sequence[Node]) -> Sequence[int]:
        """Their numbers."""
        self._named(nodes)
        if len(self._nodes) < len(nodes):
            self._nodes += range(len(self._nodes), len(nodes))
            self._nodes.sort(key=self.ids.__getitem__)
        return self._nodes

    def edges(self, nodes: Sequence[Node], sources: array[int], targets: array[int]) -> Sequence[int]:
        """The numbers of the edges between these nodes."""
        self._named(nodes)
        if len(self._edges) < len(sources):
            ids = self.ids
            self._edges += range(len(self._edges), len(sources))
            # The sign that no id of a node holds ends the first one: that is the order of the ids of edges.
            self._edges.sort(key=lambda number: (ids[sources[number]] + ">", ids[targets[number]]))
        return self._edges

    def _named(self, nodes: Sequence[Node]) -> None:
        self.ids += [node.id for node in nodes[len(self.ids) :]]


def node_key(node: Node) -> tuple[str, str, str, str]:
    """In the order of nodes, compared faster."""
    return node.kind.value, node.namespace, node.name, node.field or ""
