"""Findings as CloudEvents 1.0 in Kafka binary mode, which is how subscribers get them (``alert.schema.json``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import orjson

from stream_lineage.detect.detector import Channel
from stream_lineage.detect.references import reference_to_json
from stream_lineage.model.finding import Finding
from stream_lineage.model.observation import Link
from stream_lineage.model.schema import SchemaReference

EVENT_TYPES: Mapping[Channel, str] = {
    "drift": "io.stream-lineage.drift.v1",
    "anomaly": "io.stream-lineage.anomaly.v1",
}


Topic = Channel | Literal["incident"]
"""What goes out: what detectors find, and the incidents that it adds up to."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One message for an alert topic, or for that of incidents. ``headers`` come in a fixed order."""

    channel: Topic
    event_id: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Origin(Protocol):
    """What a finding was made from: an observation, or anything else that has a place of its own."""

    @property
    def observation_id(self) -> str: ...

    @property
    def cluster(self) -> str: ...

    @property
    def observed_at(self) -> datetime: ...

    @property
    def links(self) -> Sequence[Link]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """The origin of what was found elsewhere than in an observation. ``observation_id`` is that of the place."""

    observation_id: str
    cluster: str
    observed_at: datetime
    links: tuple[Link, ...] = ()


def alert(finding: Finding, channel: Channel, observation: Origin, public_url: str) -> Alert:
    """The alert that a finding becomes. Everything in it follows from the finding and the observation that it was made
    from, so that a worker that does the same work again after a crash writes the same alert, with the same id."""
    event_id = alert_id(finding, observation)
    source = f"kafka://{observation.cluster}"
    headers = (
        ("ce_specversion", "1.0"),
        ("ce_id", event_id),
        ("ce_source", f"{source}/{finding.topic}"),
        ("ce_type", EVENT_TYPES[channel]),
        ("ce_time", _rfc3339(observation.observed_at)),
        ("ce_subject", finding.topic),
        ("content-type", "application/json"),
    )
    return Alert(
        channel,
        event_id,
        finding.topic.encode(),
        orjson.dumps(_body(finding, source, observation.observed_at, public_url)),
        tuple((name, value.encode()) for name, value in headers),
    )


def reaching(alert: Alert, nodes: Sequence[str]) -> bytes:
    """The body of an alert with the nodes of the graph that it reaches, which are those of the moment when it is
    published: no part of its id."""
    return orjson.dumps({**orjson.loads(alert.value), "downstream": list(nodes)}) if nodes else alert.value


def alert_id(finding: Finding, observation: Origin) -> str:
    """32 hexadecimal digits: of the problem, of what is known of it by now, and of the place in the provenance log."""
    link = [[link.partition, link.hash.hex()] for link in sorted(observation.links, key=lambda link: link.partition)]
    parts = [
        finding.fingerprint,
        sorted(finding.first_offsets.items()),
        sorted(finding.last_offsets.items()),
        link or observation.observation_id,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _body(finding: Finding, source: str, observed_at: datetime, public_url: str) -> dict[str, Any]:
    verdict = finding.compatibility
    return {
        "kind": finding.kind,
        "severity": finding.severity.value,
        "phase": finding.phase,
        "score": finding.score,
        "summary": finding.summary,
        "dataset": {"namespace": source, "name": finding.topic},
        "topic": finding.topic,
        "field_path": finding.field_path,
        "job": finding.job,
        "before": _reference(finding.before),
        "after": _reference(finding.after),
        "compatibility": None
        if verdict is None
        else {"verdict": verdict.verdict, "backward": verdict.backward, "forward": verdict.forward},
        "changes": [
            {
                "kind": change.kind,
                "path": change.path,
                "old": change.old,
                "new": change.new,
                "breaks": list(change.breaks),
            }
            for change in finding.changes
        ],
        "first_offsets": {str(partition): offset for partition, offset in sorted(finding.first_offsets.items())},
        "last_offsets": {str(partition): offset for partition, offset in sorted(finding.last_offsets.items())},
        "downstream": [],
        "fingerprint": finding.fingerprint,
        "observed_at": _rfc3339(observed_at),
        "url": f"{public_url}/alerts/{finding.fingerprint}",
    }


def _reference(reference: SchemaReference | None) -> dict[str, Any] | None:
    return None if reference is None else reference_to_json(reference)


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
