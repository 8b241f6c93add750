"""If this fails, the two Avro decoders differ, or one of them takes values for what the producer did not write."""

from __future__ import annotations

import io
import json
import random
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import fastavro
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_lineage.wire import avro_blocks, avro_plan
from stream_lineage.wire.avro_columns import AvroColumns
from stream_lineage.wire.avro_records import AvroRecords
from stream_lineage.wire.avro_schema import parse_schema
from stream_lineage.wire.columns import Batch, Containers, Decoded, FieldColumn, Numbers, Symbols, Texts

# ---------------------------------------------------------------- schemas, as JSON documents

LEAVES: list[Any] = [
    "null",
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "bytes",
    "string",
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "long", "logicalType": "timestamp-millis"},
    {"type": "long", "logicalType": "timestamp-nanos"},
    {"type": "long", "logicalType": "local-timestamp-micros"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    {"type": "bytes", "logicalType": "decimal", "precision": 60},
    {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3},  # invalid: to be ignored
    {"type": "fixed", "size": 3},
    {"type": "fixed", "size": 0},
    {"type": "fixed", "size": 12, "logicalType": "duration"},
    {"type": "fixed", "size": 16, "logicalType": "decimal", "precision": 38, "scale": 10},
    {"type": "enum", "symbols": ["A"]},
    {"type": "enum", "symbols": ["RED", "GREEN", "BLUE"]},
]
NAMED = ("fixed", "enum", "record")


def kind_of(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    return schema if isinstance(schema, str) else schema["type"]


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> Any:
    names = iter(range(10_000))

    def leaf() -> Any:
        chosen = draw(st.sampled_from(LEAVES))
        if isinstance(chosen, dict) and chosen["type"] in NAMED:
            return {**chosen, "name": f"N{next(names)}"}
        return chosen

    def make(level: int, *, in_union: bool = False) -> Any:
        shapes = ["leaf"]
        if level:
            shapes += ["record", "record", "array", "map"] + ([] if in_union else ["union", "nullable"])
        match draw(st.sampled_from(shapes)):
            case "leaf":
                return leaf()
            case "array":
                return {"type": "array", "items": make(level - 1)}
            case "map":
                return {"type": "map", "values": make(level - 1)}
            case "record":
                count = draw(st.integers(0, 4))
                fields = [{"name": f"f{i}", "type": make(level - 1)} for i in range(count)]
                return {"type": "record", "name": f"N{next(names)}", "fields": fields}
            case "nullable":
                inner = make(level - 1, in_union=True)
                return [inner] if inner == "null" else draw(st.permutations(["null", inner]))
            case _:
                branches: list[Any] = []
                for _ in range(draw(st.integers(1, 11))):
                    branch = make(level - 1, in_union=True)
                    kind = kind_of(branch)
                    if kind in NAMED or kind not in map(kind_of, branches):
                        branches.append(branch)
                return branches

    fields = [{"name": f"f{i}", "type": make(depth)} for i in range(draw(st.integers(0, 5)))]
    record = {"type": "record", "name": "Top", "fields": fields}
    return draw(st.sampled_from([record, record, record, make(depth)]))


# ---------------------------------------------------------------- data: a union's value is (branch, value)

TEXTS = ["", "a", "grün", "12345678", "123456789", "x" * 70, "ü" * 40, "日本語", "🜚", "\x00\x7f"]
LONGS = [0, 1, -1, 63, 64, -64, -65, 2**31 - 1, -(2**31), 2**34, 2**48, -(2**55), 2**55, 2**62, 2**63 - 1, -(2**63)]


def datum(schema: Any, rng: random.Random) -> Any:
    kind = kind_of(schema)
    match kind:
        case "null":
            return None
        case "boolean":
            return rng.random() < 0.5
        case "int":
            return rng.choice([value for value in LONGS if -(2**31) <= value < 2**31])
        case "long":
            return rng.choice(LONGS) if rng.random() < 0.5 else rng.randrange(-(2**63), 2**63)
        case "float":
            return struct.unpack("<f", struct.pack("<f", rng.choice([0.0, -1.5, 3e38, rng.gauss(0, 1)])))[0]
        case "double":
            return rng.choice([0.0, -1.5, 1e300, float("inf"), rng.gauss(0, 1)])
        case "string":
            return rng.choice(TEXTS)
        case "bytes":
            return rng.randbytes(rng.choice([0, 1, 2, 7, 8, 9, 15, 16, 17, 30]))
        case "fixed":
            size = schema["size"]
            half = bytes(size // 2)
            return rng.choice([rng.randbytes(size), bytes(size), b"\xff" * size, half + b"\x80" * (size - len(half))])
        case "enum":
            return rng.choice(schema["symbols"])
        case "array":
            (length,) = rng.choices([0, 1, 2, 3, 12, 70], [6, 6, 6, 6, 1, 1])
            return [datum(schema["items"], rng) for _ in range(length)]
        case "map":
            return {f"{rng.choice(TEXTS)}{i}": datum(schema["values"], rng) for i in range(rng.choice([0, 1, 2, 3]))}
        case "union":
            branch = rng.randrange(len(schema))
            return branch, datum(schema[branch], rng)
        case _:
            return {field["name"]: datum(field["type"], rng) for field in schema["fields"]}


def varint(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def blocks(items: list[bytes], rng: random.Random) -> bytes:
    out = b""
    while items:
        some = items[: rng.choice([1, len(items), len(items)])]
        items = items[len(some) :]
        body = b"".join(some)
        out += varint(len(some)) if rng.random() < 0.7 else varint(-len(some)) + varint(len(body))
        out += body
    return out + b"\0"


def encoded(schema: Any, value: Any, rng: random.Random) -> bytes:
    """Avro's encoding, with arrays cut into blocks at random."""
    match kind_of(schema):
        case "null":
            return b""
        case "boolean":
            return bytes([value])
        case "int" | "long":
            return varint(value)
        case "float":
            return struct.pack("<f", value)
        case "double":
            return struct.pack("<d", value)
        case "string":
            return varint(len(value.encode())) + value.encode()
        case "bytes":
            return varint(len(value)) + value
        case "fixed":
            return value
        case "enum":
            return varint(schema["symbols"].index(value))
        case "array":
            return blocks([encoded(schema["items"], item, rng) for item in value], rng)
        case "map":
            items = [varint(len(k.encode())) + k.encode() + encoded(schema["values"], v, rng) for k, v in value.items()]
            return blocks(items, rng)
        case "union":
            return varint(value[0]) + encoded(schema[value[0]], value[1], rng)
        case _:
            return b"".join(encoded(field["type"], value[field["name"]], rng) for field in schema["fields"])


# ---------------------------------------------------------------- the oracle: columns from data, path by path


class Expected:
    """Slots, nulls, missing and values of each path, from Python values."""

    def __init__(self, schema: Any, data: list[Any]) -> None:
        self.paths: dict[str, dict[str, Any]] = {}
        self._scopes: dict[str, str | None] = {}
        self._records = len(data)
        for value in data:
            if kind_of(schema) == "record":
                self._fields("", None, schema, value)
            else:
                self._slot("$", schema, value)

    def normal(self) -> dict[str, Any]:
        out = {}
        for path, found in self.paths.items():
            present = sum(found.values(), Counter()).total() if found else 0
            nulls = found.get("null", Counter()).total()
            missing = 0
            if path in self._scopes:
                scope = self._scopes[path]
                slots = self._records if scope is None else self.paths[scope]["record"].total()
                missing = slots - present
            values = {type_: counter for type_, counter in found.items() if type_ != "null"}
            out[path] = (present + missing, nulls, missing, values)
        return out

    def _fields(self, prefix: str, scope: str | None, schema: Any, value: Any) -> None:
        for field in schema["fields"]:
            path, inner = prefix + field["name"], value[field["name"]]
            if kind_of(field["type"]) == "record":
                self._fields(f"{path}.", scope, field["type"], inner)
            else:
                self._scopes[path] = scope
                self._slot(path, field["type"], inner)

    def _slot(self, path: str, schema: Any, value: Any) -> None:
        kind = kind_of(schema)
        if kind == "union":
            self._slot(path, schema[value[0]], value[1])
            return
        type_, shown = self._typed(kind, schema, value)
        self.paths.setdefault(path, {}).setdefault(type_, Counter())[shown] += 1
        if kind == "array":
            for item in value:
                self._slot(f"{path}[]", schema["items"], item)
        elif kind == "map":
            for item in value.values():
                self._slot(f"{path}{{}}", schema["values"], item)
        elif kind == "record":
            self._fields("" if path == "$" else f"{path}.", None if path == "$" else path, schema, value)

    def _typed(self, kind: str, schema: Any, value: Any) -> tuple[str, Any]:
        logical = schema if isinstance(schema, dict) else {}
        if logical.get("logicalType") == "decimal" and logical["precision"] >= logical.get("scale", 0):
            unscaled = float(int.from_bytes(value, "big", signed=True))
            return "number", f"{unscaled / 10.0 ** logical.get('scale', 0):.12g}"
        if kind == "null" or (kind == "fixed" and schema["size"] == 0):
            return "null", None
        match kind:
            case "int" | "long":
                return "integer", value
            case "float" | "double":
                return "number", f"{value:.12g}"
            case "string":
                return "string", value.encode()
            case "fixed":
                return "bytes", value
            case "enum":
                return f"enum {tuple(schema['symbols'])}", value
            case "array" | "map":
                return kind, len(value)
            case "record":
                return "record", None
            case _:
                return kind, value


def normal(column: FieldColumn) -> tuple[int, int, int, dict[str, Any]]:
    parts: dict[str, Any] = {}
    for part in column.parts:
        match part:
            case Numbers():
                as_text = part.type == "number"
                values = Counter(f"{value:.12g}" if as_text else value for value in part.values.tolist())
                key = part.type
            case Texts():
                ends = (part.starts + part.lengths).tolist()
                values = Counter(part.data[a:b].tobytes() for a, b in zip(part.starts.tolist(), ends, strict=True))
                key = part.type
            case Symbols():
                values = Counter(part.symbols[code] for code in part.codes.tolist())
                key = f"enum {part.symbols}"
            case Containers():
                lengths = [None] * part.count if part.lengths is None else part.lengths.tolist()
                assert len(lengths) == part.count
                values, key = Counter(lengths), part.type
        assert key not in parts, "one part of each type"
        parts[key] = values
    return column.slots, column.nulls, column.missing, parts


def normal_columns(decoded: Decoded) -> dict[str, Any]:
    return {column.path: normal(column) for column in decoded.columns}


def joined(records: list[bytes], rng: random.Random) -> Batch:
    """A batch of these records, in any order in the buffer and with anything between them."""
    places = list(enumerate(records))
    rng.shuffle(places)
    data = b""
    starts = np.zeros(len(records), np.int64)
    for index, record in places:
        data += rng.randbytes(rng.choice([0, 5]))
        starts[index] = len(data)
        data += record
    lengths = np.array([len(record) for record in records], np.int64)
    return Batch(np.frombuffer(data + bytes(16), np.uint8), starts, lengths)


def plain(schema: Any, value: Any) -> Any:
    """The value as fastavro gives it."""
    match kind_of(schema):
        case "union":
            return plain(schema[value[0]], value[1])
        case "array":
            return [plain(schema["items"], item) for item in value]
        case "map":
            return {key: plain(schema["values"], item) for key, item in value.items()}
        case "record":
            return {field["name"]: plain(field["type"], value[field["name"]]) for field in schema["fields"]}
        case _:
            return value


def without_logical(schema: Any) -> Any:
    if isinstance(schema, list):
        return [without_logical(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: without_logical(inner) for key, inner in schema.items() if key != "logicalType"}
    return schema


relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@contextmanager
def thresholds(rng: random.Random) -> Iterator[None]:
    """Lets small batches take the ways of large ones too: where they part is a matter of speed alone."""
    with (
        mock.patch.object(avro_blocks, "FEW_ROWS", rng.choice([0, 2, 32])),
        mock.patch.object(avro_blocks, "MANY_ITEMS", rng.choice([0, 8])),
        mock.patch.object(avro_plan, "FEW_BRANCHES", rng.choice([0, 8])),
        mock.patch.object(avro_plan, "CHECK_BYTES", rng.choice([0, 256])),
    ):
        yield


def check_good(schema: Any, seed: int, count: int) -> None:
    rng = random.Random(seed)
    data = [datum(schema, rng) for _ in range(count)]
    records = [encoded(schema, value, rng) for value in data]
    parsed = fastavro.parse_schema(without_logical(schema))
    for value, record in zip(data, records, strict=True):
        assert repr(fastavro.schemaless_reader(io.BytesIO(record), parsed)) == repr(plain(schema, value))

    tree = parse_schema(json.dumps(schema))
    batch = joined(records, rng)
    by_record = AvroRecords(tree).decode(batch)
    with thresholds(rng):
        columnar = AvroColumns(tree).decode(batch)

    assert columnar.bad == by_record.bad == []
    assert columnar.records == by_record.records == count
    assert [column.path for column in columnar.columns] == [column.path for column in by_record.columns]
    assert normal_columns(columnar) == Expected(schema, data).normal()
    assert normal_columns(by_record) == normal_columns(columnar)


@relaxed
@given(schemas(), st.integers(0, 2**32), st.sampled_from([1, 3, 12, 40]))
def test_both_decoders_give_the_columns_of_what_was_written(schema: Any, seed: int, count: int) -> None:
    check_good(schema, seed, count)


# What fastavro lets pass: see the record decoder.
LENIENT = {
    "bad-boolean",
    "integer-out-of-range",
    "bad-varint",
    "bad-union-branch",  # negative ones count from the end
    "bad-enum-symbol",
    "negative-length",
    "too-many-items",
}


# As the count of a block this is 2^63 items, which no record has room for; fastavro 1.13.1 overflows and reads none.
LOWEST_LONG = b"\xff" * 9 + b"\x01"


def mutated(record: bytes, rng: random.Random) -> bytes:
    match rng.randrange(6):
        case 0:
            return record[: rng.randrange(len(record) + 1)]
        case 1:
            return record + rng.randbytes(rng.randrange(1, 12))
        case 2 | 3 if record:
            at = rng.randrange(len(record))
            byte = rng.choice([0, 1, 2, 3, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            return record[:at] + bytes([byte]) + record[at + 1 :]
        case 4:
            at = rng.randrange(len(record) + 1)
            return record[:at] + rng.choice([rng.randbytes(3), b"\xff" * rng.randrange(1, 12)]) + record[at:]
        case _:
            return record


def weightless(schema: Any) -> bool:
    match kind_of(schema):
        case "null":
            return True
        case "fixed":
            return schema["size"] == 0
        case "record":
            return all(weightless(field["type"]) for field in schema["fields"])
        case _:
            return False


def holds_weightless_items(schema: Any) -> bool:
    """Whether a few bytes can make fastavro fill the memory."""
    match kind_of(schema):
        case "array":
            return weightless(schema["items"]) or holds_weightless_items(schema["items"])
        case "map":
            return holds_weightless_items(schema["values"])
        case "union":
            return any(map(holds_weightless_items, schema))
        case "record":
            return any(holds_weightless_items(field["type"]) for field in schema["fields"])
        case _:
            return False


def fastavro_reads(parsed: Any, record: bytes) -> bool:
    stream = io.BytesIO(record)
    try:
        fastavro.schemaless_reader(stream, parsed)
    except Exception:  # noqa: BLE001 - whatever it raises, it does not read the record
        return False
    return stream.tell() == len(record)


def check_bad(schema: Any, seed: int, count: int) -> None:
    rng = random.Random(seed)
    records = [mutated(encoded(schema, datum(schema, rng), rng), rng) for _ in range(count)]
    tree = parse_schema(json.dumps(schema))
    columns = AvroColumns(tree)
    batch = joined(records, rng)
    by_record = AvroRecords(tree).decode(batch)
    with thresholds(rng):
        columnar = columns.decode(batch)

    assert columnar.bad == by_record.bad
    assert normal_columns(by_record) == normal_columns(columnar)
    kinds = {record.index: record.kind for record in columnar.bad}
    good = [record for index, record in enumerate(records) if index not in kinds]
    assert normal_columns(columns.decode(joined(good, rng))) == normal_columns(columnar)

    parsed, bomb = fastavro.parse_schema(without_logical(schema)), holds_weightless_items(schema)
    for index, record in enumerate(records):
        kind = kinds.get(index)
        if kind is None:
            assert fastavro_reads(parsed, record)
        elif kind not in LENIENT and not bomb and LOWEST_LONG not in record:
            assert not fastavro_reads(parsed, record)


@relaxed
@given(schemas(), st.integers(0, 2**32), st.sampled_from([1, 4, 20, 40]))
def test_bad_records_are_found_exactly_and_leave_no_trace(schema: Any, seed: int, count: int) -> None:
    check_bad(schema, seed, count)


def named(leaf: Any, number: int) -> Any:
    return {**leaf, "name": f"N{number}"} if kind_of(leaf) in NAMED else leaf


def record_of(name: str, types: list[Any]) -> Any:
    fields = [{"name": f"f{i}", "type": type_} for i, type_ in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


EVERYTHING = record_of("Everything", [named(leaf, number) for number, leaf in enumerate(LEAVES)])
EMPTY = record_of("Empty", ["null", {"type": "fixed", "name": "None", "size": 0}])
TWO_TEXTS = [{"type": "record", "name": name, "fields": [{"name": "s", "type": "string"}]} for name in ("A", "B")]
MANY = ["null", "boolean", "int", "long", "float", "double", "bytes", "string", EMPTY, EVERYTHING]
SHAPES: dict[str, Any] = {
    "one of each": EVERYTHING,
    "items": {"type": "array", "items": EVERYTHING},
    "entries": {"type": "map", "values": EVERYTHING},
    "nothing but nulls": record_of("Top", ["null", "null"]),
    "two of a size": record_of("Top", [{"type": "fixed", "name": name, "size": 3} for name in "AB"]),
    "many branches": record_of("Top", [MANY]),
    "items of many branches": {"type": "array", "items": MANY},
    "items of items of many branches": {"type": "array", "items": {"type": "array", "items": MANY[:-1]}},
    "what takes no bytes": record_of("Top", [["null", EMPTY], {"type": "array", "items": "null"}]),
    "branches with a field in common": record_of("Top", [["null", *TWO_TEXTS]]),
    **{
        f"items of items: {json.dumps(leaf)}": {"type": "array", "items": {"type": "array", "items": named(leaf, 0)}}
        for leaf in LEAVES
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_type_wherever_it_stands(name: str) -> None:
    for seed, count in ((0, 3), (1, 40), (2, 12)):
        check_good(SHAPES[name], seed, count)
        check_bad(SHAPES[name], seed, count)


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_never_crash_a_decoder(seed: int, count: int) -> None:
    rng = random.Random(seed)
    inner = {
        "type": "record",
        "name": "I",
        "fields": [{"name": "b", "type": {"type": "map", "values": ["string", "long"]}}],
    }
    schema = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "a", "type": {"type": "array", "items": inner}},
            {"name": "n", "type": {"type": "array", "items": "null"}},
            {"name": "d", "type": {"type": "array", "items": {"type": "array", "items": "double"}}},
        ],
    }
    tree = parse_schema(json.dumps(schema))
    records = [rng.choice([rng.randbytes(rng.randrange(60)), bytes(rng.randrange(8))]) for _ in range(count)]
    batch = joined(records, rng)
    assert AvroColumns(tree).decode(batch).bad == AvroRecords(tree).decode(batch).bad
