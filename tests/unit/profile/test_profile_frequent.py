"""If this fails, categories are miscounted, or a damaged sketch in the log takes the process down."""

from __future__ import annotations

from collections import Counter

import datasketches
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.profile.frequent import grouped, item_counts_of, items_image, load_items, merged_items
from stream_lineage.profile.hashing import ValueHasher

HASHER = ValueHasher(b"test key")
COUNTS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=66), st.integers(1, 10**9), max_size=256
)


def check_groups(hashes: np.ndarray, limit: int) -> None:
    groups = grouped(hashes, limit)
    expected = Counter(hashes.tolist())
    if len(expected) > limit:
        assert groups is None
    else:
        assert groups is not None
        assert {value: group.count for value, group in groups.items()} == expected
        assert all(hashes[group.row] == value for value, group in groups.items())


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=300), st.integers(1, 40))
def test_groups_of_few_rows(values: list[int], repeat: int) -> None:
    check_groups(np.array(values * repeat, np.uint64), 256)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(65, 60_000), st.integers(0, 2**32))
def test_groups_of_many_rows(distinct: int, rows: int, seed: int) -> None:
    choice = np.random.default_rng(seed).zipf(1.3, rows).astype(np.int64) % distinct
    check_groups(HASHER.integers(choice), 256)


def test_hashes_that_share_places_are_told_apart() -> None:
    # The same upper 14 bits, then the same upper 28: the second and the third round have to tell them apart.
    upper = np.uint64(0xABC << 52)
    values = np.array([upper, upper + np.uint64(1 << 40), upper + np.uint64(2 << 40), upper + np.uint64(1 << 25)])
    rows = np.random.default_rng(1).integers(0, 4, 5000)
    check_groups(values[rows], 256)


@pytest.mark.parametrize(("distinct", "limit"), [(9, 256), (9, 9), (9, 8), (9, 4)])
def test_hashes_that_differ_in_their_last_bits_only_are_told_apart(distinct: int, limit: int) -> None:
    check_groups(np.arange(900, dtype=np.uint64) % np.uint64(distinct), limit)


def test_a_late_new_value_is_counted() -> None:
    values = HASHER.integers(np.arange(3))
    check_groups(np.concatenate((np.repeat(values[:2], 20_000), values[2:])), 2)
    check_groups(np.concatenate((np.repeat(values[:2], 20_000), values[2:])), 3)


@given(COUNTS)
def test_datasketches_reads_the_counts(counts: dict[str, int]) -> None:
    image = items_image(counts)
    sketch = datasketches.frequent_strings_sketch.deserialize(image)
    assert {item: sketch.get_lower_bound(item) for item in counts} == counts
    assert item_counts_of(image) == counts
    assert list(item_counts_of(image).values()) == sorted(counts.values(), reverse=True)


@given(COUNTS, COUNTS)
def test_merging_adds_counts(a: dict[str, int], b: dict[str, int]) -> None:
    expected = Counter(a) + Counter(b)
    merged = item_counts_of(merged_items(items_image(a), items_image(b)))
    if len(expected) <= 384:
        assert merged == expected
    else:
        assert all(count >= expected[item] for item, count in merged.items())


def test_merging_beyond_the_room_keeps_what_is_frequent() -> None:
    image = items_image({"=often": 10_000})
    for part in range(10):
        image = merged_items(image, items_image({f"={part}:{number}": 3 for number in range(200)}))
    counts = item_counts_of(image)
    assert len(counts) <= 384
    assert 10_000 <= counts["=often"] <= 10_000 + 200 * 10 * 3


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([0, 1, 5, 100, 380]), st.data())
def test_damaged_images_are_refused_or_stay_in_their_memory(count: int, data: st.DataObject) -> None:
    image = bytearray(items_image({f"={number}": number + 1 for number in range(count)}))
    for _ in range(data.draw(st.integers(1, 3))):
        image[data.draw(st.integers(0, min(len(image), 64) - 1))] = data.draw(st.integers(0, 255))
    image = image[: data.draw(st.integers(0, len(image)) | st.just(len(image)))]
    try:
        load_items(bytes(image))
        merged_items(bytes(image), items_image({"=a": 1}))
        item_counts_of(bytes(image))
    except DecodeError:
        return


def test_no_items_read_back_as_none() -> None:
    assert item_counts_of(items_image({})) == {}
    assert item_counts_of(merged_items(items_image({}), items_image({"=a": 3}))) == {"=a": 3}


@pytest.mark.parametrize(
    "image",
    [
        b"",
        bytes([1, 1, 10, 31, 31, 4, 0, 0]),  # a map of two thousand million places
        bytes([4, 1, 10, 9, 3, 0, 0, 0]) + (2**32 - 1).to_bytes(4, "little") + bytes(20),
        bytes([4, 1, 10, 9, 3, 0, 0, 0]),
        items_image({"=a": 1})[:-3],
        items_image({}) + b"x",
        items_image({"=a": 1}).replace((1).to_bytes(8, "little"), (1 << 62).to_bytes(8, "little")),
        items_image({"=\x7f\x7f": 1}).replace(b"\x7f\x7f", b"\xff\xff"),  # not UTF-8
    ],
)
def test_images_that_are_none_are_refused(image: bytes) -> None:
    with pytest.raises(DecodeError):
        load_items(image)
