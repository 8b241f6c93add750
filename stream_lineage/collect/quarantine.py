"""Partitions that cannot be read at all: set aside, visible, and tried again.

A batch may be damaged on the broker's disk, or be nothing that the client can decompress. Then nothing behind it can be
read either, and nothing is committed past it: what lies there is neither invented nor lost. The other partitions go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stream_lineage.collect.dead_letters import DeadLetter
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.model.schema import OPAQUE

UNREADABLE = "unreadable"
"""The kind of dead letter for a partition that cannot be read on."""
_FIRST_SECONDS = 1.0
_TOLD_AFTER = 2
"""So often a partition has failed at one offset before it is believed: a connection may damage bytes too."""
_TRIED = 3
"""So often it is tried before a run that has an end does without it."""


@dataclass(slots=True)
class Case:
    """One partition. ``progress`` is how far it has been read, ``offset`` the first one that cannot be.

    ``tries_at`` is when it is tried again; null while it is being tried. ``failures`` are those at this offset. To read
    a ``deadly`` one costs more memory than there is: others try it first.
    """

    progress: PartitionProgress
    offset: int
    reason: str
    failures: int
    tries_at: float | None
    deadly: bool = False

    @property
    def held(self) -> bool:
        """Whether it is not read at present."""
        return self.tries_at is not None

    @property
    def believed(self) -> bool:
        return self.deadly or self.failures >= _TOLD_AFTER

    @property
    def news(self) -> bool:
        """Whether it has just come to be believed."""
        return self.failures == (1 if self.deadly else _TOLD_AFTER)

    def letter(self) -> DeadLetter:
        """The dead letter that tells of it: the same one each time."""
        state = self.progress
        return DeadLetter(
            state.topic, state.topic_id, state.partition, self.offset, self.offset, 1, "record", UNREADABLE,
            f"the partition cannot be read on from here: {self.reason}", 0, OPAQUE,
        )  # fmt: skip


class Quarantine:
    """The cases, and when each is tried again: after a second, then after twice as long each time.

    ``retry_seconds`` is the longest pause. Larger: less work on what stays broken, and later news of what is mended.
    """

    def __init__(self, *, retry_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._cases: dict[PartitionId, Case] = {}

    def __len__(self) -> int:
        return len(self._cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(list(self._cases.values()))

    def get(self, key: PartitionId) -> Case | None:
        return self._cases.get(key)

    @property
    def held(self) -> dict[PartitionId, PartitionProgress]:
        """The partitions that are not read at present."""
        return {key: case.progress for key, case in self._cases.items() if case.held}

    def take(self, progress: PartitionProgress, offset: int, reason: str, *, deadly: bool = False) -> Case:
        """Set a partition aside: reading failed at this offset."""
        case = self._cases.get(progress.key)
        if case is None or offset > case.offset:
            case = self._cases[progress.key] = Case(progress, offset, reason, 0, None)
        case.progress, case.reason, case.deadly = progress, reason, deadly
        case.failures += 1
        pause = min(_FIRST_SECONDS * 2.0 ** (case.failures - 1), self._retry_seconds)
        case.tries_at = self._clock() + pause
        return case

    def due(self) -> list[Case]:
        """Held cases whose time has come."""
        if not self._cases:
            return []
        now = self._clock()
        return [case for case in self._cases.values() if case.tries_at is not None and case.tries_at <= now]

    def passed(self) -> list[Case]:
        """Cases that are being tried and have been read on: they are closed."""
        done = [case for case in self._cases.values() if not case.held and _stands(case.progress) > case.offset]
        for case in done:
            del self._cases[case.progress.key]
        return done

    def close(self, key: PartitionId) -> Case | None:
        """Forget a partition: it is somebody else's now, is gone, or ends where it could not be read on."""
        return self._cases.pop(key, None)

    @property
    def given_up(self) -> bool:
        """Whether each case has been tried as often as is worth waiting for."""
        return all(case.held and case.failures >= _TRIED for case in self._cases.values())


def _stands(progress: PartitionProgress) -> int:
    return progress.position or 0
