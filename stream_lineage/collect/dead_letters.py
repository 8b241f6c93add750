"""Dead letters: records that have provenance but could not be decoded. They say where and why, never what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import orjson

from stream_lineage.collect.transaction import OutgoingMessage
from stream_lineage.model.schema import SchemaReference

EVENT_TYPE = "io.stream-lineage.dead-letter.v1"
_NAMESPACE = UUID("5f0e8a34-6d0b-4c52-9d5f-5d3a6a3f6b7e")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """``count`` records from ``offset`` to ``last_offset`` of one partition; nearly always one. ``size`` in bytes."""

    topic: str
    topic_id: str | None
    partition: int
    offset: int
    last_offset: int
    count: int
    role: str
    kind: str
    error: str
    size: int
    schema: SchemaReference


def summarised(letters: Iterable[DeadLetter], limit: int) -> Iterator[DeadLetter]:
    """The first ``limit`` as they are; what is beyond as one letter per partition, role and kind."""
    beyond: dict[tuple[str, int, str, str], DeadLetter] = {}
    for number, letter in enumerate(letters):
        if number < limit:
            yield letter
            continue
        key = (letter.topic, letter.partition, letter.role, letter.kind)
        known = beyond.get(key)
        beyond[key] = (
            letter
            if known is None
            else replace(
                known,
                offset=min(known.offset, letter.offset),
                last_offset=max(known.last_offset, letter.last_offset),
                count=known.count + letter.count,
                size=known.size + letter.size,
            )
        )
    yield from beyond.values()


def message(letter: DeadLetter, *, to: str, cluster: str, now: datetime) -> OutgoingMessage:
    """The letter as a CloudEvent in Kafka binary mode."""
    body: dict[str, Any] = {
        "topic": letter.topic,
        "topic_id": letter.topic_id,
        "partition": letter.partition,
        "offset": letter.offset,
        "last_offset": letter.last_offset,
        "count": letter.count,
        "role": letter.role,
        "kind": letter.kind,
        "error": letter.error,
        "size": letter.size,
        "schema": {
            "type": letter.schema.type.value,
            "id": letter.schema.id,
            "guid": letter.schema.guid,
            "subject": letter.schema.subject,
            "version": letter.schema.version,
            "fingerprint": letter.schema.fingerprint,
        },
        "observed_at": now.isoformat(timespec="milliseconds"),
    }
    where = f"{cluster}/{letter.topic}/{letter.topic_id}/{letter.partition}/{letter.offset}/{letter.last_offset}"
    event_id = uuid5(_NAMESPACE, f"{where}/{letter.role}/{letter.kind}")
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", str(event_id).encode()),
        ("ce_source", f"kafka://{cluster}/{letter.topic}".encode()),
        ("ce_type", EVENT_TYPE.encode()),
        ("ce_time", body["observed_at"].encode()),
        ("ce_subject", f"{letter.topic}/{letter.partition}/{letter.offset}".encode()),
        ("content-type", b"application/json"),
    )
    return OutgoingMessage(to, letter.topic.encode(), orjson.dumps(body), headers)
