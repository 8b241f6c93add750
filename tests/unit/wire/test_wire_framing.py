"""If this failed, records would be attributed to schemas that they were not written with."""

from __future__ import annotations

import itertools
import random
import struct
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.model.schema import Framing
from stream_lineage.wire import framing, guid_header
from stream_lineage.wire.columns import PADDING


def oracle(payload: bytes | None) -> tuple[Framing | None, int | None]:
    """The framing and id of one payload, told the slow and plain way."""
    if payload is None:
        return None, None
    if len(payload) >= 5 and payload[0] == 0:
        (number,) = struct.unpack(">i", payload[1:5])
        if number > 0:
            return Framing.CONFLUENT_PREFIX, number
    if payload.startswith(b"\xc3\x01") and len(payload) >= 10:
        return Framing.SINGLE_OBJECT, None
    text = payload[:8].lstrip(b" \t\r\n")
    if text.startswith((b"{", b"[")):
        return Framing.PLAIN_JSON, None
    return Framing.OPAQUE, None


def packed(payloads: list[bytes | None], gap: bytes = b"") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts, lengths, data = [], [], b""
    for payload in payloads:
        data += gap
        starts.append(-999 if payload is None else len(data))
        lengths.append(-1 if payload is None else len(payload))
        data += payload or b""
    return (
        np.frombuffer(data + bytes(PADDING), np.uint8),
        np.array(starts, np.int64),
        np.array(lengths, np.int64),
    )


def answers(payloads: list[bytes | None], gap: bytes = b"") -> list[tuple[Framing | None, int | None]]:
    codes = framing.classify(*packed(payloads, gap))
    assert codes.dtype == np.uint64
    return [(framing.framing_of(code), framing.schema_id(code)) for code in codes]


first_bytes = st.sampled_from(
    [b"\0", b"\xc3\x01", b"\xc3", b"{", b"[", b" ", b"\n\t\r ", b'"', b"1", b"\xef\xbb\xbf{", b""]
)
payloads = st.none() | st.builds(bytes.__add__, first_bytes, st.binary(max_size=12)) | st.binary(max_size=20)


@given(st.lists(payloads, max_size=30), st.sampled_from([b"", b"\0", b"{", b"\xc3\x01 gap"]))
def test_every_payload_is_framed_as_if_it_were_alone(batch: list[bytes | None], gap: bytes) -> None:
    assert answers(batch, gap) == [oracle(payload) for payload in batch]


def test_every_start_of_three_bytes_at_every_length() -> None:
    interesting = (0x00, 0x01, 0xC3, 0x20, 0x09, 0x0A, 0x0D, ord("{"), ord("["), ord('"'), ord("7"), 0x7F, 0x80, 0xFF)
    batch: list[bytes | None] = [
        (bytes(start) + b"\x01{ \0\x02[\xc3\x01\x09")[:length]
        for start in itertools.product(interesting, repeat=3)
        for length in range(13)
    ]
    assert answers(batch) == [oracle(payload) for payload in batch]


@pytest.mark.parametrize("first", range(256))
def test_every_first_two_bytes(first: int) -> None:
    batch: list[bytes | None] = [bytes((first, second)) + b"\0\0\x05 and more" for second in range(256)]
    assert answers(batch) == [oracle(payload) for payload in batch]


@pytest.mark.parametrize("number", [1, 2, 255, 256, 65_536, 2**31 - 1])
def test_ids_are_big_endian(number: int) -> None:
    assert answers([b"\0" + number.to_bytes(4, "big")]) == [(Framing.CONFLUENT_PREFIX, number)]


@pytest.mark.parametrize("number", [0, 2**31, 2**32 - 1])
def test_what_cannot_be_an_id_is_opaque(number: int) -> None:
    assert answers([b"\0" + number.to_bytes(4, "big") + b"x"]) == [(Framing.OPAQUE, None)]


@pytest.mark.parametrize("blanks", range(12))
def test_white_space_before_json(blanks: int) -> None:
    for bracket in b"{[":
        payload = b" \t\r\n"[blanks % 4 : blanks % 4 + 1] * blanks + bytes((bracket,)) + b"}"
        assert answers([payload]) == [(Framing.PLAIN_JSON if blanks <= 7 else Framing.OPAQUE, None)]


def test_null_is_not_empty() -> None:
    codes = framing.classify(*packed([None, b""]))
    assert [int(code) for code in codes] == [framing.NULL, framing.OPAQUE]


def test_no_payloads() -> None:
    assert answers([]) == []


def test_payload_follows_its_framing() -> None:
    batch: list[bytes | None] = [b"\0\0\0\0\7body", b"\xc3\x01" + b"fprint64" + b"body", b"{body", b"body", None]
    codes = framing.classify(*packed(batch))
    rests = [payload[framing.payload_offset(code) :] for payload, code in zip(batch, codes, strict=True) if payload]
    assert rests == [b"body", b"body", b"{body", b"body"]
    assert framing.payload_offset(int(codes[-1])) == 0


def test_fingerprints_of_single_objects_are_little_endian() -> None:
    numbers = [random.Random(i).getrandbits(64) for i in range(50)]
    data, starts, lengths = packed([b"\xc3\x01" + struct.pack("<Q", number) + b"x" for number in numbers])
    assert (framing.classify(data, starts, lengths) == framing.SINGLE_OBJECT).all()
    assert framing.single_object_fingerprints(data, starts).tolist() == numbers


@given(st.uuids(), st.binary(max_size=guid_header.MAX_INDEX_BYTES))
def test_guid_headers(guid: uuid.UUID, indexes: bytes) -> None:
    assert guid_header.guid_from_header(b"\1" + guid.bytes) == (str(guid), b"")
    assert guid_header.guid_from_header(b"\1" + guid.bytes + indexes) == (str(guid), indexes)


@pytest.mark.parametrize(
    "value", [None, b"", b"\1", b"\1" + bytes(15), b"\1" + bytes(81), b"\0" + bytes(16), bytes(16)]
)
def test_headers_that_hold_no_guid(value: bytes | None) -> None:
    assert guid_header.guid_from_header(value) is None


def test_the_last_header_of_a_name_counts() -> None:
    first, last = uuid.uuid4(), uuid.uuid4()
    headers = [
        (guid_header.KEY_GUID_HEADER, b"\1" + uuid.uuid4().bytes),
        (guid_header.VALUE_GUID_HEADER, b"\1" + first.bytes),
        (guid_header.VALUE_GUID_HEADER, b"\1" + last.bytes),
        ("other", None),
    ]
    assert guid_header.guid_in(headers, guid_header.VALUE_GUID_HEADER) == (str(last), b"")
    assert guid_header.guid_in(headers, "absent") is None
    assert guid_header.guid_in(None, guid_header.VALUE_GUID_HEADER) is None
