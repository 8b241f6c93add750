"""Incidents as the bodies of messages on ``lineage.incidents`` (``incident.schema.json``), and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from stream_lineage.errors import DecodeError
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member


def incident_document(incident: Incident, public_url: str) -> dict[str, Any]:
    """As JSON."""
    cause = incident.cause
    return {
        "id": incident.id,
        "state": incident.state.value,
        "revision": incident.revision,
        "severity": incident.severity.value,
        "opened_at": rfc3339(incident.opened_at),
        "updated_at": rfc3339(incident.updated_at),
        "resolved_at": None if incident.resolved_at is None else rfc3339(incident.resolved_at),
        "reopened": incident.reopened,
        "merged_into": incident.merged_into,
        "summary": summary(incident),
        "breach": {
            "node": incident.breach.node,
            "metric": incident.breach.metric,
            "field": incident.breach.field,
            "at": rfc3339(incident.breach.at),
        },
        "cause": cause,
        "cause_after_seconds": incident.cause_after_seconds,
        "related": list(incident.related),
        "alerts": [
            {
                "fingerprint": each.fingerprint,
                "event_id": each.event_id,
                "kind": each.kind,
                "severity": each.severity.value,
                "topic": each.topic,
                "field_path": each.field_path,
                "job": each.job,
                "node": each.node,
                "summary": each.summary,
                "first_at": rfc3339(each.first_at),
                "last_at": rfc3339(each.last_at),
                "once": each.once,
                "over_at": None if each.over_at is None else rfc3339(each.over_at),
            }
            for each in incident.members
        ],
        "url": f"{public_url}/incidents/{incident.id}",
    }


def incident_of(value: bytes | dict[str, Any]) -> Incident:
    """The incident of a body.

    Raises:
        DecodeError: it is none.
    """
    try:
        found = orjson.loads(value) if isinstance(value, bytes) else value
        breach = found["breach"]
        if not found["alerts"]:
            raise DecodeError("no incident: it is about nothing")
        return Incident(
            id=str(found["id"]),
            state=IncidentState(found["state"]),
            revision=int(found["revision"]),
            severity=Severity(found["severity"]),
            opened_at=_time(found["opened_at"]),
            updated_at=_time(found["updated_at"]),
            breach=IncidentBreach(breach["node"], breach["metric"], breach["field"], _time(breach["at"])),
            members=tuple(_member(each) for each in found["alerts"]),
            cause=found["cause"],
            cause_after_seconds=found["cause_after_seconds"],
            related=tuple(found["related"]),
            resolved_at=None if found["resolved_at"] is None else _time(found["resolved_at"]),
            reopened=int(found["reopened"]),
            merged_into=found.get("merged_into"),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DecodeError(f"no incident: {type(error).__name__}: {error}") from error


def summary(incident: Incident) -> str:
    """One sentence for people: what broke first where that is known, else what was noticed."""
    if incident.merged_into is not None:
        return f"It turned out to be part of incident {incident.merged_into}. {incident.members[0].summary}"
    first, more = incident.members[0], len(incident.members) - 1
    told = first.summary if not more else f"{first.summary} (and {more} more)"
    cause = incident.cause
    return f"{cause['sentence']} Noticed: {told}" if cause is not None else told


def remains(name: str, merged: Mapping[str, str]) -> str:
    """The incident that one is part of in the end; itself where it is in none. ``merged`` says of each that turned out
    to be part of another one of which."""
    passed = {name}
    while (older := merged.get(name)) is not None and older not in passed:
        name = older
        passed.add(name)
    return name


def rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _member(each: dict[str, Any]) -> Member:
    return Member(
        each["fingerprint"], each["event_id"], each["kind"], Severity(each["severity"]), each["topic"],
        each["field_path"], each["job"], each["node"], each["summary"], _time(each["first_at"]),
        _time(each["last_at"]), bool(each["once"]), None if each["over_at"] is None else _time(each["over_at"]),
    )  # fmt: skip


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
