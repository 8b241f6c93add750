"""How far series are from their own trend around a breach: many at once, each against what is usual for it.

Each series is compared with its own time before. Moving averages of several widths are held against the series' level
before (*level*), and each against the average just before it or the line through it (*step*, which neither seasons nor
drift disturb), and the same for how much it varies (*spread*). ``ratio`` is how much larger the largest of them is than
anything that was usual: three spreads of that very average, or the largest one before. Such ratios do not saturate, and
need no distribution. Single points that stand out are taken for one point only. After BARO (Pham and others, FSE 2024:
robust scores with a change point), with scales that know autocorrelation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stream_lineage.explain.recording import Array
from stream_lineage.explain.residuals import (
    CLIPPED,
    LEAST_BEFORE,
    Aligned,
    Bools,
    Ints,
    Residuals,
    by_timing,
    residuals_of,
)

_SPREADS = 3.0
_LARGEST = 1e6
_SINGLE = 0.7
"""One point alone counts so much, unless it is the last one: nobody knows how that goes on."""
_NEAR, _FAR_SINGLE = 12, 1.2
"""Further than so many points before the breach one point alone is no deviation: its ratio is this, at most."""
_AS_LARGE, _SURE = 0.6, 1.7
"""The first that is so large a part of the largest, and deviates for sure, is where it began."""
_OUT, _APART = 4.0, 6
"""So much further off than both its neighbours (in usual steps) a single point is a spike, if there is no other within
so many points."""
_FEW = 2.0
"""How much wider what is usual is taken where few windows say so: this, divided by their number, is added."""
_SLOW = 1.6
"""How much more a level may count than the steps to it, where no season is known."""
_WANDERS = 0.6
"""Autocorrelation of neighbours from which a series is taken to wander."""
_ELEMENTS = 150_000  # at a time: what fits into the processor's cache
CHANNELS = ("level", "step", "spread")


@dataclass(frozen=True, slots=True)
class _Look:
    """At ``width`` points, against the ``base`` points just before them (none: against all that was before), or,
    ``straight``, against the line through twice as many."""

    channel: str
    width: int
    base: int = 0
    straight: bool = False

    @property
    def span(self) -> int:
        return self.width + self.base * (2 if self.straight else 1)


_LOOKS = (
    *(_Look("level", width) for width in (1, 2, 4, 8, 16, 32)),
    *(_Look("step", *sizes) for sizes in ((1, 1), (1, 4), (2, 2), (2, 4), (2, 8), (4, 4), (4, 8), (8, 8), (16, 16))),
    *(_Look("step", *sizes, straight=True) for sizes in ((1, 4), (2, 4), (3, 8), (6, 12))),
    *(_Look("spread", width) for width in (8, 16, 32)),
)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Of each row from where on it is near the breach. ``alike``: all rows have as many points, before as well as
    after."""

    near: Ints
    alike: bool


@dataclass(frozen=True, slots=True)
class Size:
    """The largest deviation of a series. ``ratio`` of 1 is the limit of what is usual; ``start`` and ``end`` are the
    first and last index of the window it was found in. ``residuals`` are the values less season and the middle of the
    time before, in a scale of their own (logarithms where the series is skewed), ``spread`` is theirs before,
    ``memory`` their autocorrelation; ``fallen``: it was always positive, and lies well below all that it was."""

    ratio: float
    channel: str
    width: int
    start: int
    end: int
    residuals: Array
    spread: float
    memory: float
    seasonal: bool
    fallen: bool


def sizes(rows: Sequence[Aligned], *, by_factors: bool = True) -> list[Size]:
    """How far each is off, in the order of ``rows``. ``by_factors``: what fell is judged by its logarithm too."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].timing.times))
    found: list[Size | None] = [None] * len(rows)
    with np.errstate(all="ignore"):
        for batch in _batches(rows, order):
            for index, size in zip(batch, _measured([rows[index] for index in batch]), strict=True):
                found[index] = size
        # What falls can fall by all of it at most, few spreads of what varies; its logarithm knows no end.
        fallen = [index for index in order if by_factors and (each := found[index]) is not None and each.fallen]
        for batch in _batches(rows, fallen):
            by_logarithm = _measured([rows[index] for index in batch], by_factors=True)
            for index, size in zip(batch, by_logarithm, strict=True):
                known = found[index]
                if known is None or size.ratio > known.ratio:
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


@dataclass(frozen=True, slots=True)
class Scaled:
    """A series in its own scale, whether it deviates or not: see ``Size``."""

    residuals: Array
    spread: float
    memory: float


def scaled(rows: Sequence[Aligned]) -> list[Scaled]:
    """What ``sizes`` says of series but how far they are off, which takes most of its time. In their order."""
    found: list[Scaled] = []
    for batch in _batches(rows, range(len(rows))):
        with np.errstate(all="ignore"):
            own = residuals_of([rows[index] for index in batch])
        columns = (own.start, own.spread, own.memory, own.fallen)
        for index, residuals, (start, spread, memory, fallen) in zip(
            batch, own.residuals, zip(*(column.tolist() for column in columns), strict=True), strict=True
        ):
            if fallen:  # in which scale it falls farther must be looked at
                [size] = sizes([rows[index]])
                found.append(Scaled(size.residuals, size.spread, size.memory))
            else:
                found.append(Scaled(residuals[start:], spread, memory))
    return found


def _measured(rows: Sequence[Aligned], *, by_factors: bool = False) -> list[Size]:
    own = residuals_of(rows, by_factors=by_factors)
    residuals, start, first, known, spread = own.residuals, own.start, own.first, own.known, own.spread
    count, length = residuals.shape
    ratios = np.zeros((3, count))
    widths, ends = (np.zeros((3, count), dtype=np.int64) for _ in range(2))
    calm = _without_spikes(residuals, own.valid, own.before, own.floor)
    variation = np.abs(calm)
    usual = np.where(own.before, np.minimum(variation, CLIPPED * spread[:, None]), 0.0).sum(axis=1) / known
    off = np.where(own.valid, variation - usual[:, None], 0.0)
    totals = [
        np.concatenate((np.zeros((count, 1)), np.cumsum(each, axis=1)), axis=1) for each in (residuals, calm, off)
    ]
    alike = bool(start.max() == 0 and first.min() == first.max())
    near = start + by_timing(rows, lambda each: int(np.searchsorted(each.times, 0.0, side="right"))) - _NEAR
    bounds = _Bounds(near, alike)
    for look in _LOOKS:
        if look.span > length // 2 + 2 or look.width > length // 3:
            continue
        number = CHANNELS.index(look.channel)
        total = totals[2 if look.channel == "spread" else 0 if look.width == 1 else 1]
        ratio, end = _ratios(total, look, own, bounds)
        better = ratio > ratios[number]
        ratios[number, better], widths[number, better], ends[number, better] = ratio[better], look.width, end[better]
    # What remembers wanders off by itself, and of less than two days nobody knows how much is the time of day: it must
    # have gone faster than it ever went.
    # What is off varies, too; and of what varies single points are far off.
    larger = (ratios[1] > ratios[0]).astype(np.int64)
    single = (widths[larger, np.arange(count)] == 1) & (ends[larger, np.arange(count)] < length - 1)
    ratios[2] = np.where(single | (ratios[2] > ratios[0]), ratios[2], 0.0)
    varies = (ratios[2] >= _SURE) & single
    ratios[:2] = np.where(varies & (widths[:2] == 1), 0.0, ratios[:2])
    wanders = own.memory > _WANDERS
    ratios[0] = np.where(wanders, np.minimum(ratios[0], ratios[1]), ratios[0])
    ratios[0] = np.where(own.seasonal, ratios[0], np.minimum(ratios[0], _SLOW * ratios[1]))
    channel = ratios.argmax(axis=0)
    each = np.arange(count)
    best, width, end = ratios[channel, each], widths[channel, each], ends[channel, each] - start
    columns = (best, channel, width, end - width + 1, end, start, spread, own.memory, own.seasonal, own.fallen)
    return [
        Size(ratio, CHANNELS[number], wide, begins, until, row[begin:], *rest)
        for row, (ratio, number, wide, begins, until, begin, *rest) in zip(
            residuals, zip(*(column.tolist() for column in columns), strict=True), strict=True
        )
    ]


def _without_spikes(residuals: Array, valid: Bools, before: Bools, floor: Array) -> Array:
    """With single points that stand out from both neighbours brought back to them; the last one may be a beginning."""
    left, here, right = residuals[:, :-2], residuals[:, 1:-1], residuals[:, 2:]
    both = before[:, 1:] & before[:, :-1]
    rough = np.where(both, np.abs(np.diff(residuals, axis=1)), 0.0).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
    room = _OUT * np.maximum(rough, floor)[:, None]
    low, high = np.minimum(left, right) - room, np.maximum(left, right) + room
    alone = valid[:, :-2] & ((here < low) | (here > high))
    counts = np.concatenate((np.zeros((len(residuals), 1), dtype=np.int64), np.cumsum(alone, axis=1)), axis=1)
    place = np.arange(alone.shape[1])
    beside = counts[:, np.minimum(place + _APART, len(place))] - counts[:, np.maximum(place - _APART + 1, 0)]
    alone &= beside == 1
    row, column = np.nonzero(alone)
    calm = residuals.copy()
    calm[row, column + 1] = (left[row, column] + right[row, column]) / 2
    return calm


def _averages(total: Array, width: int) -> Array:
    """Of each window of so many points, from sums from the begin on."""
    found: Array = total[:, width:] - total[:, :-width]
    if width > 1:
        found /= width
    return found


def _ratios(total: Array, look: _Look, own: Residuals, bounds: _Bounds) -> tuple[Array, Ints]:
    """The largest deviation of one look since ``first``, in what is usual for it, and where its window ends."""
    width, base = look.width, look.base
    rows, length = total.shape[0], total.shape[1] - 1
    averages = _averages(total, width)
    if base:
        just = _averages(total, base)
        if look.straight:
            far = (width + base) / (2 * base)
            steady = just[:, base:-width] * (1 + far)
            steady -= just[:, : -width - base] * far
            averages = averages[:, 2 * base :]
        else:
            steady, averages = just[:, :-width], averages[:, base:]
        averages -= steady
    if look.channel != "spread":
        np.abs(averages, out=averages)
    size = averages
    ends = np.arange(look.span - 1, length)
    windows = np.maximum(own.first - own.start - look.span + 1, 0)
    known, spread = own.known, own.spread
    if bounds.alike:  # all rows at once, and no more than needed
        past = np.abs(size[:, : windows[0]])
        late = slice(max(int(own.first[0]) + width - look.span, 0), None)
        size, ends = size[:, late], ends[late]
        if not size.shape[1]:
            return np.zeros(rows), np.zeros(rows, dtype=np.int64)
    else:
        begun = ends[None, :] >= own.start[:, None] + look.span - 1
        past = np.where(begun & (ends[None, :] < own.first[:, None]), np.abs(size), 0.0)
        size = np.where(begun & (ends[None, :] - width + 1 >= own.first[:, None]), size, -np.inf)
    largest = past.max(axis=1, initial=0.0)
    np.minimum(past, CLIPPED * spread[:, None], out=past)
    np.square(past, out=past)
    squares = past.sum(axis=1) / np.maximum(windows, 1)
    inflation = (1 + own.memory) / (1 - own.memory)
    if base:
        # What was seen of such steps says it all, if there were enough.
        apart = np.maximum(windows / look.span, 0.5)
        deviation = np.maximum(np.sqrt(squares), own.floor) * (1 + _FEW / apart)
        enough = windows >= max(3, width // 2)
    else:
        error = np.minimum(1, inflation / width) + np.minimum(1, inflation / known)
        deviation = np.maximum(np.sqrt(squares), spread * np.sqrt(error)) * (1 + 3 / known)
        enough = windows >= max(LEAST_BEFORE, width)
    limit = np.maximum(_SPREADS * deviation, 0.9 * largest)
    if width == 1:
        size = size * np.where(ends == length - 1, 1.0, _SINGLE)
        near = ends[None, :] >= bounds.near[:, None]
        size = np.where(near, size, np.minimum(size, _FAR_SINGLE * limit[:, None]))
    peak = size.argmax(axis=1)
    each = np.arange(rows)
    highest = size[each, peak]
    ratio = highest / limit
    # What goes back to normal moves as much again: the first that is about as large tells where it began.
    least = np.maximum(_AS_LARGE * highest, _SURE * limit)
    sure = np.flatnonzero(highest >= least)
    if len(sure):
        chosen = size[sure]
        soonest = (chosen >= least[sure, None]).argmax(axis=1)
        best, some = soonest, np.arange(len(sure))
        for ahead in range(1, width + 1):
            other = np.minimum(soonest + ahead, chosen.shape[1] - 1)
            best = np.where(chosen[some, other] > chosen[some, best], other, best)
        peak[sure] = best
    if look.channel == "spread":
        ratio = ratio * _SINGLE
    ratio = np.minimum(np.nan_to_num(ratio, nan=0.0, posinf=_LARGEST, neginf=0.0), _LARGEST)
    return np.where(enough, ratio, 0.0), ends[peak]
