"""Incidents: from the alerts on both topics, in the table of the worker that has the first partition of the log.

An incident is named after the alert that opens it, and each thing that is told of it after its revision. What is told
is noted before it is published, as alerts are: after a crash, and by whichever worker, it is the same message.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Changed, LogPosition, Outcome, stored_state
from stream_lineage.agents.home import HOME
from stream_lineage.agents.incident_life import (
    DEADLINE_SECONDS,
    REOPENS,
    AlertRead,
    Standing,
    alike,
    answered,
    bridged,
    merged,
    placed,
    taken,
    turned,
    unplaced,
    waits_for_cause,
)
from stream_lineage.agents.incident_size import fitted
from stream_lineage.detect.detector import Channel
from stream_lineage.logs import get_logger
from stream_lineage.model.incident import Incident
from stream_lineage.provenance.incident_codec import incident_document, incident_of, rfc3339

CHANNELS: tuple[Channel, ...] = ("drift", "anomaly")
EVENT_TYPE = "io.stream-lineage.incident.v1"
NEWS = timedelta(hours=1)
"""Alerts of an earlier time open nothing, as for agents that begin with a table that is empty."""
MOST = 500
"""Incidents that are not over, at most."""
FIRST_LOOK_SECONDS, AGAIN_SECONDS, CONFIRM_SECONDS = 3.0, 5.0, 20.0
"""After an alert until it is explained first: other workers' points of the same time are stored by then. Until it is
explained again where that was inconclusive, and once more where it was not: what is upstream may be told later."""
LEAST_SECONDS = 12.0
"""So long it is tried at least, where the alert itself came late."""
_PREFIX = b"incident/"
_log = get_logger("stream_lineage.agents")


@dataclass(frozen=True, slots=True)
class Portion:
    """Alerts of one topic with their offsets, and where to go on."""

    channel: Channel
    alerts: tuple[tuple[int, AlertRead], ...]
    through: int


@dataclass(slots=True)
class _Due:
    at: float
    until: float
    confirm: bool = False


class IncidentWatch:
    """``judge`` what was read, ``due`` for what is to be explained, ``explained`` with the answer."""

    def __init__(self, cluster: str, public_url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._cluster = cluster
        self._public_url = public_url
        self._clock = clock
        self._known: dict[str, Incident] | None = None
        self._due: dict[str, _Due] = {}

    def drop(self) -> None:
        """Partitions were taken away: what is known is what the table has when they come back."""
        self._known = None
        self._due.clear()

    def place(self, channel: Channel, rows: Mapping[bytes, bytes]) -> int:
        """The offset of the topic from which on nothing has been taken in."""
        value = rows.get(_place(channel))
        return 0 if value is None else int(orjson.loads(value)["position"][1])

    def judge(
        self, portions: Iterable[Portion], standing: Callable[[AlertRead], Standing], rows: Mapping[bytes, bytes]
    ) -> list[tuple[int, Outcome]]:
        """What the alerts, and the time, make of the incidents."""
        known = self._load(rows)
        now = self._now()
        fresh: list[AlertRead] = []
        changed: list[Changed] = []
        for portion in portions:
            start = self.place(portion.channel, rows)
            fresh += [alert for offset, alert in portion.alerts if offset >= start]
            if portion.through > start:
                changed.append(
                    Changed(_place(portion.channel), stored_state(LogPosition(HOME, portion.through), now, {}))
                )
        told: list[Alert] = []
        after: dict[str, Incident] = {}
        places: dict[tuple[str, str | None, str], Standing] = {}  # each is a walk through the graph
        for alert in sorted(fresh, key=lambda each: (each.observed_at, each.event_id)):
            if now - alert.observed_at > NEWS:
                continue
            place = (alert.topic, alert.job, alert.kind)
            where = places[place] = places.get(place) or standing(alert)
            made = taken(alert, where, known.values())
            if made is None:
                continue
            if made.id not in known and sum(not each.over for each in known.values()) >= MOST:
                _log.warning("too many incidents: one is left out", alert=alert.event_id, most=MOST)
                continue
            self._take(made, known, after, told)
            for other in bridged(made, alert, where, list(known.values())):
                made = self._merge(known[made.id], other, known, after, told, asks=True)
        for each in list(known.values()):
            if (made := turned(each, now)) is not None:
                self._take(made, known, after, told)
            elif each.over and each.resolved_at is not None and now - each.resolved_at > 2 * REOPENS:
                del known[each.id]
                self._due.pop(each.id, None)
                changed.append(Changed(_key(each.id), None))
        changed += [_row(each) for each in after.values()]
        return [(HOME, Outcome(tuple(told), tuple(changed)))] if changed else []

    def due(self) -> Incident | None:
        """The next incident that is to be explained."""
        if self._known is None:
            return None
        now = self._clock()
        waiting = [(each.at, name) for name, each in list(self._due.items()) if each.at <= now]
        return self._known.get(min(waiting)[1]) if waiting else None

    def explained(
        self, name: str, cause: dict[str, Any], related: tuple[str, ...], rows: Mapping[bytes, bytes]
    ) -> list[tuple[int, Outcome]]:
        """What an answer makes of an incident."""
        known = self._load(rows)
        incident, due = known.get(name), self._due.get(name)
        if incident is None or due is None or incident.over:
            self._due.pop(name, None)
            return []
        now = self._clock()
        last = now + AGAIN_SECONDS > due.until
        made = answered(incident, cause, related, self._now(), last=last)
        found = cause["verdict"] == "root-cause"
        if found and not due.confirm:
            due.at, due.confirm = now + CONFIRM_SECONDS, True
        elif found or last:
            self._due.pop(name)
        else:
            due.at = now + AGAIN_SECONDS
        if made is None:
            return []
        told: list[Alert] = []
        after: dict[str, Incident] = {}
        self._take(made, known, after, told, asks=False)
        for other in alike(made, list(known.values())):
            made = self._merge(known[made.id], other, known, after, told, asks=False)
        return [(HOME, Outcome(tuple(told), tuple(map(_row, after.values()))))]

    def unplaced(self, name: str) -> bool:
        """Whether the first bad records of an incident are to be looked for."""
        found = (self._known or {}).get(name)
        return found is not None and unplaced(found)

    def placed(
        self, name: str, cause: dict[str, Any], beyond: dict[str, Any], rows: Mapping[bytes, bytes]
    ) -> list[tuple[int, Outcome]]:
        """What the first bad records of an answer make of an incident."""
        known = self._load(rows)
        made = None if name not in known else placed(known[name], cause, beyond, self._now())
        if made is None:
            return []
        told: list[Alert] = []
        after: dict[str, Incident] = {}
        self._take(made, known, after, told, asks=False)
        return [(HOME, Outcome(tuple(told), tuple(map(_row, after.values()))))]

    def _merge(
        self, one: Incident, other: Incident, known: dict[str, Incident], after: dict[str, Incident],
        told: list[Alert], *, asks: bool,
    ) -> Incident:  # fmt: skip
        """The incident that both are from now on. It is explained anew where ``asks``, or where nobody knows yet."""
        older, closed = merged(one, other, self._now())
        _log.info("two incidents are one", incident=closed.id, merged_into=older.id)
        self._take(closed, known, after, told)
        self._take(older, known, after, told, asks=False)
        if asks or waits_for_cause(older) or unplaced(older):
            self._ask(older)
        return older

    def _take(
        self, made: Incident, known: dict[str, Incident], after: dict[str, Incident], told: list[Alert],
        *, asks: bool = True,
    ) -> None:  # fmt: skip
        made = known[made.id] = after[made.id] = fitted(made)
        told.append(incident_message(made, self._cluster, self._public_url))
        if made.over:
            self._due.pop(made.id, None)
        elif asks and waits_for_cause(made):
            self._ask(made)

    def _ask(self, incident: Incident) -> None:
        now = self._clock()
        until = max(incident.breach.at.timestamp() + DEADLINE_SECONDS, now + LEAST_SECONDS)
        known = self._due.get(incident.id)
        at = now + FIRST_LOOK_SECONDS
        self._due[incident.id] = _Due(at if known is None else min(known.at, at), until)

    def _load(self, rows: Mapping[bytes, bytes]) -> dict[str, Incident]:
        if self._known is None:
            self._known = {}
            for key, value in rows.items():
                if key.startswith(_PREFIX):
                    found = incident_of(orjson.loads(value)["state"])
                    self._known[found.id] = found
                    if waits_for_cause(found) or unplaced(found):
                        self._ask(found)
        return self._known

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def incident_message(incident: Incident, cluster: str, public_url: str) -> Alert:
    """The CloudEvent that tells of an incident as it is."""
    event_id = hashlib.sha256(f"{incident.id}/{incident.revision}".encode()).hexdigest()[:32]
    headers = (
        ("ce_specversion", "1.0"),
        ("ce_id", event_id),
        ("ce_source", f"kafka://{cluster}"),
        ("ce_type", EVENT_TYPE),
        ("ce_time", rfc3339(incident.updated_at)),
        ("ce_subject", incident.id),
        ("content-type", "application/json"),
    )
    return Alert(
        "incident",
        event_id,
        incident.id.encode(),
        orjson.dumps(incident_document(incident, public_url)),
        tuple((name, value.encode()) for name, value in headers),
    )


def _row(incident: Incident) -> Changed:
    document = incident_document(incident, "")
    position = LogPosition(HOME, incident.revision)
    return Changed(_key(incident.id), stored_state(position, incident.updated_at, document))


def _key(name: str) -> bytes:
    return _PREFIX + name.encode()


def _place(channel: Channel) -> bytes:
    return f"incident-offset/{channel}".encode()
