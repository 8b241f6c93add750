"""Count, range, mean and sum of squared deviations of a column, which merge without losing digits.

Two parts are merged by the pairwise formula of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
computing sample variances", 1979.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Moments:
    """``m2`` is the sum of squared deviations from the mean; beyond the largest double it stays there.
    ``min`` and ``max`` are 0 while ``count`` is 0."""

    count: int = 0
    min: float = 0.0
    max: float = 0.0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Moments:
        """The moments of finite values."""
        count = len(values)
        if count == 0:
            return cls()
        low, high = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))
        mean = float(np.add.reduce(values)) / count
        if low > -1e150 and high < 1e150:
            deviations = values - mean
            np.multiply(deviations, deviations, out=deviations)
            m2 = float(np.add.reduce(deviations))
        else:  # the plain sums may overflow
            scale = max(-low, high)
            scaled = values / scale
            centre = float(np.add.reduce(scaled)) / count
            mean = centre * scale
            m2 = float(np.add.reduce(np.square(scaled - centre))) * scale * scale
        return cls(count, low, high, min(max(mean, low), high), min(m2, _LARGEST))

    def merge(self, other: Moments) -> Moments:
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        count = self.count + other.count
        low, high = min(self.min, other.min), max(self.max, other.max)
        difference = other.mean - self.mean
        if math.isfinite(difference):
            mean = self.mean + difference * (other.count / count)
        else:
            mean = self.mean * (self.count / count) + other.mean * (other.count / count)
        m2 = self.m2 + other.m2 + difference * difference * (self.count / count) * other.count
        return Moments(count, low, high, min(max(mean, low), high), min(m2, _LARGEST))
