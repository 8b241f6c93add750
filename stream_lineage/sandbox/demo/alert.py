"""An alert as any subscriber reads it from Kafka: a CloudEvent whose body is JSON."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message


@dataclass(frozen=True, slots=True)
class Alert:
    """What the demo shows of an alert. ``arrived`` is the monotonic time at which it was read."""

    id: str
    fingerprint: str
    kind: str
    severity: str
    topic: str
    field: str | None
    phase: str | None
    summary: str
    verdict: str | None
    changes: tuple[tuple[str, str, str | None, str | None], ...]
    first_offsets: dict[int, int]
    arrived: float

    @classmethod
    def from_message(cls, message: Message) -> Alert:
        headers = {name: value for name, value in message.headers() or [] if isinstance(value, bytes)}
        body: dict[str, Any] = json.loads(message.value() or b"{}")
        verdict = body["compatibility"]
        return cls(
            id=headers["ce_id"].decode(),
            fingerprint=body["fingerprint"],
            kind=body["kind"],
            severity=body["severity"],
            topic=body["topic"],
            field=body["field_path"],
            phase=body["phase"],
            summary=body["summary"],
            verdict=None if verdict is None else verdict["verdict"],
            changes=tuple((item["kind"], item["path"], item["old"], item["new"]) for item in body["changes"]),
            first_offsets={int(partition): offset for partition, offset in body["first_offsets"].items()},
            arrived=time.monotonic(),
        )
