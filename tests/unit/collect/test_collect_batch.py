"""If this failed, the bytes of one record would be taken for those of its neighbour, or its schema for another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.collect import batch as batch_module
from stream_lineage.collect.batch import topic_batches
from stream_lineage.collect.payloads import Payloads, joined
from stream_lineage.collect.schema_key import NULL_CODE, SchemaCodes, SchemaKey
from stream_lineage.model.schema import Framing
from stream_lineage.wire import record_headers

ITEMS = st.lists(st.one_of(st.none(), st.binary(max_size=12)), min_size=1, max_size=20)
GUIDS = [UUID(int=number) for number in range(1, 4)]


def items(payloads: Payloads) -> list[bytes | None]:
    return [
        payloads.data[start : start + length] if length >= 0 else None
        for start, length in zip(payloads.starts.tolist(), payloads.lengths.tolist(), strict=True)
    ]


@given(ITEMS)
def test_joined_keeps_each(given_items: list[bytes | None]) -> None:
    payloads = joined(given_items)
    assert items(payloads) == given_items
    assert len(payloads) == len(given_items)
    assert payloads.byte_count == sum(len(item or b"") for item in given_items)
    assert payloads.data.endswith(bytes(16))


@given(ITEMS, st.data())
def test_segments_keep_each(given_items: list[bytes | None], data: st.DataObject) -> None:
    edges = sorted(data.draw(st.sets(st.integers(0, len(given_items)), min_size=2, max_size=7)))
    bounds = [pair for index, pair in enumerate(pairwise(edges)) if index % 2 == 0]
    assert items(joined(given_items).segments(bounds)) == [item for a, b in bounds for item in given_items[a:b]]


@dataclass
class FakeMessage:
    """What is read of a message of confluent-kafka, whose own cannot be made in Python."""

    of_topic: str
    of_partition: int
    of_offset: int
    of_value: bytes | None
    of_key: bytes | None
    of_headers: list[tuple[str, bytes | None]] | None

    def topic(self) -> str:
        return self.of_topic

    def partition(self) -> int:
        return self.of_partition

    def offset(self) -> int:
        return self.of_offset

    def value(self) -> bytes | None:
        return self.of_value

    def key(self) -> bytes | None:
        return self.of_key

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.of_headers

    def timestamp(self) -> tuple[int, int]:
        return (1, 1_000 + self.of_offset)


@pytest.fixture(autouse=True)
def _fake_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "Message", FakeMessage)
    monkeypatch.setattr(record_headers, "Message", FakeMessage)


def guid_header(name: str, guid: UUID, magic: bytes = b"\x01") -> tuple[str, bytes | None]:
    return (name, magic + guid.bytes)


PAYLOADS = st.one_of(
    st.none(),
    st.binary(max_size=8),
    st.sampled_from([b'{"a": 1}', b"\x00\x00\x00\x00\x07rest", b"\x00\x00\x00\x00\x00rest", b"\x00\x80\x00\x00\x00x"]),
    st.sampled_from([b"\xc3\x01" + bytes(range(8)), b"\xc3\x01" + bytes(8) + b"x", b"\xc3\x01short"]),
)
HEADERS = st.one_of(
    st.none(),
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["__value_schema_id", "__key_schema_id", "other"]), st.sampled_from(GUIDS)).map(
                lambda pair: guid_header(*pair)
            ),
            st.sampled_from([("__value_schema_id", None), ("__value_schema_id", b"\x01short"), ("trace", b"x")]),
        ),
        max_size=4,
    ),
)


def expected_key(
    payload: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None, name: str
) -> SchemaKey | None:
    """As the specifications say it, record by record; null for null."""
    if payload is None:
        return None
    last = [content for header, content in headers or () if header == name][-1:]
    if last and last[0] is not None and len(last[0]) == 17 and last[0][0] == 1:
        return SchemaKey(Framing.GUID_HEADER, str(UUID(bytes=last[0][1:])))
    if len(payload) >= 5 and payload[0] == 0 and 0 < (number := int.from_bytes(payload[1:5], "big")) < 2**31:
        return SchemaKey(Framing.CONFLUENT_PREFIX, number)
    if payload[:2] == b"\xc3\x01" and len(payload) >= 10:
        return SchemaKey(Framing.SINGLE_OBJECT, payload[2:10][::-1].hex())
    if payload[:8].lstrip(b" \t\r\n")[:1] in (b"{", b"["):
        return SchemaKey(Framing.PLAIN_JSON)
    return SchemaKey(Framing.OPAQUE)


def test_headers_say_who_wrote_a_record() -> None:
    rows: list[Any] = [
        None, [("ce_source", b"/shop"), ("x", b"y")], [("x", b"y")], [("ce_source", b"/a"), ("lineage-producer", b"b")],
        [("ce_source", None)], [("ce_source", b"/first"), ("ce_source", b"/last")], [("ce_source", b"x" * 201)],
    ]  # fmt: skip
    messages: Any = [FakeMessage("t", 0, index, b"x", None, own) for index, own in enumerate(rows)]
    [batch] = topic_batches(messages, SchemaCodes(), producer_headers=("lineage-producer", "ce_source"))
    assert batch.producer_of is not None
    assert [batch.producer_of(index) for index in range(7)] == [None, b"/shop", None, b"b", None, b"/last", None]
    [batch] = topic_batches(messages, SchemaCodes())
    assert batch.producer_of is None


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), PAYLOADS, PAYLOADS, HEADERS), min_size=1, max_size=25))
def test_each_record_says_its_schema(rows: list[tuple[Any, ...]]) -> None:
    messages = [FakeMessage(topic, i % 3, i, value, key, own) for i, (topic, value, key, own) in enumerate(rows)]
    codes = SchemaCodes()
    batches: Any = topic_batches(messages, codes)
    assert sorted(batch.topic for batch in batches) == sorted({row[0] for row in rows})
    for batch in batches:
        mine = [message for message in messages if message.of_topic == batch.topic]
        assert batch.offsets.tolist() == [message.of_offset for message in mine]
        assert batch.partitions.tolist() == [message.of_partition for message in mine]
        assert items(batch.values) == [message.of_value for message in mine]
        assert items(batch.keys) == [message.of_key for message in mine]
        assert batch.timestamps.tolist() == [1_000 + mine[i].of_offset for i in batch.sample.tolist()]
        for index, message in enumerate(mine):
            for payload, code, name in (
                (message.of_value, int(batch.value_codes[index]), "__value_schema_id"),
                (message.of_key, int(batch.key_codes[index]), "__key_schema_id"),
            ):
                expected = expected_key(payload, message.of_headers, name)
                assert (None if code == NULL_CODE else codes.key(code)) == expected


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=30))
def test_change_points_cut_where_something_changes(rows: list[tuple[int, bool]]) -> None:
    messages = [
        FakeMessage("t", partition, index, b"{}" if json else b"\x07", None, None)
        for index, (partition, json) in enumerate(rows)
    ]
    [batch] = topic_batches(messages, SchemaCodes())
    points = batch.change_points().tolist()
    assert (points[0], points[-1]) == (0, len(rows))
    changes = [index for index in range(1, len(rows)) if rows[index] != rows[index - 1]]
    assert points[1:-1] == changes


def test_timestamps_are_read_of_a_bounded_sample() -> None:
    messages = [FakeMessage("t", 0, index, b"x", None, None) for index in range(2_000)]
    [batch] = topic_batches(messages, SchemaCodes())
    assert len(batch.sample) <= 512
    assert np.all(np.diff(batch.sample) == batch.sample[1])


def test_the_real_message_has_what_is_read() -> None:
    for name in ("topic", "partition", "offset", "value", "key", "headers", "timestamp"):
        assert callable(getattr(Message, name))
