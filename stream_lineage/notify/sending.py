"""What is sent to a target, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stream_lineage.notify.address import AddressRefused
from stream_lineage.notify.post import NoReply, Reply

_LONGEST_REASON = 300
_OK, _REDIRECT, _CLIENT, _SERVER = 200, 300, 400, 500
_MENDABLE = frozenset({401, 403, 404, 405, 407, 408, 409, 421, 425, 429})
"""Of what a target did not take: what may be otherwise later, or when somebody mends it. Others are about the message
itself."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An incident as it is told on ``lineage.incidents``: the body of the message, its ``ce_id`` and ``ce_source``."""

    document: Mapping[str, Any]
    event_id: str
    source: str

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def revision(self) -> int:
        return int(self.document["revision"])


@dataclass(frozen=True, slots=True)
class Letter:
    """One message about an incident to one target. ``reference`` is that of the message which it changes; ``again``: it
    may have arrived already."""

    heard: Heard
    event: str
    owners: tuple[str, ...] = ()
    reference: Mapping[str, str] | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """It has arrived."""

    reference: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """It is to be tried again, after so many seconds where the other side says. ``unsent``: it cannot have arrived.
    ``refused``: the target's address may not be called."""

    reason: str
    seconds: float | None = None
    unsent: bool = True
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """It would not be taken later either."""

    reason: str


Outcome = Sent | Later | Refused


class Sender(Protocol):
    """How one target is told. Raises nothing."""

    def send(self, letter: Letter) -> Outcome: ...


def judged(reply: Reply, what: str) -> Later | Refused | None:
    """What a status that is no success means; null where it is one."""
    status = reply.status
    if _OK <= status < _REDIRECT:
        return None
    if _REDIRECT <= status < _CLIENT:
        return Later(f"{what} answered {status}, a redirect, which is not followed")
    reason = f"{what} answered {status}"
    if status in _MENDABLE or status >= _SERVER:
        # It may have been taken where a server in between failed.
        return Later(reason, reply.retry_after, unsent=status < _SERVER)
    return Refused(reason)


def failed(error: NoReply | AddressRefused) -> Later:
    """What an error of the call means."""
    if isinstance(error, AddressRefused):
        return Later(error.message, refused=True)
    return Later(error.message[:_LONGEST_REASON], unsent=error.unsent)
