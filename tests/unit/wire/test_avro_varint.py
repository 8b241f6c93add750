"""If this fails, integers are decoded to other values than were encoded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.wire.avro_varint import pass_varints, read_varints
from stream_lineage.wire.avro_walk import Unreadable, read_varint


def encoded(value: int, padding: int = 0) -> bytes:
    """Zigzag, seven bits at a time, lowest first; padded with empty groups."""
    value = value * 2 if value >= 0 else -value * 2 - 1
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F)
    groups += [0] * min(padding, 10 - len(groups))
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def read(payloads: list[bytes], *, short: bool) -> tuple[list[int], list[int], list[bool]]:
    data = np.frombuffer(b"".join(payloads) + bytes(16), np.uint8)
    words: np.ndarray = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))  # type: ignore[type-arg]
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    values, sizes, invalid = read_varints(data, words, np.cumsum(lengths) - lengths, short=short)
    assert np.broadcast_to(
        pass_varints(data, words, np.cumsum(lengths) - lengths, short=short), len(payloads)
    ).tolist() == (np.broadcast_to(sizes, len(payloads)).tolist())
    wrong = np.zeros(len(payloads), bool) if invalid is None else invalid
    return values.tolist(), np.broadcast_to(sizes, len(payloads)).tolist(), wrong.tolist()


longs = st.integers(-(2**63), 2**63 - 1)
near = st.integers(0, 62).flatmap(lambda bits: st.integers(-(2**bits) - 1, 2**bits + 1))


@given(st.lists(st.tuples(longs | near, st.sampled_from([0, 0, 1, 9])), min_size=1), st.booleans())
def test_values_come_back(pairs: list[tuple[int, int]], short: bool) -> None:
    payloads = [encoded(value, padding) for value, padding in pairs]
    values, sizes, wrong = read(payloads, short=short)
    assert values == [value for value, _ in pairs]
    assert sizes == [len(payload) for payload in payloads]
    assert not any(wrong)
    assert [read_varint(payload, 0) for payload in payloads] == list(zip(values, sizes, strict=True))


@given(st.lists(st.integers(-64, 63), min_size=1))
def test_single_bytes_take_the_table(values: list[int]) -> None:
    assert read([encoded(value) for value in values], short=True)[0] == values


@pytest.mark.parametrize("payload", [b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x00", b"\xff" * 10 + b"\x7f"])
def test_more_than_64_bits_are_invalid(payload: bytes) -> None:
    _, _, wrong = read([b"\2", payload, b"\2" * 12], short=False)
    assert wrong == [False, True, False]
    with pytest.raises(Unreadable, match="64 bits"):
        read_varint(payload, 0)


def test_no_cursors_no_values() -> None:
    for short in (True, False):
        data = np.zeros(16, np.uint8)
        values, _, invalid = read_varints(data, data.view("<u8"), np.zeros(0, np.int64), short=short)
        assert len(values) == 0
        assert invalid is None
