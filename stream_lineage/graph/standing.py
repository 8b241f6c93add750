"""What is odd about a graph as it stands: what has gone quiet, what leads nowhere any more, what is declared and not
seen, what is seen and not declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from stream_lineage.graph.graph import EdgeView, Graph
from stream_lineage.model.graph import EvidenceClass, GraphEdge, Node, NodeKind

_SEEN = frozenset({EvidenceClass.HEADER, EvidenceClass.OPENLINEAGE, EvidenceClass.TRANSACTION, EvidenceClass.GROUP})


@dataclass(frozen=True, slots=True)
class Oddity:
    """``edge`` or ``node`` is what it is about; ``last_seen`` when anything was seen of it last, null where never.

    - ``orphaned``: a dataset that something made once, and nothing does any more, though it is read
    - ``stale``: an edge that was seen, and not for a while
    - ``unobserved``: an edge that is declared, and that nothing shows
    - ``undeclared``: an edge that is seen, of a job or between datasets of which something else is declared
    """

    kind: Literal["orphaned", "stale", "unobserved", "undeclared"]
    node: Node | None
    edge: GraphEdge | None
    last_seen: datetime | None


def oddities(graph: Graph, before: datetime) -> list[Oddity]:
    """``stale`` is what was not seen since ``before``. In a fixed order."""
    views = [view for view in graph.edges() if NodeKind.COLUMN not in (view.edge.source.kind, view.edge.target.kind)]
    found = [*_orphaned(graph), *_stale(views, before), *_against_declared(views)]
    return sorted(found, key=lambda each: (each.kind, each.edge.id if each.edge else each.node.id if each.node else ""))


def _orphaned(graph: Graph) -> Iterator[Oddity]:
    into: dict[int, list[int]] = {}
    read = set()
    for edge, sure in enumerate(graph.confidences):
        into.setdefault(graph.targets[edge], []).append(edge)
        if sure > 0:
            read.add(graph.sources[edge])
    for number, edges in into.items():
        node = graph.nodes[number]
        if node.kind is not NodeKind.DATASET or number not in read or any(graph.confidences[edge] for edge in edges):
            continue
        last = max(each.last_seen for edge in edges for each in graph.view(edge).evidence)
        yield Oddity("orphaned", node, None, last)


def _stale(views: list[EdgeView], before: datetime) -> Iterator[Oddity]:
    for view in views:
        seen = [each.last_seen for each in view.evidence if each.holds and each.by in _SEEN]
        if seen and max(seen) < before:
            yield Oddity("stale", None, view.edge, max(seen))


def _against_declared(views: list[EdgeView]) -> Iterator[Oddity]:
    declared = {view.edge for view in views if _has(view, frozenset({EvidenceClass.DECLARED}))}
    seen = {view.edge: view for view in views if _has(view, _SEEN)}
    straight = {edge for edge in seen if edge.source.kind is edge.target.kind is NodeKind.DATASET}
    reads: dict[Node, set[Node]] = {}
    writes: dict[Node, set[Node]] = {}
    for edge in declared:
        reads.setdefault(edge.target, set()).add(edge.source)
        writes.setdefault(edge.source, set()).add(edge.target)
    workers = {end for edge in declared for end in (edge.source, edge.target) if end.kind is not NodeKind.DATASET}
    covered = {GraphEdge(a, b) for job in workers for a in reads.get(job, ()) for b in writes.get(job, ()) if a != b}
    shown = straight & covered
    for edge in declared - seen.keys():
        ends = edge.source, edge.target
        by_records = any(
            (edge.source == each.source and edge.target in workers and each.target in writes.get(edge.target, ()))
            or (edge.target == each.target and edge.source in workers and each.source in reads.get(edge.source, ()))
            for each in shown
        )
        if not by_records and all(end.kind in (NodeKind.DATASET, NodeKind.JOB) for end in ends):
            yield Oddity("unobserved", None, edge, None)
    known = {end for edge in declared for end in (edge.source, edge.target)}
    for edge, view in seen.items():
        if edge in declared or edge in covered:
            continue
        about = {edge.target} if edge in straight else {edge.source, edge.target} & workers
        if about & known:
            yield Oddity("undeclared", None, edge, max(each.last_seen for each in view.evidence))


def _has(view: EdgeView, classes: frozenset[EvidenceClass]) -> bool:
    return any(each.holds and each.by in classes for each in view.evidence)
