"""A part of the graph as a document, for whoever asks again and again: what is said of a node or an edge is put into
JSON once, until more is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from stream_lineage.graph.codec import evidence_to_json, node_to_json, time_to_json
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.picture import edge_fields
from stream_lineage.graph.walk import Reach


def excerpt(
    graph: Graph,
    reaches: Sequence[Reach] | None,
    *,
    at_least: float,
    nodes: int,
    edges: int,
    at: datetime | None = None,
) -> dict[str, Any]:
    """So many nodes of what was walked from one start, the nearest first, or of all where nothing was, with the edges
    between them: what ``picture.document`` says of them, and whether any is left out (``cut``). Only what is shown is
    looked at closely. It holds JSON in pieces, for orjson.

    Args:
        graph: the graph.
        reaches: walks from the same start.
        at_least: the confidence of edges where nothing was walked.
        nodes, edges: how many at most.
        at: as of when the graph is; null for now.
    """
    start: int | None = None
    steps: dict[int, int] = {}
    sure: dict[int, float] = {}
    index = graph.index
    if reaches is None:
        chosen = graph.present_numbers()
        [numbers] = np.nonzero((index.confidences > 0) & (index.confidences >= at_least))
    else:
        start = graph.number(reaches[0].start)
        for each in reaches:
            steps.update(each.nodes)
            sure.update(each.sure)
        chosen = set(steps) if start is None else {start, *steps}
        numbers = np.unique(np.fromiter((n for each in reaches for n in each.edges), np.int64))
    keys = graph.node_keys()
    shown = chosen if len(chosen) <= nodes else sorted(chosen, key=lambda n: (steps.get(n, 0), keys[n]))[:nodes]
    ordered = sorted(shown, key=keys.__getitem__)
    rank = np.full(len(graph.nodes), -1, np.int64)
    rank[ordered] = np.arange(len(ordered))
    sources, targets = rank[index.sources[numbers]], rank[index.targets[numbers]]
    between = (sources >= 0) & (targets >= 0)
    numbers = numbers[between][np.lexsort((targets[between], sources[between]))]
    return {
        "at": None if at is None else time_to_json(at),
        "start": None if reaches is None else reaches[0].start.id,
        "nodes": [
            _node(graph, n)
            if reaches is None
            else {**_node(graph, n), "depth": steps.get(n, 0), "confidence": round(sure.get(n, 1.0), 4)}
            for n in ordered
        ],
        "edges": [_edge(graph, n) for n in numbers[:edges].tolist()],
        "cut": len(ordered) < len(chosen) or len(numbers) > edges,
    }


def _node(graph: Graph, number: int) -> dict[str, Any]:
    known = graph.said_of_nodes.get(number)
    if known is None:
        node = graph.nodes[number]
        evidence = orjson.Fragment(orjson.dumps([evidence_to_json(each) for each in graph.known(node)]))
        known = {"id": graph.node_id(number), **node_to_json(node), "evidence": evidence}
        graph.said_of_nodes[number] = known
    return known


def _edge(graph: Graph, number: int) -> orjson.Fragment:
    known = graph.said_of_edges.get(number)
    if known is None:
        document = edge_fields(
            graph.node_id(graph.sources[number]), graph.node_id(graph.targets[number]), graph.evidence_of(number),
            graph.confidences[number],
        )  # fmt: skip
        known = orjson.Fragment(orjson.dumps(document))
        graph.said_of_edges[number] = known
    return known
