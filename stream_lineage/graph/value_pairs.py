"""Which topics' values are worth comparing: one that somebody reads, and one that nobody is known to make.

Of these some are compared in each look, the next ones in the next: what it costs is bounded, however many topics there
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stream_lineage.graph.from_values import FieldValues, Match, comparable, matched
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.known import LOW
from stream_lineage.model.graph import NodeKind

MOST_COMPARED = 2_000
"""Comparisons of two sketches in one look, some tenths of a millisecond each."""
MOST_PAIRS = 200_000
"""Pairs of topics that are looked at in one look."""


def read_and_unmade(graph: Graph, topics: Iterable[str], namespace: str) -> tuple[set[str], set[str]]:
    """Of these topics those that some job reads, and those that nobody is known to make. What only values say is too
    unsure for either."""
    read: set[str] = set()
    made: set[str] = set()
    for view in graph.edges(LOW):
        source, target = view.edge.source, view.edge.target
        if source.kind is NodeKind.DATASET and source.namespace == namespace and target.kind is NodeKind.JOB:
            read.add(source.name)
        if target.kind is NodeKind.DATASET and target.namespace == namespace:
            made.add(target.name)
    here = set(topics)
    return read & here, here - made


class ValuePairs:
    """``matches`` in each look; goes on where it ended, and begins anew behind the last pair."""

    def __init__(self, most: int = MOST_COMPARED) -> None:
        self._most = most
        self._after: tuple[str, str] = ("", "")
        self.rounds = 0
        """How often all pairs have been looked at."""

    def matches(
        self, fields: Mapping[str, Sequence[FieldValues]], read: Iterable[str], unmade: Iterable[str]
    ) -> tuple[set[tuple[str, str]], list[Match]]:
        """The pairs of topics that were looked at, from one that is read to one that is unmade, and what matches. Of
        two topics that could each be made of the other the one whose values were seen first is the first."""
        done: set[tuple[str, str]] = set()
        found: list[Match] = []
        compared = 0
        last: tuple[str, str] | None = None
        for first, later in self._pairs(sorted(set(read) & fields.keys()), sorted(set(unmade) & fields.keys())):
            if compared >= self._most or len(done) >= MOST_PAIRS:
                self._after = last or ("", "")
                return done, found
            last = first, later
            done.add(last)
            if _goes_back(fields[first], fields[later]):
                continue
            for one in fields[first]:
                for other in fields[later]:
                    if comparable(one, other):
                        compared += 1
                        if share := matched(one, other):
                            found.append(Match(one, other, share))
        self._after = ("", "")
        self.rounds += 1
        return done, found

    def _pairs(self, read: Sequence[str], unmade: Sequence[str]) -> Iterator[tuple[str, str]]:
        for first in read:
            if first < self._after[0]:
                continue
            for later in unmade:
                if later != first and (first, later) > self._after:
                    yield first, later


def _goes_back(first: Sequence[FieldValues], later: Sequence[FieldValues]) -> bool:
    """Whether the one that should be first was seen later."""
    return min(each.since for each in later) < min(each.since for each in first)
