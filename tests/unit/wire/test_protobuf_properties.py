"""If this fails, Protobuf records are profiled wrongly, or are called bad where Google's own parser reads them, or good
where it does not."""

from __future__ import annotations

import importlib.resources
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields
from google.protobuf.message import DecodeError
from grpc_tools import protoc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_lineage.model.structure import DeviationKind
from stream_lineage.wire import protobuf_scan, protobuf_walk
from stream_lineage.wire.columns import Batch, Containers, Decoded, FieldColumn, Numbers, Symbols, Texts
from stream_lineage.wire.protobuf_columns import ProtobufColumns
from stream_lineage.wire.protobuf_compile import parse_schema

VARINTS = ("int32", "int64", "uint32", "uint64", "sint32", "sint64", "bool")
FIXED = {"fixed32": 5, "sfixed32": 5, "float": 5, "fixed64": 1, "sfixed64": 1, "double": 1}
SCALARS = (*VARINTS, *FIXED, "string", "bytes")
KEYS = ("int32", "int64", "uint64", "sint32", "fixed32", "sfixed64", "bool", "string")
WRAPPERS = ("Int64Value", "StringValue", "DoubleValue", "BoolValue", "BytesValue", "UInt64Value")
ENUMS = """enum Colour { %s NONE = 0; RED = 1; ROUGE = 1; BLUE = 7; DEEP = -3; }
enum Plain { ZERO = 0; ONE = 1; TWO = 2; }
"""


# Schemas: made twice, as registered, and with maps spelled out as the entries that they are on the wire, so that the
# oracle sees every entry.


@dataclass
class Field:
    name: str
    number: int
    type: str  # a scalar, "Colour", "Plain", a wrapper, or the name of a message
    how: str  # single, optional, required, repeated, unpacked, map, oneof, group
    key: str = "string"


@dataclass
class Message:
    name: str
    fields: list[Field] = field(default_factory=list)


@dataclass
class Schema:
    syntax: str
    messages: list[Message]

    def of(self, name: str) -> Message | None:
        return next((message for message in self.messages if message.name == name), None)

    def text(self, *, spelled_out: bool) -> str:
        head = 'edition = "2023";' if self.syntax == "2023" else f'syntax = "{self.syntax}";'
        closed = "option features.enum_type = CLOSED;" if self.syntax == "2023" else ""
        lines = [head, "package p;", 'import "google/protobuf/wrappers.proto";', ENUMS % "option allow_alias = true;"]
        lines.append(f"enum Shut {{ {closed} A = 0; B = 5; }}")
        for message in self.messages:
            lines.append(f"message {message.name} {{")
            grouped = [each for each in message.fields if each.how == "oneof"]
            for each in message.fields:
                if each not in grouped:
                    lines.append(self._line(message, each, spelled_out))
            for oneof in range(2):
                own = [each for each in grouped if each.number % 2 == oneof]
                if own:
                    lines.append(f"  oneof choice{oneof} {{")
                    lines += [f"    {each.type} {each.name} = {each.number};" for each in own]
                    lines.append("  }")
            lines.append("}")
        return "\n".join(lines)

    def _line(self, message: Message, each: Field, spelled_out: bool) -> str:
        label = "optional " if self.syntax == "proto2" else ""
        match each.how:
            case "map" if spelled_out:
                entry = f"Entry_{each.name}"
                pair = f"{label}{each.key} key = 1; {label}{each.type} value = 2;"
                return f"  message {entry} {{ {pair} }} repeated {entry} {each.name} = {each.number};"
            case "map":
                return f"  map<{each.key}, {each.type}> {each.name} = {each.number};"
            case "repeated":
                return f"  repeated {each.type} {each.name} = {each.number};"
            case "unpacked":
                option = "features.repeated_field_encoding = EXPANDED" if self.syntax == "2023" else "packed = false"
                return f"  repeated {each.type} {each.name} = {each.number} [{option}];"
            case "group" if self.syntax == "2023":
                return f"  {each.type} {each.name} = {each.number} [features.message_encoding = DELIMITED];"
            case "group":
                inner = "optional int32 x = 1; repeated string y = 20;"
                return f"  optional group {each.name.capitalize()} = {each.number} {{ {inner} }}"
            case "implicit":
                return f"  {each.type} {each.name} = {each.number} [features.field_presence = IMPLICIT];"
            case "required":
                return f"  required {each.type} {each.name} = {each.number};"
            case "optional":
                return f"  optional {each.type} {each.name} = {each.number};"
            case _:
                return f"  {label}{each.type} {each.name} = {each.number};"


def made_schema(rng: random.Random) -> Schema:
    syntax = rng.choice(["proto2", "proto3", "2023"])
    schema = Schema(syntax, [Message(f"M{i}") for i in range(rng.randrange(1, 4))])
    for index, message in enumerate(schema.messages):
        pool = [*range(1, 8), *range(14, 20), *range(2040, 2050), 18_999, 2**29 - 1]
        numbers = rng.sample(pool, rng.randrange(0 if index else 1, 9))
        for number in numbers:
            message.fields.append(made_field(schema, index, number, rng))
    return schema


def made_field(schema: Schema, index: int, number: int, rng: random.Random) -> Field:
    proto2, editions = schema.syntax == "proto2", schema.syntax == "2023"
    hows = ["single", "repeated", "unpacked", "map", "oneof", "oneof"]
    hows += ["optional", "required", "group"] if proto2 else ["implicit", "group"] if editions else ["optional"]
    how = rng.choice(hows)
    # Later messages are held by value or hold others: those before lead to cycles now and then.
    later = [message.name for message in schema.messages[index + 1 :]]
    if rng.random() < 0.2:
        later = [message.name for message in schema.messages]
    messages = [*later, *(f"google.protobuf.{name}" for name in rng.sample(WRAPPERS, 1))]
    type_ = rng.choice([*SCALARS, "Colour", "Plain", "Shut", *messages, *messages])
    name = f"f{number}"
    if how == "unpacked" and (type_ in ("string", "bytes") or type_ in messages):
        how = "repeated"
    if how == "implicit" and (type_ in messages or type_ == "Shut"):
        how = "single"
    if how == "optional" and type_ in messages:
        how = "single"
    if how == "required" and type_ in messages:
        how = "optional" if proto2 else "single"
    if how == "group" and editions and type_ not in later:
        how = "single"
    if type_ == "Shut" and schema.syntax == "proto3":
        type_ = "Plain"
    if how == "map" and type_ in ("Shut", "Colour", "Plain"):
        type_ = "int32"  # what becomes of entries with numbers that the enum has not differs from parser to parser
    if how == "group" and proto2:
        type_ = "group"
    return Field(name.lower(), number, type_, how, rng.choice(KEYS))


class Oracle:
    """Google's parser."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        known = importlib.resources.files("grpc_tools") / "_proto"
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory)
            (path / "s.proto").write_text(schema.text(spelled_out=True))
            (path / "r.proto").write_text(schema.text(spelled_out=False))
            self.spelled = self._class(path, "s.proto", str(known))
            self.real = self._class(path, "r.proto", str(known))

    def _class(self, path: Path, name: str, known: str) -> Any:
        out = path / f"{name}.bin"
        arguments = [f"-I{path}", f"-I{known}", "--include_imports", f"--descriptor_set_out={out}", name]
        assert protoc.main(["protoc", *arguments]) == 0, self.schema.text(spelled_out=name == "s.proto")
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
            pool.Add(file)
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"p.{self.schema.messages[0].name}"))

    def parsed(self, record: bytes) -> Any:
        """The message; null where it is none."""
        message = self.spelled()
        try:
            message.ParseFromString(record)
        except DecodeError:
            message = None
        try:
            self.real().ParseFromString(record)
        except DecodeError:
            assert message is None
        else:
            assert message is not None
        return message


# Records


def varint(value: int, rng: random.Random | None = None) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if rng is not None and rng.random() < 0.02 and len(out) < 5:  # longer than it needs to be
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def number_value(rng: random.Random) -> int:
    return rng.choice(
        [0, 1, 5, 7, 2**64 - 3, rng.randrange(100), rng.randrange(2**14), rng.randrange(2**40), rng.getrandbits(64)]
    )


def text_value(rng: random.Random) -> bytes:
    if rng.random() < 0.01:
        return rng.choice([b"\xff", b"ab\xc3", b"\xed\xa0\x80"])
    return "".join(rng.choice("abz é日") for _ in range(rng.choice([0, 1, 3, 8, 9, 20, 80]))).encode()


def scalar(type_: str, rng: random.Random) -> bytes:
    if type_ in FIXED:
        return rng.randbytes(4 if FIXED[type_] == 5 else 8)
    if type_ == "string":
        text = text_value(rng)
        return varint(len(text), rng) + text
    if type_ == "bytes":
        data = rng.randbytes(rng.choice([0, 2, 9]))
        return varint(len(data)) + data
    return varint(number_value(rng))


def wire_type(type_: str) -> int:
    if type_ in FIXED:
        return FIXED[type_]
    return 2 if type_ in ("string", "bytes") else 0


def sized(data: bytes, rng: random.Random) -> bytes:
    return varint(len(data), rng) + data


def inside(schema: Schema, type_: str, rng: random.Random, depth: int) -> bytes:
    """The content of a message."""
    message = schema.of(type_)
    if message is not None:
        return wire(schema, message, rng, depth)
    if type_ == "group":
        pieces = [b"\x08" + scalar("int32", rng), b"\xa2\x01" + scalar("string", rng), noise(rng)]
        return b"".join(rng.choices(pieces, k=rng.randrange(3)))
    held = {"Int64Value": "int64", "StringValue": "string", "DoubleValue": "double", "BoolValue": "bool"}
    inner = held.get(type_.rpartition(".")[2], "bytes" if type_.endswith("BytesValue") else "uint64")
    return b"" if rng.random() < 0.3 else varint(1 << 3 | wire_type(inner)) + scalar(inner, rng)


def holds(type_: str) -> bool:
    return type_ not in SCALARS and type_ not in ("Colour", "Plain", "Shut")


def occurrence(schema: Schema, each: Field, rng: random.Random, depth: int) -> bytes:
    """One appearance of a field."""
    number = each.number << 3
    if each.how == "map":
        pieces = []
        if rng.random() < 0.9:
            pieces.append(varint(1 << 3 | wire_type(each.key)) + scalar(each.key, rng))
        if rng.random() < 0.9:
            pieces.append(occurrence(schema, Field("value", 2, each.type, "single"), rng, depth))
        if rng.random() < 0.05:
            rng.shuffle(pieces)
        return varint(number | 2, rng) + sized(b"".join(pieces), rng)
    if holds(each.type):
        content = inside(schema, each.type, rng, depth + 1)
        if each.how == "group":
            return varint(number | 3) + content + varint(number | 4)
        return varint(number | 2, rng) + sized(content, rng)
    if each.how in ("repeated", "unpacked") and each.type not in ("string", "bytes") and rng.random() < 0.7:
        items = b"".join(scalar(each.type, rng) for _ in range(rng.choice([0, 1, 2, 5, 30])))
        return varint(number | 2) + sized(items, rng)
    return varint(number | wire_type(each.type), rng) + scalar(each.type, rng)


def noise(rng: random.Random) -> bytes:
    """A field that hardly any schema has."""
    number = rng.choice([1, 3, 6, 9, 15, 16, 500, 2**29 - 2]) << 3
    match rng.randrange(5):
        case 0:
            return varint(number) + varint(number_value(rng))
        case 1:
            return varint(number | 2) + sized(rng.randbytes(rng.randrange(5)), rng)
        case 2:
            return varint(number | 5) + rng.randbytes(4)
        case 3:
            return varint(number | 1) + rng.randbytes(8)
        case _:
            return varint(number | 3) + (noise(rng) if rng.random() < 0.3 else b"") + varint(number | 4)


def wire(schema: Schema, message: Message, rng: random.Random, depth: int = 0) -> bytes:
    """A message that keeps to the schema, mostly."""
    pieces: list[bytes] = []
    for each in sorted(message.fields, key=lambda each: each.number):
        if rng.random() < 0.25 + 0.1 * depth or (depth > 6 and holds(each.type)):
            continue
        times = rng.choice([0, 1, 2, 4]) if each.how in ("repeated", "unpacked", "map") else 1
        times += rng.random() < 0.05
        pieces += [occurrence(schema, each, rng, depth) for _ in range(times)]
    if rng.random() < 0.1:
        rng.shuffle(pieces)
    if rng.random() < 0.1:
        pieces.insert(rng.randrange(len(pieces) + 1), noise(rng))
    return b"".join(pieces)


def mutated(record: bytes, rng: random.Random) -> bytes:
    match rng.randrange(8):
        case 0:
            return record[: rng.randrange(len(record) + 1)]
        case 1:
            return record + rng.randbytes(rng.randrange(1, 12))
        case 2 | 3 if record:
            at = rng.randrange(len(record))
            byte = rng.choice([0, 1, 2, 3, 4, 7, 0x0B, 0x0C, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            return record[:at] + bytes([byte]) + record[at + 1 :]
        case 4:
            at = rng.randrange(len(record) + 1)
            return record[:at] + rng.choice([rng.randbytes(3), b"\xff" * rng.randrange(1, 12)]) + record[at:]
        case 5:
            return record + record
        case _:
            return record


# What is expected


class Expected:
    """The columns of the messages that the oracle has parsed."""

    def __init__(self, schema: Schema, parsed: list[Any]) -> None:
        self._schema = schema
        self.paths: dict[str, dict[str, Any]] = {}
        self._scopes: dict[str, str | None] = {}
        self._records = len(parsed)
        self.unknown = 0
        for message in parsed:
            self._message("", None, message, Counter())

    def normal(self) -> dict[str, Any]:
        out = {}
        for path, found in self.paths.items():
            present = sum(found.values(), Counter()).total() if found else 0
            missing = 0
            if path in self._scopes:
                scope = self._scopes[path]
                slots = self._records if scope is None else self.paths[scope]["record"].total()
                missing = slots - present
            out[path] = (present + missing, 0, missing, found)
        return out

    def _message(self, prefix: str, scope: str | None, message: Any, levels: Counter[str]) -> None:
        self.unknown += len(unknown_fields.UnknownFieldSet(message))
        name = message.DESCRIPTOR.full_name
        if levels[name] >= 4 and "…" not in prefix:
            base = prefix
            raise RecursiveError(base)
        levels = levels + Counter([name])
        for each in message.DESCRIPTOR.fields:
            path = prefix + each.name
            self._scopes[path] = scope
            value = getattr(message, each.name)
            if each.is_repeated:
                entries = each.message_type is not None and each.message_type.name.startswith("Entry_")
                self._add(path, "map" if entries else "array", len(value))
                for item in value:
                    if entries:
                        self.unknown += len(unknown_fields.UnknownFieldSet(item))
                        pair = item.DESCRIPTOR.fields_by_name["value"]
                        self._value(f"{path}{{}}", pair, item.value, levels)
                    else:
                        self._value(f"{path}[]", each, item, levels)
            elif not each.has_presence or message.HasField(each.name):
                self._value(path, each, value, levels)

    def _value(self, path: str, each: Any, value: Any, levels: Counter[str]) -> None:
        if each.message_type is not None:
            if each.message_type.full_name.startswith("google.protobuf."):
                self.unknown += len(unknown_fields.UnknownFieldSet(value))
                self._value(path, each.message_type.fields[0], value.value, levels)
                return
            self._add(path, "record", None)
            self._message(f"{path}.", path, value, levels)
        elif each.enum_type is not None:
            names: dict[int, str] = {}
            for symbol in each.enum_type.values:
                names.setdefault(symbol.number, symbol.name)
            if value in names:
                self._add(path, f"enum {tuple(names[number] for number in sorted(names))}", names[value])
            else:
                self._add(path, "integer", value)
        elif isinstance(value, bool):
            self._add(path, "boolean", value)
        elif isinstance(value, int):
            self._add(path, *(("integer", value) if value < 2**63 else ("number", f"{float(value):.12g}")))
        elif isinstance(value, float):
            self._add(path, "number", f"{value:.12g}")
        else:
            string = each.type == each.TYPE_STRING
            self._add(path, "string" if string else "bytes", value.encode() if isinstance(value, str) else value)

    def _add(self, path: str, type_: str, shown: Any) -> None:
        self.paths.setdefault(path, {}).setdefault(type_, Counter())[shown] += 1


class RecursiveError(Exception):
    """A message holds itself deeper than it is unfolded: the oracle does not know of folding."""


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
        parts[key] = parts.get(key, Counter()) + values  # defaults are a part of their own
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
        data += rng.randbytes(rng.choice([0, 0, 5]))
        starts[index] = len(data)
        data += record
    lengths = np.array([len(record) for record in records], np.int64)
    return Batch(np.frombuffer(data + bytes(16), np.uint8), starts, lengths)


@contextmanager
def thresholds(rng: random.Random) -> Iterator[None]:
    """Lets small batches take the ways of large ones too: where they part is a matter of speed alone."""
    with (
        mock.patch.object(protobuf_scan, "FEW", rng.choice([0, 0, 3, 24])),
        mock.patch.object(protobuf_scan, "GRACE", rng.choice([-1_000_000, 500_000, 3_000_000])),
    ):
        yield


relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def check(schema: Schema, oracle: Oracle, records: list[bytes], rng: random.Random) -> None:
    parsed = [oracle.parsed(record) for record in records]
    decoder = ProtobufColumns(parse_schema(schema.text(spelled_out=False)), indexes=b"")
    with thresholds(rng):
        decoded = decoder.decode(joined(records, rng))
    assert [bad.index for bad in decoded.bad] == [index for index, message in enumerate(parsed) if message is None]
    assert decoded.records == len(records)
    good = [message for message in parsed if message is not None]
    try:
        expected = Expected(schema, good)
    except RecursiveError:
        return
    if not decoded.truncated:
        assert normal_columns(decoded) == expected.normal()
        assert passed(decoded, schema) == expected.unknown


def passed(decoded: Decoded, schema: Schema) -> int:
    """Values that the decoder has passed over, as it counts them."""
    assert decoded.compared is not None
    closed = ("p.Shut", "p.Colour", "p.Plain") if schema.syntax == "proto2" else ("p.Shut",)
    kinds = (DeviationKind.UNDECLARED, DeviationKind.TYPE_MISMATCH)
    found = decoded.compared.found.items()
    return sum(
        n for (kind, _, declared, _), n in found if kind in kinds or (kind == "outside-enum" and declared in closed)
    )


@relaxed
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 12, 40]))
def test_columns_are_what_the_reference_parser_reads(seed: int, count: int) -> None:
    rng = random.Random(seed)
    schema = made_schema(rng)
    oracle = Oracle(schema)
    records = [wire(schema, schema.messages[0], rng) for _ in range(count)]
    check(schema, oracle, records, rng)


@relaxed
@given(st.integers(0, 2**32), st.sampled_from([1, 4, 20, 40]))
def test_exactly_those_records_are_bad_that_the_reference_parser_refuses(seed: int, count: int) -> None:
    rng = random.Random(seed)
    schema = made_schema(rng)
    oracle = Oracle(schema)
    records = [mutated(wire(schema, schema.messages[0], rng), rng) for _ in range(count)]
    check(schema, oracle, records, rng)


@pytest.mark.parametrize("seed", range(24))
def test_some_schemas_each_time(seed: int) -> None:
    rng = random.Random(seed)
    schema = made_schema(rng)
    oracle = Oracle(schema)
    good = [wire(schema, schema.messages[0], rng) for _ in range(40)]
    for some in (good[:3], good, [mutated(record, rng) for record in good]):
        check(schema, oracle, some, rng)


EDGES = Schema(
    "proto2",
    [
        Message(
            "M0",
            [
                Field("f1", 1, "int32", "optional"),
                Field("f2", 2, "string", "optional"),
                Field("f3", 3, "int32", "repeated"),
                Field("f4", 4, "M0", "single"),
                Field("f5", 5, "group", "group"),
                Field("f6", 6, "fixed32", "repeated"),
                Field("f7", 7, "string", "map"),
                Field("f8", 8, "Shut", "optional"),
            ],
        )
    ],
)
ONES = b"\xff" * 9


def within(record: bytes, depth: int) -> bytes:
    """A record so many levels further down."""
    for _ in range(depth):
        record = b"\x22" + varint(len(record)) + record
    return record


WIRE: dict[str, bytes] = {
    "nothing": b"",
    "ten bytes": b"\x08" + ONES + b"\x01",
    "ten bytes, too many bits": b"\x08" + ONES + b"\x7f",
    "eleven bytes": b"\x08" + ONES + b"\xff\x01",
    "unknown, ten bytes": b"\xf8\x01" + ONES + b"\x7f",
    "unknown, eleven bytes": b"\xf8\x01" + ONES + b"\xff\x01",
    "no number": b"\x00\x01",
    "no number, in an unknown group": b"\xfb\x01\x00\x01\xfc\x01",
    "no number, in a known group": b"\x2b\x00\x01\x2c",
    "long tag": b"\x88\x80\x80\x80\x00\x01",
    "longer tag": b"\x88\x80\x80\x80\x80\x00\x01",
    "tag beyond 32 bits": b"\x88\x80\x80\x80\x10\x01",
    "highest tag": b"\xf8\xff\xff\xff\x0f\x01",
    "wire type 6": b"\x0e\x01",
    "wire type 7": b"\xff\x01\x01",
    "end of no group": b"\x2c",
    "group": b"\x2b\x08\x05\x2c",
    "group, wrong end": b"\x2b\x08\x05\x34",
    "group, no end": b"\x2b\x08\x05",
    "unknown groups": b"\xfb\x01\x0b\x0c\xfc\x01",
    "unknown groups, wrong end": b"\xfb\x01\x0b\x14\xfc\x01",
    "long length": b"\x12\x81\x80\x80\x80\x00a",
    "longer length": b"\x12\x81\x80\x80\x80\x80\x00a",
    "length beyond 31 bits": b"\x12\x81\x80\x80\x80\x08a",
    "unknown, longer length": b"\xfa\x01\x81\x80\x80\x80\x80\x00a",
    "too short by one": b"\x12\x02a",
    "too short in a message": b"\x22\x03\x12\x02a",
    "packed, cut off": b"\x1a\x02\x01\x82",
    "packed, eleven bytes": b"\x1a\x0b" + ONES + b"\xff\x01",
    "packed, ten bytes": b"\x1a\x0a" + ONES + b"\x7f",
    "packed, odd size": b"\x32\x03\x01\x02\x03",
    "wrong wire types": b"\x0d\x01\x02\x03\x04\x0a\x01\x05\x1d\x01\x02\x03\x04\x30\x01",
    "closed enum": b"\x40\x05\x40\x06",
    "no UTF-8, in proto2": b"\x12\x01\xff",
    "map entry, empty": b"\x3a\x00",
    "map entry, twice the value": b"\x3a\x06\x12\x01a\x12\x01b",
    "merged, in another order": b"\x22\x05\x12\x01x\x08\x01" + b"\x22\x02\x08\x02",
    "merged, deep": b"\x22\x06\x22\x04\x18\x05\x08\x01" + b"\x22\x04\x22\x02\x08\x02",
    "100 levels": within(b"\x08\x01", 100),
    "101 levels": within(b"\x08\x01", 101),
    "100 levels, the last an unknown group": within(b"\x0b\x0c", 99),
    "101 levels, the last an unknown group": within(b"\x0b\x0c", 100),
    "101 levels, the last a known group": within(b"\x2b\x2c", 100),
    "100 groups": b"\xfb\x01" * 100 + b"\xfc\x01" * 100,
    "101 groups": b"\xfb\x01" * 101 + b"\xfc\x01" * 101,
    "100 levels, the last an entry": within(b"\x3a\x00", 99),
    "101 levels, the last an entry": within(b"\x3a\x00", 100),
}


def test_edges_of_the_wire_format_alone_among_many_and_in_every_way() -> None:
    oracle = Oracle(EDGES)
    assert [name for name, record in WIRE.items() if oracle.parsed(record) is None][:1] == ["eleven bytes"]
    decoder = ProtobufColumns(parse_schema(EDGES.text(spelled_out=False)), indexes=b"")
    for name, record in WIRE.items():
        parsed = oracle.parsed(record)
        for few, grace, copies in ((24, 0, 1), (24, 3_000_000, 40), (0, 3_000_000, 40), (0, -1_000_000_000, 40)):
            with (
                mock.patch.object(protobuf_scan, "FEW", few),
                mock.patch.object(protobuf_scan, "GRACE", grace),
                mock.patch.object(protobuf_walk, "_MOST_GROUPS", copies // 2),
            ):
                decoded = decoder.decode(joined([record] * copies, random.Random(copies)))
            assert len(decoded.bad) == (0 if parsed is not None else copies), name
            if parsed is not None and "levels" not in name:
                assert normal_columns(decoded) == Expected(EDGES, [parsed] * copies).normal(), name
                assert passed(decoded, EDGES) == copies * Expected(EDGES, [parsed]).unknown, name
