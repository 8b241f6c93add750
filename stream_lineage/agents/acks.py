"""Acknowledging observations in the order in which they stand in the log.

Windows of several topics close in any order, but Kafka commits one offset per partition. Faust takes acknowledgements
out of order, and then commits past what is not acknowledged when that is the first one after the committed offset
(faust-streaming 0.15.3, ``Consumer._new_offset``). So it gets them in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

E = TypeVar("E")


@dataclass(slots=True)
class Pending(Generic[E]):
    """An observation under way. ``done`` once all that follows from it is stored."""

    partition: int
    event: E
    done: bool = False


class OrderedAcks(Generic[E]):
    """``acknowledge`` is called for each event when it and all before it in its partition are done."""

    def __init__(self, acknowledge: Callable[[E], object]) -> None:
        self._acknowledge = acknowledge
        self._waiting: dict[int, deque[Pending[E]]] = {}

    def begin(self, partition: int, event: E) -> Pending[E]:
        """An observation was read. Must be called in the order of the partition's offsets."""
        pending = Pending(partition, event)
        self._waiting.setdefault(partition, deque()).append(pending)
        return pending

    def done(self, pending: Pending[E]) -> None:
        """All that follows from it is stored. Nothing happens for one that was dropped."""
        pending.done = True
        waiting = self._waiting.get(pending.partition)
        while waiting and waiting[0].done:
            self._acknowledge(waiting.popleft().event)

    def drop(self) -> None:
        """The partitions were taken away: nothing that was begun is acknowledged any more."""
        self._waiting.clear()

    @property
    def waiting(self) -> int:
        """How many observations are not acknowledged."""
        return sum(map(len, self._waiting.values()))
