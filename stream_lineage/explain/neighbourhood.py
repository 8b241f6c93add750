"""The part of the lineage graph that a breach concerns: what is upstream of it, and what all of that leads to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from stream_lineage.graph.graph import EdgeView, Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.walk import reach
from stream_lineage.model.graph import Node, NodeKind

MOST_NODES = 10_000


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """``nodes`` are in the order in which they matter: the start, upstream of it by steps, then the others, nearest
    first. ``names`` are what people call them, their ids where two are called the same. ``left_out``: nodes beyond the
    bound."""

    start: Node
    nodes: tuple[Node, ...]
    upstream: int
    edges: tuple[EdgeView, ...]
    names: Mapping[Node, str]
    left_out: int


def neighbourhood(graph: Graph, start: Node, *, most: int = MOST_NODES) -> Neighbourhood:
    """Datasets, jobs, models and dashboards, along edges that are sure enough to be shown. Columns are left out: what
    is known of them is known of their datasets."""
    back = reach(graph, start, "upstream")
    above = [number for number, _ in sorted(back.nodes.items(), key=lambda each: (each[1], graph.nodes[each[0]]))]
    steps: dict[int, int] = {}
    seen = {graph.number(start), *above}
    layer = [number for number in (graph.number(start), *above) if number is not None]
    index = graph.index
    distance = 0
    while layer and len(seen) + len(steps) <= 2 * most:
        distance += 1
        following = []
        for number in layer:
            for edge in index.outgoing[index.outgoing_begins[number] : index.outgoing_begins[number + 1]]:
                other = int(index.targets[edge])
                if index.confidences[edge] >= LOW and other not in seen:
                    seen.add(other)
                    steps[other] = distance
                    following.append(other)
        layer = following
    beside = [number for number, _ in sorted(steps.items(), key=lambda each: (each[1], graph.nodes[each[0]]))]
    wanted = [graph.nodes[number] for number in (*above, *beside) if graph.nodes[number].kind is not NodeKind.COLUMN]
    nodes = (start, *wanted[: most - 1])
    kept = {graph.number(node) for node in nodes}
    edges = tuple(
        graph.view(number)
        for number, sure in enumerate(graph.confidences)
        if sure >= LOW and graph.sources[number] in kept and graph.targets[number] in kept
    )
    upstream = sum(graph.nodes[number].kind is not NodeKind.COLUMN for number in above)
    return Neighbourhood(start, nodes, min(upstream, most - 1), edges, _names(nodes), len(wanted) + 1 - len(nodes))


def _names(nodes: tuple[Node, ...]) -> dict[Node, str]:
    counts = Counter(node.label for node in nodes)
    return {node: node.label if counts[node.label] == 1 else node.id for node in nodes}
