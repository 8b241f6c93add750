"""Sets of offsets as the fewest ranges that say them: every operation is on all ranges at once. Where there is one
range on each side, as on the paths of most records, plain numbers are faster than arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]


class Ranges:
    """Offsets in ``[firsts[i], lasts[i]]``, inclusive; ordered, disjoint, and no two of them adjacent. Immutable."""

    __slots__ = ("firsts", "lasts")

    def __init__(self, firsts: Offsets, lasts: Offsets) -> None:
        self.firsts, self.lasts = firsts, lasts

    @classmethod
    def of(cls, firsts: Sequence[int] | Offsets, lasts: Sequence[int] | Offsets) -> Ranges:
        """The union of ranges in any order, which may overlap."""
        starts, ends = np.asarray(firsts, np.int64), np.asarray(lasts, np.int64)
        if len(starts) < 2:
            return cls(starts, ends)
        order = np.argsort(starts, kind="stable")
        starts, reach = starts[order], np.maximum.accumulate(ends[order])
        begins = np.empty(len(starts), bool)
        begins[0] = True
        begins[1:] = starts[1:] > reach[:-1] + 1
        at = np.flatnonzero(begins)
        return cls(starts[at], reach[np.append(at[1:], len(starts)) - 1])

    @classmethod
    def single(cls, first: int, last: int | None = None) -> Ranges:
        """One range, or one offset."""
        return cls(np.array([first], np.int64), np.array([first if last is None else last], np.int64))

    @classmethod
    def empty(cls) -> Ranges:
        return _EMPTY

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self.firsts)

    def __bool__(self) -> bool:
        return len(self.firsts) > 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.firsts.tolist(), self.lasts.tolist(), strict=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ranges):
            return NotImplemented
        return np.array_equal(self.firsts, other.firsts) and np.array_equal(self.lasts, other.lasts)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ranges({list(self)[:10]})"

    @property
    def count(self) -> int:
        """How many offsets there are."""
        if len(self.firsts) == 1:
            return self.lasts.item() - self.firsts.item() + 1
        return int((self.lasts - self.firsts + 1).sum()) if len(self) else 0

    def __or__(self, other: Ranges) -> Ranges:
        if not self:
            return other
        if not other:
            return self
        return Ranges.of(np.concatenate((self.firsts, other.firsts)), np.concatenate((self.lasts, other.lasts)))

    def __and__(self, other: Ranges) -> Ranges:
        if len(self.firsts) == 1 == len(other.firsts):
            (first, last), (low, high) = self._only, other._only
            if low <= first and last <= high:
                return self
            return Ranges.single(max(first, low), min(last, high)) if first <= high and low <= last else _EMPTY
        if not self or not other:
            return _EMPTY
        return Ranges(*self._clipped(other))

    def __sub__(self, other: Ranges) -> Ranges:
        if not self or not other:
            return self
        if self.firsts[0] > other.lasts[-1] or self.lasts[-1] < other.firsts[0]:
            return self
        if len(self.firsts) == 1 == len(other.firsts):
            (first, last), (low, high) = self._only, other._only
            left = [(first, low - 1)] * (first < low) + [(high + 1, last)] * (high < last)
            return Ranges.of([each[0] for each in left], [each[1] for each in left]) if left else _EMPTY
        # What is left is what meets the gaps between the other's ranges.
        low = min(self.firsts[0], other.firsts[0]) - 1
        high = max(self.lasts[-1], other.lasts[-1]) + 1
        gaps = Ranges(np.concatenate(((low,), other.lasts + 1)), np.concatenate((other.firsts - 1, (high,))))
        return self & gaps

    def contains(self, offset: int) -> bool:
        at = int(np.searchsorted(self.firsts, offset, "right")) - 1
        return at >= 0 and offset <= int(self.lasts[at])

    @property
    def _only(self) -> tuple[int, int]:
        """First and last offset of the only range."""
        return self.firsts.item(), self.lasts.item()

    def _clipped(self, other: Ranges) -> tuple[Offsets, Offsets]:
        mine, theirs = overlapping(self.firsts, self.lasts, other)
        return np.maximum(self.firsts[mine], other.firsts[theirs]), np.minimum(self.lasts[mine], other.lasts[theirs])


_EMPTY = Ranges(np.empty(0, np.int64), np.empty(0, np.int64))


def overlapping(firsts: Offsets, lasts: Offsets, ranges: Ranges) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Which of the intervals ``[firsts[i], lasts[i]]`` meet which of the ranges: pairs of their places, by interval."""
    start = np.searchsorted(ranges.lasts, firsts, "left")
    stop = np.searchsorted(ranges.firsts, lasts, "right")
    counts = np.maximum(stop - start, 0)
    total = int(counts.sum())
    mine = np.repeat(np.arange(len(counts)), counts)
    offset_in = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    return mine, np.repeat(start, counts) + offset_in


def union(parts: Iterable[Ranges]) -> Ranges:
    """All of them as one."""
    given = [part for part in parts if part]
    if len(given) < 2:
        return given[0] if given else _EMPTY
    return Ranges.of(np.concatenate([part.firsts for part in given]), np.concatenate([part.lasts for part in given]))
