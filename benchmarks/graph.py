"""How long questions to a large lineage graph take: ``python benchmarks/graph.py``.

10,000 nodes and 100,000 edges, cycles among them: what lies upstream and downstream of a node, the graph as of another
time, and reading it all from its events.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from stream_lineage.graph.codec import decode_event, encode_event
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.walk import downstream_names, reach
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind

NODES, EDGES = 10_000, 100_000
START = datetime(2026, 3, 1, tzinfo=UTC)


def events(chance: random.Random, edges: int = EDGES) -> list[GraphEvent]:
    """Edges of all ages, a tenth of them with two classes of evidence."""
    nodes = [
        Node(NodeKind.DATASET if number % 2 else NodeKind.JOB, "kafka://prod", f"node-{number}")
        for number in range(NODES)
    ]
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < edges:
        one, other = chance.randrange(NODES), chance.randrange(NODES)
        if one != other:
            pairs.add((one, other))
    found = []
    for one, other in sorted(pairs):
        edge = GraphEdge(nodes[one], nodes[other])
        seen = START + timedelta(minutes=chance.randrange(100_000))
        found.append(GraphEvent(edge, Evidence(EvidenceClass.DECLARED, "file", seen, seen, 1.0)))
        if chance.random() < 0.1:
            found.append(GraphEvent(edge, Evidence(EvidenceClass.GROUP, "group/g", seen, seen, 0.95)))
    return found


def timed(work: Callable[[], object], times: int) -> str:
    """Median and the longest, in milliseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(took):.1f} ms (longest {max(took):.1f})"


def main() -> None:
    """Print what was measured."""
    chance = random.Random(1)
    made = events(chance)
    began = time.perf_counter()
    messages = [encode_event(event) for event in made]
    read = time.perf_counter()
    graph = Graph(map(decode_event, messages))
    print(f"{len(messages)} events: written in {read - began:.1f} s, read in {time.perf_counter() - read:.1f} s")
    print("nodes, edges:", graph.size)
    far = reach(graph, graph.nodes[0], "downstream")
    print(f"downstream of a node: {len(far.nodes)} nodes, {len(far.edges)} edges")
    nodes = iter(chance.sample(graph.nodes, 300))
    print("upstream, all of it:", timed(lambda: reach(graph, next(nodes), "upstream"), 40))
    print("downstream, all of it:", timed(lambda: reach(graph, next(nodes), "downstream"), 40))
    print("downstream, three steps:", timed(lambda: reach(graph, next(nodes), "downstream", depth=3), 40))
    print("names for an alert:", timed(lambda: downstream_names(graph, next(nodes), 100), 40))
    print("the graph as of another time:", timed(lambda: graph.as_of(START + timedelta(minutes=50_000)), 3))


if __name__ == "__main__":
    main()
