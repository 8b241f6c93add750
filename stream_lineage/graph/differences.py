"""What changed between two times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stream_lineage.graph.graph import EdgeView, Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.order import node_key
from stream_lineage.graph.picture import edge_document
from stream_lineage.model.graph import Node


@dataclass(frozen=True, slots=True)
class Differences:
    """Edges with their confidence; ``changed`` with that before and after."""

    nodes_added: tuple[Node, ...]
    nodes_removed: tuple[Node, ...]
    edges_added: tuple[EdgeView, ...]
    edges_removed: tuple[EdgeView, ...]
    edges_changed: tuple[tuple[EdgeView, EdgeView], ...]

    @property
    def none(self) -> bool:
        return not (
            self.nodes_added or self.nodes_removed or self.edges_added or self.edges_removed or self.edges_changed
        )


def differences(before: Graph, after: Graph, *, at_least: float = LOW, most: int | None = None) -> Differences:
    """Between two graphs, along edges of at least this confidence. An edge whose classes of evidence are others, or
    whose confidence is, has changed. ``most``: of each list, the first so many."""
    old, new = _edges(before, at_least), _edges(after, at_least)
    nodes_before, nodes_after = ({graph.nodes[n] for n in graph.present_numbers()} for graph in (before, after))
    changed: list[tuple[EdgeView, EdgeView]] = []
    maybe = [ends for ends in old.keys() & new.keys() if not before.same_edge(old[ends], after, new[ends])]
    for ends in sorted(maybe, key=_ends_key):
        views = before.view(old[ends]), after.view(new[ends])
        if _content(views[0]) != _content(views[1]):
            changed.append(views)
            if len(changed) == most:
                break
    return Differences(
        tuple(sorted(nodes_after - nodes_before, key=node_key)[:most]),
        tuple(sorted(nodes_before - nodes_after, key=node_key)[:most]),
        tuple(after.view(new[ends]) for ends in sorted(new.keys() - old.keys(), key=_ends_key)[:most]),
        tuple(before.view(old[ends]) for ends in sorted(old.keys() - new.keys(), key=_ends_key)[:most]),
        tuple(changed),
    )


def changes(
    graph: Graph, since: datetime, until: datetime, *, at_least: float = LOW, most: int | None = None
) -> Differences:
    """The ``differences`` of a graph as of two times, without making these: only what may have changed is looked at."""
    nodes, edges = graph.unsettled(min(since, until))
    touched = {*nodes, *(end for number in edges for end in (graph.sources[number], graph.targets[number]))}
    sure = {number: (graph.sure_at(number, since), graph.sure_at(number, until)) for number in edges}
    shown = {number: [each > 0 and each >= at_least for each in both] for number, both in sure.items()}

    def ends_key(number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return node_key(graph.nodes[graph.sources[number]]), node_key(graph.nodes[graph.targets[number]])

    def first(was: bool, is_: bool) -> list[int]:
        return sorted((number for number in edges if shown[number] == [was, is_]), key=ends_key)

    changed: list[tuple[EdgeView, EdgeView]] = []
    for number in first(was=True, is_=True):
        views = graph.view_at(number, since), graph.view_at(number, until)
        if _content(views[0]) != _content(views[1]):
            changed.append(views)
            if len(changed) == most:
                break
    presence = {number: (graph.was_present(number, since), graph.was_present(number, until)) for number in touched}
    came = [graph.nodes[number] for number, (was, is_) in presence.items() if is_ and not was]
    went = [graph.nodes[number] for number, (was, is_) in presence.items() if was and not is_]
    return Differences(
        tuple(sorted(came, key=node_key)[:most]),
        tuple(sorted(went, key=node_key)[:most]),
        tuple(graph.view_at(number, until) for number in first(was=False, is_=True)[:most]),
        tuple(graph.view_at(number, since) for number in first(was=True, is_=False)[:most]),
        tuple(changed),
    )


_Ends = tuple[Node, Node]


def _edges(graph: Graph, at_least: float) -> dict[_Ends, int]:
    """Numbers by ends."""
    return {
        (graph.nodes[graph.sources[number]], graph.nodes[graph.targets[number]]): number
        for number, sure in enumerate(graph.confidences)
        if sure > 0 and sure >= at_least
    }


def _ends_key(ends: _Ends) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return node_key(ends[0]), node_key(ends[1])


def _content(view: EdgeView) -> tuple[float, frozenset[tuple[str, str]]]:
    return view.confidence, frozenset((each.by.value, each.source) for each in view.evidence if each.holds)


def differences_document(found: Differences) -> dict[str, Any]:
    """As JSON."""
    return {
        "nodes_added": [node.id for node in found.nodes_added],
        "nodes_removed": [node.id for node in found.nodes_removed],
        "edges_added": [_edge_document(each) for each in found.edges_added],
        "edges_removed": [_edge_document(each) for each in found.edges_removed],
        "edges_changed": [
            {"before": _edge_document(old), "after": _edge_document(new)} for old, new in found.edges_changed
        ],
    }


def _edge_document(each: EdgeView) -> dict[str, Any]:
    return edge_document(each.edge, each.evidence, each.confidence)
