"""What a value of an edge is usually like, for when the series detector is still young."""

from __future__ import annotations

from typing import Any

FEWEST = 20
"""Minutes before anything is said to be unusual."""
_MEMORY = 60
_FAR = 6.0
_RELEARNED_MINUTES = 360


class Habit:
    """A running mean, and how far values are from it; both rest while a value is ``off``, but not for ever.

    ``least``: what a value has to be off to matter, in its unit. Larger: alerts come later and less often.
    """

    __slots__ = ("_off", "deviation", "mean", "seen")

    def __init__(self, state: list[Any] | None = None) -> None:
        mean, deviation, seen, off = state or (0.0, 0.0, 0, 0)
        self.mean: float = mean
        self.deviation: float = deviation
        self.seen: int = seen
        self._off: int = off

    def state(self) -> list[Any]:
        return [self.mean, self.deviation, self.seen, self._off]

    def off(self, value: float, least: float) -> bool:
        return self.seen >= FEWEST and abs(value - self.mean) > max(least, _FAR * self.deviation)

    def learn(self, value: float, *, off: bool) -> None:
        if off:
            self._off += 1
            if self._off < _RELEARNED_MINUTES:
                return
            self.mean, self.deviation, self.seen = value, self.deviation, 1
        self._off = 0
        self.seen += 1
        pace = 1 / min(self.seen, _MEMORY)
        if self.seen > 1:
            self.deviation += (1.25 * abs(value - self.mean) - self.deviation) * pace
        self.mean += (value - self.mean) * pace
