"""If this fails, different values count as one, or equal ones as two, or hidden values can be told without the key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.profile.hashing import WHOLLY_HASHED_BYTES, ValueHasher

HASHER = ValueHasher(b"test key")


def hashes_of(values: list[bytes], hasher: ValueHasher = HASHER, gap: bytes = b"") -> list[int]:
    data = np.frombuffer(gap.join([b"", *values, b""]) + bytes(16), np.uint8)
    lengths = np.array([len(value) for value in values], np.int64)
    starts = np.cumsum(lengths + len(gap)) - lengths
    return hasher.texts(data, starts, lengths).tolist()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=WHOLLY_HASHED_BYTES), max_size=30), st.binary(max_size=9))
def test_texts_hash_alike_exactly_when_they_are_equal(values: list[bytes], gap: bytes) -> None:
    hashes = hashes_of(values)
    assert len(set(hashes)) == len(set(values))
    assert dict(zip(values, hashes, strict=True)) == {value: hashes[values.index(value)] for value in values}
    assert hashes_of(values, gap=gap) == hashes  # what lies between texts does not matter


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), st.sampled_from([0, 1])), min_size=1, max_size=20))
def test_length_and_zero_bytes_count(shapes: list[tuple[int, int]]) -> None:
    values = [bytes(length) + bytes([last]) for length, last in shapes]
    assert len(set(hashes_of(values))) == len(set(values))


def test_no_texts_no_hashes() -> None:
    assert hashes_of([]) == []
    assert HASHER.even_texts(np.zeros(8, np.uint8), 3, 3, 0).tolist() == []


def test_a_text_hashes_alike_whatever_is_beside_it() -> None:
    """Alone, among longer and shorter ones, and among those of its own length: each takes another way."""
    values = [bytes([65 + place]) * length for place, length in enumerate((0, 1, 7, 8, 9, 16, 40, 256, 257, 300, 320))]
    together = hashes_of(values)
    assert len(set(together)) == len(values)
    for value, found in zip(values, together, strict=True):
        assert hashes_of([value]) == [found]
        assert hashes_of([value, value[::-1]]) == [found, found]
        assert hashes_of([value, b"Z" * len(value), value])[::2] == [found, found]


@pytest.mark.parametrize("length", [0, 1, 8, 11, 16, 255, 256, 257, 320])
@pytest.mark.parametrize("gap", [0, 5])
def test_texts_at_even_distances_hash_as_others_do(length: int, gap: int) -> None:
    values = [bytes((7 * row + 13 * at + at // 9) % 251 for at in range(length)) for row in range(5)]
    data = np.frombuffer((b"\xee" * gap).join([*values, b""]) + bytes(8), np.uint8)
    assert HASHER.even_texts(data, length + gap, length, 5).tolist() == hashes_of(values)


def test_long_texts_are_hashed_at_both_ends() -> None:
    base = bytes(range(256)) * 4096
    changed = [base[:at] + b"\xff" + base[at + 1 :] for at in (0, 100, 254, len(base) - 64, len(base) - 2)]
    assert len(set(hashes_of([base, *changed, base + b"x"]))) == 7


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True))
def test_integers_never_collide(values: list[int]) -> None:
    assert len(set(HASHER.integers(np.array(values, np.int64)).tolist())) == len(values)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_doubles_collide_only_if_equal(values: list[float]) -> None:
    assert len(set(HASHER.numbers(np.array(values, np.float64)).tolist())) == len(set(values))  # 0.0 == -0.0


def test_types_are_told_apart() -> None:
    three = HASHER.integers(np.array([3])).tolist() + HASHER.numbers(np.array([3.0])).tolist() + hashes_of([b"3"])
    assert len(set(three)) == 3


def test_symbols_hash_like_strings() -> None:
    assert HASHER.symbols(("RED", "GREEN")).tolist() == hashes_of([b"RED", b"GREEN"])


def test_the_input_is_left_alone() -> None:
    integers, doubles = np.arange(5), np.arange(5.0)
    HASHER.integers(integers)
    HASHER.numbers(doubles)
    assert integers.tolist() == [0, 1, 2, 3, 4]
    assert doubles.tolist() == [0, 1, 2, 3, 4]


def test_keys_give_unrelated_hashes() -> None:
    other = ValueHasher(b"another key")
    values = np.arange(1000)
    assert not set(HASHER.integers(values).tolist()) & set(other.integers(values).tolist())
    assert not set(hashes_of([b"a", b"b"])) & set(hashes_of([b"a", b"b"], other))
    assert HASHER.label("f", b"a") != other.label("f", b"a")
    assert ValueHasher(b"test key").label("f", b"a") == HASHER.label("f", b"a")


@given(st.text(max_size=5), st.text(max_size=5), st.binary(max_size=9), st.binary(max_size=9))
def test_labels_differ_by_field_and_value(path: str, other_path: str, value: bytes, other: bytes) -> None:
    label = HASHER.label(path, value)
    assert len(label) == 17
    assert label[0] == "#"
    assert int(label[1:], 16) >= 0
    assert (label == HASHER.label(other_path, other)) == ((path, value) == (other_path, other))


@pytest.mark.parametrize("shift", [0, 10, 26, 54])
def test_bits_are_evenly_spread(shift: int) -> None:
    # Chi-squared over 1,024 cells of consecutive integers: mean 1023, deviation 45.
    cells = (HASHER.integers(np.arange(200_000)) >> np.uint64(shift)) & np.uint64(1023)
    counts = np.bincount(cells.view(np.int64), minlength=1024)
    expected = 200_000 / 1024
    assert abs(((counts - expected) ** 2 / expected).sum() - 1023) < 6 * 45
