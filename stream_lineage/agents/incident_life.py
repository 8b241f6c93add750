"""What becomes of an incident: which alerts belong to it, and when it is over. Pure: time is an argument."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from stream_lineage.errors import DecodeError
from stream_lineage.explain.located import MEMBERS
from stream_lineage.model.finding import Severity
from stream_lineage.model.graph import LONGEST_NAME, legal
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member

OVERLAP = timedelta(minutes=15)
"""Between the last that is known of an incident and what still belongs to it, on the same path."""
REOPENS = timedelta(minutes=30)
"""For so long after it was resolved the same problem opens an incident again, and no new one."""
ONCE_LASTS = timedelta(minutes=30)
"""What happens at a moment counts as over so long after."""
CALM = timedelta(seconds=60)
"""All of it must be over for so long before it is resolved."""
MOST_MEMBERS = 200
DEADLINE_SECONDS = 30.0
"""After the breach: then people must look."""
_ORDER = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}
_NONE = frozenset({"series-cap", "upcoming-schema", "compatibility-changed", "subject-added"})
"""Kinds of alerts that are no incident by themselves and belong to none."""
_LIVE = (IncidentState.OPEN, IncidentState.UPDATED, IncidentState.REOPENED)
_METRICS: Mapping[str, str] = {
    "throughput": "records", "freshness": "records", "event-time-lag": "lag_ms_mean", "undecoded-ratio": "undecoded",
    "out-of-order-ratio": "out_of_order_ratio", "duplicate-keys": "key_distinct", "type-mix": "types",
    "bytes-per-record": "bytes_per_record", "null-ratio": "null_ratio", "missing-ratio": "missing_ratio",
    "new-category": "distinct", "vanished-category": "distinct", "range": "max", "distinct-ratio": "distinct",
    "mean": "mean", "distribution": "p50", "group-stalled": "lag", "group-stopped": "lag", "group-lagging": "lag",
    "group-rewound": "lag", "edge-drop": "records", "edge-fan-out": "records", "edge-nulls": "null_ratio",
    "data-loss": "lost",
}  # fmt: skip


_EXPECTED: Mapping[str, str] = {
    " records within ": "records", "null ratio ": "null_ratio", "missing ratio ": "missing_ratio", "min ": "min",
    "max ": "max", " values": "distinct",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlertRead:
    """What an incident takes from an alert. ``metric`` is the series that it is about, null where it is about none."""

    event_id: str
    fingerprint: str
    kind: str
    severity: Severity
    topic: str
    field_path: str | None
    job: str | None
    summary: str
    phase: str | None
    observed_at: datetime
    metric: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where in the graph an alert is: its node, and the nodes that lead there or are made of it, by ids."""

    node: str
    on_path: Set[str]


def alert_read(value: bytes, event_id: str) -> AlertRead:
    """The alert of a message.

    Raises:
        DecodeError: it is none.
    """
    try:
        body: dict[str, Any] = orjson.loads(value)
        kind, changes, topic, job = str(body["kind"]), body["changes"], str(body["topic"]), body["job"]
        if not legal(topic) or not (job is None or legal(job)):
            raise ValueError("a name that is none")
        if any(len(str(each)) > LONGEST_NAME for each in (kind, body["fingerprint"], body["field_path"], event_id)):
            raise ValueError("a name without end")
        metric = _METRICS.get(kind.removeprefix("key-"))
        if kind == "pushed-metric" and changes:
            metric = str(changes[0]["path"])
        if kind == "expectation" and changes:
            metric = _expected_metric(str(changes[0]["old"]))
        return AlertRead(
            event_id, str(body["fingerprint"]), kind, Severity(body["severity"]), topic,
            body["field_path"], job, str(body["summary"])[:1000], body["phase"],
            datetime.fromisoformat(body["observed_at"]).astimezone(UTC), metric,
        )  # fmt: skip
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DecodeError(f"no alert: {type(error).__name__}") from error


def _expected_metric(expected: str) -> str | None:
    """The series that a declared expectation is about, by what it says."""
    return next((metric for said, metric in _EXPECTED.items() if said in expected), None)


def incident_id(event_id: str) -> str:
    """Of the incident that an alert opens: whoever opens it gives it the same."""
    return hashlib.sha256(f"incident/{event_id}".encode()).hexdigest()[:32]


def taken(alert: AlertRead, standing: Standing, incidents: Iterable[Incident]) -> Incident | None:
    """What an alert makes of the incident that it belongs to, or opens: null where nothing is to be told."""
    known = sorted(incidents, key=lambda each: (each.opened_at, each.id))
    mine = next((each for each in known if _has(each, alert)), None)
    if alert.phase == "close":
        return None if mine is None or mine.over else _ended(mine, alert)
    if mine is not None:
        return _again(mine, alert)
    if alert.severity is Severity.INFO or alert.kind in _NONE:
        return None
    joined = next((each for each in known if _belongs(each, alert, standing)), None)
    if joined is not None:
        return _joined(joined, alert, standing)
    breach = IncidentBreach(standing.node, alert.metric, alert.field_path, alert.observed_at)
    member = _member(alert, standing)
    return Incident(
        incident_id(alert.event_id), IncidentState.OPEN, 1, alert.severity, alert.observed_at, alert.observed_at,
        breach, (member,),
    )  # fmt: skip


def bridged(made: Incident, alert: AlertRead, standing: Standing, incidents: Iterable[Incident]) -> list[Incident]:
    """Other incidents to which an alert that ``made`` took belongs as well: all of them are one, but for those that are
    known to have broken by something else, which one would hide."""
    if alert.phase == "close" or not any(each.event_id == alert.event_id for each in made.members):
        return []
    return [
        each
        for each in incidents
        if each.id != made.id and _belongs(each, alert, standing) and not _independent(made, each)
    ]


def alike(incident: Incident, incidents: Iterable[Incident]) -> list[Incident]:
    """Other incidents of the same time that are on the way from what broke first, or broke by the same."""
    if incident.over or not incident.related:
        return []
    return [
        each
        for each in incidents
        if each.id != incident.id and not each.over and _overlap(incident, each) and _one_way(incident, each)
    ]


def merged(one: Incident, other: Incident, now: datetime) -> tuple[Incident, Incident]:
    """Two incidents that are one: the older with all that is known of both, and the younger, which is closed."""
    older, younger = sorted((one, other), key=lambda each: (each.opened_at, each.id))
    has = {each.fingerprint for each in older.members}
    members = (*older.members, *(each for each in younger.members if each.fingerprint not in has))[:MOST_MEMBERS]
    changed: dict[str, Any] = {"members": members, "severity": _graver(older.severity, younger.severity)}
    if older.breach.metric is None and younger.breach.metric is not None:
        changed["breach"] = younger.breach
    if not _knows(older) and _knows(younger):
        after = younger.breach.at + timedelta(seconds=younger.cause_after_seconds or 0.0)
        seconds = max(0.0, (after - older.breach.at).total_seconds())
        changed |= {"cause": younger.cause, "related": younger.related, "cause_after_seconds": round(seconds, 3)}
    state = IncidentState.ROOT_CAUSE if _knows(older) or _knows(younger) else IncidentState.UPDATED
    closed = _next(younger, IncidentState.RESOLVED, now, resolved_at=now, merged_into=older.id)
    return _next(older, state, now, **changed), closed


def _knows(incident: Incident) -> bool:
    return incident.cause is not None and incident.cause["verdict"] == "root-cause"


def _independent(one: Incident, other: Incident) -> bool:
    return _knows(one) and _knows(other) and one.related[:1] != other.related[:1]


def _overlap(one: Incident, other: Incident) -> bool:
    return one.opened_at - OVERLAP <= other.last_at and other.opened_at - OVERLAP <= one.last_at


def _one_way(one: Incident, other: Incident) -> bool:
    if one.related[:1] == other.related[:1]:
        return True
    return any(each.node in one.related for each in other.members) or any(
        each.node in other.related for each in one.members
    )


def turned(incident: Incident, now: datetime) -> Incident | None:
    """What time makes of an incident; null where nothing."""
    if incident.over:
        return None
    ends = [each.over_at or (each.last_at + ONCE_LASTS if each.once else None) for each in incident.members]
    if any(end is None or now < end + CALM for end in ends):
        return None
    return _next(incident, IncidentState.RESOLVED, now, resolved_at=now)


def answered(
    incident: Incident, cause: dict[str, Any], related: tuple[str, ...], now: datetime, *, last: bool
) -> Incident | None:
    """What an answer makes of an incident; null where it is to be asked again, or says what is known. ``last``: there
    is no time left to ask again."""
    after = max(0.0, (now - incident.breach.at).total_seconds())
    if cause["verdict"] == "root-cause":
        same = incident.cause is not None and _said(incident.cause) == _said(cause)
        if same and incident.state not in _LIVE:
            return None
        first = incident.cause_after_seconds if same else round(after, 3)
        if same and incident.cause is not None:
            cause = {**_beyond(incident.cause), **cause}
        return _next(
            incident, IncidentState.ROOT_CAUSE, now, cause=cause, cause_after_seconds=first, related=related
        )  # fmt: skip
    if incident.state not in _LIVE or not last:
        return None
    if incident.cause is not None and incident.cause["verdict"] == "root-cause":
        return _next(incident, IncidentState.ROOT_CAUSE, now)
    return _next(incident, IncidentState.ESCALATED, now, cause=cause, related=related)


def unplaced(incident: Incident) -> bool:
    """Whether what broke first is known, and nobody has looked yet for the first bad records."""
    cause = incident.cause
    return not incident.over and cause is not None and cause["verdict"] == "root-cause" and "first_bad" not in cause


def placed(incident: Incident, cause: dict[str, Any], beyond: dict[str, Any], now: datetime) -> Incident | None:
    """What the first bad records make of an incident; null where it has another cause by now. ``cause`` is the one that
    they were looked for."""
    if not unplaced(incident) or incident.cause is None or _said(incident.cause) != _said(cause):
        return None
    return _next(incident, incident.state, now, cause={**incident.cause, **beyond})


def _beyond(cause: dict[str, Any]) -> dict[str, Any]:
    return {name: cause[name] for name in MEMBERS if name in cause}


def waits_for_cause(incident: Incident) -> bool:
    """Whether nobody has said yet what broke first, or that people must look."""
    return incident.state in _LIVE


def _has(incident: Incident, alert: AlertRead) -> bool:
    if incident.merged_into is not None:
        return False
    if incident.over and (incident.resolved_at is None or alert.observed_at > incident.resolved_at + REOPENS):
        return False
    return any(each.fingerprint == alert.fingerprint for each in incident.members)


def _belongs(incident: Incident, alert: AlertRead, standing: Standing) -> bool:
    if incident.over or len(incident.members) >= MOST_MEMBERS:
        return False
    if not incident.opened_at - OVERLAP <= alert.observed_at <= incident.last_at + OVERLAP:
        return False
    nodes = {each.node for each in incident.members} | set(incident.related[:1])
    return standing.node in nodes or not nodes.isdisjoint(standing.on_path)


def _joined(incident: Incident, alert: AlertRead, standing: Standing) -> Incident:
    members = (*incident.members, _member(alert, standing))
    breach = incident.breach
    if breach.metric is None and alert.metric is not None:  # only what is measured can be explained
        breach = IncidentBreach(standing.node, alert.metric, alert.field_path, alert.observed_at)
    return _next(
        incident, IncidentState.UPDATED, alert.observed_at, members=members, breach=breach,
        severity=_graver(incident.severity, alert.severity),
    )  # fmt: skip


def _again(incident: Incident, alert: AlertRead) -> Incident | None:
    members = tuple(
        replace(
            each, severity=_graver(each.severity, alert.severity), summary=alert.summary, over_at=None,
            last_at=max(each.last_at, alert.observed_at),
        )
        if each.fingerprint == alert.fingerprint else each
        for each in incident.members
    )  # fmt: skip
    severity = _graver(incident.severity, alert.severity)
    if incident.over:
        cause = incident.cause  # the first bad records of this time are others
        if cause is not None:
            cause = {name: value for name, value in cause.items() if name not in MEMBERS}
        return _next(
            incident, IncidentState.REOPENED, alert.observed_at, members=members, severity=severity, resolved_at=None,
            reopened=incident.reopened + 1, cause=cause,
            breach=replace(incident.breach, at=max(incident.breach.at, alert.observed_at)),
        )  # fmt: skip
    state = incident.state if severity is incident.severity else IncidentState.UPDATED
    return _next(incident, state, alert.observed_at, members=members, severity=severity)


def _ended(incident: Incident, alert: AlertRead) -> Incident:
    members = tuple(
        replace(each, over_at=max(alert.observed_at, each.last_at)) if each.fingerprint == alert.fingerprint else each
        for each in incident.members
    )
    return _next(incident, incident.state, alert.observed_at, members=members)


def _next(incident: Incident, state: IncidentState, at: datetime, **changed: Any) -> Incident:
    made: Incident = replace(
        incident, state=state, revision=incident.revision + 1, updated_at=max(at, incident.updated_at), **changed
    )
    return made


def _member(alert: AlertRead, standing: Standing) -> Member:
    return Member(
        alert.fingerprint, alert.event_id, alert.kind, alert.severity, alert.topic, alert.field_path, alert.job,
        standing.node, alert.summary, alert.observed_at, alert.observed_at, once=alert.phase is None,
    )  # fmt: skip


def _graver(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=_ORDER.__getitem__)


def _said(cause: dict[str, Any]) -> list[tuple[Any, Any, Any]]:
    return [(each["node"], each["metric"], each["field"]) for each in cause["ranking"] if each["named"]]
