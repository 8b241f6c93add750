"""A value that stands still in a series that never did."""

from __future__ import annotations

LEAST_RUN = 12
"""Equal values in a row that are odd. Larger: later, and less often."""
_MOST_REPEATS = 0.03  # share of values that are equal to the one before: above it, standing still is usual
_FEWEST = 100  # values to know that by
_LONGEST = 10_000


class Stuck:
    """``run``: how often the latest value has come in a row."""

    __slots__ = ("count", "repeats", "run", "value")

    def __init__(self, state: list[float]) -> None:
        self.value, self.run, self.repeats, self.count = state

    @staticmethod
    def initial() -> list[float]:
        return [0.0, 0, 0, 0]

    def state(self) -> list[float]:
        return [self.value, self.run, self.repeats, self.count]

    def take(self, value: float) -> float:
        """How far the run is towards one that is odd: from 1 on it is; 0 where repeating is usual."""
        self.count += 1
        if value != self.value or self.count == 1:
            if self.run >= LEAST_RUN:  # it happens here: it is usual sooner the next time
                self.repeats += LEAST_RUN
            self.value, self.run = value, 1
            return 0.0
        self.run = min(self.run + 1, _LONGEST)
        if self.run < LEAST_RUN:
            self.repeats += 1
        known = self.count - self.run
        if known < _FEWEST or self.repeats - min(self.run, LEAST_RUN) > _MOST_REPEATS * known:
            return 0.0
        return (self.run - 1) / (LEAST_RUN - 1)
