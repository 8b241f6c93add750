"""A series that only ever rises, or only ever falls, but for where it starts again: a counter, a queue, a disk."""

from __future__ import annotations

_MEMORY = 96.0  # slots, two days of them
_FEWEST = 36.0
"""Slots that must be known: longer than any half of a daily curve."""
_AGAINST = 0.1
"""The largest part of the steps that may go the other way."""


class Ramp:
    """``turn`` with the median of each slot that ends."""

    __slots__ = ("downs", "last", "ups")

    def __init__(self, state: list[float | None]) -> None:
        self.last = state[0]
        self.ups, self.downs = float(state[1] or 0.0), float(state[2] or 0.0)

    @staticmethod
    def initial() -> list[float | None]:
        return [None, 0.0, 0.0]

    def state(self) -> list[float | None]:
        return [self.last, self.ups, self.downs]

    @property
    def ramps(self) -> bool:
        total = self.ups + self.downs
        return total >= _FEWEST and min(self.ups, self.downs) <= _AGAINST * total

    def turn(self, median: float | None) -> None:
        """A slot ended; null where there was nothing in it."""
        if median is None:
            return
        if self.last is not None:
            kept = 1 - 1 / _MEMORY
            total = self.ups + self.downs + 1
            if total < _MEMORY:
                kept = 1.0
            self.ups = kept * self.ups + (median > self.last)
            self.downs = kept * self.downs + (median < self.last)
        self.last = median

    def fell(self, residual: float) -> bool:
        """Whether a value that is off by so much is where such a series starts again."""
        return self.ramps and (residual < 0) == (self.ups > self.downs)
