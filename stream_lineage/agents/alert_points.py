"""Alerts as metric points, so that they can be seen beside what they are about: ``lineage_alert``, a point for each.

A series is a problem as it stood: its tags follow from the problem, but for ``severity`` and ``phase``. What a message
says follows from its id, and so do tags and time: published again after a crash, it is the same point.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import orjson

from stream_lineage.agents.alerts import Alert
from stream_lineage.store.ports import FieldValue, Point

MEASUREMENT, INCIDENTS = "lineage_alert", "lineage_incident"
ONCE = "once"
"""``phase`` of what has no beginning and no end."""
MAX_SUMMARY = 1000
"""Characters of a summary that are kept."""
_SOURCE = "kafka://"


def alert_points(alerts: Iterable[Alert]) -> list[Point]:
    """A point for each alert. Tags that the alert has no value for are left out."""
    return [
        _incident(alert, orjson.loads(alert.value))
        if alert.channel == "incident" else _point(alert, orjson.loads(alert.value))
        for alert in alerts
    ]  # fmt: skip


def _point(alert: Alert, body: dict[str, Any]) -> Point:
    tags = {
        "cluster": body["dataset"]["namespace"].removeprefix(_SOURCE),
        "topic": body["topic"],
        "kind": body["kind"],
        "severity": body["severity"],
        "phase": body["phase"] or ONCE,
        "fingerprint": body["fingerprint"],
    }
    tags |= {name: body[key] for name, key in (("field", "field_path"), ("job", "job")) if body[key] is not None}
    fields: dict[str, FieldValue] = {
        "alerts": 1,
        "summary": body["summary"][:MAX_SUMMARY],
        "url": body["url"],
        "event_id": alert.event_id,
    }
    if body["score"] is not None:
        fields["score"] = body["score"]
    return Point(MEASUREMENT, tags, fields, _time(alert.event_id, body["observed_at"]))


def _incident(alert: Alert, body: dict[str, Any]) -> Point:
    """One for each state that an incident had. How long it took to be found is only known once it is known since when
    there was something to be found: from the onset of what broke first to the first alert."""
    cause = body["cause"] or {}
    named = [each for each in cause.get("ranking", ()) if each["named"]]
    opened = datetime.fromisoformat(body["opened_at"])
    first = body["alerts"][0]
    fields: dict[str, FieldValue] = {
        "incidents": 1,
        "alerts": len(body["alerts"]),
        "revision": body["revision"],
        "reopened": body["reopened"],
        "age_seconds": (datetime.fromisoformat(body["updated_at"]) - opened).total_seconds(),
        "named": int(bool(named)),
        "first_topic": first["topic"],
        "summary": body["summary"][:MAX_SUMMARY],
        "url": body["url"],
    }
    if named:
        fields["cause"] = ", ".join(each["node"] for each in named)[:MAX_SUMMARY]
        fields["cause_metric"] = named[0]["metric"]
        fields["cause_confidence"] = float(named[0]["confidence"])
        fields["detect_seconds"] = max(0.0, opened.timestamp() - float(named[0]["onset"]))
    if body["cause_after_seconds"] is not None:
        fields["cause_after_seconds"] = float(body["cause_after_seconds"])
    source = dict(alert.headers)["ce_source"].decode().removeprefix(_SOURCE)
    tags = {
        "cluster": source,
        "incident": body["id"],
        "kind": first["kind"],
        "state": body["state"],
        "severity": body["severity"],
    }
    # Of two states within one millisecond the later one is to be the newer.
    at = datetime.fromisoformat(body["updated_at"]) + timedelta(microseconds=body["revision"] % 1000)
    return Point(INCIDENTS, tags, fields, at)


def _time(event_id: str, observed_at: str) -> datetime:
    """To the millisecond the alert's own; the microseconds tell apart what one problem led to within one."""
    return datetime.fromisoformat(observed_at) + timedelta(microseconds=int(event_id[:8], 16) % 1000)
