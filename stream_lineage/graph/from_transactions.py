"""Evidence of the class ``transaction``: a producer that commits a group's offsets in its transactions and writes a
topic shows that whoever is this group writes this topic.

Kafka gives each transactional producer an id of its own, which stands in every batch that it writes: in those of its
output, and in those by which it commits the offsets of what it has read (docs/decisions/0007-transactions.md). So the
two are told apart from those of any other application, whatever they are called and whatever they read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from stream_lineage.graph.claim import Claim
from stream_lineage.graph.naming import Naming
from stream_lineage.model.graph import EvidenceClass, GraphEdge, legal

WRITES = 0.95
SOURCE = "transaction/"


@dataclass(frozen=True, slots=True)
class Producers:
    """By producer id: ``committed``, the groups whose offsets it has committed; ``written``, the topics."""

    committed: Mapping[int, frozenset[str]]
    written: Mapping[int, frozenset[str]]


def claims_of_transactions(found: Producers, naming: Naming) -> Iterator[Claim]:
    """From the job that the group is to the topic. A producer that commits for several groups says of none of them
    what it writes."""
    for producer, topics in sorted(found.written.items()):
        groups = found.committed.get(producer, frozenset())
        if len(groups) != 1:
            continue
        yield from _writes(next(iter(groups)), topics, naming)


def _writes(group: str, topics: Iterable[str], naming: Naming) -> Iterator[Claim]:
    if not legal(SOURCE + group):
        return
    for topic in sorted(topics):
        written = GraphEdge(naming.group(group), naming.topic(topic))
        yield Claim(written, EvidenceClass.TRANSACTION, SOURCE + group, WRITES)
