"""A set of parents: offsets by partition, as ranges, in bounded room.

Beyond ``most_ranges`` the smallest gaps are closed: the ranges beside them become one that is marked widened, which
covers both. So the set never forgets a parent, and says where it holds offsets that are none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

from stream_lineage.model.record_edge import ParentRange

MOST_RANGES = 4096
Place = tuple[str | None, str, int]
"""Cluster (null: that of whoever names it), topic, partition."""
Range = tuple[int, int, bool]
"""First and last offset, and whether offsets between them may be no parents."""
HIGHEST_OFFSET = 2**63 - 1
HIGHEST_PARTITION = 2**31 - 1


class ParentRanges:
    """Ranges of each partition in order; they do not overlap, and exact ones do not touch."""

    __slots__ = ("_count", "_most", "_places", "incomplete")

    def __init__(self, *, most_ranges: int = MOST_RANGES) -> None:
        self._places: dict[Place, list[Range]] = {}
        self._most = most_ranges
        self._count = 0
        self.incomplete = False
        """Whether there are parents that are not in it."""

    def __len__(self) -> int:
        """How many ranges there are."""
        return self._count

    def __iter__(self) -> Iterator[ParentRange]:
        """Ordered by topic, partition and offset."""
        for (cluster, topic, partition), ranges in self.places():
            for first, last, widened in ranges:
                yield ParentRange(topic, partition, first, last, widened, cluster)

    def places(self) -> list[tuple[Place, list[Range]]]:
        """The ranges of each partition, in the order in which a header has them."""
        return sorted(self._places.items(), key=_order)

    def copy(self) -> ParentRanges:
        other = ParentRanges(most_ranges=self._most)
        other._places = {place: list(ranges) for place, ranges in self._places.items()}
        other._count = self._count
        other.incomplete = self.incomplete
        return other

    def add(
        self,
        topic: str,
        partition: int,
        first: int,
        last: int | None = None,
        *,
        widened: bool = False,
        cluster: str | None = None,
    ) -> None:
        """Add one offset, or all up to ``last``.

        Raises:
            ValueError: these are no coordinates that Kafka has.
        """
        if last is None:
            last = first
        if not 0 <= first <= last <= HIGHEST_OFFSET or not 0 <= partition <= HIGHEST_PARTITION or not topic:
            raise ValueError("not the coordinates of a record")
        widened = widened and last - first > 1
        place = (cluster, topic, partition)
        ranges = self._places.get(place)
        if ranges is None:
            self._places[place] = [(first, last, widened)]
            self._count += 1
        else:
            before = len(ranges)
            tail_first, tail_last, tail_widened = ranges[-1]
            if first > tail_last + 1:
                ranges.append((first, last, widened))
            elif first == tail_last + 1 and not (widened or tail_widened):
                ranges[-1] = (tail_first, last, False)
            elif not (tail_first <= first and last <= tail_last):
                _insert(ranges, first, last, widened=widened)
            self._count += len(ranges) - before
        if self._count > self._most:
            self.shrink(self._most * 3 // 4)

    def update(self, parents: Iterable[ParentRange]) -> None:
        """Add ranges.

        Raises:
            ValueError: one of them is none.
        """
        for parent in parents:
            self.add(
                parent.topic,
                parent.partition,
                parent.first_offset,
                parent.last_offset,
                widened=parent.widened,
                cluster=parent.cluster,
            )

    def shrink(self, ranges: int) -> None:
        """Close the smallest gaps until there are so many ranges, or one for each partition."""
        self._places = widened(self._places, self._count - ranges)
        self._count = sum(map(len, self._places.values()))


def widened(places: dict[Place, list[Range]], closed: int) -> dict[Place, list[Range]]:
    """The same ranges with the smallest gaps closed, so many of them."""
    gaps = sorted(
        (following[0] - ranges[index][1], place, index)
        for place, ranges in ((place, places[key]) for place, key in enumerate(places))
        for index, following in enumerate(ranges[1:])
    )[: max(closed, 0)]
    shut: dict[int, set[int]] = {}
    for _, place, index in gaps:
        shut.setdefault(place, set()).add(index)
    out = {}
    for number, (key, ranges) in enumerate(places.items()):
        own = shut.get(number)
        out[key] = ranges if own is None else _closed(ranges, own)
    return out


def _closed(ranges: list[Range], gaps: set[int]) -> list[Range]:
    """``gaps`` are the places of the ranges that are joined with the one after them."""
    out = [ranges[0]]
    for index, (_, following) in enumerate(pairwise(ranges)):
        if index in gaps:
            out[-1] = (out[-1][0], following[1], True)
        else:
            out.append(following)
    return out


def _insert(ranges: list[Range], first: int, last: int, *, widened: bool) -> None:
    """Add a range anywhere. What overlaps becomes one; what touches does if it is of one kind."""
    low = bisect_right(ranges, (first, -1, False))
    while low > 0 and _joins(ranges[low - 1], first, last, widened=widened):
        low -= 1
    high = low
    while high < len(ranges) and _joins(ranges[high], first, last, widened=widened):
        high += 1
    for start, end, wide in ranges[low:high]:
        first, last, widened = min(first, start), max(last, end), widened or wide
    ranges[low:high] = [(first, last, widened)]


def _joins(known: Range, first: int, last: int, *, widened: bool) -> bool:
    start, end, wide = known
    reach = 1 if wide == widened else 0
    return start <= last + reach and first <= end + reach


def _order(item: tuple[Place, list[Range]]) -> tuple[bool, str, str, int]:
    cluster, topic, partition = item[0]
    return (cluster is not None, cluster or "", topic, partition)
