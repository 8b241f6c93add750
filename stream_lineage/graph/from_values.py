"""Evidence of the class ``values``: a field of one topic has the values that a field of another one has.

Such an edge is a candidate and stays one. Two topics may hold the same ids because one is made of the other, because
both are made of a third, or because both count from one: values cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from stream_lineage.graph.claim import Claim
from stream_lineage.graph.naming import Naming, edge
from stream_lineage.model.graph import EvidenceClass, detail
from stream_lineage.profile.distinct import DistinctSketch

HIGHEST = 0.4
"""Below what anything is concluded from, however well values match."""
LEAST_OVERLAP = 0.5
LEAST_VALUES = 50
"""Distinct values that a field must have: a country or a flag is the same everywhere."""
SOURCE = "sketches"
_SLACK = 0.1


@dataclass(frozen=True, slots=True)
class FieldValues:
    """The distinct values of a field, as profiles sketch them. ``since`` is when they were first seen, in seconds;
    ``count`` is about how many there are."""

    topic: str
    path: str
    distinct: DistinctSketch
    since: float
    count: float = -1.0

    def __post_init__(self) -> None:
        if self.count < 0:
            object.__setattr__(self, "count", self.distinct.estimate())


@dataclass(frozen=True, slots=True)
class Match:
    """A field of one topic has the values of a field of another one, the ``later``."""

    first: FieldValues
    later: FieldValues
    overlap: float


def overlap(one: DistinctSketch, other: DistinctSketch) -> float:
    """The share of the distinct values of both that both have, 0 to 1: what the two count together is more than what
    they count as one. Off by a few hundredths, as sketches are."""
    return _overlap(one, one.estimate(), other, other.estimate())


def matched(one: FieldValues, other: FieldValues) -> float:
    """How far two fields match, 0 where it is not worth saying. Two of very different size cannot: that costs nothing
    to tell."""
    least, most = sorted((one.count, other.count))
    if least < LEAST_VALUES or not comparable(one, other):
        return 0.0
    found = _overlap(one.distinct, one.count, other.distinct, other.count)
    return found if found >= LEAST_OVERLAP and most > 0 else 0.0


def comparable(one: FieldValues, other: FieldValues) -> bool:
    """Whether two fields may match, by their sizes: what both have is no more than what the smaller one has. Sketches
    are off by a few hundredths."""
    least, most = sorted((one.count, other.count))
    return least >= (LEAST_OVERLAP - _SLACK) * most


def claims_of_values(fields: Iterable[FieldValues], naming: Naming) -> Iterator[Claim]:
    """Of each two topics the fields that match best; from the one whose values were seen first."""
    wide = sorted((each for each in fields if each.count >= LEAST_VALUES), key=lambda each: (each.topic, each.path))
    matches = []
    for one, other in combinations(wide, 2):
        if one.topic != other.topic and (share := matched(one, other)):
            first, later = sorted((one, other), key=lambda each: (each.since, each.topic))
            matches.append(Match(first, later, share))
    return claims_of_matches(matches, naming)


def claims_of_matches(matches: Iterable[Match], naming: Naming) -> Iterator[Claim]:
    """Of each two topics the match that is best."""
    best: dict[tuple[str, str], Match] = {}
    for match in matches:
        key = (match.first.topic, match.later.topic)
        if key not in best or match.overlap > best[key].overlap:
            best[key] = match
    for (first, later), match in sorted(best.items()):
        found = edge(naming.topic(first), naming.topic(later))
        if found is not None:
            known = detail(fields=f"{match.first.path} {match.later.path}", overlap=f"{match.overlap:.1f}")
            yield Claim(found, EvidenceClass.VALUES, SOURCE, round(HIGHEST * match.overlap, 1), known)


def _overlap(one: DistinctSketch, count: float, other: DistinctSketch, other_count: float) -> float:
    union = DistinctSketch.from_bytes(one.to_bytes())
    union.merge(other)
    together = union.estimate()
    if together <= 0:
        return 0.0
    return min(1.0, max(0.0, (count + other_count - together) / together))
