"""If this failed, spans could claim offsets that they do not hold, or lose some when merged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan, joined_ranges


def span_of(present: set[int], first: int, last: int) -> OffsetSpan:
    """The span that an enumeration of offsets gives, as the oracle for the arithmetic."""
    gaps = joined_ranges(
        MissingRange(offset, offset, MissingReason.TRANSACTION)
        for offset in range(first, last + 1)
        if offset not in present
    )
    return OffsetSpan(0, first, last, len([o for o in range(first, last + 1) if o in present]), gaps)


def test_counts_must_add_up() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        OffsetSpan(0, 10, 20, 10)
    with pytest.raises(ValueError, match="do not add up"):
        OffsetSpan(0, 10, 9, 0)


def test_neighbours_become_one_span_and_gaps_that_touch_one_gap() -> None:
    gaps = [MissingRange(8, 9, MissingReason.TRANSACTION), MissingRange(10, 11, MissingReason.TRANSACTION)]
    other = MissingRange(12, 12, MissingReason.RETENTION)
    one, two = OffsetSpan(0, 0, 9, 8, (gaps[0],)), OffsetSpan(0, 10, 19, 7, (gaps[1], other))
    whole = MissingRange(8, 11, MissingReason.TRANSACTION)
    assert one.merged_with(two) == OffsetSpan(0, 0, 19, 15, (whole, other))
    assert two.first_record_offset == 13
    assert one.first_record_offset == 0
    for wrong in (one, OffsetSpan(1, 10, 19, 10), OffsetSpan(0, 11, 19, 9)):
        with pytest.raises(ValueError, match="adjacent"):
            one.merged_with(wrong)


def test_first_record_offset_skips_leading_gaps() -> None:
    gap = MissingRange(5, 7, MissingReason.RETENTION)
    after = MissingRange(8, 8, MissingReason.TRANSACTION)
    assert OffsetSpan(0, 5, 9, 2, (gap,)).first_record_offset == 8
    assert OffsetSpan(0, 5, 9, 1, (gap, after)).first_record_offset == 9
    assert OffsetSpan(0, 5, 9, 5).first_record_offset == 5


def test_only_neighbours_merge() -> None:
    with pytest.raises(ValueError, match="adjacent"):
        OffsetSpan(0, 0, 4, 5).merged_with(OffsetSpan(0, 6, 9, 4))
    with pytest.raises(ValueError, match="adjacent"):
        OffsetSpan(0, 0, 4, 5).merged_with(OffsetSpan(1, 5, 9, 5))


@given(st.sets(st.integers(0, 60)), st.integers(1, 60))
def test_merging_equals_enumerating(present: set[int], cut: int) -> None:
    left, right = span_of(present, 0, cut - 1), span_of(present, cut, 60)
    assert left.merged_with(right) == span_of(present, 0, 60)
