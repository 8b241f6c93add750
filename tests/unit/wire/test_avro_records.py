"""If this fails, recursive records are not read as they were written, or one of them can kill the process."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from typing import Any

import fastavro
import numpy as np
import pytest

from stream_lineage.wire.avro_records import AvroRecords
from stream_lineage.wire.avro_schema import parse_schema
from stream_lineage.wire.columns import Batch, Containers, Decoded, Numbers
from stream_lineage.wire.limits import DecodeLimits

LIST: dict[str, Any] = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "value", "type": "int"}, {"name": "next", "type": ["null", "Node"]}],
}
TREE: dict[str, Any] = {
    "type": "record",
    "name": "Tree",
    "fields": [{"name": "v", "type": "int"}, {"name": "kids", "type": {"type": "array", "items": "Tree"}}],
}


def decoder(document: Any, **limits: int) -> AvroRecords:
    return AvroRecords(parse_schema(json.dumps(document)), DecodeLimits(**limits))


def batch(*records: bytes) -> Batch:
    lengths = np.array([len(record) for record in records], np.int64)
    data = np.frombuffer(b"".join(records) + bytes(16), np.uint8)
    return Batch(data, np.cumsum(lengths) - lengths, lengths)


def written(document: Any, *values: Any) -> Batch:
    parsed = fastavro.parse_schema(document)
    records = []
    for value in values:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed, value)
        records.append(stream.getvalue())
    return batch(*records)


def linked(length: int) -> Any:
    node = None
    for value in reversed(range(length)):
        node = {"value": value, "next": node}
    return node


def integers(decoded: Decoded) -> dict[str, list[int]]:
    return {
        column.path: part.values.tolist()
        for column in decoded.columns
        for part in column.parts
        if isinstance(part, Numbers)
    }


def test_levels_beyond_the_fourth_are_merged() -> None:
    decoded = decoder(LIST).decode(written(LIST, linked(7), linked(2)))
    assert integers(decoded) == {
        "value": [0, 0],
        "next.value": [1, 1],
        "next.next.value": [2],
        "next.next.next.value": [3],
        "next.next.next.…[].value": [4, 5, 6],
    }
    facts = {column.path: (column.slots, column.nulls, column.missing) for column in decoded.columns}
    assert facts["next"] == (2, 0, 0)
    assert facts["next.next"] == (2, 1, 0)
    assert facts["next.next.next.next"] == (1, 0, 0)
    assert facts["next.next.next.…[]"] == (3, 0, 0)
    assert facts["next.next.next.…[].next"] == (3, 1, 0)


def test_every_value_of_a_tree_is_somewhere_once() -> None:
    def tree(depth: int, numbers: Any) -> Any:
        return {"v": next(numbers), "kids": [tree(depth - 1, numbers) for _ in range(2)] if depth else []}

    numbers = iter(range(1_000))
    values = [tree(depth, numbers) for depth in (0, 3, 6)]
    decoded = decoder(TREE).decode(written(TREE, *values))
    found = Counter(value for values in integers(decoded).values() for value in values)
    assert found == Counter(range(next(numbers)))
    records = sum(
        p.count for c in decoded.columns if c.path.endswith("…[]") for p in c.parts if isinstance(p, Containers)
    )
    assert records == 2**4 + 2**5 + 2**6


def test_types_that_hold_each_other_are_folded() -> None:
    odd = {"type": "record", "name": "Odd", "fields": [{"name": "even", "type": ["null", "Even"]}]}
    even = {"type": "record", "name": "Even", "fields": [{"name": "x", "type": "int"}, {"name": "odd", "type": odd}]}
    value = None
    for x in reversed(range(9)):
        value = {"x": x, "odd": {"even": value}}
    decoded = decoder(even).decode(written(even, value))
    assert sorted(value for values in integers(decoded).values() for value in values) == list(range(9))
    assert integers(decoded)["odd.even.odd.even.odd.even.…[].x"] == [4, 5, 6, 7, 8]


def test_keys_that_occur_twice_are_two_entries() -> None:
    decoded = decoder({"type": "map", "values": "int"}).decode(batch(b"\4\2k\2\2k\4\0"))
    assert integers(decoded) == {"${}": [1, 2]}


def test_a_record_that_ends_before_a_value_is_bad_and_alone() -> None:
    switches = {
        "type": "record",
        "name": "S",
        "fields": [{"name": "on", "type": "boolean"}, {"name": "s", "type": ["null", "S"]}],
    }
    decoded = decoder(switches).decode(batch(b"", b"\1\0", b"\1\2"))
    assert [(bad.index, bad.kind) for bad in decoded.bad] == [(0, "truncated"), (2, "truncated")]
    assert [part.values.tolist() for part in decoded.columns[0].parts if isinstance(part, Numbers)] == [[True]]


def test_depth_is_bounded_before_fastavro_sees_it() -> None:
    deep = b"\2\2" * 100_000 + b"\2\0"
    decoded = decoder(LIST).decode(batch(b"\2\0", deep, b"\4\0"))
    assert [(bad.index, bad.kind) for bad in decoded.bad] == [(1, "too-deep")]
    assert len(decoded.bad[0].error) < 300
    assert integers(decoded) == {"value": [1, 2]}


def test_a_record_that_must_hold_itself_never_ends() -> None:
    endless = {"type": "record", "name": "E", "fields": [{"name": "e", "type": "E"}]}
    decoded = decoder(endless).decode(batch(b"", b"\0"))
    assert [bad.kind for bad in decoded.bad] == ["too-deep", "too-deep"]


@pytest.mark.parametrize(
    ("document", "record"),
    [
        (LIST, lambda levels: b"\2\2" * levels + b"\2\0"),
        (TREE, lambda levels: b"\2\2" * levels + b"\2\0" + b"\0" * levels),
    ],
)
def test_the_deepest_record_that_is_read_fits_a_small_stack(document: Any, record: Any) -> None:
    out: list[int] = []

    def run() -> None:
        decoded = decoder(document).decode(batch(*(record(levels) for levels in range(200))))
        out.append(len(decoded.bad))

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert out == [200 - 129]  # a node and a union or array for each of 128 levels


def test_items_without_bytes_are_never_built() -> None:
    document = {"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}
    decoded = decoder(document, max_empty_items=100).decode(
        batch(b"\x80\x80\x80\x80\x80\x40\0", b"\xc8\1\0", b"\2\0\0")
    )
    assert [(bad.index, bad.kind) for bad in decoded.bad] == [(0, "too-many-items"), (2, "trailing-bytes")]
    facts = {column.path: (column.slots, column.nulls) for column in decoded.columns}
    assert facts == {"a": (1, 0), "a[]": (100, 100)}


def test_a_batch_leaves_nothing_behind_for_the_next() -> None:
    records = decoder(LIST)
    records.decode(written(LIST, linked(6)))
    assert integers(records.decode(written(LIST, linked(1)))) == {"value": [0]}
    assert records.decode(batch()) == Decoded(0, [], [])


def test_a_reader_that_fails_midway_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    records = decoder(LIST)
    reader = fastavro.schemaless_reader
    calls = iter([reader])

    def failing(*args: Any) -> Any:
        try:
            return next(calls)(*args)
        except StopIteration:
            raise MemoryError from None

    monkeypatch.setattr(fastavro, "schemaless_reader", failing)
    with pytest.raises(MemoryError):
        records.decode(written(LIST, linked(3), linked(3)))
    monkeypatch.undo()
    assert integers(records.decode(written(LIST, linked(1)))) == {"value": [0]}


def test_paths_beyond_the_bound_are_left_out_and_counted() -> None:
    decoded = decoder(LIST, max_fields=3).decode(written(LIST, linked(7)))
    assert [column.path for column in decoded.columns] == ["value", "next", "next.value"]
    assert decoded.truncated > 0
    of_trees = decoder(TREE, max_fields=2).decode(written(TREE, {"v": 7, "kids": [{"v": 8, "kids": []}]}))
    assert [(column.path, column.slots) for column in of_trees.columns] == [("v", 1), ("kids", 1)]
    assert integers(of_trees) == {"v": [7]}
    ten_ways = [{"name": f"r{i}", "type": ["null", "E"]} for i in range(10)]
    many = decoder({"type": "record", "name": "E", "fields": ten_ways}).decode(batch(b"\2" + bytes(10) + bytes(9)))
    assert [column.path for column in many.columns][:2] == ["r0", "r0.r0"]
    assert many.truncated > 0
