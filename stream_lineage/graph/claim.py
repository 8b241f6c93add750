"""What a source of evidence says at one moment, and which of it is news to the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stream_lineage.graph.codec import milliseconds
from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import Detail, Evidence, EvidenceClass, GraphEvent, Subject


@dataclass(frozen=True, slots=True)
class Claim:
    """That something is so now."""

    subject: Subject
    by: EvidenceClass
    source: str
    confidence: float
    detail: Detail = ()


Owned = Callable[[EvidenceClass, str], bool]
"""Whether a class and source has been asked completely: what it does not claim is so no longer."""


def news(graph: Graph, claims: Iterable[Claim], owned: Owned, now: datetime, refresh: timedelta) -> list[GraphEvent]:
    """The events that make the graph know what is claimed, and no longer what is not.

    What is known already is told again after ``refresh``, so that it is known until when it was seen. What else is said
    of it (``detail``) may change in between and is told with it; of a declaration, at once.
    """
    now = milliseconds(now)
    found: list[GraphEvent] = []
    claimed: set[tuple[Subject, EvidenceClass, str]] = set()
    for claim in claims:
        key = (claim.subject, claim.by, claim.source)
        if key in claimed:
            continue
        claimed.add(key)
        known = _open(graph, claim)
        if known is None:
            said = Evidence(claim.by, claim.source, now, now, claim.confidence, claim.detail)
        elif now - known.last_seen >= refresh or _changed(claim, known):
            last = max(now, known.last_seen)
            said = replace(known, last_seen=last, confidence=claim.confidence, detail=claim.detail, withdrawn_at=None)
        else:
            continue
        found.append(GraphEvent(claim.subject, said))
    for event in graph.events():
        evidence = event.evidence
        key = (event.subject, evidence.by, evidence.source)
        if evidence.holds and key not in claimed and owned(evidence.by, evidence.source):
            found.append(GraphEvent(event.subject, replace(evidence, withdrawn_at=max(now, evidence.last_seen))))
    return found


def _changed(claim: Claim, known: Evidence) -> bool:
    if claim.confidence != known.confidence:
        return True
    return claim.by is EvidenceClass.DECLARED and claim.detail != known.detail


def _open(graph: Graph, claim: Claim) -> Evidence | None:
    """The youngest piece of this class and source that holds."""
    pieces = [
        each for each in graph.known(claim.subject) if each.holds and (each.by, each.source) == (claim.by, claim.source)
    ]
    return max(pieces, key=lambda each: each.first_seen, default=None)
