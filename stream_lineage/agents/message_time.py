"""When a message says that it was written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

if TYPE_CHECKING:
    from confluent_kafka import Message

_LATEST_MS = 32_503_680_000_000
"""The year 3000: what is later was given in microseconds, or is no time."""


def message_time(message: Message, otherwise: datetime | None = None) -> datetime:
    """The time of a message; where it has none that can be one, ``otherwise``, or now. Never raises: whoever writes to
    a topic can give its messages any number."""
    kind, milliseconds = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE or not 0 <= milliseconds < _LATEST_MS:
        return otherwise or datetime.now(UTC)
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
