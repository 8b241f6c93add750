"""Nodes and edges by number, in fixed orders: kept while they grow, so that a page of them costs a page."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from stream_lineage.model.graph import Node

NodeKey = tuple[str, str, str, str]


class Order:
    """Of one graph, of which nodes and edges never leave. ``ids`` and ``keys`` of nodes by number."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.keys: list[NodeKey] = []
        self._nodes: list[int] = []
        self._edges: list[int] = []

    def nodes(self, nodes: Sequence[Node]) -> Sequence[int]:
        """Their numbers."""
        self.named(nodes)
        if len(self._nodes) < len(nodes):
            self._nodes += range(len(self._nodes), len(nodes))
            self._nodes.sort(key=self.ids.__getitem__)
        return self._nodes

    def edges(self, nodes: Sequence[Node], sources: array[int], targets: array[int]) -> Sequence[int]:
        """The numbers of the edges between these nodes."""
        self.named(nodes)
        if len(self._edges) < len(sources):
            ids = self.ids
            self._edges += range(len(self._edges), len(sources))
            # The sign that no id of a node holds ends the first one: that is the order of the ids of edges.
            self._edges.sort(key=lambda number: (ids[sources[number]] + ">", ids[targets[number]]))
        return self._edges

    def named(self, nodes: Sequence[Node]) -> None:
        """Know the names of all of them."""
        if len(self.ids) < len(nodes):
            new = nodes[len(self.ids) :]
            self.ids += [node.id for node in new]
            self.keys += map(node_key, new)


def node_key(node: Node) -> NodeKey:
    """In the order of nodes, compared faster."""
    return node.kind.value, node.namespace, node.name, node.field or ""
