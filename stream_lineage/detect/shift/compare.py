"""Whether two quantile sketches show the same distribution.

A plain two-sample Kolmogorov-Smirnov test on sketches rejects what is equal: with many records the sketches' own rank
errors look like a difference. So the distance is reduced by the error bounds of both before it is tested, with the true
counts. And a small distance is certain with many records without mattering to anybody: a shift has to be large, and
larger than what the same slots usually show, too. Source of the p-value: Stephens, "Use of the Kolmogorov-Smirnov,
Cramer-von Mises and related statistics without extensive tables", 1970.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_lineage.detect.shift.ranks import Ranks, ranks_of

LEAST_EFFECT = 0.1
"""The smallest corrected distance that matters. Higher: only shifts of more of the records are found."""
DEFAULT_PROBABILITY = 7e-6
"""How likely chance alone may show the distance. 7e-6 lets 100 series of 1-minute windows cry wolf once a day."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_OVER_USUAL = 1.25
_MANY_USUAL = 5


@dataclass(frozen=True, slots=True)
class QuantileShift:
    """A quantile before and after, in the unit of the values."""

    share: float
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Shift:
    """``distance``: the largest difference of the shares of records below some value, 0 to 1, and ``at``: that value.
    ``corrected``: what is left of it without the sketches' errors. ``p``: how likely chance alone is to show as much.

    ``effect``: the middle one of the shifts of the quantiles, in interquartile ranges of before, with its sign.
    ``shifted``: whether it is a shift by size, by chance and by what is usual.
    """

    distance: float
    corrected: float
    p: float
    effect: float
    at: float | None
    quantiles: tuple[QuantileShift, ...]
    shifted: bool


def compare(
    before: Any,
    after: Any,
    *,
    usual: Sequence[float] = (),
    least_effect: float = LEAST_EFFECT,
    probability: float = DEFAULT_PROBABILITY,
) -> Shift:
    """Compare two sketches, or their serialized images; one without values has not shifted.

    ``usual``: corrected distances that the same slots showed lately: a shift exceeds the largest of them (the second
    largest of five or more, for one may have been a fault) by a quarter.

    Raises:
        DecodeError: bytes are no image of a quantile sketch.
    """
    old, new = ranks_of(before), ranks_of(after)
    if not old.count or not new.count:
        return Shift(0.0, 0.0, 1.0, 0.0, None, (), False)
    values = np.union1d(old.values, new.values)
    apart = np.abs(old.share_at(values) - new.share_at(values))
    place = int(np.argmax(apart))
    distance = float(apart[place])
    corrected = max(0.0, distance - old.error - new.error)
    p = p_value(corrected, old.count, new.count)
    known = sorted(usual, reverse=True)
    bar = known[1 if len(known) >= _MANY_USUAL else 0] * _OVER_USUAL if known else 0.0
    shifts = _quantile_shifts(old, new)
    shifted = corrected >= max(least_effect, bar) and p <= probability
    return Shift(distance, corrected, p, _effect(shifts), float(values[place]), shifts, shifted)


def p_value(distance: float, before: int, after: int) -> float:
    """How likely two samples of so many values of one continuous distribution are to lie so far apart, or further."""
    samples = before * after / (before + after)
    root = math.sqrt(samples)
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:  # the series does not converge there; the value is 1 to ten digits
        return 1.0
    total = sum((1.0 if term % 2 else -1.0) * math.exp(-2 * (term * scaled) ** 2) for term in range(1, 101))
    return min(max(2 * total, 0.0), 1.0)


def _quantile_shifts(old: Ranks, new: Ranks) -> tuple[QuantileShift, ...]:
    shares: NDArray[np.float64] = np.array(QUANTILES)
    pairs = zip(QUANTILES, old.quantiles(shares).tolist(), new.quantiles(shares).tolist(), strict=True)
    return tuple(QuantileShift(share, before, after) for share, before, after in pairs)


def _effect(shifts: tuple[QuantileShift, ...]) -> float:
    moved = sorted(each.after - each.before for each in shifts)[len(shifts) // 2]
    width = shifts[3].before - shifts[1].before
    if width <= 0:
        width = shifts[-1].before - shifts[0].before
    if width <= 0:
        width = abs(shifts[2].before)
    if moved == 0 or not math.isfinite(moved):
        return 0.0 if moved == 0 else math.copysign(1e6, moved)
    return math.copysign(min(abs(moved) / width, 1e6) if width > 0 else 1e6, moved)
