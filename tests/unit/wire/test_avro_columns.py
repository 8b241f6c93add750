"""If this fails, the columnar decoder gives other values than were written, or a bad record reaches its neighbours."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from stream_lineage.wire.avro_columns import AvroColumns
from stream_lineage.wire.avro_schema import parse_schema
from stream_lineage.wire.columns import Batch, Containers, Decoded, Numbers, Symbols, Texts
from stream_lineage.wire.limits import DecodeLimits


def columns_of(document: Any, limits: DecodeLimits | None = None) -> AvroColumns:
    return AvroColumns(parse_schema(json.dumps(document)), limits or DecodeLimits())


def record(*types: Any) -> dict[str, Any]:
    names = "abcdefgh"
    return {
        "type": "record",
        "name": "R",
        "fields": [{"name": name, "type": type_} for name, type_ in zip(names, types, strict=False)],
    }


def batch(*records: bytes, between: bytes = b"") -> Batch:
    lengths = np.array([len(each) for each in records], np.int64)
    starts = np.cumsum(lengths + len(between)) - lengths
    data = b"".join(between + each for each in records) + bytes(16)
    return Batch(np.frombuffer(data, np.uint8), starts, lengths)


def shown(decoded: Decoded) -> dict[str, Any]:
    """Path to (slots, nulls, missing, values of each part, in order)."""
    out = {}
    for column in decoded.columns:
        parts: list[Any] = []
        for part in column.parts:
            match part:
                case Numbers():
                    parts.append((part.type, part.values.tolist()))
                case Texts():
                    pairs = zip(part.starts.tolist(), part.lengths.tolist(), strict=True)
                    parts.append((part.type, [part.data[start : start + size].tobytes() for start, size in pairs]))
                case Symbols():
                    parts.append(("enum", [part.symbols[code] for code in part.codes.tolist()]))
                case Containers():
                    parts.append((part.type, part.count if part.lengths is None else part.lengths.tolist()))
        out[column.path] = (column.slots, column.nulls, column.missing, *parts)
    return out


def kinds(decoded: Decoded) -> dict[int, str]:
    return {bad.index: bad.kind for bad in decoded.bad}


def test_the_example_of_the_specification() -> None:
    # Avro 1.11.1, "Schema primitive and complex types, binary encoding": {"a": 27, "b": "foo"} is 36 06 66 6f 6f
    decoded = columns_of(record("long", "string")).decode(batch(bytes.fromhex("3606666f6f")))
    assert shown(decoded) == {"a": (1, 0, 0, ("integer", [27])), "b": (1, 0, 0, ("string", [b"foo"]))}


def test_the_array_example_of_the_specification() -> None:
    # array of long with 3 and 27: 04 06 36 00
    decoded = columns_of({"type": "array", "items": "long"}).decode(batch(bytes.fromhex("04063600")))
    assert shown(decoded) == {"$": (1, 0, 0, ("array", [2])), "$[]": (2, 0, 0, ("integer", [3, 27]))}


@pytest.mark.parametrize(
    ("type_", "payload", "column"),
    [
        ("boolean", b"\1", ("boolean", [True])),
        ("int", b"\x80\x80\x80\x80\x10", None),
        ("int", b"\xff\xff\xff\xff\x0f", ("integer", [-(2**31)])),
        ("int", b"\xfe\xff\xff\xff\x0f", ("integer", [2**31 - 1])),
        ("long", b"\xfe" + b"\xff" * 8 + b"\1", ("integer", [2**63 - 1])),
        ("long", b"\xff" * 9 + b"\1", ("integer", [-(2**63)])),
        ("long", b"\x80" * 9 + b"\0", ("integer", [0])),  # longer than need be, as any reader takes it
        ("long", b"\xff" * 9 + b"\2", None),
        ("long", b"\x80" * 10 + b"\0", None),
        ("float", struct.pack("<f", 0.25), ("number", [0.25])),
        ("double", struct.pack("<d", -1e300), ("number", [-1e300])),
        ("string", b"\x06\xe2\x82\xac", ("string", ["€".encode()])),
        ("string", b"\x04\xe2\x82", None),
        ("string", b"\x06\xed\xa0\x80", None),  # a surrogate
        ("string", b"\x04\xc0\x80", None),  # an overlong zero
        ("bytes", b"\x04\xe2\x82", ("bytes", [b"\xe2\x82"])),
        ({"type": "fixed", "name": "F", "size": 3}, b"abc", ("bytes", [b"abc"])),
        ({"type": "fixed", "name": "F", "size": 2**40}, b"abc", None),
        ({"type": "enum", "name": "E", "symbols": ["X", "Y"]}, b"\2", ("enum", ["Y"])),
        ({"type": "enum", "name": "E", "symbols": ["X", "Y"]}, b"\4", None),
        ({"type": "enum", "name": "E", "symbols": ["X", "Y"]}, b"\1", None),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, b"\x04\xff\x9c", ("number", [-1.0])),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, b"\0", ("number", [0.0])),
        (
            {"type": "fixed", "name": "D", "size": 16, "logicalType": "decimal", "precision": 38, "scale": 0},
            (10**30).to_bytes(16, "big"),
            ("number", [1e30]),
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 1000, "scale": 0},
            b"\xc8\x02" + b"\x7f" + bytes(163),  # 2^1311 and more
            ("number", [float("inf")]),
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 1000, "scale": 0},
            b"\xc8\x02" + b"\x80" + bytes(163),
            ("number", [float("-inf")]),
        ),
        ({"type": "string", "logicalType": "uuid"}, b"\x02u", ("string", [b"u"])),
        ({"type": "bytes", "logicalType": "decimal", "precision": 1001}, b"\x02\1", ("bytes", [b"\1"])),
        ({"type": "string", "logicalType": "decimal", "precision": 4}, b"\x02a", ("string", [b"a"])),
        ({"type": "int", "logicalType": "date"}, b"\2", ("integer", [1])),
        ({"type": "fixed", "name": "T", "size": 12, "logicalType": "duration"}, bytes(12), ("bytes", [bytes(12)])),
    ],
)
def test_one_value(type_: Any, payload: bytes, column: Any) -> None:
    decoded = columns_of(record(type_)).decode(batch(payload, between=b"\xff"))
    if column is None:
        assert decoded.columns == []
        assert list(kinds(decoded)) == [0]
    else:
        assert shown(decoded) == {"a": (1, 0, 0, column)}
        assert decoded.bad == []


@pytest.mark.parametrize(
    ("type_", "payload", "kind"),
    [
        ("long", b"", "truncated"),
        ("long", b"\x80", "truncated"),
        ("double", b"\0" * 7, "truncated"),
        ("string", b"\x06ab", "truncated"),
        ("string", b"\x01", "negative-length"),
        ("string", b"\xfe" + b"\xff" * 8 + b"\1", "truncated"),
        ("bytes", b"\xff" * 9 + b"\1", "negative-length"),
        ("int", b"\0\0", "trailing-bytes"),
        ("boolean", b"\2", "bad-boolean"),
        ("int", b"\x80\x80\x80\x80\x10", "integer-out-of-range"),
        ("long", b"\xff" * 11, "bad-varint"),
        ("string", b"\x02\xff", "bad-utf8"),
        (["null", "int"], b"\4", "bad-union-branch"),
        (["null", "int"], b"\1", "bad-union-branch"),
        ({"type": "enum", "name": "E", "symbols": ["X"]}, b"\2", "bad-enum-symbol"),
        ({"type": "array", "items": "int"}, b"\x04\0", "truncated"),
        ({"type": "array", "items": "int"}, b"\1\1\0\0", "negative-length"),
        ({"type": "array", "items": "int"}, b"\xff" * 9 + b"\1\0", "truncated"),  # -2^63 items
        ({"type": "array", "items": "null"}, b"\xff" * 9 + b"\1\0\0", "too-many-items"),
        ({"type": "map", "values": "int"}, b"\2\2\xff\0\0", "bad-utf8"),
        ({"type": "array", "items": "string"}, b"\4\2a\2", "truncated"),
        ({"type": "array", "items": {"type": "array", "items": "boolean"}}, b"\2\2\3\0\0", "bad-boolean"),
    ],
)
@pytest.mark.parametrize("neighbours", [1, 100])
def test_a_bad_record_is_named_and_alone(type_: Any, payload: bytes, kind: str, neighbours: int) -> None:
    good = {"boolean": b"\1", "double": b"\0" * 8}.get(type_, b"\0") if isinstance(type_, str) else b"\0"
    records = [b"\x02" + good] * neighbours + [b"\x02" + payload] + [b"\x02" + good] * neighbours
    columns = columns_of(record("int", type_))
    decoded = columns.decode(batch(*records, between=b"\x02\x02"))
    assert kinds(decoded) == {neighbours: kind}
    assert decoded.records == 2 * neighbours + 1
    clean = columns.decode(batch(*([b"\x02" + good] * 2 * neighbours)))
    assert shown(decoded) == shown(clean)


@pytest.mark.parametrize("type_", ["boolean", "long", ["null", "long"]])
def test_a_value_alone_that_is_cut_off_is_bad_and_alone(type_: Any) -> None:
    decoded = columns_of(type_).decode(batch(b"\0", b"", b"\0", between=b"\1"))
    assert kinds(decoded) == {1: "truncated"}
    assert shown(decoded)["$"][0] == 2


def test_errors_name_the_field_and_no_value() -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "sku", "type": "string"}]}
    decoded = columns_of(record("int", {"type": "map", "values": {"type": "array", "items": inner}})).decode(
        batch(b"\0" + b"\x02\x0csecret" + b"\x02" + b"\x0asec\xffr" + b"\0\0")
    )
    assert [bad.error for bad in decoded.bad] == ["a string is not UTF-8, at b{}[].sku"]


def test_a_union_has_one_part_for_each_type_and_counts_its_nulls() -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "int"}]}
    other = {"type": "record", "name": "O", "fields": [{"name": "y", "type": "string"}]}
    columns = columns_of(record(["null", "long", "int", "double", inner, other]))
    records = [b"\0", b"\2\4", b"\4\6", b"\6" + bytes(8), b"\x08\2\4", b"\x0a\2q", b"\4\2"]
    assert shown(columns.decode(batch(*records))) == {
        "a": (7, 1, 0, ("integer", [2, 3, 1]), ("number", [0.0]), ("record", 2)),
        "a.x": (2, 0, 1, ("integer", [1])),
        "a.y": (2, 0, 0, ("integer", [2]), ("string", [b"q"])),
    }


def test_enums_of_the_same_symbols_are_one_part() -> None:
    one, two = ({"type": "enum", "name": name, "symbols": ["X", "Y"]} for name in "EF")
    other = {"type": "enum", "name": "G", "symbols": ["Z"]}
    decoded = columns_of(record([one, two, other])).decode(batch(b"\0\2", b"\2\0", b"\4\0"))
    assert shown(decoded) == {"a": (3, 0, 0, ("enum", ["Y", "X"]), ("enum", ["Z"]))}


def test_plain_records_have_no_column_and_items_do() -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]}
    columns = columns_of(record(inner, {"type": "array", "items": "I"}, {"type": "map", "values": "I"}))
    assert shown(columns.decode(batch(b"\2" + b"\4\2\4\0" + b"\2\2k\6\0"))) == {
        "a.x": (1, 0, 0, ("integer", [1])),
        "b": (1, 0, 0, ("array", [2])),
        "b[]": (2, 0, 0, ("record", 2)),
        "b[].x": (2, 0, 0, ("integer", [1, 2])),
        "c": (1, 0, 0, ("map", [1])),
        "c{}": (1, 0, 0, ("record", 1)),
        "c{}.x": (1, 0, 0, ("integer", [3])),
    }


def test_a_union_of_records_at_the_top_has_its_fields_at_the_top() -> None:
    one = {"type": "record", "name": "One", "fields": [{"name": "id", "type": "int"}, {"name": "x", "type": "int"}]}
    two = {"type": "record", "name": "Two", "fields": [{"name": "id", "type": "int"}]}
    assert shown(columns_of([one, two, "null"]).decode(batch(b"\0\2\4", b"\2\6", b"\4"))) == {
        "$": (3, 1, 0, ("record", 2)),
        "id": (3, 0, 1, ("integer", [1, 3])),
        "x": (3, 0, 2, ("integer", [2])),
    }


def test_items_stay_in_the_order_of_their_records_over_several_blocks() -> None:
    columns = columns_of(record({"type": "array", "items": "string"}))
    records = [b"\2\2a\4\2b\2c\0", b"\0", b"\3\x08\2d\2e\0"] * 40
    decoded = shown(columns.decode(batch(*records)))
    assert decoded["a"] == (120, 0, 0, ("array", [3, 0, 2] * 40))
    assert decoded["a[]"] == (200, 0, 0, ("string", [b"a", b"b", b"c", b"d", b"e"] * 40))


def test_long_arrays_of_numbers_are_cut_at_the_ends_of_varints() -> None:
    values = [0, -1, 64, 2**31, -(2**62)]
    encoded = [b"\0", b"\1", b"\x80\1", b"\x80\x80\x80\x80\x10", b"\xff" * 8 + b"\x7f"]
    columns = columns_of(record({"type": "array", "items": record("long", "null", "long") | {"name": "P"}}))
    records = [b"\x32" + b"".join(encoded) * 10 + b"\0"] * 40
    decoded = shown(columns.decode(batch(*records, between=b"\xff" * 3)))
    assert decoded["a[].a"] == (1000, 0, 0, ("integer", (values * 10)[::2] * 40))
    assert decoded["a[].b"] == (1000, 1000, 0)
    assert decoded["a[].c"] == (1000, 0, 0, ("integer", (values * 10)[1::2] * 40))


def test_text_that_is_not_ascii_is_checked_wherever_it_stands() -> None:
    columns = columns_of(record("string"))
    for size in (1, 2, 7, 8, 9, 63, 64, 65, 200):
        good = ["ü" * size, "x" * size, "x" * (size - 1) + "é", "é" + "x" * (size - 1)]
        records = [encoded(text.encode()) for text in good]
        records += [encoded(b"x" * (size - 1) + b"\xc3"), encoded(b"\xa9" + b"x" * (size - 1))]
        decoded = columns.decode(batch(*records))
        assert kinds(decoded) == {4: "bad-utf8", 5: "bad-utf8"}
        assert shown(decoded)["a"][3][1] == [text.encode() for text in good]


def encoded(text: bytes) -> bytes:
    size = len(text) * 2
    return (bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])) + text


def test_items_without_bytes_are_counted_up_to_a_bound() -> None:
    empty = {"type": "record", "name": "I", "fields": [{"name": "n", "type": "null"}]}
    columns = columns_of(record({"type": "array", "items": empty}), DecodeLimits(max_empty_items=100))
    decoded = columns.decode(batch(b"\x80\x01\x40\0", b"\x80\x01\x4a\0", *([b"\x02\0"] * 50)))
    assert kinds(decoded) == {1: "too-many-items"}  # 64 + 37, where the first has 64 + 32
    assert shown(decoded)["a[]"] == (146, 0, 0, ("record", 146))
    assert shown(decoded)["a[].n"] == (146, 146, 0)


def test_a_bomb_of_items_costs_nothing() -> None:
    columns = columns_of(record({"type": "array", "items": {"type": "array", "items": "null"}}))
    bomb = b"\x02" + b"\x80\x80\x80\x80\x80\x40" + b"\0\0"  # 2^40 nulls
    decoded = columns.decode(batch(*([bomb] * 1000)))
    assert set(kinds(decoded).values()) == {"too-many-items"}
    assert len(decoded.bad) == 1000


def test_paths_beyond_the_bound_are_decoded_and_counted() -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": f"x{i}", "type": "int"} for i in range(5)]}
    columns = columns_of(record("int", {"type": "array", "items": inner}, "int"), DecodeLimits(max_fields=4))
    decoded = columns.decode(batch(b"\2" + b"\2" + b"\2" * 5 + b"\0" + b"\4"))
    assert [column.path for column in decoded.columns] == ["a", "b", "b[]", "c"]  # level by level
    assert decoded.truncated == 5
    assert decoded.bad == []
    assert kinds(columns.decode(batch(b"\2" + b"\2" + b"\2" * 4 + b"\0" + b"\4"))) == {0: "truncated"}


@pytest.mark.parametrize("max_fields", [0, 1])
def test_every_type_can_be_without_a_column(max_fields: int) -> None:
    inner = {"type": "record", "name": "I", "fields": [{"name": "s", "type": "string"}, {"name": "n", "type": "null"}]}
    types = [
        "boolean",
        "float",
        {"type": "enum", "name": "E", "symbols": ["X"]},
        {"type": "array", "items": inner},
        {"type": "map", "values": ["null", "I"]},
        {"type": "array", "items": "null"},
        inner["name"],
    ]
    decoded = columns_of(record("int", *types), DecodeLimits(max_fields=max_fields)).decode(
        batch(b"\2" + b"\1" + bytes(4) + b"\0" + b"\4\2a\2b\0" + b"\4\2k\0\2l\2\2c\0" + b"\6\0" + b"\2d")
    )
    assert decoded.bad == []
    assert [column.path for column in decoded.columns] == ["a"][:max_fields]
    assert decoded.truncated == 16 - max_fields


def test_a_fault_of_our_own_is_told_from_the_record_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_lineage.wire.avro_walk.Walker.check", lambda self, record: None)
    decoded = columns_of(record("int")).decode(batch(b"\2", b"\2\2"))
    assert kinds(decoded) == {1: "refused"}


def test_a_schema_that_doubles_at_every_level_is_bounded() -> None:
    leaf = {"type": "record", "name": "R0", "fields": [{"name": "x", "type": "int"}]}
    levels = [
        {"type": "record", "name": f"R{i}", "fields": [{"name": name, "type": f"R{i - 1}"} for name in "ab"]}
        for i in range(1, 40)
    ]
    columns = AvroColumns(parse_schema('"R39"', [json.dumps(each) for each in (leaf, *levels)]))
    decoded = columns.decode(batch(bytes(5_000), b""))
    assert set(kinds(decoded).values()) == {"truncated"}
    assert decoded.truncated == 2**31 - 1


def test_batches_without_records_or_without_good_ones() -> None:
    columns = columns_of(record("int", "string"))
    assert columns.decode(batch()) == Decoded(0, [], [])
    decoded = columns.decode(batch(b"", b"\x80"))
    assert (decoded.records, decoded.columns, sorted(kinds(decoded))) == (2, [], [0, 1])


def test_a_schema_without_fields_reads_records_without_bytes() -> None:
    decoded = columns_of(record()).decode(batch(b"", b"x", b""))
    assert (decoded.records, decoded.columns, kinds(decoded)) == (3, [], {1: "trailing-bytes"})


def test_a_batch_that_points_outside_of_its_data_is_refused() -> None:
    columns = columns_of(record("int"))
    for start, length in ((-1, 1), (0, 2), (5, 1), (0, -1)):
        with pytest.raises(ValueError, match="outside"):
            columns.decode(Batch(np.zeros(17, np.uint8), np.array([start]), np.array([length])))


def test_recursive_schemas_are_refused() -> None:
    with pytest.raises(ValueError, match="recursive"):
        columns_of({"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]})


def test_strings_point_into_the_batch() -> None:
    source = batch(b"\x06abc", b"\x04de")
    (column,) = columns_of(record("string")).decode(source).columns
    (texts,) = column.parts
    assert isinstance(texts, Texts)
    assert texts.data is source.data
    assert (texts.starts.tolist(), texts.lengths.tolist()) == ([1, 5], [3, 2])
