"""How large a statistic becomes when nothing is wrong, and which size is then too large.

The largest value in each short block of time goes into a histogram of geometric bins. Two high quantiles of it tell how
its tail falls, and the threshold is where the tail, drawn on, leaves the probability that the budget of false alarms
allows a block: as a Weibull tail, ``-log S = (u / c) ** (1 / theta)``, where it is light (normal: theta 1/2,
exponential: 1), and towards a power law where it is heavy. Blocks make neighbours that hang together count once.
Source: Gardes, Girard, Guillou, "Weibull tail-distributions revisited", 2011.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import cache

_LEAST = 0.6
_RATIO = 1.2
_BINS = 32
_EDGES = [_LEAST * _RATIO**index for index in range(_BINS)]
_LOG_RATIO = math.log(_RATIO)
_MOST_BLOCKS = 2000.0
_PRIOR_BLOCKS = 12.0
_PRIOR_THETA = 0.65
_PRIOR_WORTH = 60.0  # blocks
_LEAST_THETA = 0.45
_HEAVY_FROM, _HEAVY_OVER = 0.75, 0.75
_MARGIN = 1.1
_HIGHEST = 1e4


class Tail:
    """``floor``: no threshold is lower. ``probability``: that a block exceeds the threshold, when nothing is wrong."""

    __slots__ = ("_bounded", "_fewest", "_floor", "_probability", "_usual", "counts", "highest", "threshold")

    def __init__(
        self,
        state: list[float],
        *,
        usual: float,
        floor: float,
        probability: float,
        fewest: float,
        threshold: float | None,
        bounded: bool = False,
    ) -> None:
        """``bounded``: there is a size that cannot be exceeded, so that the tail is a light one. ``threshold``: what
        it was for this probability, where that is known. ``fewest``: blocks that tell where the tail begins: more are
        steadier, and see later that it is heavy."""
        self._usual, self._fewest, self._bounded = usual, fewest, bounded
        self.highest = state[0]
        self.counts = state[1:]
        self._floor = floor
        self._probability = min(max(probability, 1e-12), 1e-2)
        self.threshold = self._threshold() if threshold is None else threshold

    @staticmethod
    def initial(usual: float) -> list[float]:
        """``usual``: the median of block maxima, before anything is known."""
        return list(_prior(usual))

    def state(self) -> list[float]:
        return [self.highest, *self.counts]

    def forget(self, share: float) -> None:
        """Believe only this share of what was seen."""
        prior = _prior(self._usual)[1:]
        self.counts = [share * each + (1 - share) * before for each, before in zip(self.counts, prior, strict=True)]
        self.threshold = self._threshold()

    def turn(self, worth: float = 1.0) -> None:
        """A block ends; ``worth``: what it counts."""
        self.counts[bisect_right(_EDGES, self.highest)] += worth
        if sum(self.counts) > _MOST_BLOCKS:
            self.counts = [0.75 * each for each in self.counts]
        self.highest = 0.0
        self.threshold = self._threshold()

    def _threshold(self) -> float:
        return min(max(self._floor, _MARGIN * self.size(self._probability)), _HIGHEST)

    def size(self, probability: float) -> float:
        """The size that a block's maximum exceeds with this probability."""
        total = sum(self.counts)
        rare = self._fewest / total
        if probability >= rare:
            return self._quantile(probability * total)
        common = min(10 * rare, 0.5)
        near, far = self._quantile(common * total), self._quantile(rare * total)
        depth = math.log(rare) / math.log(common)
        seen = math.log(far / near) / math.log(depth)
        believed = total / (total + _PRIOR_WORTH)
        theta = max(believed * seen + (1 - believed) * _PRIOR_THETA, _LEAST_THETA)
        if self._bounded:
            theta = min(theta, _PRIOR_THETA)
        light = theta * math.log(math.log(probability) / math.log(rare))
        heavy = math.log(far / near) * math.log(rare / probability) / math.log(common / rare)
        share = believed * min(max((theta - _HEAVY_FROM) / _HEAVY_OVER, 0.0), 1.0)
        return math.exp(min(math.log(far) + light + share * max(heavy - light, 0.0), 50.0))

    def _quantile(self, beyond: float) -> float:
        """The size that so many blocks exceed."""
        above = 0.0
        counts = self.counts
        for index in range(_BINS, 0, -1):
            here = counts[index]
            if above + here >= beyond:
                part = (beyond - above) / here
                return _EDGES[index - 1] * math.exp(_LOG_RATIO * (1 - part))
            above += here
        return _LEAST


@cache
def _prior(usual: float) -> tuple[float, ...]:
    scale = usual / math.log(2) ** _PRIOR_THETA
    left = [math.exp(-((edge / scale) ** (1 / _PRIOR_THETA))) for edge in _EDGES] + [0.0]
    counts = [1 - left[0], *(left[index] - left[index + 1] for index in range(_BINS))]
    return (0.0, *(round(_PRIOR_BLOCKS * each, 4) for each in counts))
