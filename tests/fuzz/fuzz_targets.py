"""What is fuzzed: functions of bytes that return for anything, and raise where something is wrong.

Everything that reads what others wrote is among them: framing and headers, each decoder, schema texts, the registry's
answers, and what is read back from Kafka. Where there is somebody to ask, the verdict is compared: with a second
decoder of ours, fastavro, the standard library's JSON, Google's Protobuf, or the specification spelled out record by
record.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

import fastavro
import numpy as np

from stream_lineage.collect import batch as batch_module
from stream_lineage.collect.batch import topic_batches
from stream_lineage.collect.dead_letters import DeadLetter, message, summarised
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.errors import DecodeError, StreamLineageError
from stream_lineage.model.schema import OPAQUE, Framing, SchemaType
from stream_lineage.profile.encoding import decode_profile
from stream_lineage.provenance.chain import Head
from stream_lineage.provenance.codec import decode_with_digest
from stream_lineage.provenance.edge_codec import decode_edges, encode_edges
from stream_lineage.wire import framing, record_headers, registry_http
from stream_lineage.wire.avro_columns import AvroColumns
from stream_lineage.wire.avro_records import AvroRecords
from stream_lineage.wire.avro_schema import parse_schema
from stream_lineage.wire.columns import PADDING, Batch, Decoded
from stream_lineage.wire.connect_json import as_json_schema, envelope_of
from stream_lineage.wire.decoder import RecordDecoder, decoder_for
from stream_lineage.wire.guid_header import MAX_INDEX_BYTES
from stream_lineage.wire.json_records import JsonRecords
from stream_lineage.wire.json_schema import declared_by, declared_by_document
from stream_lineage.wire.limits import DecodeLimits
from stream_lineage.wire.lineage_headers import decode_parents, encode_parents
from stream_lineage.wire.origin_headers import origin_in
from stream_lineage.wire.parent_ranges import ParentRanges
from stream_lineage.wire.registered_schema import fingerprint, record_name
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings

MOST_BYTES = 64 * 1024
_LIMITS = DecodeLimits(max_fields=200)
_ORIGIN_NAMES = (
    *(f"__connect.errors.{name}" for name in ("topic", "partition", "offset")),
    *(f"kafka_dlt-original-{name}" for name in ("topic", "partition", "offset")),
)

AVRO_SCHEMAS: tuple[Any, ...] = (
    {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "name", "type": ["null", "string"]},
            {"name": "amount", "type": "double"},
            {"name": "paid", "type": "boolean"},
            {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "SENT"]}},
            {"name": "tags", "type": {"type": "array", "items": "string"}},
            {"name": "extra", "type": {"type": "map", "values": ["int", "bytes"]}},
            {"name": "code", "type": {"type": "fixed", "name": "Code", "size": 3}},
        ],
    },
    {"type": "array", "items": {"type": "record", "name": "Item", "fields": [{"name": "n", "type": "int"}]}},
    {"type": "map", "values": {"type": "array", "items": ["null", "float"]}},
    ["null", "int", "string", {"type": "fixed", "name": "F", "size": 0}],
    {"type": "array", "items": "null"},
    {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
    {"type": "record", "name": "Empty", "fields": []},
)
RECURSIVE_SCHEMAS: tuple[Any, ...] = (
    {
        "type": "record",
        "name": "Chain",
        "fields": [{"name": "id", "type": "long"}, {"name": "next", "type": ["null", "Chain"]}],
    },
    {"type": "record", "name": "Tree", "fields": [{"name": "kids", "type": {"type": "array", "items": "Tree"}}]},
    {"type": "record", "name": "Never", "fields": [{"name": "me", "type": "Never"}]},
)
PROTOBUF_SCHEMAS: tuple[str, ...] = (
    """syntax = "proto3";
message Order {
  int64 id = 1; string name = 2; double amount = 3; repeated int32 codes = 4; map<string, Order> more = 5;
  oneof way { bool fast = 6; bytes slow = 7; } enum State { NEW = 0; SENT = 1; } State state = 8; sfixed32 f = 9;
  message Line { uint64 n = 1; } repeated Line lines = 10; optional sint64 s = 11;
}
message Other { Order order = 1; }""",
    """syntax = "proto2";
message Old { required int32 id = 1; optional group Part = 2 { optional string name = 3; } repeated fixed64 x = 4; }""",
)
JSON_SCHEMAS: tuple[str | None, ...] = (
    None,
    '{"type": "object", "properties": {"id": {"type": "integer"}, "items": {"type": "array", "items": '
    '{"$ref": "#/$defs/i"}}}, "required": ["id"], "$defs": {"i": {"anyOf": [{"type": "string"}, {"$ref": "#"}]}}}',
    '{"$ref": "#"}',
)


@dataclass(slots=True)
class _Reader:
    """Takes fuzzed bytes apart; behind their end there are zeros."""

    data: bytes
    at: int = 0

    @property
    def left(self) -> bool:
        return self.at < len(self.data)

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def piece(self) -> bytes:
        """As long as the next two bytes say."""
        size = self.byte() << 8 | self.byte()
        self.at += size
        return self.data[self.at - size : self.at]

    def pieces(self, most: int = 8) -> list[bytes]:
        out = []
        while self.left and len(out) < most:
            out.append(self.piece())
        return out


def packed(choice: int, *pieces: bytes) -> bytes:
    """The bytes that a target takes for a choice and some pieces."""
    return bytes([choice]) + b"".join(struct.pack(">H", len(piece)) + piece for piece in pieces)


def joined(records: list[bytes]) -> Batch:
    lengths = np.array([len(record) for record in records], np.int64)
    data = np.frombuffer(b"".join((*records, bytes(PADDING))), np.uint8)
    return Batch(data, np.cumsum(lengths) - lengths, lengths)


def _checked(decoded: Decoded, count: int) -> set[int]:
    """The indices of bad records, once what is said of the batch fits together."""
    bad = {record.index for record in decoded.bad}
    assert decoded.records == count
    assert len(bad) == len(decoded.bad)
    assert all(0 <= index < count for index in bad)
    for column in decoded.columns:
        assert column.slots >= column.nulls + column.missing >= 0
    return bad


def _summary(decoded: Decoded) -> dict[str, tuple[int, int, int]]:
    return {column.path: (column.slots, column.nulls, column.missing) for column in decoded.columns}


# Framing and headers


def classify(data: bytes) -> None:
    """Codes of payloads, against the specifications spelled out one by one."""
    pieces = _Reader(data).pieces(32)
    if not pieces:
        return
    batch = joined(pieces)
    codes = framing.classify(batch.data, batch.starts, batch.lengths).tolist()
    for payload, code in zip(pieces, codes, strict=True):
        assert 0 <= framing.payload_offset(code) <= max(len(payload), 0)
        if len(payload) >= 5 and payload[0] == 0 and 0 < (number := int.from_bytes(payload[1:5], "big")) < 2**31:
            assert (framing.framing_of(code), framing.schema_id(code)) == (Framing.CONFLUENT_PREFIX, number)
        elif payload[:2] == b"\xc3\x01" and len(payload) >= 10:
            assert framing.framing_of(code) is Framing.SINGLE_OBJECT
        elif payload[:8].lstrip(b" \t\r\n")[:1] in (b"{", b"["):
            assert framing.framing_of(code) is Framing.PLAIN_JSON
        else:
            assert framing.framing_of(code) is Framing.OPAQUE


@dataclass(slots=True)
class _Message:
    """What is read of a message of confluent-kafka, whose own cannot be made in Python."""

    number: int
    of_key: bytes | None
    of_value: bytes | None
    of_headers: list[tuple[str, bytes | None]] | None

    def topic(self) -> str:
        return "fuzzed"

    def partition(self) -> int:
        return self.number % 2

    def offset(self) -> int:
        return self.number

    def key(self) -> bytes | None:
        return self.of_key

    def value(self) -> bytes | None:
        return self.of_value

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.of_headers

    def timestamp(self) -> tuple[int, int]:
        return (1, self.number)


_NAMES = ("__value_schema_id", "__key_schema_id", "content-type", "ce_specversion", "other", "")


def messages(data: bytes) -> None:
    """Records with headers, from what ``consume()`` gives to codes: the last GUID header of a name counts."""
    reader, rows = _Reader(data), []
    while reader.left and len(rows) < 8:
        kinds, key, value = reader.byte(), reader.piece(), reader.piece()
        headers: list[tuple[str, bytes | None]] = []
        for _ in range(kinds >> 4):
            choice, content = reader.byte(), reader.piece()
            name = _NAMES[choice % 6] if choice < 128 else content[:8].decode("latin-1")
            headers.append((name, None if choice % 7 == 6 else content))
        own = headers if kinds & 4 else None
        rows.append(_Message(len(rows), None if kinds & 1 else key, None if kinds & 2 else value, own))
    if not rows:
        return
    codes = SchemaCodes()
    kept = batch_module.Message, record_headers.Message
    batch_module.Message = record_headers.Message = _Message  # type: ignore[misc, assignment]
    try:
        (batch,) = topic_batches(rows, codes)  # type: ignore[arg-type]
    finally:
        batch_module.Message, record_headers.Message = kept  # type: ignore[misc]
    assert len(batch) == len(rows)
    for index, row in enumerate(rows):
        for name, payload, found in (
            ("__value_schema_id", row.of_value, batch.value_codes),
            ("__key_schema_id", row.of_key, batch.key_codes),
        ):
            key = codes.key(int(found[index]))
            last = [content for header, content in row.of_headers or () if header == name][-1:]
            guid = None
            if payload is not None and last and last[0] is not None and last[0][:1] == b"\x01":
                fits = 17 <= len(last[0]) <= 17 + MAX_INDEX_BYTES  # Protobuf's message indexes follow
                guid = str(UUID(bytes=last[0][1:17])) if fits else None
            assert (key.id if key.framing is Framing.GUID_HEADER else None) == guid


# Decoders


@cache
def _avro(index: int) -> tuple[AvroColumns, AvroRecords, Any]:
    schema = parse_schema(json.dumps(AVRO_SCHEMAS[index]))
    return AvroColumns(schema, _LIMITS), AvroRecords(schema, _LIMITS), fastavro.parse_schema(AVRO_SCHEMAS[index])


def avro(data: bytes) -> None:
    """Both decoders agree, and fastavro reads what they call good, to its last byte."""
    reader = _Reader(data)
    columns, records, parsed = _avro(reader.byte() % len(AVRO_SCHEMAS))
    pieces = reader.pieces()
    by_columns, by_records = columns.decode(joined(pieces)), records.decode(joined(pieces))
    bad = _checked(by_columns, len(pieces))
    assert bad == _checked(by_records, len(pieces))
    assert _summary(by_columns) == _summary(by_records)
    for index, piece in enumerate(pieces):
        if index not in bad:
            source = io.BytesIO(piece)
            fastavro.schemaless_reader(source, parsed, None)
            assert source.tell() == len(piece)


@cache
def _recursive(index: int) -> RecordDecoder:
    return decoder_for(
        SchemaType.AVRO, Framing.CONFLUENT_PREFIX, json.dumps(RECURSIVE_SCHEMAS[index]), {}, DecodeLimits(max_depth=64)
    )


def avro_recursive(data: bytes) -> None:
    """Schemas that refer to themselves."""
    reader = _Reader(data)
    decoder = _recursive(reader.byte() % len(RECURSIVE_SCHEMAS))
    pieces = reader.pieces()
    _checked(decoder.decode(joined(pieces)), len(pieces))


def json_records(data: bytes) -> None:
    """JSON with and without a schema: what is good is JSON for the standard library too."""
    reader = _Reader(data)
    text = JSON_SCHEMAS[reader.byte() % len(JSON_SCHEMAS)]
    pieces = reader.pieces()
    decoder = JsonRecords(_LIMITS, None if text is None else declared_by(text, {}))
    bad = _checked(decoder.decode(joined(pieces)), len(pieces))
    for index, piece in enumerate(pieces):
        if index not in bad:
            json.loads(piece)


@cache
def _protobuf(index: int) -> tuple[RecordDecoder, Any]:
    from google.protobuf import descriptor_pool, message_factory

    from stream_lineage.wire.protobuf_compile import parse_schema as compiled

    compiled(PROTOBUF_SCHEMAS[index])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file(index))
    name = ("Order", "Old")[index]
    decoder = decoder_for(
        SchemaType.PROTOBUF, Framing.CONFLUENT_PREFIX, PROTOBUF_SCHEMAS[index], {}, _LIMITS, indexes=b"\x00"
    )
    return decoder, message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def _file(index: int) -> Any:
    import tempfile
    from pathlib import Path

    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "fuzzed.proto").write_text(PROTOBUF_SCHEMAS[index])
        out = Path(directory) / "out"
        assert protoc.main(["protoc", f"-I{directory}", f"--descriptor_set_out={out}", "fuzzed.proto"]) == 0
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]


def protobuf(data: bytes) -> None:
    """What is good is good for Google's parser, and the other way round."""
    from google.protobuf.message import DecodeError as GoogleDecodeError

    reader = _Reader(data)
    decoder, kind = _protobuf(reader.byte() % len(PROTOBUF_SCHEMAS))
    pieces = reader.pieces()
    bad = _checked(decoder.decode(joined(pieces)), len(pieces))
    for index, piece in enumerate(pieces):
        if index not in bad:
            try:
                kind.FromString(piece)
            except GoogleDecodeError as error:
                raise AssertionError(f"good for us, but not for Google: {piece!r}") from error


def opaque(data: bytes) -> None:
    """Text or not, and Connect's envelopes."""
    pieces = _Reader(data).pieces()
    _checked(decoder_for(SchemaType.NONE, Framing.OPAQUE, None).decode(joined(pieces)), len(pieces))
    for piece in pieces:
        found = envelope_of(piece)
        if found is not None:
            assert piece.startswith(found.head)
            assert piece.endswith(found.tail)
            if found.schema is not None:
                declared_by_document(as_json_schema(json.loads(found.schema)))


# Schemas and registries


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")  # lone surrogates too, as JSON may spell them out
    except UnicodeDecodeError:
        return data.decode("latin-1")


def avro_schema(data: bytes) -> None:
    """A schema's text: refused as such, or good for a decoder."""
    text = _text(data)
    fingerprint(SchemaType.AVRO, text, {})
    record_name(SchemaType.AVRO, text)
    try:
        decoder = decoder_for(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, text, {}, _LIMITS)
    except StreamLineageError:
        return
    _checked(decoder.decode(joined([b"", b"\x00", b"\x02\x02"])), 3)


def json_schema(data: bytes) -> None:
    text = _text(data)
    fingerprint(SchemaType.JSON, text, {})
    decoder = decoder_for(SchemaType.JSON, Framing.CONFLUENT_PREFIX, text, {}, _LIMITS)
    _checked(decoder.decode(joined([b"{}", b'{"a": [1, null, {"b": "x"}]}', b"7"])), 3)


class _Answering(SchemaRegistry):
    """A registry whose answers to whatever is asked are given. They pass through all that real ones pass through."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        super().__init__(RegistrySettings(schema_registry_url="http://fuzzed"))
        self._answers = answers
        self.asked = 0
        self._http.get = self._answer  # type: ignore[method-assign]
        self._http.post = self._answer  # type: ignore[method-assign, assignment]

    def _answer(self, path: str, *_: Any) -> registry_http.Answer:
        status, body = self._answers[self.asked % len(self._answers)]
        self.asked += 1
        return registry_http._understood(f"http://fuzzed{path}", status, "application/json", body)


def registry(data: bytes) -> None:
    """Answers of a registry: a schema comes of them, or an error of ours, after a bounded number of questions."""
    reader = _Reader(data)
    statuses = (200, 200, 200, 404, 500, 302, 401, 422)
    answers = [(statuses[reader.byte() % 8], reader.piece()) for _ in range(4) if reader.left]
    if not answers:
        return
    asked = _Answering(answers)
    for ask in (
        lambda: asked.by_id(7, topic="t", role="value"),
        lambda: asked.by_guid(str(UUID(int=7)), topic="t", role="key"),
        lambda: asked.latest("t-value"),
        asked.subjects,
        lambda: asked.register("t-value", '"int"'),
    ):
        with suppress(StreamLineageError):
            ask()
    assert asked.asked < 1_000
    asked.close()


# What is read back from Kafka


def head(data: bytes) -> None:
    """Metadata of committed offsets: none of ours, or a head that survives being written again."""
    found = Head.from_metadata(_text(data))
    if found is not None:
        assert len(found.hash) == 32
        again = Head.from_metadata(found.to_metadata())
        assert again is not None
        assert (again.hash, again.next_offset, again.topic_id) == (found.hash, found.next_offset, found.topic_id)


def observation(data: bytes) -> None:
    """Messages of the observation log."""
    try:
        decoded = decode_with_digest(data)
    except DecodeError:
        return
    assert len(decoded.digest) == 32


def profile(data: bytes) -> None:
    try:
        decode_profile(data)
    except DecodeError:
        return


def dead_letter(data: bytes) -> None:
    """Letters about anything: as many records as went in come out, as JSON that says where."""
    reader, letters = _Reader(data), []
    limit = reader.byte() % 8
    while reader.left and len(letters) < 32:
        topic, kind, offset = _text(reader.piece())[:249], _text(reader.piece()), reader.byte()
        letters.append(DeadLetter(topic, None, offset % 3, offset, offset, 1, "value", kind, kind, offset, OPAQUE))
    out = list(summarised(letters, limit))
    assert sum(letter.count for letter in out) == len(letters)
    for letter in out:
        if _encodes(letter.topic) and _encodes(letter.kind):
            sent = message(letter, to="d", cluster="c", now=datetime(2026, 1, 1, tzinfo=UTC))
            assert json.loads(sent.value or b"")["offset"] == letter.offset


def _encodes(text: str) -> bool:
    return not any(0xD800 <= ord(character) < 0xE000 for character in text)


def lineage_header(data: bytes) -> None:
    """What is read of a header is written as a header that says the same."""
    with suppress(DecodeError):
        read = decode_parents(data)
        parents = ParentRanges()
        parents.update(read.parents)
        parents.incomplete = read.incomplete
        if len(parents) == len(read.parents):
            again = decode_parents(encode_parents(parents, "t", most_bytes=2**20))
            assert again.incomplete is read.incomplete
            assert len(again.parents) == len(parents)


def origin_headers(data: bytes) -> None:
    reader = _Reader(data)
    headers = []
    while reader.left and len(headers) < 16:
        headers.append((_ORIGIN_NAMES[reader.byte() % len(_ORIGIN_NAMES)], reader.piece()))
    found = origin_in(headers)
    assert found is None or (0 <= found[1].first_offset < 2**63 and 0 <= found[1].partition < 2**31)


def edges(data: bytes) -> None:
    with suppress(DecodeError):
        batch = decode_edges(data)
        assert decode_edges(encode_edges(batch)) == batch


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "classify": classify,
    "messages": messages,
    "avro": avro,
    "avro_recursive": avro_recursive,
    "json_records": json_records,
    "protobuf": protobuf,
    "opaque": opaque,
    "avro_schema": avro_schema,
    "json_schema": json_schema,
    "registry": registry,
    "head": head,
    "observation": observation,
    "profile": profile,
    "dead_letter": dead_letter,
    "lineage_header": lineage_header,
    "origin_headers": origin_headers,
    "edges": edges,
}
