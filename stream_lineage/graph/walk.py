"""Walking the graph: what a node is made of, and what is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Literal

import numpy as np

from stream_lineage.graph.graph import Graph
from stream_lineage.graph.index import Numbers
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
    index = graph.index
    floor = max(at_least, 1e-9)  # never along what was withdrawn
    if depth == 1:
        return _beside(graph, start, first, forward, floor)
    begins, order = (index.outgoing_begins, index.outgoing) if forward else (index.incoming_begins, index.incoming)
    ends = index.targets if forward else index.sources
    starts = index.sources if forward else index.targets
    steps = np.full(len(graph.nodes), -1, np.int64)
    sure = np.zeros(len(graph.nodes))
    steps[first], sure[first] = 0, 1.0
    walked = []
    layer = np.array([first])
    step = 0
    while len(layer) and (depth is None or step < depth):
        step += 1
        edges = order[_ranges(begins[layer], begins[layer + 1])]
        edges = edges[index.confidences[edges] >= floor]
        walked.append(edges)
        others = ends[edges]
        fresh = edges[steps[others] < 0]
        layer = np.unique(ends[fresh])
        steps[layer] = step
        np.maximum.at(sure, ends[fresh], sure[starts[fresh]] * index.confidences[fresh])
    steps[first] = -1
    [found] = np.nonzero(steps >= 0)
    numbers = found.tolist()
    return Reach(
        start,
        dict(zip(numbers, steps[found].tolist(), strict=True)),
        tuple(np.concatenate(walked).tolist()) if walked else (),
        dict(zip(numbers, sure[found].tolist(), strict=True)),
    )


def _beside(graph: Graph, start: Node, first: int, forward: bool, floor: float) -> Reach:
    """One step, without arrays of all nodes."""
    edges = graph.index.edges_of(first)[forward].tolist()
    ends = graph.targets if forward else graph.sources
    numbers = tuple(number for number in edges if graph.confidences[number] >= floor)
    sure = {ends[number]: graph.confidences[number] for number in numbers}
    return Reach(start, dict.fromkeys(sure, 1), numbers, sure)


def _ranges(begins: Numbers, ends: Numbers) -> Numbers:
    """All numbers from each begin on to below its end, one range after the other."""
    lengths = ends - begins
    before = np.cumsum(lengths) - lengths
    found: Numbers = np.arange(int(lengths.sum())) + np.repeat(begins - before, lengths)
    return found


def impact(graph: Graph, found: Reach) -> Mapping[NodeKind, int]:
    """How many nodes of each kind are reached."""
    return Counter(graph.nodes[number].kind for number in found.nodes)


def downstream_names(graph: Graph, start: Node, most: int) -> list[str]:
    """Names of what is made of a node, the nearest first."""
    found = reach(graph, start, "downstream")
    layers: dict[int, list[str]] = {}
    for number, step in found.nodes.items():
        layers.setdefault(step, []).append(graph.nodes[number].label)
    names: dict[str, None] = {}
    for step in sorted(layers):
        names.update(dict.fromkeys(nsmallest(most, layers[step])))
        if len(names) >= most:
            break
    return list(names)[:most]
