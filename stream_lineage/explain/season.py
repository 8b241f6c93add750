"""What of a series is the time of day or of the week: learnt from the time before, and taken off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.explain.recording import Array

DAY = 86_400.0
WEEK = 7 * DAY
LEAST_SEASONS = 1.95
"""Days, or weeks, that must be known."""
_NARROWEST = 1800.0
_WORTH_IT = 0.8
"""A season is believed if what one half of the days teaches leaves so much of the spread of the other half, at most."""
_LEAST_COVERED = 0.8


def season(times: Array, values: Array, known_until: float) -> Array | None:
    """What is expected at each time by the hour of the day or of the week; null where the history does not tell.

    ``times`` are ascending epoch seconds. Nothing at or after ``known_until`` is learnt from.
    """
    known = int(np.searchsorted(times, known_until))
    if known < 16:
        return None
    span = times[known - 1] - times[0]
    step = float(np.median(np.diff(times[:known])))
    before = _spread(values[:known] - np.median(values[:known]))
    best, found = _WORTH_IT * before, None
    for period in (DAY, WEEK):
        if span < LEAST_SEASONS * period or before == 0:
            continue
        width = max(_NARROWEST, step)
        slots = max(2, round(period / width))
        if slots < 4:
            continue
        parity = (np.floor((times[:known] - times[0]) / period) % 2).astype(np.int64)
        left = []
        for half in (0, 1):
            learnt, tried = parity == half, parity != half
            curve = _curve(times[:known][learnt], values[:known][learnt], period, slots)
            if curve is None:
                break
            left.append(values[:known][tried] - _at(curve, times[:known][tried], period))
        if len(left) < 2:
            continue
        after = _spread(np.concatenate(left))
        if after < best:
            curve = _curve(times[:known], values[:known], period, slots)
            if curve is not None:
                best, found = _WORTH_IT * after, _at(curve, times, period)
    return found


def _spread(residuals: Array) -> float:
    """Robust, and not nothing for what is seldom off."""
    sizes = np.abs(residuals)
    return float(np.mean(np.minimum(sizes, 6 * max(float(np.median(sizes)), 1e-12 + 0.2 * float(sizes.mean())))))


def _curve(times: Array, values: Array, period: float, slots: int) -> Array | None:
    """The median of each slot of the period; gaps are filled from beside."""
    slot = np.minimum((times % period / period * slots).astype(np.int64), slots - 1)
    order = np.lexsort((values, slot))
    counts = np.bincount(slot, minlength=slots)
    covered = counts > 0
    if covered.mean() < _LEAST_COVERED:
        return None
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    ordered = values[order]
    low = ordered[np.minimum(starts + np.maximum(counts - 1, 0) // 2, len(ordered) - 1)]
    high = ordered[np.minimum(starts + counts // 2, len(ordered) - 1)]
    curve: Array = (low + high) / 2
    places: NDArray[np.int64] = np.flatnonzero(covered)
    return np.interp(np.arange(slots), places, curve[places], period=slots)


def _at(curve: Array, times: Array, period: float) -> Array:
    """Between the middles of slots the curve is straight."""
    slots = len(curve)
    return np.interp(times % period / period * slots - 0.5, np.arange(slots), curve, period=slots)
