"""How far a target has been told of an incident: what is kept on ``lineage.deliveries``, the newest of each pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from stream_lineage.errors import DecodeError

_SEPARATOR = "/"


class DeliveryState(StrEnum):
    """``waiting``: it is to be sent, or to be sent again. ``refused``: the target does not take this message, and would
    not later. ``dead``: it was tried for too long. A later change of the incident is tried again in each."""

    WAITING = "waiting"
    SENT = "sent"
    REFUSED = "refused"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Delivery:
    """``revision`` is the newest one of the incident that has arrived, 0 where none has; ``tried`` the one that was
    tried last, of which ``event`` and ``title`` tell. ``trying``: an attempt began whose end is not known, so that it
    may have arrived. ``reference`` is what the target calls its message, by which it is changed."""

    target: str
    incident: str
    state: DeliveryState
    at: datetime
    revision: int = 0
    tried: int = 0
    event: str = ""
    title: str = ""
    reference: Mapping[str, str] | None = None
    trying: bool = False
    failures: int = 0
    failing_since: datetime | None = None
    error: str = ""

    @property
    def key(self) -> bytes:
        return delivery_key(self.target, self.incident)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "target": self.target, "incident": self.incident, "state": self.state.value, "at": _said(self.at),
            "revision": self.revision, "tried": self.tried, "event": self.event, "title": self.title,
            "reference": None if self.reference is None else dict(self.reference), "trying": self.trying,
            "failures": self.failures,
            "failing_since": None if self.failing_since is None else _said(self.failing_since), "error": self.error,
        }  # fmt: skip

    def to_bytes(self) -> bytes:
        return orjson.dumps(self.document())


def delivery_key(target: str, incident: str) -> bytes:
    """The key of the pair's record."""
    return f"{target}{_SEPARATOR}{incident}".encode()


def delivery_from(value: bytes) -> Delivery:
    """The delivery of a record.

    Raises:
        DecodeError: it is none.
    """
    try:
        found = orjson.loads(value)
        since, reference = found["failing_since"], found["reference"]
        return Delivery(
            str(found["target"]), str(found["incident"]), DeliveryState(found["state"]), _time(found["at"]),
            int(found["revision"]), int(found["tried"]), str(found["event"]), str(found["title"]),
            None if reference is None else {str(name): str(text) for name, text in reference.items()},
            bool(found["trying"]), int(found["failures"]), None if since is None else _time(since),
            str(found["error"]),
        )  # fmt: skip
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DecodeError(f"no delivery: {type(error).__name__}") from error


def _said(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
