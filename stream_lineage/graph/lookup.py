"""Finding the node that somebody means."""

from __future__ import annotations

import difflib
import heapq

from stream_lineage.errors import NotFound
from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import Node, NodeKind

_NEAR = 3
_MOST_COMPARED = 200
"""Names that are compared closely with one that is not there: those that share most pairs of letters with it."""
_MOST_LOOKED_AT = 20_000
_LONGEST_COMPARED = 200
"""Characters."""


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
    near = _near(graph, text)
    hint = f"Did you mean {' or '.join(near)}?" if near else "`stream-lineage graph show` lists all nodes."
    raise NotFound(f"there is no node {text} in the graph", hint=hint)


def _near(graph: Graph, text: str) -> list[str]:
    if len(text) > _LONGEST_COMPARED:
        return []
    pairs = _pairs(text)
    labels = dict.fromkeys(node.label for node in graph.nodes[:_MOST_LOOKED_AT])
    short = (label for label in labels if len(label) <= _LONGEST_COMPARED)
    compared = heapq.nlargest(_MOST_COMPARED, short, key=lambda label: len(pairs & _pairs(label)) / (len(label) + 1))
    return difflib.get_close_matches(text, compared, n=_NEAR, cutoff=0.5)


def _pairs(text: str) -> set[str]:
    return {text[place : place + 2] for place in range(len(text))}
