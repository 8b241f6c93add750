"""How far series are from their own trend around a breach: many at once, each against what is usual for it.

Each series is compared with its own time before. Moving averages of several widths are held against the series' level
before (*level*), and each against the average just before it (*step*, which neither seasons nor drift disturb), and
the same for how much it varies (*spread*). ``ratio`` is how much larger the largest of them is than anything that was
usual: three spreads of that very average, or the largest one before. Such ratios do not saturate, and need no
distribution. After BARO (Pham and others, FSE 2024: robust scores with a change point), with scales that know
autocorrelation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_lineage.explain.recording import Array, Series
from stream_lineage.explain.season import DAY, LEAST_SEASONS, season

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

LEAST_BEFORE = 5
"""Points that a series has before the time that is looked at: with fewer nothing is usual."""
_SPREADS = 3.0
_WIDTHS = (1, 2, 4, 8, 16, 32)
_EVEN_OF_MIDDLE = 0.001
"""A series that hardly moves has this part of its level for a spread, at least."""
_STANDS_STILL = 0.02
_CLIPPED = 6.0
_LARGEST = 1e6
_SINGLE = 0.7
"""One point alone counts so much, unless it is the last one: nobody knows how that goes on."""
_WANDERS = 0.6
"""Autocorrelation of neighbours from which a series is taken to wander."""
_ELEMENTS = 150_000  # at a time: what fits into the processor's cache
CHANNELS = ("level", "step", "spread")


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
class Size:
    """The largest deviation of a series. ``ratio`` of 1 is the limit of what is usual; ``start`` and ``end`` are the
    first and last index of the window it was found in. ``residuals`` are the values less season and the middle of the
    time before, in a scale of their own (logarithms where the series is skewed), ``spread`` is theirs before,
    ``memory`` their autocorrelation."""

    ratio: float
    channel: str
    width: int
    start: int
    end: int
    residuals: Array
    spread: float
    memory: float
    seasonal: bool


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


def sizes(rows: Sequence[Aligned]) -> list[Size]:
    """How far each is off, in the order of ``rows``."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].timing.times))
    found: list[Size | None] = [None] * len(rows)
    with np.errstate(all="ignore"):
        for batch in _batches(rows, order):
            for index, size in zip(batch, _measured([rows[index] for index in batch]), strict=True):
                found[index] = size
    return [size for size in found if size is not None]


def _batches(rows: Sequence[Aligned], order: Sequence[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    shortest = 1
    for index in order:
        length = len(rows[index].timing.times)
        if batch and (length > 1.4 * shortest + 8 or length * (len(batch) + 1) > _ELEMENTS):
            yield batch
            batch = []
        if not batch:
            shortest = length
        batch.append(index)
    if batch:
        yield batch


def _measured(rows: Sequence[Aligned]) -> list[Size]:
    count, length = len(rows), max(len(row.timing.times) for row in rows)
    values = np.zeros((count, length))
    lengths = np.array([len(row.timing.times) for row in rows])
    for index, row in enumerate(rows):
        values[index, length - lengths[index] :] = row.series.values[: lengths[index]]
    # By a power of two, which is exact: neither huge nor tiny values lose digits.
    values = np.ldexp(values, -np.frexp(np.abs(values).max(axis=1))[1][:, None])
    place = np.arange(length)[None, :]
    start = (length - lengths)[:, None]
    first = start + np.array([row.timing.first for row in rows])[:, None]
    valid, before = place >= start, (place >= start) & (place < first)
    known = before.sum(axis=1)
    ordered = np.sort(np.where(before, values, np.inf), axis=1)
    logarithms = _skewed(ordered, known)
    if logarithms.any():
        lowest = ordered[logarithms, :1] / 10
        values[logarithms] = np.log(np.maximum(values[logarithms], lowest))
    seasonal = np.zeros(count, dtype=np.bool_)
    for index, row in enumerate(rows):
        times = row.timing.times
        if times[row.timing.first] - times[0] >= LEAST_SEASONS * DAY:
            own = values[index, length - lengths[index] :]
            curve = season(row.series.times[: lengths[index]], own, row.at + float(times[row.timing.first]))
            if curve is not None:
                own -= curve
                seasonal[index] = True
    changed = logarithms | seasonal
    ordered[changed] = np.sort(np.where(before[changed], values[changed], np.inf), axis=1)

    middle = (_rank(ordered, (known - 1) // 2) + _rank(ordered, known // 2)) / 2
    residuals = np.where(valid, values - middle[:, None], 0.0)
    spread = _spread(residuals, before, known, middle, changed)
    clipped = np.clip(residuals, -_CLIPPED * spread[:, None], _CLIPPED * spread[:, None])
    memory = _memory(clipped, before)
    ratios = np.zeros((3, count))
    widths, ends = (np.zeros((3, count), dtype=np.int64) for _ in range(2))

    variation = np.abs(residuals)
    usual_variation = np.where(before, np.minimum(variation, _CLIPPED * spread[:, None]), 0.0).sum(axis=1) / known
    off = np.where(valid, variation - usual_variation[:, None], 0.0)
    signals = (residuals, residuals, off)
    memories = (memory, memory, np.clip(memory, 0, 0.9))
    for width in _WIDTHS:
        if width > length // 3:
            break
        for number, signal in enumerate(signals):
            if (CHANNELS[number] == "spread" and width < 8) or (CHANNELS[number] == "step" and width == 32):
                continue
            ratio, end = _ratios(
                signal, CHANNELS[number], width, spread, memories[number], known, start[:, 0], first[:, 0]
            )
            better = ratio > ratios[number]
            ratios[number, better], widths[number, better], ends[number, better] = ratio[better], width, end[better]
    # What remembers wanders off by itself: it must have gone faster than it ever went.
    wanders = memory > _WANDERS
    ratios[0] = np.where(wanders, np.minimum(ratios[0], ratios[1]), ratios[0])
    channel = ratios.argmax(axis=0)
    each = np.arange(count)
    best, width_of, end_of = ratios[channel, each], widths[channel, each], ends[channel, each]
    offset = start[:, 0]
    return [
        Size(
            float(best[index]),
            CHANNELS[channel[index]],
            int(width_of[index]),
            int(end_of[index] - width_of[index] + 1 - offset[index]),
            int(end_of[index] - offset[index]),
            residuals[index, offset[index] :],
            float(spread[index]),
            float(memory[index]),
            bool(seasonal[index]),
        )
        for index in range(count)
    ]


def _skewed(ordered: Array, known: Ints) -> Bools:
    """Positive, and with a long tail above."""
    low, middle, high = (_rank(ordered, (known - 1) * share // 100) for share in (5, 50, 95))
    found: Bools = (ordered[:, 0] > 0) & (known >= 20) & (high - middle > 1.6 * (middle - low)) & (high > 1.5 * middle)
    return found


def _rank(ordered: Array, places: Ints) -> Array:
    found: Array = ordered[np.arange(len(ordered)), np.clip(places, 0, ordered.shape[1] - 1)]
    return found


def _spread(residuals: Array, before: Bools, known: Ints, middle: Array, changed: Bools) -> Array:
    """Robust: the larger of what the middle and what nine tenths of the points say."""
    ordered = np.sort(np.where(before, np.abs(residuals), np.inf), axis=1)
    half, most = _rank(ordered, known // 2), _rank(ordered, (9 * known) // 10)
    found = np.maximum(1.4826 * half, most / 1.645)
    floor = np.where(changed, 0.01, _EVEN_OF_MIDDLE * np.abs(middle))
    found = np.maximum(found, floor)
    still = np.maximum(_STANDS_STILL * np.abs(middle), 0.05 * np.abs(residuals).max(axis=1))
    constant = ordered[np.arange(len(ordered)), np.maximum(known - 1, 0)] == 0
    found = np.where(constant, np.maximum(still, floor), found)
    seldom = np.where(before, residuals**2, 0.0).sum(axis=1) / known
    found = np.where(found <= floor, np.maximum(found, np.sqrt(seldom)), found)
    return np.where(found > 0, found, 1.0)


def _memory(clipped: Array, before: Bools) -> Array:
    """Autocorrelation of neighbours."""
    both = before[:, 1:] & before[:, :-1]
    product = np.where(both, clipped[:, 1:] * clipped[:, :-1], 0.0).sum(axis=1)
    square = np.where(before, clipped**2, 0.0).sum(axis=1)
    raw, known = np.nan_to_num(product / square), before.sum(axis=1)
    # Short histories make it look smaller than it is (Marriott and Pope 1954), and do not know it well.
    found: Array = np.clip(raw + (1 + 3 * raw) / known + 0.5 / np.sqrt(known), 0.0, 0.98)
    return found


def _ratios(
    signal: Array, channel: str, width: int, spread: Array, memory: Array, known: Ints, start: Ints, first: Ints
) -> tuple[Array, Ints]:
    """The largest deviation of one width since ``first``, in what is usual for the width, and where its window ends."""
    length = signal.shape[1]
    sums = np.concatenate((np.zeros((len(signal), 1)), np.cumsum(signal, axis=1)), axis=1)
    averages = (sums[:, width:] - sums[:, :-width]) / width
    ends = np.arange(width - 1, length)
    span = width
    if channel == "step":
        averages = averages[:, width:] - averages[:, :-width]
        ends, span = ends[width:], 2 * width
    if not averages.shape[1]:
        return np.zeros(len(signal)), np.zeros(len(signal), dtype=np.int64)
    begin = ends[None, :] - span + 1
    usual = (begin >= start[:, None]) & (ends[None, :] < first[:, None])
    late = (begin >= start[:, None]) & (ends[None, :] - width + 1 >= first[:, None])
    size = averages if channel == "spread" else np.abs(averages)
    windows = usual.sum(axis=1)
    clip = _CLIPPED * spread[:, None]
    squares = np.where(usual, np.minimum(np.abs(size), clip) ** 2, 0.0).sum(axis=1) / np.maximum(windows, 1)
    largest = np.where(usual, np.abs(size), 0.0).max(axis=1)
    inflation = (1 + memory) / (1 - memory)
    error = np.minimum(1, inflation / width) + np.minimum(1, inflation / (width if channel == "step" else known))
    deviation = np.maximum(np.sqrt(squares), spread * np.sqrt(error) * (0.8 if channel == "step" else 1.0))
    deviation = deviation * (1 + 3 / known)
    limit = np.maximum(_SPREADS * deviation, 0.9 * largest)
    masked = np.where(late, size, -np.inf)
    peak = masked.argmax(axis=1)
    ratio = masked[np.arange(len(signal)), peak] / limit
    if width == 1:
        ratio = np.where(ends[peak] == length - 1, ratio, ratio * _SINGLE)
    if channel == "spread":
        ratio = ratio * _SINGLE
    enough = windows >= max(LEAST_BEFORE, width) if channel != "step" else windows >= max(3, width // 2)
    ratio = np.minimum(np.nan_to_num(ratio, nan=0.0, posinf=_LARGEST, neginf=0.0), _LARGEST)
    return np.where(enough, ratio, 0.0), ends[peak]
