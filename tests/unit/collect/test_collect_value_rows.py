"""If this failed, an incident would name a wrong record as the first bad one, or none, though it was read again."""

from __future__ import annotations

import io
import json
import math
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE

from stream_lineage.collect import batch as batch_module
from stream_lineage.collect.resolver import SchemaResolver
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.value_rows import RowsRead, ValueRows
from stream_lineage.errors import KafkaUnavailable, UnknownSchema
from stream_lineage.explain.first_bad import Row
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.wire import record_headers
from stream_lineage.wire.registered_schema import RegisteredSchema, Role

FOREVER = 10.0**12
ORDER = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "amount", "type": ["null", "double"]},
        {"name": "state", "type": {"type": "enum", "name": "state", "symbols": ["new", "paid"]}},
    ],
}


@dataclass
class Kept:
    """What is read of a message of confluent-kafka, whose own cannot be made in Python."""

    of_partition: int
    of_offset: int
    of_value: bytes | None
    of_key: bytes | None = None
    at: int | None = 1_000

    def topic(self) -> str:
        return "orders"

    def partition(self) -> int:
        return self.of_partition

    def offset(self) -> int:
        return self.of_offset

    def value(self) -> bytes | None:
        return self.of_value

    def key(self) -> bytes | None:
        return self.of_key

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return (TIMESTAMP_NOT_AVAILABLE, -1) if self.at is None else (TIMESTAMP_CREATE_TIME, self.at)


class Portions:
    """As ``RangeReader``: messages, a portion at a time, and maybe an end before all were read."""

    topic = "orders"

    def __init__(self, *portions: Sequence[Kept], error: Exception | None = None) -> None:
        self._portions, self._error = portions, error
        self.read = 0
        places = [(each.of_partition, each.of_offset) for portion in portions for each in portion]
        self.ranges = {number: (0, 1 + max(offset for _, offset in places)) for number, _ in places}

    def batches(self) -> Iterator[list[Any]]:
        for portion in self._portions:
            self.read += 1
            yield list(portion)
        if self._error is not None:
            raise self._error


class Registry:
    """Knows one schema."""

    def by_id(self, id: int, *, topic: str, role: Role) -> RegisteredSchema:
        if id != 7:
            raise UnknownSchema("no such schema")
        reference = SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, 7, None, "orders-value", 1, "f")
        return RegisteredSchema(reference, json.dumps(ORDER))

    def by_guid(self, guid: str, *, topic: str, role: Role) -> RegisteredSchema:
        raise UnknownSchema("no such schema")

    def latest(self, subject: str) -> RegisteredSchema:
        raise UnknownSchema("no such subject")


@pytest.fixture(autouse=True)
def _fake_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "Message", Kept)
    monkeypatch.setattr(record_headers, "Message", Kept)


def read(
    reader: Portions, path: str | None, *, decodes: bool = False, registry: Registry | None = None,
    most_bytes: int = 10**9, deadline: float = FOREVER,
) -> RowsRead:  # fmt: skip
    resolver = SchemaResolver(registry, negative_ttl_seconds=60, retry_seconds=60, wait_seconds=60)
    try:
        rows = ValueRows(
            codes=SchemaCodes(resolver), resolver=resolver, asks_registry=registry is not None, path=path,
            decodes=decodes,
        )  # fmt: skip
        source: Any = reader
        return rows.read(source, most_bytes=most_bytes, deadline=deadline)
    finally:
        resolver.close()


def told(*values: Any) -> list[Kept]:
    """Records of one partition; bytes are themselves, null is a tombstone, all else is JSON."""
    raw = [each if each is None or isinstance(each, bytes) else json.dumps(each).encode() for each in values]
    return [Kept(0, offset, each) for offset, each in enumerate(raw)]


def row_of(value: Any, path: str) -> dict[str, Any]:
    """What a row must show of a JSON record, found without any decoder of ours."""
    if path not in value:
        return {"missing": True, "types": (), "low": None, "high": None, "length": None, "null": False}
    found = value[path]
    number = isinstance(found, int | float) and not isinstance(found, bool)
    types = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return {
        "missing": False, "null": found is None, "types": () if found is None else (types[type(found)],),
        "low": float(found) if number else None, "high": float(found) if number else None,
        "length": float(len(found)) if isinstance(found, str | list) else None,
    }  # fmt: skip


VALUES: list[dict[str, Any]] = [
    {"amount": 3}, {"amount": None}, {"amount": -2.5}, {"amount": "twelve"}, {"other": 1}, {"amount": True},
    {"amount": [1, 2, 3]}, {"amount": {"is": 1}}, {"amount": ""}, {"amount": 2**40}, {},
]  # fmt: skip


def test_each_row_shows_of_a_field_what_its_record_has() -> None:
    rows = read(Portions(told(*VALUES)), "amount").rows[0]
    assert [row.offset for row in rows] == list(range(len(VALUES)))
    for row, value in zip(rows, VALUES, strict=True):
        assert row.readable
        assert {name: getattr(row, name) for name in row_of(value, "amount")} == row_of(value, "amount"), value


def test_a_field_further_down_has_the_values_of_all_of_its_items() -> None:
    values = [{"items": [{"price": 3}, {"price": 9.5}, {"price": None}]}, {"items": []}, {"items": [{"price": -1}, {}]}]
    first, empty, last = read(Portions(told(*values)), "items[].price").rows[0]
    assert (first.low, first.high, first.null, first.missing) == (3.0, 9.5, True, False)
    assert set(first.types) == {"integer", "number"}
    assert len(first.hashes) == 2
    assert (empty.low, empty.hashes) == (None, ())
    assert (last.low, last.missing) == (-1.0, True)


def test_values_are_told_apart_and_the_same_ones_are_the_same() -> None:
    names = ["a", "b", "a", "", "b"]
    rows = read(Portions(told(*({"name": name} for name in names))), "name").rows[0]
    for one, first in zip(rows, names, strict=True):
        for other, second in zip(rows, names, strict=True):
            assert (one.hashes == other.hashes) is (first == second)
    numbers = read(Portions(told({"n": 1}, {"n": 2}, {"n": 1})), "n").rows[0]
    assert numbers[0].hashes == numbers[2].hashes != numbers[1].hashes
    assert all("a" not in repr(row) or row.hashes for row in rows)


def test_what_cannot_be_decoded_says_nothing_of_its_field_and_a_tombstone_has_none() -> None:
    good, broken, gone, opaque = read(Portions(told({"a": 1}, b'{"a": 1', None, b"\xff\xfe\x00")), "a").rows[0]
    assert (good.readable, good.low, good.tombstone) == (True, 1.0, False)
    assert (broken.readable, broken.low, broken.types) == (False, None, ())
    assert (gone.tombstone, gone.size, gone.low) == (True, 0, None)
    assert (opaque.readable, opaque.low) == (False, None)


def test_of_the_record_as_a_whole_its_size_key_and_time_are_kept() -> None:
    kept = [
        Kept(0, 0, b"12345", b"k", 77),
        Kept(0, 1, None, b"k", None),
        Kept(0, 2, b"\xff", b"other"),
        Kept(0, 3, b""),
    ]
    rows = read(Portions(kept), None).rows[0]
    assert [row.size for row in rows] == [6, 1, 6, 0]
    assert [row.timestamp for row in rows] == [77, -1, 1_000, 1_000]
    assert [row.tombstone for row in rows] == [False, True, False, False]
    assert rows[0].key == rows[1].key != rows[2].key
    assert rows[3].key is None
    assert all(row.readable for row in rows)  # nobody has looked
    looked = read(Portions(told({"a": 1}, b"{", b"\xff")), None, decodes=True).rows[0]
    assert [row.readable for row in looked] == [True, False, True]  # what claims no format breaks none
    assert not any(row.missing or row.types for row in looked)


def test_records_of_a_schema_are_decoded_by_it() -> None:
    def framed(number: int, value: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        out.write(struct.pack(">bI", 0, number))
        fastavro.schemaless_writer(out, fastavro.parse_schema(ORDER), value)
        return out.getvalue()

    values = [{"amount": 2.5, "state": "new"}, {"amount": None, "state": "paid"}, {"amount": math.nan, "state": "new"}]
    given = [*(framed(7, each) for each in values), framed(8, values[0]), framed(7, values[0])[:-1], framed(7, {
        "amount": math.inf, "state": "paid",
    })]  # fmt: skip
    amounts = read(Portions(told(*given)), "amount", registry=Registry()).rows[0]
    assert [row.readable for row in amounts] == [True, True, True, False, False, True]
    assert [(row.low, row.null) for row in amounts[:3]] == [(2.5, False), (None, True), (None, False)]
    assert amounts[5].high is None  # neither is a number that anything could be beyond
    states = read(Portions(told(*given)), "state", registry=Registry()).rows[0]
    assert states[0].types == ("enum",)
    assert states[0].hashes == states[2].hashes != states[1].hashes


def test_rows_are_by_partition_in_the_order_of_offsets_over_portions() -> None:
    def of(partition: int, offset: int) -> Kept:
        return Kept(partition, offset, json.dumps({"n": 100 * partition + offset}).encode())

    portions = [[of(1, 0), of(0, 3), of(1, 1)], [of(0, 4), of(2, 9)], [of(1, 2), of(0, 5)]]
    found = read(Portions(*portions), "n")
    assert {number: [(row.offset, row.low) for row in rows] for number, rows in found.rows.items()} == {
        0: [(3, 3.0), (4, 4.0), (5, 5.0)], 1: [(0, 100.0), (1, 101.0), (2, 102.0)], 2: [(9, 209.0)],
    }  # fmt: skip
    assert (found.records, found.cut, found.trouble) == (7, False, None)
    assert found.bytes == sum(len(each.of_value or b"") for portion in portions for each in portion)


def test_what_is_beyond_the_bounds_is_not_read_and_that_is_said() -> None:
    portions = [told({"n": 1}), [Kept(0, 1, b'{"n": 2}')], [Kept(0, 2, b'{"n": 3}')]]
    reader = Portions(*portions)
    found = read(reader, "n", most_bytes=8)
    assert ([row.low for row in found.rows[0]], found.cut, reader.read) == ([1.0, 2.0], True, 2)
    late = Portions(*portions)
    found = read(late, "n", deadline=time.monotonic() - 1)
    assert (found.cut, late.read, found.records) == (True, 1, 1)
    assert found.rows == {}  # of what nobody has looked at nothing is said
    assert len(read(Portions(*portions), None, deadline=time.monotonic() - 1).rows[0]) == 1


def test_what_was_read_before_kafka_stopped_answering_is_not_lost() -> None:
    broken = KafkaUnavailable("nothing came for 15 s")
    found = read(Portions(told({"n": 1}, {"n": 2}), error=broken), "n")
    assert [row.low for row in found.rows[0]] == [1.0, 2.0]
    assert (found.trouble, found.cut) == ("nothing came for 15 s", False)


def test_a_record_with_many_values_is_bounded() -> None:
    [row] = read(Portions(told({"n": list(range(5_000))})), "n[]").rows[0]
    assert (row.low, row.high, len(row.hashes)) == (0.0, 4_999.0, 64)
    assert isinstance(row, Row)
    assert not isinstance(row.low, np.floating)
