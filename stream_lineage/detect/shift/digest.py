"""Quantile digests of windows: small, exactly reproducible, and merged without luck.

A window's sketch is read at ``POINTS`` even ranks; these points are what is kept of it. Windows are added up as KLL
sketches are: two blocks of points of one level are sorted together and every second point goes on to the next level,
the odd and the even ones in turn instead of by chance, so that whoever adds the same windows gets the same digest.
Points are of single precision everywhere, in references as in what is compared with them.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64, b2a_base64
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from stream_lineage.errors import DecodeError

POINTS = 32
"""Points of a window. Larger: larger windows, and finer: each is off by half a point at most."""
POINTS_ERROR = 0.5 / POINTS
EVEN_RANKS = tuple((index + 0.5) / POINTS for index in range(POINTS))
_BLOCK = 2 * POINTS
_LARGEST = 2.0**127
DIGEST_ERROR = 0.015
"""How far ranks of a digest of windows may be off besides (99%): each level adds half a point of 64, with changing
signs, and weighs half as much as the one above."""


class Digest:
    """``add`` the points of windows; ``summary`` is what all of them together are like."""

    __slots__ = ("_levels", "windows")

    def __init__(self, windows: int = 0, levels: Sequence[str] = ()) -> None:
        self.windows = windows
        self._levels = [unpacked_points(each) for each in levels]

    def state(self) -> list[str]:
        return [packed_points(each) for each in self._levels]

    def add(self, points: Sequence[float]) -> None:
        """Take in one window; its points are in order, single precision, ``POINTS`` of them."""
        self.windows += 1
        levels = self._levels
        if not levels:
            levels.append([])
        if not levels[0]:
            levels[0] = list(points)
            return
        block = sorted([*levels[0], *points])
        levels[0] = []
        turn, level = self.windows >> 1, 1
        while level < len(levels) and levels[level]:
            block = sorted([*levels[level], *block])[turn & 1 :: 2]
            levels[level] = []
            turn, level = turn >> 1, level + 1
        if level == len(levels):
            levels.append([])
        levels[level] = block

    def summary(self, points: int) -> list[float]:
        """The values at so many even ranks."""
        weighted = sorted(
            (value, 1 << max(0, level - 1)) for level, values in enumerate(self._levels) for value in values
        )
        total = sum(weight for _, weight in weighted)
        found: list[float] = []
        below = 0
        for value, weight in weighted:
            below += weight
            while len(found) < points and (len(found) + 0.5) * total <= below * points:
                found.append(value)
        return found


def single(values: Sequence[float]) -> list[float]:
    """In single precision; what is beyond it is as large as it can be."""
    return unpacked_points(packed_points([min(max(each, -_LARGEST), _LARGEST) for each in values]))


def packed_points(values: Sequence[float]) -> str:
    """As text, four bytes each."""
    return b2a_base64(struct.pack(f"<{len(values)}f", *values), newline=False).decode()


def unpacked_points(text: str) -> list[float]:
    """
    Raises:
        DecodeError: the text is no packed points.
    """
    try:
        image = a2b_base64(text)
        return list(struct.unpack(f"<{len(image) // 4}f", image))
    except (ValueError, struct.error) as error:
        raise DecodeError("packed points: damaged") from error


def usable(points: Sequence[float]) -> bool:
    """Whether they are the points of a window."""
    return len(points) == POINTS and all(-_LARGEST <= each <= _LARGEST for each in points)


def distance(reference: Sequence[float], points: Sequence[float]) -> float:
    """The largest difference of the shares of records up to some value, 0 to 1. Both are in order, each point standing
    for the same part of its whole; neither is empty.

    Between two points of the one nothing of it changes, and the other one only rises: so the largest difference is at
    a point, with or without it.
    """
    each_of, each = 1 / len(reference), 1 / len(points)
    most = 0.0
    at, count = 0, len(points)
    while at < count:
        value = points[at]
        end = at + 1
        while end < count and points[end] == value:
            end += 1
        without = bisect_left(reference, value)
        below = abs(without * each_of - at * each)
        upto = abs(bisect_right(reference, value, without) * each_of - end * each)
        most = max(most, below, upto)
        at = end
    return most
