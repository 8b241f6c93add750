"""If this fails, distinct counts are wrong, do not merge, or are images that DataSketches reads differently."""

from __future__ import annotations

import datasketches
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.profile.hashing import ValueHasher

HASHER = ValueHasher(b"test key")
COUNTS = (0, 1, 7, 8, 10, 96, 97, 1000, 100_000, 1_000_000)


def sketch_of(first: int, last: int, lg_k: int = 10) -> DistinctSketch:
    sketch = DistinctSketch(lg_k)
    sketch.add(HASHER.integers(np.arange(first, last)))
    return sketch


@pytest.mark.parametrize("lg_k", [7, 8, 10, 12])
@pytest.mark.parametrize("count", COUNTS)
def test_datasketches_reads_the_image_and_its_estimate_is_near_the_truth(count: int, lg_k: int) -> None:
    read = datasketches.hll_sketch.deserialize(sketch_of(0, count, lg_k).to_bytes())
    sigma = 1.04 / 2 ** (lg_k / 2)
    assert abs(read.get_estimate() - count) <= 3 * sigma * count
    assert read.lg_config_k == lg_k
    if count <= 7:
        assert read.get_estimate() == pytest.approx(count, abs=1e-3)


@pytest.mark.parametrize("lg_k", [7, 10, 12])
@pytest.mark.parametrize("count", COUNTS)
def test_what_datasketches_writes_from_the_image_is_the_image(count: int, lg_k: int) -> None:
    image = sketch_of(0, count, lg_k).to_bytes()
    written = datasketches.hll_sketch.deserialize(image).serialize_compact()
    assert DistinctSketch.from_bytes(written).to_bytes() == image
    eight = datasketches.hll_union(lg_k)
    eight.update(datasketches.hll_sketch.deserialize(image))
    wide = eight.get_result(datasketches.tgt_hll_type.HLL_8).serialize_compact()
    assert DistinctSketch.from_bytes(wide).to_bytes() == image


@pytest.mark.parametrize("count", COUNTS)
def test_the_union_of_parts_is_the_whole(count: int) -> None:
    whole, merged, library = sketch_of(0, count), DistinctSketch(10), datasketches.hll_union(10)
    for part in range(5):
        piece = sketch_of(part * count // 6, (part + 2) * count // 6)  # parts overlap
        merged.merge(DistinctSketch.from_bytes(piece.to_bytes()))
        library.update(datasketches.hll_sketch.deserialize(piece.to_bytes()))
    assert merged.to_bytes() == whole.to_bytes()
    united = library.get_result(datasketches.tgt_hll_type.HLL_4).serialize_compact()
    assert DistinctSketch.from_bytes(united).to_bytes() == whole.to_bytes()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40_000), st.integers(1, 9000), st.sampled_from([7, 8, 10, 12]))
def test_batches_do_not_matter(count: int, batch: int, lg_k: int) -> None:
    hashes = HASHER.integers(np.arange(count) % 20_000)
    whole, split = DistinctSketch(lg_k), DistinctSketch(lg_k)
    whole.add(hashes)
    for start in range(0, count, batch):
        split.add(hashes[start : start + batch])
    assert split.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("distinct", [1, 5, 90, 96])
def test_many_rows_of_few_values_stay_few_coupons(distinct: int) -> None:
    sketch, once = DistinctSketch(10), DistinctSketch(10)
    sketch.add(HASHER.integers(np.arange(50_000) % distinct))
    once.add(HASHER.integers(np.arange(distinct)))
    assert sketch.to_bytes() == once.to_bytes()
    assert len(sketch.to_bytes()) <= 12 + 4 * distinct


@pytest.mark.parametrize(("count", "most"), [(0, 8), (1, 12), (5, 28), (50, 212), (10**5, 560)])
def test_images_are_small(count: int, most: int) -> None:
    assert len(sketch_of(0, count).to_bytes()) <= most


@pytest.mark.parametrize("count", COUNTS)
def test_a_smaller_sketch_is_that_of_the_same_values(count: int) -> None:
    large = sketch_of(0, count, 12)
    smaller = large.resized(8)
    merged = sketch_of(0, count, 8)
    merged.merge(large)
    assert merged.to_bytes() == sketch_of(0, count, 8).to_bytes()
    if smaller is large:
        assert len(large.to_bytes()) <= len(sketch_of(0, count, 8).to_bytes())
    else:
        assert smaller.to_bytes() == sketch_of(0, count, 8).to_bytes()
    assert large.to_bytes() == sketch_of(0, count, 12).to_bytes()  # and the large one is as it was


def test_few_values_stay_few_coupons_in_a_smaller_sketch() -> None:
    coupons = sketch_of(0, 5, 12)
    coupons.merge(sketch_of(5, 8, 8))
    assert coupons.to_bytes() == sketch_of(0, 8, 8).to_bytes()


def test_a_smaller_sketch_of_a_middling_number_of_values() -> None:
    coupons = DistinctSketch(12)
    coupons.merge(sketch_of(0, 200, 12))  # still coupons; the merge makes it small
    coupons.merge(sketch_of(200, 210, 8))
    assert coupons.to_bytes() == sketch_of(0, 210, 8).to_bytes()


def test_high_registers_survive() -> None:
    # A slot whose value is far above the lowest goes to the table of exceptions of HLL_4.
    sketch = sketch_of(0, 3000)
    sketch.add(np.arange(5, dtype=np.uint64))  # 38 leading zeros
    image = sketch.to_bytes()
    assert len(image) >= 40 + 512 + 4 * 5  # exceptions stand behind the registers
    assert DistinctSketch.from_bytes(image).to_bytes() == image
    written = datasketches.hll_sketch.deserialize(image).serialize_compact()
    assert DistinctSketch.from_bytes(written).to_bytes() == image


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([0, 3, 50, 96, 500, 100_000]), st.data())
def test_damaged_images_are_refused_or_read_within_bounds(count: int, data: st.DataObject) -> None:
    image = bytearray(sketch_of(0, count).to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        image[data.draw(st.integers(0, min(len(image), 48) - 1))] = data.draw(st.integers(0, 255))
    image = image[: data.draw(st.integers(0, len(image)) | st.just(len(image)))]
    try:
        read = DistinctSketch.from_bytes(bytes(image))
    except DecodeError:
        return
    read.merge(sketch_of(0, 200))
    assert np.isfinite(read.estimate())


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"\x02\x01\x07\x0a",
        bytes([10, 1, 7, 10, 0, 24, 0, 2]) + bytes(32) + b"\xff" * 512,  # exceptions announced, none given
        bytes([10, 1, 7, 10, 0, 24, 200, 2]) + bytes(32 + 512),
        bytes([10, 1, 7, 21, 0, 24, 0, 2]) + bytes(32 + (1 << 20)),
        bytes([10, 1, 7, 10, 0, 24, 0, 2]) + bytes(31),
        bytes([9, 1, 7, 10, 0, 24, 0, 2]) + bytes(32 + 512),
        bytes([3, 1, 7, 10, 5, 24, 0, 1]) + b"\xff\xff\xff\xff",
        bytes([2, 1, 7, 10, 3, 8, 1, 0]) + bytes(4),  # a coupon of value 0
        bytes([2, 1, 7, 10, 3, 8, 1, 3]) + bytes(4),
        bytes([2, 1, 7, 10, 3, 0, 1, 0]) + b"\xff\xff\xff\xff",  # not compact
        bytes([10, 1, 7, 10, 0, 24, 0, 10]) + bytes(32 + 1023),  # registers of a byte, one too few
        bytes([10, 1, 7, 10, 0, 24, 0, 10]) + bytes(32) + b"\x40" * 1024,  # registers beyond 63
        bytes([10, 1, 7, 10, 0, 24, 0, 6]) + bytes(32 + 1024),  # HLL_6
    ],
)
def test_images_that_are_none_are_refused(image: bytes) -> None:
    with pytest.raises(DecodeError):
        DistinctSketch.from_bytes(image)
