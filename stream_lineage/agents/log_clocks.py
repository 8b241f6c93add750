"""Up to when everything is known that was observed, in each partition of the observation log."""

from __future__ import annotations

from collections.abc import Callable

IDLE_SECONDS = 3.0
"""A partition that has been read to its end, and from which nothing has come for so long, is idle."""
AHEAD_SECONDS = 3600.0
"""A collector's clock that is further ahead than this is wrong."""


class LogClocks:
    """Two ways to know: others that share the partition go on, or it is idle and time goes on."""

    def __init__(self, clock: Callable[[], float], at_end: Callable[[int], bool]) -> None:
        """``at_end``: whether a partition has been read to its end. That nothing comes does not say so: brokers may be
        slow, and what is left of a rebalance is read again."""
        self._clock = clock
        self._at_end = at_end
        self._latest: dict[int, float] = {}
        self._heard: dict[int, float] = {}
        self._since = clock()

    def drop(self) -> None:
        """The partitions are assigned anew."""
        self._latest.clear()
        self._heard.clear()
        self._since = self._clock()

    def heard(self, partition: int, observed_at: float) -> None:
        """An observation of this time came."""
        self._heard[partition] = self._clock()
        self._latest[partition] = max(observed_at, self._latest.get(partition, observed_at))

    def known(self, partition: int, wall: float) -> float:
        """Until when all is known, in seconds since the epoch; ``wall`` is the time now."""
        latest = self._latest.get(partition, 0.0)
        if self._clock() - self._heard.get(partition, self._since) >= IDLE_SECONDS and self._at_end(partition):
            return max(wall, min(latest, wall + AHEAD_SECONDS))
        return min(latest, wall + AHEAD_SECONDS)
