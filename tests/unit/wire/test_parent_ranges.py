"""If this failed, a header would name parents that a record does not have, or not those that it has."""

from __future__ import annotations

from stream_lineage.wire.parent_ranges import ParentRanges


def test_a_copy_goes_its_own_way() -> None:
    ranges = ParentRanges(most_ranges=4)
    ranges.add("t", 0, 5)
    ranges.incomplete = True
    copy = ranges.copy()
    assert (list(copy), len(copy), copy.incomplete) == (list(ranges), 1, True)
    copy.add("t", 0, 9)
    ranges.add("u", 1, 3)
    assert [(each.topic, each.first_offset) for each in copy] == [("t", 5), ("t", 9)]
    assert [(each.topic, each.first_offset) for each in ranges] == [("t", 5), ("u", 3)]
    for offset in range(20, 40, 2):
        copy.add("t", 0, offset)
    assert len(copy) <= 4


def test_what_is_there_already_changes_nothing() -> None:
    ranges = ParentRanges()
    for first, last in ((0, 2), (5, 9), (5, 9), (6, 7), (9, 9), (1, 1)):
        ranges.add("t", 0, first, last)
    assert [(each.first_offset, each.last_offset) for each in ranges] == [(0, 2), (5, 9)]
    assert len(ranges) == 2
