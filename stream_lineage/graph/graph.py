"""The graph in memory: events in, nodes and edges with what is known of them out.

Nodes and edges are numbered as they come; who leads to whom is arrays of numbers, so that a walk touches no objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stream_lineage.graph.index import Index, indexed
from stream_lineage.graph.known import Known, confidence
from stream_lineage.graph.order import NodeKey, Order
from stream_lineage.model.graph import Evidence, GraphEdge, GraphEvent, Node, NodeKind, Subject

MOST_SAID = 100_000


@dataclass(frozen=True, slots=True)
class EdgeView:
    """An edge as it is, with its evidence in a fixed order."""

    edge: GraphEdge
    confidence: float
    evidence: tuple[Evidence, ...]


class Said(dict[int, Any]):
    """What somebody has made of all that is known of nodes or edges, by number: forgotten with the next event about
    one, and all of it where it is too much."""

    def __setitem__(self, number: int, made: Any) -> None:
        if len(self) >= MOST_SAID:
            self.clear()
        super().__setitem__(number, made)


class Graph:
    """``take`` events in any order, each as often as it comes. Cycles are fine.

    A graph ``as_of`` a time shares what is known with the one that it was made from, and looks at it as of that time.
    """

    def __init__(self, events: Iterable[GraphEvent] = ()) -> None:
        self.nodes: list[Node] = []
        """By number."""
        self.sources = array("l")
        """By number of the edge."""
        self.targets = array("l")
        self.confidences = array("d")
        """0 where nothing of what is known of the edge holds any more."""
        self._numbers: dict[Node, int] = {}
        self._called: dict[str, list[Node]] = {}
        self._called_until = 0
        self._edges: dict[tuple[int, int], int] = {}
        self._of_edges: list[Known] = []
        self._of_nodes: dict[int, Known] = {}
        self._index: Index | None = None
        self._order = Order()
        self._at: datetime | None = None
        self.first: datetime | None = None
        """When anything was seen first."""
        self.said_of_nodes = Said()
        self.said_of_edges = Said()
        for event in events:
            self.take(event)

    def take(self, event: GraphEvent) -> None:
        """Take in an event.

        Raises:
            ValueError: this is the graph of another time.
        """
        if self._at is not None:
            raise ValueError("the graph of another time takes nothing in")
        evidence = event.evidence
        self._index = None
        self.first = evidence.first_seen if self.first is None else min(self.first, evidence.first_seen)
        if isinstance(event.subject, Node):
            number = self._number(event.subject)
            known = self._of_nodes[number] = _own(self._of_nodes.get(number))
            known.take(evidence)
            self.said_of_nodes.pop(number, None)
            return
        number = self._edge_number(event.subject)
        known = self._of_edges[number] = _own(self._of_edges[number])
        known.take(evidence)
        self.confidences[number] = confidence(known.evidence())
        self.said_of_edges.pop(number, None)

    def as_of(self, at: datetime) -> Graph:
        """As it was then: a graph of its own, which changes no more, whatever this one takes in."""
        found = Graph()
        found._at = at = at if self._at is None else min(at, self._at)
        numbers: dict[int, int] = {}

        def moved(number: int) -> int:
            there = numbers.get(number)
            if there is None:
                there = numbers[number] = found._number(self.nodes[number])
            return there

        first = None
        for number, known in self._of_nodes.items():
            if known.first is not None and known.first <= at:
                known.shared = True
                found._of_nodes[moved(number)] = known
                first = known.first if first is None or known.first < first else first
        for number, known in enumerate(self._of_edges):
            if known.first is None or known.first > at:
                continue
            known.shared = True
            ends = moved(self.sources[number]), moved(self.targets[number])
            found._edges[ends] = len(found._of_edges)
            found.sources.append(ends[0])
            found.targets.append(ends[1])
            same = known.steady and known.newest is not None and known.newest <= at
            found.confidences.append(self.confidences[number] if same else confidence(known.evidence(at)))
            found._of_edges.append(known)
            first = known.first if first is None or known.first < first else first
        found.first = first
        return found

    def events(self) -> Iterator[GraphEvent]:
        """What leads to this graph again."""
        for subject, known in self._known():
            for evidence in known.evidence(self._at):
                yield GraphEvent(subject, evidence)

    def number(self, node: Node) -> int | None:
        return self._numbers.get(node)

    def called(self, text: str) -> list[Node]:
        """The nodes that have this as their id or label, in the order in which they came."""
        for node in self.nodes[self._called_until :]:
            for name in {node.id, node.label}:
                self._called.setdefault(name, []).append(node)
        self._called_until = len(self.nodes)
        return list(self._called.get(text, ()))

    def known(self, subject: Subject) -> list[Evidence]:
        """All evidence, also what was withdrawn; none of what was never heard of."""
        if isinstance(subject, Node):
            number = self._numbers.get(subject)
            known = None if number is None else self._of_nodes.get(number)
        else:
            ends = self._numbers.get(subject.source), self._numbers.get(subject.target)
            edge = None if None in ends else self._edges.get(ends)  # type: ignore[arg-type]
            known = None if edge is None else self._of_edges[edge]
        return [] if known is None else known.evidence(self._at)

    def edge(self, number: int) -> GraphEdge:
        return GraphEdge(self.nodes[self.sources[number]], self.nodes[self.targets[number]])

    def view(self, number: int) -> EdgeView:
        return EdgeView(self.edge(number), self.confidences[number], tuple(self.evidence_of(number)))

    def evidence_of(self, number: int) -> list[Evidence]:
        """All evidence of an edge, in a fixed order."""
        return self._of_edges[number].evidence(self._at)

    def edges(self, at_least: float = 0.0) -> list[EdgeView]:
        """Those that hold, with at least this confidence, in a fixed order."""
        numbers = [n for n, sure in enumerate(self.confidences) if sure > 0 and sure >= at_least]
        return sorted(map(self.view, numbers), key=lambda each: each.edge)

    def present(self) -> list[Node]:
        """The nodes that something holds of: themselves, or an edge. In a fixed order."""
        return sorted(self.nodes[number] for number in self.present_numbers())

    def present_numbers(self) -> set[int]:
        """Those of ``present``."""
        found = {number for number, known in self._of_nodes.items() if known.holds(self._at)}
        index = self.index
        there = index.confidences > 0
        found.update(index.sources[there].tolist(), index.targets[there].tolist())
        return found

    def is_present(self, number: int) -> bool:
        """Whether something holds of a node: itself, or an edge."""
        known, index = self._of_nodes.get(number), self.index
        if known is not None and known.holds(self._at):
            return True
        return any(bool((index.confidences[edges] > 0).any()) for edges in index.edges_of(number))

    def nodes_by_id(self) -> Sequence[int]:
        """The numbers of all nodes that were ever heard of, in the order of their ids."""
        return self._order.nodes(self.nodes)

    def edges_by_id(self) -> Sequence[int]:
        """The numbers of all edges that were ever heard of, in the order of their ids."""
        return self._order.edges(self.nodes, self.sources, self.targets)

    def node_id(self, number: int) -> str:
        self._order.named(self.nodes)
        return self._order.ids[number]

    def node_keys(self) -> Sequence[NodeKey]:
        """What puts nodes into the order of nodes, by number."""
        self._order.named(self.nodes)
        return self._order.keys

    def edge_id(self, number: int) -> str:
        return f"{self.node_id(self.sources[number])}>{self.node_id(self.targets[number])}"

    def same_edge(self, number: int, other: Graph, others: int) -> bool:
        """Whether an edge is surely known as in another graph of the same, without looking at its evidence."""
        known = self._of_edges[number]
        if known is not other._of_edges[others] or not known.steady or known.newest is None:
            return False
        return all(at is None or known.newest <= at for at in (self._at, other._at))

    def unsettled(self, since: datetime) -> tuple[list[int], list[int]]:
        """The numbers of the nodes and of the edges of which anything may be otherwise now than it was then."""
        nodes = [number for number, known in self._of_nodes.items() if not _settled(known, since)]
        return nodes, [number for number, known in enumerate(self._of_edges) if not _settled(known, since)]

    def sure_at(self, number: int, at: datetime) -> float:
        """The confidence of an edge as it was; 0 where nothing of it held."""
        known = self._of_edges[number]
        if known.first is None or known.first > at:
            return 0.0
        return self.confidences[number] if _settled(known, at) else confidence(known.evidence(at))

    def view_at(self, number: int, at: datetime) -> EdgeView:
        """An edge as it was."""
        return EdgeView(self.edge(number), self.sure_at(number, at), tuple(self._of_edges[number].evidence(at)))

    def was_present(self, number: int, at: datetime) -> bool:
        """Whether something held of a node then: itself, or an edge."""
        known = self._of_nodes.get(number)
        if known is not None and known.holds(at):
            return True
        return any(self.sure_at(edge, at) > 0 for edges in self.index.edges_of(number) for edge in edges.tolist())

    def of_kind(self, kind: NodeKind) -> list[Node]:
        return [node for node in self.present() if node.kind is kind]

    def attribute(self, node: Node, name: str) -> str | None:
        """What is said of a node under this name, by the surest who says anything."""
        for evidence in self.known(node):
            if evidence.holds and (value := dict(evidence.detail).get(name)) is not None:
                return value
        return None

    @property
    def index(self) -> Index:
        """Who leads to whom at this moment, for walks."""
        if self._index is None:
            self._index = indexed(len(self.nodes), self.sources, self.targets, self.confidences)
        return self._index

    @property
    def is_indexed(self) -> bool:
        """Whether ``index`` and the names of all nodes are there already; to make them takes milliseconds, of many
        nodes a good part of a second."""
        return self._index is not None and self._called_until == len(self.nodes) == len(self._order.ids)

    @property
    def size(self) -> tuple[int, int]:
        """Nodes and edges that were ever heard of."""
        return len(self.nodes), len(self._of_edges)

    def _known(self) -> Iterator[tuple[Subject, Known]]:
        for number, known in self._of_nodes.items():
            yield self.nodes[number], known
        for number, known in enumerate(self._of_edges):
            yield self.edge(number), known

    def _number(self, node: Node) -> int:
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return number

    def _edge_number(self, edge: GraphEdge) -> int:
        ends = self._number(edge.source), self._number(edge.target)
        number = self._edges.get(ends)
        if number is None:
            number = self._edges[ends] = len(self._of_edges)
            self.sources.append(ends[0])
            self.targets.append(ends[1])
            self.confidences.append(0.0)
            self._of_edges.append(Known())
        return number


def _settled(known: Known, since: datetime) -> bool:
    return known.steady and known.newest is not None and known.newest <= since


def _own(known: Known | None) -> Known:
    """What is known, so that it may take in more."""
    if known is None:
        return Known()
    return known.copied() if known.shared else known
