"""An incident as any subscriber reads it from Kafka: a CloudEvent whose body is JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message


@dataclass(frozen=True, slots=True)
class Cause:
    """What an incident says broke first. ``path`` leads from there to where it was noticed."""

    node: str
    metric: str
    field: str | None
    confidence: float
    path: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """What the demo shows of an incident. ``body`` is all of the message; ``arrived`` is the monotonic time at which it
    was read."""

    id: str
    state: str
    revision: int
    body: Mapping[str, Any]
    arrived: float

    @classmethod
    def from_message(cls, message: Message) -> Incident:
        body: dict[str, Any] = json.loads(message.value() or b"{}")
        return cls(body["id"], body["state"], body["revision"], body, time.monotonic())

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of the alerts that belong to it."""
        return frozenset(each["fingerprint"] for each in self.body["alerts"])

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What is named, the surest first."""
        answer = self.body["cause"] or {"ranking": ()}
        return tuple(
            Cause(
                each["node"], each["metric"], each["field"], each["confidence"], tuple(each["path"]),
                tuple(each["evidence"]),
            )
            for each in answer["ranking"]
            if each["named"]
        )  # fmt: skip

    @property
    def answer(self) -> Mapping[str, Any]:
        """What ``explain`` says; empty as long as it says nothing."""
        found: Mapping[str, Any] = self.body["cause"] or {}
        return found

    @property
    def affected(self) -> Sequence[str]:
        """What else is hit, the nearest first."""
        return [each["node"] for each in self.answer.get("affected", ())]

    @property
    def located(self) -> bool:
        """Whether records were read again to find the first bad ones, or it is said why not."""
        return bool(self.answer.get("first_bad") or self.answer.get("first_bad_notes"))

    @property
    def first_bad(self) -> Mapping[int, int]:
        """Where the first bad record of each partition of the first cause is said to be, where that is said exactly."""
        found = [each for each in self.answer.get("first_bad") or () if each["exact"]]
        return {each["partition"]: each["offset"] for each in found if each["topic"] == found[0]["topic"]}
