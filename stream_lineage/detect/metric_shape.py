"""The shape of a field's numbers: how far each window's quantiles are from those that the field usually has.

The distance is that of Kolmogorov and Smirnov, read off at a few quantiles: the largest difference between the share of
values below one of those that are usual and the share that usually is. How far is usual at what time of day, the series
of these distances knows. What is usual follows slowly, and stands still during an excursion.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from stream_lineage.detect.metric_series import amount
from stream_lineage.detect.window import SHARES

FEWEST_VALUES = 30
"""Values of a window whose shape means anything. Larger: fewer alerts of fields with few values."""
_MEMORY = 2000
_SETTLED = 100
_ALONE = (SHARES.index(0.05), SHARES.index(0.5), SHARES.index(0.95))


class Shape:
    """``distance`` of each window's quantiles, then ``learn`` them unless they are an anomaly."""

    __slots__ = ("_count", "_usual")

    def __init__(self, state: Sequence[float] | None = None) -> None:
        self._count = int(state[0]) if state else 0
        self._usual = [float(each) for each in state[1:]] if state else []

    def state(self) -> list[float]:
        return [self._count, *self._usual]

    def distance(self, quantiles: Sequence[float]) -> float | None:
        """From 0 to 1; null as long as nothing is usual yet, and where quantiles are no finite numbers."""
        if self._count < _SETTLED or not _usable(quantiles):
            return None
        return max(
            abs(_share(quantiles, usual, above=value > usual) - share) if value != usual else 0.0
            for share, value, usual in zip(SHARES, quantiles, self._usual, strict=True)
        )

    def learn(self, quantiles: Sequence[float]) -> None:
        if not _usable(quantiles):
            return
        self._count = min(self._count + 1, _MEMORY)
        if not self._usual:
            self._usual = list(quantiles)
            return
        pace = 1 / self._count
        self._usual = [usual + (value - usual) * pace for usual, value in zip(self._usual, quantiles, strict=True)]

    def shown(self, quantiles: Sequence[float] | None = None) -> str:
        """The 5%, 50% and 95% quantiles, as they are or as they usually are, for people."""
        values = self._usual if quantiles is None else quantiles
        return "quantiles " + ", ".join(amount(values[index]) for index in _ALONE)


def _usable(quantiles: Sequence[float]) -> bool:
    return len(quantiles) == len(SHARES) and all(abs(each) < 1e100 for each in quantiles)


def _share(quantiles: Sequence[float], value: float, *, above: bool) -> float:
    """The share of the values up to this one, by lines between quantiles; ``above``: with those that are equal to it,
    else without them."""
    at = bisect_right(quantiles, value) if above else bisect_left(quantiles, value)
    if at == 0:
        return 0.0
    if at == len(quantiles):
        return 1.0
    low, high = quantiles[at - 1], quantiles[at]
    part = (value - low) / (high - low) if high > low else 1.0
    return SHARES[at - 1] + (SHARES[at] - SHARES[at - 1]) * part
