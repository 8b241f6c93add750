"""Turns of the graph that people want to hear of: an edge that appears or vanishes, a dataset that nothing writes.

Only edges that are in the records, in OpenLineage's events or declared count: what groups and values suggest comes and
goes with whoever looks at a topic once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from stream_lineage.graph.graph import Graph
from stream_lineage.graph.walk import reach
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind

_TOLD = frozenset({EvidenceClass.HEADER, EvidenceClass.OPENLINEAGE, EvidenceClass.DECLARED})
_SEEN = frozenset({EvidenceClass.HEADER, EvidenceClass.OPENLINEAGE})


@dataclass(frozen=True, slots=True)
class Turn:
    """``by``: the class of the evidence that came first or went last. ``dataset``: which is orphaned."""

    kind: Literal["edge-appeared", "edge-vanished", "dataset-orphaned"]
    edge: GraphEdge
    by: EvidenceClass
    dataset: Node | None = None


def turns(event: GraphEvent, before: Iterable[Evidence], graph: Graph, *, news: bool) -> list[Turn]:
    """What an event turned. ``before`` is what was known of its edge, ``graph`` the graph after it, ``news`` whether an
    edge that it shows first is news, as ``Learning`` says.

    What is declared appears when somebody declares it, who need not be told.
    """
    edge = event.subject
    if not isinstance(edge, GraphEdge) or NodeKind.COLUMN in (edge.source.kind, edge.target.kind):
        return []
    by = event.evidence.by
    was, is_ = _counts(before), _counts(graph.known(edge))
    if is_ and not was:
        return [Turn("edge-appeared", edge, by)] if news and by in _SEEN else []
    if was and not is_:
        found = [Turn("edge-vanished", edge, by)]
        if edge.target.kind is NodeKind.DATASET and _orphaned(graph, edge.target):
            found.append(Turn("dataset-orphaned", edge, by, edge.target))
        return found
    return []


def _orphaned(graph: Graph, dataset: Node) -> bool:
    """Whether somebody reads a dataset and nobody is known to write it."""
    written = reach(graph, dataset, "upstream", depth=1, at_least=0.0).nodes
    return not written and bool(reach(graph, dataset, "downstream", depth=1, at_least=0.0).nodes)


def _counts(evidence: Iterable[Evidence]) -> bool:
    return any(each.holds and each.by in _TOLD for each in evidence)
