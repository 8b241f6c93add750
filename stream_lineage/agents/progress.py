"""Whether the worker gets on with its partitions: what a watchdog looks at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

STALL_SECONDS = 120.0
"""An observation that waits for so long in an assigned partition means that the worker hangs. Larger values restart a
hanging worker later, smaller ones may restart one that recovers its tables or waits for a slow disk."""


@dataclass(slots=True)
class _Partition:
    next_offset: int | None
    since: float


class Progress:
    """Positions of the assigned partitions. Thread-safe: the worker writes, the watchdog reads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._partitions: dict[int, _Partition] = {}
        self._done = 0
        self._member = False
        self._beat = clock()

    @property
    def partitions(self) -> int:
        """How many the worker has now."""
        return len(self._partitions)

    @property
    def member(self) -> bool:
        """Whether the group has let the worker in, be it with no partition at all."""
        return self._member

    @property
    def done(self) -> int:
        """Observations that were done with since the start, some of them more than once."""
        return self._done

    @property
    def still_seconds(self) -> float:
        """How long ago the worker's loop last said that it turns."""
        return self._clock() - self._beat

    def beat(self) -> None:
        """The worker's loop turns."""
        self._beat = self._clock()

    def assigned(self, partitions: Iterable[int]) -> None:
        """The partitions that the worker has now. Their clocks start."""
        now = self._clock()
        with self._lock:
            self._partitions = {partition: _Partition(None, now) for partition in partitions}
            self._member = True

    def revoked(self) -> None:
        """The worker has no partition until it is told again."""
        with self._lock:
            self._partitions = {}
            self._member = False

    def processed(self, partition: int, offset: int) -> None:
        """The observation at ``offset`` is done with."""
        with self._lock:
            self._done += 1
            if partition in self._partitions:
                self._partitions[partition] = _Partition(offset + 1, self._clock())

    def silent(self, seconds: float) -> dict[int, int | None]:
        """Partitions in which nothing has happened for so long, and the next offset of each where it is known."""
        now = self._clock()
        with self._lock:
            return {
                partition: state.next_offset
                for partition, state in self._partitions.items()
                if now - state.since >= seconds
            }

    def touch(self, partition: int, next_offset: int | None) -> None:
        """The watchdog looked: there was nothing to do. The clock starts again unless the worker moved meanwhile."""
        with self._lock:
            state = self._partitions.get(partition)
            if state is not None and state.next_offset == next_offset:
                state.since = self._clock()
