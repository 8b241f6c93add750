"""Offset spans: the coordinates of many records under one schema, run-length coded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class MissingReason(StrEnum):
    """Why an offset inside a span holds no record."""

    COMPACTED = "compacted"
    TRANSACTION = "transaction"  # aborted records and control records
    RETENTION = "retention"  # deleted before we could read it: data loss
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class MissingRange:
    """Offsets ``[first_offset, last_offset]``, inclusive, that hold no record which a consumer can see."""

    first_offset: int
    last_offset: int
    reason: MissingReason

    @property
    def length(self) -> int:
        return self.last_offset - self.first_offset + 1


@dataclass(frozen=True, slots=True)
class OffsetSpan:
    """Every record in ``[first_offset, last_offset]``, inclusive, of one partition has one schema reference.

    ``count`` records are there; the other offsets of the range are listed in ``missing``, ordered and disjoint, so that
    ``count + sum(lengths of missing) == last_offset - first_offset + 1``. Offsets that are missing before the first
    record of a span belong to that span: the spans of a partition cover it without a gap.
    """

    partition: int
    first_offset: int
    last_offset: int
    count: int
    missing: tuple[MissingRange, ...] = ()

    def __post_init__(self) -> None:
        width = self.last_offset - self.first_offset + 1
        absent = sum(gap.length for gap in self.missing)
        if width < 1 or self.count < 0 or self.count + absent != width:
            raise ValueError(
                f"span [{self.first_offset}, {self.last_offset}] of partition {self.partition} holds "
                f"{self.count} records and {absent} missing offsets, which do not add up to {width}"
            )

    @property
    def first_record_offset(self) -> int:
        """The first offset that holds a record (``first_offset`` unless the span starts with missing offsets)."""
        offset = self.first_offset
        for gap in self.missing:
            if gap.first_offset > offset:
                break
            offset = gap.last_offset + 1
        return offset

    def merged_with(self, following: OffsetSpan) -> OffsetSpan:
        """This span and the one right after it in the same partition, as one.

        Raises:
            ValueError: ``following`` does not start right after this span.
        """
        if following.partition != self.partition or following.first_offset != self.last_offset + 1:
            raise ValueError("only adjacent spans of one partition merge")
        return OffsetSpan(
            self.partition,
            self.first_offset,
            following.last_offset,
            self.count + following.count,
            joined_ranges((*self.missing, *following.missing)),
        )


def joined_ranges(ranges: Iterable[MissingRange]) -> tuple[MissingRange, ...]:
    """Ordered, with adjacent ranges of one reason put together."""
    out: list[MissingRange] = []
    for gap in sorted(ranges):
        if out and out[-1].reason == gap.reason and out[-1].last_offset + 1 == gap.first_offset:
            out[-1] = MissingRange(out[-1].first_offset, gap.last_offset, gap.reason)
        else:
            out.append(gap)
    return tuple(out)
