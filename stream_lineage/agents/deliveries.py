"""Whether every observation that was fetched also arrives.

Faust drops what is in its queues when it resumes after a rebalance, and what was fetched since it sought is lost then
(faust-streaming 0.15.3, ``Recovery._resume_streams``). Offsets do not show it: they jump at every control record of a
transaction. So each fetched record is noted with the one before it, in the thread that fetches, and checked where it
arrives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Literal

START = -1
"""Stands for the record before the first one after a seek."""
PATIENCE_SECONDS = 5.0
"""After a rewind, what is left of before it is passed over for so long; then it is asked for again. What does not
arrive for so long while there is nothing else to do counts as lost."""

Verdict = Literal["take", "pass", "rewind"]


class Deliveries:
    """``fetched`` and ``restarted`` are called by the thread that fetches, ``arrived`` and ``expect`` by the worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[int, int] = {}
        self._before: dict[tuple[int, int], int] = {}
        self._arrived: dict[int, int] = {}
        self._rewound: float | None = None
        self._heard = clock()

    def fetched(self, partition: int, offsets: Iterable[int]) -> None:
        """The next records of a partition, in order."""
        with self._lock:
            self._heard = self._clock()
            for offset in offsets:
                self._before[partition, offset] = self._last.get(partition, START)
                self._last[partition] = offset

    def restarted(self, partition: int) -> None:
        """The position of a partition was set: what is fetched next does not follow what was fetched last."""
        with self._lock:
            self._last.pop(partition, None)
            self._before = {place: before for place, before in self._before.items() if place[0] != partition}

    def restarted_all(self) -> None:
        """All partitions are assigned anew."""
        with self._lock:
            self._last.clear()
            self._before.clear()

    def expect_start(self) -> None:
        """Nothing that arrived before counts: each partition starts where it is sought to."""
        self._arrived.clear()

    def arrived(self, partition: int, offset: int) -> Verdict:
        """What to do with a record that arrives: take it, pass over it, or rewind since some before it are lost."""
        with self._lock:
            self._heard = self._clock()
            before = self._before.pop((partition, offset), None)
        if before == START or (before is not None and before == self._arrived.get(partition)):
            self._arrived[partition] = offset
            self._rewound = None
            return "take"
        if offset <= self._arrived.get(partition, START):
            return "pass"
        now = self._clock()
        if self._rewound is not None and now - self._rewound < PATIENCE_SECONDS:
            return "pass"
        self._rewound = now
        self._arrived.clear()
        return "rewind"

    def all_arrived(self, partition: int) -> bool:
        """Whether what was fetched of a partition has arrived."""
        with self._lock:
            last = self._last.get(partition, START)
        return last in (START, self._arrived.get(partition, START))

    def overdue(self) -> bool:
        """Whether records that were fetched do not arrive, with none behind them that would show it: rewind then. To be
        asked while the worker has nothing to do."""
        now = self._clock()
        with self._lock:
            late = now - self._heard >= PATIENCE_SECONDS and any(
                self._arrived.get(partition, START) != offset for partition, offset in self._last.items()
            )
            if late:
                self._heard = now
        if late:
            self._rewound = now
            self._arrived.clear()
        return late
