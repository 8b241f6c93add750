"""What applications declare of their jobs, read from ``lineage.declarations`` to its end in each look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from stream_lineage.agents.message_time import message_time
from stream_lineage.errors import StreamLineageError
from stream_lineage.graph.declarations import DeclaredJob
from stream_lineage.graph.from_applications import ApplicationJobs, Said, decode_job
from stream_lineage.logs import get_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

_PORTIONS = 200
"""Portions that are read in one look, at most."""
_EMPTY_PORTIONS = 10
"""One that begins to read gets nothing at first; one that may not read never does."""
_log = get_logger("stream_lineage.agents")


def said(message: Message) -> Said:
    """What a message of the topic says.

    Raises:
        DecodeError: it is no declaration.
    """
    return decode_job(message.key(), message.value(), message_time(message))


class Feed(Protocol):
    """One partition of a topic of ours."""

    def end(self) -> int:
        """The offset that the next message will have."""
        ...

    def read(self, start: int) -> tuple[list[tuple[int, Said]], int]:
        """What comes from here on, a portion of it, with offsets, and where to go on."""
        ...


class ApplicationFeed:
    """``look`` now and then."""

    def __init__(self, feed: Feed, patience: timedelta, *, clock: Callable[[], datetime] | None = None) -> None:
        self._feed = feed
        self._patience = patience
        self._clock = clock or (lambda: datetime.now(UTC))
        self._jobs = ApplicationJobs(patience)
        self._offset = 0
        self._told: set[str] = set()

    def look(self) -> Sequence[DeclaredJob] | None:
        """The jobs that applications declare; null where not all of it could be read. Never fails: a topic that may not
        be read is said once."""
        try:
            whole = self._read()
        except StreamLineageError as error:
            self._tell("what applications declare of their jobs cannot be read", error=error.message)
            return None
        if self._jobs.left_out:
            self._tell("applications declare too many jobs: some are left out of the lineage graph")
        return self._jobs.jobs(self._clock()) if whole else None

    def _read(self) -> bool:
        end = self._feed.end()
        if end < self._offset:  # the topic was made anew
            self._offset, self._jobs = 0, ApplicationJobs(self._patience)
        empty = 0
        for _ in range(_PORTIONS):
            if self._offset >= end or empty > _EMPTY_PORTIONS:
                break
            found, reached = self._feed.read(self._offset)
            empty = empty + 1 if reached == self._offset else 0
            for _, each in found:
                self._jobs.take(each)
            self._offset = reached
        return self._offset >= end

    def _tell(self, text: str, **known: str) -> None:
        if text not in self._told:
            self._told.add(text)
            _log.warning(text, **known)
