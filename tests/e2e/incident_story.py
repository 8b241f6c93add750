"""What becomes of an incident, as the agents tell of it, for tests of dashboards."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member


def opened(name: str, at: datetime, kind: str, severity: Severity = Severity.WARNING) -> Incident:
    member = Member("f" * 32, "e" * 32, kind, severity, "orders", None, None, "n", f"{name} is off", at, at, once=False)
    breach = IncidentBreach("n", "mean", None, at)
    return Incident(name * 32, IncidentState.OPEN, 1, severity, at, at, breach, (member,))


def then(before: Incident, state: IncidentState, seconds: float, **changed: object) -> Incident:
    """``seconds`` after it was told of last."""
    at = before.updated_at + timedelta(seconds=seconds)
    made: Incident = replace(before, state=state, revision=before.revision + 1, updated_at=at, **changed)  # type: ignore[arg-type]
    return made


def named(before: Incident, after: float, node: str, onset: datetime) -> Incident:
    ranked = {"node": node, "metric": "null_ratio", "confidence": 0.9, "onset": onset.timestamp(), "named": True}
    cause = {"verdict": "root-cause", "sentence": f"{node} broke first.", "ranking": [ranked]}
    return then(before, IncidentState.ROOT_CAUSE, after, cause=cause, cause_after_seconds=after)


def explained(at: datetime) -> list[Incident]:
    """One that began then, whose cause was named, and one that nobody can explain."""
    first, other = opened("a", at, "null-ratio"), opened("b", at, "throughput")
    cause = {"verdict": "inconclusive", "sentence": "Nobody knows.", "ranking": []}
    escalated = then(other, IncidentState.ESCALATED, 1.0, cause=cause)
    return [first, named(first, 1.0, "raw", at - timedelta(seconds=20)), other, escalated]
