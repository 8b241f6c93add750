"""KLL quantile sketches: fed with whole columns, shrunk to a size, and checked in full before they are read.

Large columns are thinned first, which costs a sixth of feeding them value by value: blocks of 256 values are sorted
(one vectorised sort of short rows), and of each block every ``weight``-th value is kept, from a random start. That is
KLL's own compaction done several levels at once; the kept values enter the sketch at the level of their weight. A block
misplaces a rank by at most ``weight``, without bias and independently of the others, so that the rank error which this
adds has a standard deviation of at most ``weight / 2 * sqrt(values / 256) / values``: under 0.3% from 8,192 values on,
where a sketch of k = 64 has 1.5%. Source: Karnin, Lang, Liberty, "Optimal quantile approximation in streams", 2016.
"""

from __future__ import annotations

import struct
from functools import cache
from itertools import pairwise
from typing import Any

import datasketches
import numpy as np
from numpy.typing import NDArray

from stream_lineage.errors import DecodeError

MAX_K = 4096
MAX_COUNT = 1 << 52
"""Bounds of images that we read."""

_M = 8  # DataSketches' least width of a level
_BLOCK = 256
_MAX_LEVEL = 4  # weight 16
_THIN_TO = 2048  # values that are kept of a column, at least
_CHUNK = 1 << 18  # values that are thinned at a time: as many as fit the widest image
_HEADER = struct.Struct("<4BHBB")
_LEVELS = struct.Struct("<QHBB")
_FAMILY = 15
_ERROR_FACTOR, _ERROR_POWER = 2.296, 0.9723  # DataSketches' rank error of k: 2.296 / k ** 0.9723
_EMPTY_FLAG, _SINGLE_FLAG = 1, 4


def new_quantiles(k: int) -> Any:
    return datasketches.kll_doubles_sketch(k)


def add_values(sketch: Any, values: NDArray[np.float64], random: np.random.Generator | None = None) -> None:
    """Feed finite values. Columns of 4,096 values and more are thinned first."""
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        if not chunk.flags.writeable:  # one value over and over, which the sketch does not take
            chunk = chunk.copy()
        level = min(_MAX_LEVEL, (len(chunk) // _THIN_TO).bit_length() - 1)
        if level < 1:
            sketch.update(chunk)
            continue
        weight = 1 << level
        whole = len(chunk) // _BLOCK * _BLOCK
        blocks = np.sort(chunk[:whole].reshape(-1, _BLOCK), axis=1)
        random = random or np.random.default_rng()
        places = np.arange(0, _BLOCK, weight) + random.integers(0, weight, (len(blocks), 1))
        kept = np.sort(np.take_along_axis(blocks, places, axis=1), axis=None)
        levels = [kept[:0]] * level + [kept]
        k = max(_M, len(kept))  # room for all: the sketch that takes them in decides how many stay
        sketch.merge(_sketch_of(levels, k, k, (blocks[:, 0].min(), blocks[:, -1].max())))
        if whole < len(chunk):
            sketch.update(chunk[whole:])


def shrunk(sketch: Any, points: int, random: np.random.Generator) -> Any:
    """The sketch reduced to between ``points`` and twice as many values, or itself if it would not become smaller.

    The values stand at even ranks, from a random start, with the weights of KLL levels: unlike a sketch of a small k,
    this one is not meant to take in more, so that each value is well spent. The rank error grows by at most
    ``1 / points``; ``normalized_rank_error`` knows.
    """
    level = (sketch.n // points).bit_length() - 1
    if level < 1:
        return sketch
    count = sketch.n >> level
    rest = [small for small in range(level) if sketch.n >> small & 1]  # the few values that make the weights add up
    if count + len(rest) >= sketch.num_retained:
        return sketch
    levels = np.concatenate((np.full(count, level), np.array(rest, np.int64)))
    random.shuffle(levels)
    weights = 1 << levels
    ranks = (np.cumsum(weights) - random.random() * weights) / sketch.n
    values = np.array(sketch.get_quantiles(np.clip(ranks, 0.0, 1.0).tolist(), True))
    error = 1 / points + (sketch.normalized_rank_error(False) if sketch.is_estimation_mode() else 0.0)
    min_k = min(max(int((_ERROR_FACTOR / error) ** (1 / _ERROR_POWER)), _M), sketch.k)
    held = [values[levels == at] for at in range(level + 1)]
    return _sketch_of(held, max(sketch.k, 4 * points), min_k, (sketch.get_min_value(), sketch.get_max_value()))


def load_quantiles(image: bytes) -> Any:
    """The ``kll_doubles_sketch`` in an image.

    DataSketches trusts the level offsets of an image and reads outside its memory when they lie, and counts near 2**63
    make it merge without end: so all are checked.

    Raises:
        DecodeError: the bytes are not such an image.
    """
    if len(image) < _HEADER.size:
        raise DecodeError("quantile sketch: too short")
    _, version, family, flags, k, m, _ = _HEADER.unpack_from(image)
    if family != _FAMILY or m != _M or not 8 <= k <= MAX_K:
        raise DecodeError("quantile sketch: not a KLL image of a size in use")
    if flags & _EMPTY_FLAG:
        return new_quantiles(k)
    if flags & _SINGLE_FLAG:
        if version != 2 or len(image) != _HEADER.size + 8 or not np.isfinite(np.frombuffer(image, "<f8", 1, 8)[0]):
            raise DecodeError("quantile sketch: not one finite value")
    else:
        _check_levels(image, version, k)
    try:
        return datasketches.kll_doubles_sketch.deserialize(image)
    except (ValueError, RuntimeError, IndexError, MemoryError) as error:
        raise DecodeError(f"quantile sketch: {type(error).__name__}") from error


def merged_quantiles(a: bytes, b: bytes) -> bytes:
    """Both, as one image.

    Raises:
        DecodeError: one of them is no image.
    """
    sketch = load_quantiles(a)
    sketch.merge(load_quantiles(b))
    return bytes(sketch.serialize())


def _check_levels(image: bytes, version: int, k: int) -> None:
    if version != 1 or len(image) < _HEADER.size + _LEVELS.size:
        raise DecodeError("quantile sketch: cut off")
    n, min_k, levels, _ = _LEVELS.unpack_from(image, _HEADER.size)
    start = _HEADER.size + _LEVELS.size + 4 * levels
    if n > MAX_COUNT:
        raise DecodeError("quantile sketch: its count is out of range")
    if not 1 <= levels <= 60 or not 8 <= min_k <= k or len(image) < start + 16:
        raise DecodeError("quantile sketch: levels out of range")
    offsets = [*struct.unpack_from(f"<{levels}I", image, start - 4 * levels), _capacity(k, levels)]
    held = [upper - lower for lower, upper in pairwise(offsets)]
    if min(held) < 0 or len(image) != start + 16 + 8 * (offsets[-1] - offsets[0]):
        raise DecodeError("quantile sketch: level offsets do not fit its length")
    if sum(count << level for level, count in enumerate(held)) != n:
        raise DecodeError("quantile sketch: its weights do not add up")
    if not np.isfinite(np.frombuffer(image, "<f8", offset=start)).all():
        raise DecodeError("quantile sketch: a value is not finite")


def _sketch_of(levels: list[NDArray[np.float64]], k: int, min_k: int, ends: tuple[float, float]) -> Any:
    """The sketch that holds these values, sorted, by level; ``k`` is large enough to have room for all of them."""
    counts = [len(values) for values in levels]
    first = _capacity(k, len(levels)) - sum(counts)
    offsets = np.cumsum([first, *counts[:-1]])
    image = b"".join(
        (
            _HEADER.pack(5, 1, _FAMILY, 0, k, _M, 0),
            _LEVELS.pack(sum(count << level for level, count in enumerate(counts)), min_k, len(levels), 0),
            offsets.astype("<u4").tobytes(),
            np.array(ends, "<f8").tobytes(),
            np.concatenate(levels).astype("<f8").tobytes(),
        )
    )
    return datasketches.kll_doubles_sketch.deserialize(image)


@cache
def _capacity(k: int, levels: int) -> int:
    """Items that a sketch of so many levels has room for: each level two thirds of the one above, rounded."""
    return sum(max(_M, _level_width(k, depth)) for depth in range(levels))


def _level_width(k: int, depth: int) -> int:
    if depth > 30:  # in two steps, as DataSketches does, whose integers are finite
        return _level_width(_level_width(k, depth // 2), depth - depth // 2)
    return (((2 * k << depth) // int(3**depth)) + 1) >> 1
