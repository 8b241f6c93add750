"""Walking the graph: what a node is made of, and what is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import LOW
from stream_lineage.model.graph import Node, NodeKind

Direction = Literal["upstream", "downstream"]


@dataclass(frozen=True, slots=True)
class Reach:
    """``nodes`` by how many steps they are away, the start itself left out; ``edges`` are the numbers of those that lie
    between them. ``sure``: the confidence of the best of the shortest paths, all of whose edges must hold."""

    start: Node
    nodes: Mapping[int, int]
    edges: tuple[int, ...]
    sure: Mapping[int, float]


def reach(graph: Graph, start: Node, direction: Direction, *, depth: int | None = None, at_least: float = LOW) -> Reach:
    """What lies upstream or downstream, step by step, along edges of at least this confidence.

    A column is reached through columns; from a dataset its columns are not.
    """
    first = graph.number(start)
    if first is None:
        return Reach(start, {}, (), {})
    forward = direction == "downstream"
    neighbours, ends = (graph.outgoing, graph.targets) if forward else (graph.incoming, graph.sources)
    confidences = graph.confidences
    floor = max(at_least, 1e-9)  # never along what was withdrawn
    steps = {first: 0}
    sure = {first: 1.0}
    edges: list[int] = []
    layer, step = [first], 0
    while layer and (depth is None or step < depth):
        step += 1
        found: list[int] = []
        for node in layer:
            so_far = sure[node]
            for edge in neighbours[node]:
                holds = confidences[edge]
                if holds < floor:
                    continue
                edges.append(edge)
                other = ends[edge]
                known = steps.get(other)
                if known is None:
                    steps[other] = step
                    sure[other] = so_far * holds
                    found.append(other)
                elif known == step and so_far * holds > sure[other]:
                    sure[other] = so_far * holds
        layer = found
    del steps[first], sure[first]
    return Reach(start, steps, tuple(edges), sure)


def impact(graph: Graph, found: Reach) -> Mapping[NodeKind, int]:
    """How many nodes of each kind are reached."""
    return Counter(graph.nodes[number].kind for number in found.nodes)


def downstream_names(graph: Graph, start: Node, most: int) -> list[str]:
    """Names of what is made of a node, the nearest first."""
    found = reach(graph, start, "downstream")
    numbers = sorted(found.nodes, key=lambda number: (found.nodes[number], graph.nodes[number]))
    return list(dict.fromkeys(graph.nodes[number].label for number in numbers))[:most]
