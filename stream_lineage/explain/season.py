"""What of a series comes again: with the time of day, of the week, or after any other time that its history shows
several times; learnt from the time before, and taken off."""

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
LEAST_KNOWN = 48
"""Points of history with which another period than the day or the week is looked for."""
_SHORTEST, _REPEATS = 8, 3.0
"""Points of such a period, and how often it must have been seen, at least."""
_ALIKE, _BY_CHANCE = 0.4, 4.0
"""How much a series must be like itself a period later (1: the same), and in standard errors of noise."""
_MOST_SLOTS = 48


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
    usual = [period for period in (DAY, WEEK) if span >= LEAST_SEASONS * period]
    own = _period(times[:known], values[:known], step)
    periods = [(period, round(period / max(_NARROWEST, step))) for period in usual]
    if own is not None and all(abs(own - period) > 0.05 * period for period in usual):
        periods.append((own, min(_MOST_SLOTS, round(own / step))))
    for period, slots in periods:
        if slots < 4 or before == 0:
            continue
        whole = _curve(times[:known], values[:known], period, slots)
        if whole is None:
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
            best, found = _WORTH_IT * after, _at(whole, times, period)
    return found


def again(before: Array) -> NDArray[np.bool_]:
    """Of many series, which seem to repeat themselves: rows of what is known, as many points each."""
    known = before.shape[1]
    if known < LEAST_KNOWN:
        return np.zeros(len(before), dtype=np.bool_)
    alike = _alike(before)
    within = np.nan_to_num(alike[:, : int(known / _REPEATS) + 1])
    found: NDArray[np.bool_] = within.max(axis=1) >= max(_ALIKE, _BY_CHANCE / np.sqrt(known))
    return found


def _alike(rows: Array) -> Array:
    """How much series are like themselves so many points later, 1 at most; nothing before they were unlike once."""
    known = rows.shape[1]
    centered = rows - rows.mean(axis=1)[:, None]
    spread = np.abs(centered).mean(axis=1)[:, None]
    centered = np.clip(centered, -4 * spread, 4 * spread)
    size = 1 << (2 * known - 1).bit_length()
    power = np.abs(np.fft.rfft(centered, size, axis=1)) ** 2
    products = np.fft.irfft(power, size, axis=1)[:, : known // 2 + 1]
    lags = np.arange(products.shape[1])
    alike = products / np.maximum(products[:, :1], 1e-300) * known / np.maximum(known - lags, 1)
    unlike = np.maximum.accumulate(alike < 0.5 * _ALIKE, axis=1)
    unlike[:, :_SHORTEST] = False
    found: Array = np.where(unlike & (lags >= _SHORTEST), alike, 0.0)
    return found


def _period(times: Array, values: Array, step: float) -> float | None:
    """After how many seconds a series comes again, if its history shows that."""
    if len(times) < LEAST_KNOWN or step <= 0:
        return None
    count = int((times[-1] - times[0]) / step) + 1
    if not LEAST_KNOWN <= count <= 8 * len(times):
        return None
    even = np.interp(times[0] + step * np.arange(count), times, values)
    alike = _alike(even[None, :])[0]
    within = alike[: int(count / _REPEATS) + 1]
    best = float(within.max(initial=0.0))
    if best < _ALIKE:
        return None
    lag = int(np.argmax(within >= 0.9 * best))
    while lag + 1 < len(within) and within[lag + 1] > within[lag]:
        lag += 1
    # Many periods later the same again says more exactly how long one is.
    period, times_over = float(lag), 1
    while 2 * times_over * period < len(alike) - 1:
        times_over *= 2
        room = max(1, times_over // 2 + 1)
        middle = round(times_over * period)
        low = max(1, middle - room)
        period = (low + int(np.argmax(alike[low : middle + room + 1]))) / times_over
    return period * step


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
