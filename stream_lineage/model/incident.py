"""Incidents: alerts that belong together, with what broke first, from when they begin until they are over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from stream_lineage.model.finding import Severity


class IncidentState(StrEnum):
    """``updated``: more alerts belong to it; ``escalated``: the cause is not known in time, people must look."""

    OPEN = "open"
    UPDATED = "updated"
    ROOT_CAUSE = "root-cause"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True)
class Member:
    """A problem that belongs to an incident: the alerts of one fingerprint.

    ``event_id`` is of its first alert; ``node`` the id of the node in the lineage graph. ``over_at`` is when it ended,
    null as long as it lasts. ``once`` is what happens at a moment, and has no end of its own.
    """

    fingerprint: str
    event_id: str
    kind: str
    severity: Severity
    topic: str
    field_path: str | None
    job: str | None
    node: str
    summary: str
    first_at: datetime
    last_at: datetime
    once: bool
    over_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IncidentBreach:
    """What is explained. ``node`` is a node's id; ``metric`` null where the alert is about none."""

    node: str
    metric: str | None
    field: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Incident:
    """``revision`` counts what was published of it, from 1. ``cause`` is the answer of ``explain`` as a document, null
    until there is one; ``cause_after_seconds`` is how long after the breach it was there. ``related`` are the ids of
    the nodes on the way from the cause. ``merged_into`` is the older incident that it turned out to be part of."""

    id: str
    state: IncidentState
    revision: int
    severity: Severity
    opened_at: datetime
    updated_at: datetime
    breach: IncidentBreach
    members: tuple[Member, ...]
    cause: dict[str, Any] | None = None
    cause_after_seconds: float | None = None
    related: tuple[str, ...] = ()
    resolved_at: datetime | None = None
    reopened: int = 0
    merged_into: str | None = None

    @property
    def over(self) -> bool:
        return self.state is IncidentState.RESOLVED

    @property
    def last_at(self) -> datetime:
        """When the newest of its problems began or was told again."""
        return max(each.last_at for each in self.members)
