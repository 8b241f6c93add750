"""Series in a scale of their own: less their season and the middle of the time before, many at once.

And what is usual of them before: how much they vary, how long they remember, the least that counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_lineage.explain.recording import Array, Series
from stream_lineage.explain.season import DAY, LEAST_SEASONS, again, season

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

LEAST_BEFORE = 5
"""Points that a series has before the time that is looked at: with fewer nothing is usual."""
CLIPPED = 6.0
"""Spreads beyond which nothing counts more, where what is usual is worked out."""
_EVEN_OF_MIDDLE = 0.001
"""A series that hardly moves has this part of its level for a spread, at least."""
_STANDS_STILL = 0.1
"""Where nothing ever moved: this part of the level, divided by the points that are known, is a spread, at least."""
_BELOW = 0.8
"""What is below so much of the smallest value before has fallen."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds from the breach. ``first`` is where the time that is looked at begins; ``step`` is usual between
    two."""

    times: Array
    first: int
    step: float


@dataclass(frozen=True, slots=True)
class Aligned:
    """A series cut to what matters: as many of its values as there are times."""

    series: Series
    at: float
    timing: Timing


@dataclass(frozen=True, slots=True)
class Residuals:
    """Of many series, padded in front: the values less season and middle, and what is usual of each. ``start`` is where
    a row begins, ``first`` where the time begins that is looked at; ``valid`` are the points there are, ``before``
    those before that time, ``known`` how many. ``floor`` is the least that counts."""

    residuals: Array
    start: Ints
    first: Ints
    known: Ints
    valid: Bools
    before: Bools
    spread: Array
    floor: Array
    memory: Array
    seasonal: Bools
    fallen: Bools


def timing(times: Array, at: float, horizon: float, after: float, *, keep: float = 0.5) -> Timing | None:
    """Of a series; null if too few points are before the horizon (seconds before the breach), or none since. Of the
    points before the breach the part ``keep`` is history, at least."""
    end = int(np.searchsorted(times, at + after, side="right"))
    near = times[:end] - at
    before = int(np.searchsorted(near, 0.0, side="right"))
    if before < LEAST_BEFORE + 1:
        return None
    first = max(int(np.searchsorted(near, -horizon)), min(before - 1, math.ceil(keep * before)), LEAST_BEFORE)
    if first >= len(near):
        return None
    return Timing(near, first, float(np.median(np.diff(near))))


def residuals_of(rows: Sequence[Aligned], *, by_factors: bool = False) -> Residuals:
    count = len(rows)
    lengths = np.array([len(row.timing.times) for row in rows])
    length = int(lengths.max())
    values = np.zeros((count, length))
    for index, (row, own) in enumerate(zip(rows, lengths.tolist(), strict=True)):
        values[index, length - own :] = row.series.values[:own]
    # By a power of two, which is exact: neither huge nor tiny values lose digits.
    values = np.ldexp(values, -np.frexp(np.abs(values).max(axis=1))[1][:, None])
    place = np.arange(length)[None, :]
    start = (length - lengths)[:, None]
    first = start + np.array([row.timing.first for row in rows])[:, None]
    valid, before = place >= start, (place >= start) & (place < first)
    known = before.sum(axis=1)
    ordered = np.sort(np.where(before, values, np.inf), axis=1)
    lowest = ordered[:, :1]
    below = (place >= first) & (values < _BELOW * lowest)
    fallen = (lowest[:, 0] > 0) & (below.sum(axis=1) > 1)
    logarithms = np.ones(count, dtype=np.bool_) if by_factors else _skewed(ordered, known)
    if logarithms.any():
        values[logarithms] = np.log(np.maximum(values[logarithms], lowest[logarithms] / 10))
    seasonal = np.zeros(count, dtype=np.bool_)
    repeats = again(_just_before(values, first[:, 0], int(known.min())))
    long = by_timing(rows, lambda each: each.times[each.first] - each.times[0] >= LEAST_SEASONS * DAY)
    for index in np.flatnonzero(repeats | np.array(long)).tolist():
        row, own_start = rows[index], int(start[index, 0])
        times, own = row.timing.times, values[index, own_start:]
        curve = season(row.series.times[: len(times)], own, row.at + float(times[row.timing.first]))
        if curve is not None:
            own -= curve
            seasonal[index] = True
    changed = logarithms | seasonal
    ordered[changed] = np.sort(np.where(before[changed], values[changed], np.inf), axis=1)

    middle = (_rank(ordered, (known - 1) // 2) + _rank(ordered, known // 2)) / 2
    residuals = np.where(valid, values - middle[:, None], 0.0)
    spread, floor = _spread(residuals, before, known, middle, changed)
    clipped = np.clip(residuals, -CLIPPED * spread[:, None], CLIPPED * spread[:, None])
    memory = _memory(clipped, before)
    return Residuals(residuals, start[:, 0], first[:, 0], known, valid, before, spread, floor, memory, seasonal, fallen)


def _just_before(values: Array, first: Ints, count: int) -> Array:
    """So many columns of each row, up to where the time begins that is looked at."""
    if first.min() == first.max():
        return values[:, first[0] - count : first[0]]
    return np.stack([each[end - count : end] for each, end in zip(values, first.tolist(), strict=True)])


def by_timing(rows: Sequence[Aligned], told: Callable[[Timing], Any]) -> list[Any]:
    """What is told of the timing of each row: most share one, which is asked once."""
    known: dict[int, Any] = {}
    return [known[key] if (key := id(row.timing)) in known else known.setdefault(key, told(row.timing)) for row in rows]


def _skewed(ordered: Array, known: Ints) -> Bools:
    """Positive, and with a long tail above."""
    low, middle, high = (_rank(ordered, (known - 1) * share // 100) for share in (5, 50, 95))
    found: Bools = (ordered[:, 0] > 0) & (known >= 20) & (high - middle > 1.6 * (middle - low)) & (high > 1.5 * middle)
    return found


def _rank(ordered: Array, places: Ints) -> Array:
    found: Array = ordered[np.arange(len(ordered)), np.clip(places, 0, ordered.shape[1] - 1)]
    return found


def _spread(residuals: Array, before: Bools, known: Ints, middle: Array, changed: Bools) -> tuple[Array, Array]:
    """Robust: the larger of what the middle and what nine tenths of the points say. And the least that counts."""
    ordered = np.sort(np.where(before, np.abs(residuals), np.inf), axis=1)
    half, most = _rank(ordered, known // 2), _rank(ordered, (9 * known) // 10)
    found = np.maximum(1.4826 * half, most / 1.645)
    floor = np.where(changed, 0.01, _EVEN_OF_MIDDLE * np.abs(middle))
    found = np.maximum(found, floor)
    # What never moved is the surer to stand still the longer that is known.
    stands = np.maximum(_EVEN_OF_MIDDLE, _STANDS_STILL / known)
    still = np.maximum(stands * np.abs(middle), 0.05 * np.abs(residuals).max(axis=1))
    constant = ordered[np.arange(len(ordered)), np.maximum(known - 1, 0)] == 0
    found = np.where(constant, np.maximum(still, floor), found)
    floor = np.where(constant, found, floor)
    seldom = np.where(before, residuals**2, 0.0).sum(axis=1) / known
    found = np.where(found <= floor, np.maximum(found, np.sqrt(seldom)), found)
    return np.where(found > 0, found, 1.0), np.where(floor > 0, floor, np.where(found > 0, 0.05 * found, 1.0))


def _memory(clipped: Array, before: Bools) -> Array:
    """Autocorrelation of neighbours."""
    both = before[:, 1:] & before[:, :-1]
    product = np.where(both, clipped[:, 1:] * clipped[:, :-1], 0.0).sum(axis=1)
    square = np.where(before, clipped**2, 0.0).sum(axis=1)
    raw, known = np.nan_to_num(product / square), before.sum(axis=1)
    # Short histories make it look smaller than it is (Marriott and Pope 1954), and do not know it well.
    found: Array = np.clip(raw + (1 + 3 * raw) / known + 0.5 / np.sqrt(known), 0.0, 0.98)
    return found
