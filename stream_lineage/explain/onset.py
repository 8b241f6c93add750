"""Since when a series deviates: a change point with the interval that it lies in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stream_lineage.explain.deviation import Size
from stream_lineage.explain.recording import Array
from stream_lineage.explain.residuals import Aligned

Shape = Literal["shift", "ramp", "spike", "spread", "silence"]

_UNSURE = 8.0
"""Change points that explain less by no more than this (in squared spreads) are as likely."""
_LONG = 8
_CLEARLY = 4.0
"""So many spreads off a point deviates by itself."""
_REACH = 4
_FAR = 1e6  # spreads: what is further off must not drown the rest


@dataclass(frozen=True, slots=True)
class Onset:
    """Seconds from the breach. ``at`` is the time of the first point that deviates; it began between ``earliest``, a
    point that did not, and ``latest``. ``last`` is the last deviating point."""

    at: float
    earliest: float
    latest: float
    last: float
    shape: Shape


def onset(row: Aligned, size: Size) -> Onset:
    """Where the deviation begins that ``size`` is of."""
    if size.channel == "spread":
        signal = np.minimum(np.abs(size.residuals) / size.spread, _FAR)
        signal = signal - _mean(np.minimum(signal[: row.timing.first], 6.0))
    else:
        signal = np.maximum(np.minimum(size.residuals / size.spread, _FAR), -_FAR)
        if size.channel == "step":
            signal = signal - _mean(signal[max(0, size.start - size.width) : size.start])
    low, high = _stretch(signal, row.timing.first, size), size.end
    part = signal[low : high + 1]
    if np.add.reduce(part) < 0:
        part = -part
    gains, ramp = _gains(part)
    best = int(gains.argmax())
    inflation = (1 + size.memory) / (1 - size.memory)
    loss = gains[best] - gains
    near = loss <= min(_UNSURE * inflation, 0.25 * max(float(gains[best]), 1e-9))
    contiguous = _contiguous(near.tolist(), best)
    first, last = low + contiguous[0], low + contiguous[1]
    values = signal.tolist()
    place = _begins(values, low + best, low, 1.0 if values[low + best] >= 0 else -1.0)
    first, last = min(first, place), max(last, place)
    if ramp:  # of what grows slowly nobody knows when it began until it is clearly off
        clearly = np.flatnonzero(np.abs(signal[first : high + 1]) >= _CLEARLY)
        last = max(last, first + int(clearly[0]) if len(clearly) else last)
    times = row.timing.times
    shape: Shape = "ramp" if ramp else "shift"
    if size.channel == "spread":
        shape = "spread"
    elif size.width == 1 and high < len(times) - 1 and abs(values[high + 1]) < abs(values[high]) / 3:
        shape = "spike"
    return Onset(
        float(times[place]),
        float(times[first - 1]) if first > 0 else float(times[0]),
        float(times[last]),
        float(times[_until(values, _mean(signal[place : high + 1]), high)]),
        shape,
    )


def _mean(values: Array) -> float:
    """As NumPy's, in a third of the time: of few values that is spent on what is around it."""
    return float(np.add.reduce(values)) / len(values)


def _begins(signal: Sequence[float], place: int, low: int, sign: float) -> int:
    """The first of the points just before a change point that are as clearly off: what grows begins before it is
    large."""
    while place > low and sign * signal[place - 1] >= _CLEARLY:
        place -= 1
    return place


def _stretch(signal: Array, first: int, size: Size) -> int:
    """Where to look from: a width before the window, or, for levels, before all that is at half its height at least."""
    low = size.start
    if size.channel != "step":
        width = min(size.width, _LONG)
        sums = np.concatenate(([0.0], np.cumsum(signal[: size.end + 1])))
        height = _mean(signal[size.start : size.end + 1])
        half = height / 2 if height != 0 else 1.0
        while low > first and (sums[low + width - 1] - sums[low - 1]) / width / half >= 1:
            low -= 1
    return min(max(first, low - max(size.width - 1, 3)), size.start)


def _gains(part: Array) -> tuple[Array, bool]:
    """How much of the signal, from each place on, a step or a ramp that begins there explains; whether ramps do
    better."""
    count = len(part)
    left = np.arange(count, 0, -1, dtype=np.float64)
    sums = part[::-1].cumsum()[::-1]
    steps: Array = np.where(sums > 0, sums**2 / left, 0.0)
    if count < _LONG:
        return steps, False
    # The sum of (j - k + 1) x_j over j >= k is the sum of the sums from k on.
    weighted = sums[::-1].cumsum()[::-1]
    ramps: Array = np.where(weighted > 0, weighted**2 / (left * (left + 1) * (2 * left + 1) / 6), 0.0)
    if ramps.max() > _better(float(steps.max()), float(np.add.reduce(part**2))):
        return ramps, True
    return steps, False


def _better(explained: float, all_of_it: float) -> float:
    """What a ramp must explain to be believed: a good part of what the step leaves."""
    return explained + max(10.0, 0.3 * (all_of_it - explained)) if math.isfinite(all_of_it) else math.inf


def _contiguous(near: Sequence[bool], best: int) -> tuple[int, int]:
    """From where to where places around the best one are near it."""
    low = high = best
    while low > 0 and near[low - 1]:
        low -= 1
    while high + 1 < len(near) and near[high + 1]:
        high += 1
    return low, high


def _until(signal: Sequence[float], level: float, peak: int) -> int:
    """The last point of the deviation: from the peak on, while it is half as large as its level, a few points aside."""
    sign = 1.0 if level >= 0 else -1.0
    size = max(1.0, abs(level) / 2)
    last = peak
    for index in range(peak + 1, len(signal)):
        if sign * signal[index] >= size:
            last = index
        elif index - last > _REACH:
            break
    return last
