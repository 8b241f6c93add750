"""What was done for an incident, and what was not and why: the audit log, ``lineage.actions``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from stream_lineage.errors import DecodeError


class ActionState(StrEnum):
    """``begun``: it was started. ``later``: it could not be done and is tried again. ``unknown``: this process ended
    meanwhile, or no answer came: it may have been done, and is not done again. ``dry-run``: it would have been done.
    ``limited``: there were too many."""

    BEGUN = "begun"
    LATER = "later"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DRY_RUN = "dry-run"
    LIMITED = "limited"


FINAL = frozenset(ActionState) - {ActionState.BEGUN, ActionState.LATER}


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """``change`` is what happened to the incident; ``round``: how often the incident had come back by then.
    ``seconds`` is how long it took; null where nothing was started. ``by`` is the worker, as it calls itself."""

    hook: str
    incident: str
    change: str
    round: int
    state: ActionState
    at: datetime
    what: str
    why: str
    result: str = ""
    seconds: float | None = None
    by: str = ""

    @property
    def id(self) -> str:
        """Of the action: the same for all that is noted of it."""
        return f"{self.hook}/{self.incident}/{self.change}/{self.round}"

    @property
    def key(self) -> bytes:
        return self.id.encode()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id, "hook": self.hook, "incident": self.incident, "change": self.change, "round": self.round,
            "state": self.state.value, "at": self.at.astimezone(UTC).isoformat(timespec="milliseconds"),
            "what": self.what, "why": self.why, "result": self.result, "seconds": self.seconds,
            "by": self.by,
        }  # fmt: skip

    def to_bytes(self) -> bytes:
        return orjson.dumps(self.document())


def action_from(value: bytes) -> ActionRecord:
    """What a record of the topic says.

    Raises:
        DecodeError: it is none.
    """
    try:
        found = orjson.loads(value)
        seconds = found["seconds"]
        return ActionRecord(
            str(found["hook"]), str(found["incident"]), str(found["change"]), int(found["round"]),
            ActionState(found["state"]), datetime.fromisoformat(found["at"]).astimezone(UTC), str(found["what"]),
            str(found["why"]), str(found["result"]), None if seconds is None else float(seconds),
            str(found.get("by", "")),
        )  # fmt: skip
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DecodeError(f"no action: {type(error).__name__}") from error
