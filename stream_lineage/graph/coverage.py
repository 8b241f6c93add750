"""How much of what flows is looked after: topics with a schema, an owner, lineage and expectations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import LOW
from stream_lineage.graph.naming import Naming
from stream_lineage.model.graph import EvidenceClass, Node, NodeKind

_LINEAGE = frozenset(set(EvidenceClass) - {EvidenceClass.GROUP, EvidenceClass.VALUES})


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """``records`` of the last day."""

    name: str
    records: float
    has_schema: bool
    has_expectations: bool


@dataclass(frozen=True, slots=True)
class Cover:
    """One topic. ``traced``: something better than a consumer group says where its records come from or go."""

    topic: str
    records: float
    schema: bool
    owner: bool
    traced: bool
    expectations: bool

    @property
    def score(self) -> float:
        """The share of the four that it has."""
        return sum((self.schema, self.owner, self.traced, self.expectations)) / 4


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of all topics, 0 to 1; ``topics`` with those first that lack something and bring most."""

    topics: tuple[Cover, ...]

    def share(self, what: str) -> float:
        """Of topics that have ``schema``, ``owner``, ``traced`` or ``expectations``; ``score`` is all four."""
        return sum(getattr(each, what) for each in self.topics) / len(self.topics) if self.topics else 0.0


def coverage(graph: Graph, topics: Iterable[TopicFacts], naming: Naming) -> Coverage:
    traced: set[Node] = set()
    for view in graph.edges(LOW):
        if any(each.holds and each.by in _LINEAGE for each in view.evidence):
            traced.update(end for end in (view.edge.source, view.edge.target) if end.kind is NodeKind.DATASET)
    found = []
    for each in topics:
        node = naming.topic(each.name)
        owner = graph.attribute(node, "owner") is not None
        found.append(Cover(each.name, each.records, each.has_schema, owner, node in traced, each.has_expectations))
    return Coverage(tuple(sorted(found, key=lambda each: (each.score == 1, -each.records, each.topic))))
