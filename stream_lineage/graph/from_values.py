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


@dataclass(frozen=True, slots=True)
class FieldValues:
    """The distinct values of a field, as profiles sketch them. ``since`` is when they were first seen, in seconds."""

    topic: str
    path: str
    distinct: DistinctSketch
    since: float


def overlap(one: DistinctSketch, other: DistinctSketch) -> float:
    """The share of the distinct values of both that both have, 0 to 1: what the two count together is more than what
    they count as one. Off by a few hundredths, as sketches are."""
    union = DistinctSketch.from_bytes(one.to_bytes())
    union.merge(other)
    together = union.estimate()
    if together <= 0:
        return 0.0
    return min(1.0, max(0.0, (one.estimate() + other.estimate() - together) / together))


def claims_of_values(fields: Iterable[FieldValues], naming: Naming) -> Iterator[Claim]:
    """Of each two topics the fields that match best; from the one whose values were seen first."""
    best: dict[tuple[str, str], tuple[float, FieldValues, FieldValues]] = {}
    wide = sorted(
        (each for each in fields if each.distinct.estimate() >= LEAST_VALUES), key=lambda e: (e.topic, e.path)
    )
    for one, other in combinations(wide, 2):
        if one.topic == other.topic:
            continue
        match = overlap(one.distinct, other.distinct)
        if match < LEAST_OVERLAP:
            continue
        first, later = sorted((one, other), key=lambda each: (each.since, each.topic))
        key = (first.topic, later.topic)
        if key not in best or match > best[key][0]:
            best[key] = match, first, later
    for (first_topic, later_topic), (match, first, later) in sorted(best.items()):
        found = edge(naming.topic(first_topic), naming.topic(later_topic))
        if found is not None:
            fields_ = detail(fields=f"{first.path} {later.path}", overlap=f"{match:.1f}")
            yield Claim(found, EvidenceClass.VALUES, SOURCE, round(HIGHEST * match, 1), fields_)
