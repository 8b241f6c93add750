"""Finding the node that somebody means."""

from __future__ import annotations

import difflib

from stream_lineage.errors import NotFound
from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import Node, NodeKind

_NEAR = 3


def find(graph: Graph, text: str) -> Node:
    """By its id, by its name, or as ``kind:name``; columns as ``TOPIC:PATH``. Nodes that are gone are found too.

    Raises:
        NotFound: there is none, or more than one; says which are near, or which are meant.
    """
    kind, _, rest = text.partition(":")
    named = graph.called(text)
    if not named and kind in tuple(NodeKind):
        named = [node for node in graph.called(rest) if node.kind == kind and node.label == rest]
    if len(named) == 1:
        return named[0]
    if named:
        exact = [node for node in named if node.id == text]
        datasets = [node for node in named if node.kind is NodeKind.DATASET]
        for chosen in (exact, datasets):
            if len(chosen) == 1:
                return chosen[0]
        ids = ", ".join(sorted(node.id for node in named)[:10])
        raise NotFound(f"{text} may be one of several nodes of the graph", hint=f"Say which: {ids}")
    labels = {node.label: node for node in graph.nodes}
    near = difflib.get_close_matches(text, labels, n=_NEAR, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "`stream-lineage graph show` lists all nodes."
    raise NotFound(f"there is no node {text} in the graph", hint=hint)
