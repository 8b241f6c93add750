"""If this failed, a collector of thousands of partitions could not commit where it stands."""

from __future__ import annotations

from stream_lineage.collect.transaction import CommittedOffset, portions


def test_offsets_are_sent_in_portions_that_fit_a_message() -> None:
    offsets = [CommittedOffset("t" * 249, number, number, "m" * 150) for number in range(20_000)]
    found = list(portions(offsets))
    assert [(where.topic, where.partition, where.offset, where.metadata) for part in found for where in part] == [
        (offset.topic, offset.partition, offset.offset, offset.metadata) for offset in offsets
    ]
    for part in found:  # with the group's name in each key
        assert sum(len(where.topic) + len(where.metadata) + 249 for where in part) < 1_000_000
    assert len(found) < 40


def test_one_that_is_too_large_goes_alone() -> None:
    large = CommittedOffset("large", 0, 1, "m" * 700_000)
    found = list(portions([CommittedOffset("small", 0, 1, ""), large, CommittedOffset("small", 1, 1, "")]))
    assert [len(part) for part in found] == [1, 1, 1]


def test_no_offsets_make_no_portion() -> None:
    assert list(portions([])) == []
