"""Writes the first files of the corpora, bytes that each target can make something of: ``python fuzz_seeds.py``.

What is there already is kept: corpora grow by what fuzzing has found.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
from fuzz_targets import AVRO_SCHEMAS, JSON_SCHEMAS, RECURSIVE_SCHEMAS, packed

from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.provenance.chain import Head
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.edge_codec import encode_edges
from stream_lineage.testing.observations import avro_reference, observation, span

CORPUS = Path(__file__).parent / "corpus"
GUID = b"\x01" + bytes(range(16))


def written(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def order(name: str | None) -> dict[str, Any]:
    return {
        "id": 5, "name": name, "amount": 1.5, "paid": True, "state": "SENT", "tags": ["a", "bc"],
        "extra": {"x": 7, "y": b"z"}, "code": b"abc",
    }  # fmt: skip


def seeds() -> dict[str, list[bytes]]:
    chain = {"id": 1, "next": {"id": 2, "next": None}}
    log = observation(avro_reference(3), span(0, 5, 9), span(1, 0, 4, [(2, 3)]), at=datetime(2026, 3, 1, tzinfo=UTC))
    value, key = b"\x00\x00\x00\x00\x07value", b"k"
    header = b"\x00" + packed(0, GUID)[1:]
    other_header = b"\x01" + packed(0, GUID)[1:]
    referring = {"references": [{"name": "r", "subject": "s", "version": 1}]}
    answer: dict[str, Any] = {"schema": '"int"', "id": 7, "version": 1, "subject": "t-value"}
    proto = (
        b"\x08\x05\x12\x03abc\x19" + bytes(8) + b"\x22\x02\x01\x02\x2a\x06\x0a\x01k\x12\x01\x00\x30\x01\x52\x02\x08\x01"
    )
    vectors = json.loads((Path(__file__).parents[2] / "docs" / "specs" / "header-vectors.json").read_text())
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    parents = (ParentRange("clicks", 1, 5, 9), ParentRange("clicks", 2, 5, 50, True, "eu"))
    edge = RecordEdge(0, 7, parents, timestamp=noon, run_id="r", trace_id="0af7651916cd43dd8448eb211c80319c")
    edges = EdgeBatch("b", "eu", "scores", "id", "one", noon, (edge, RecordEdge(1, 9, (), incomplete=True)), 3)
    return {
        "classify": [
            packed(0, value, b"\xc3\x01" + bytes(8), b' \n{"a": 1}', b"[]", b"", b"plain")[1:],
            packed(0, b"\x00\x00\x00\x00\x00", b"\x00\xff\xff\xff\xff")[1:],
        ],
        "messages": [
            b"\x14" + packed(0, key, value)[1:] + header,
            b"\x34" + packed(0, key, value)[1:] + header + other_header + b"\x00" + packed(0, b"\x01short")[1:],
            b"\x16" + packed(0, key, b"")[1:] + b"\x02" + packed(0, b"application/json")[1:],
        ],
        "avro": [
            packed(0, written(AVRO_SCHEMAS[0], order("n")), written(AVRO_SCHEMAS[0], order(None))),
            packed(1, written(AVRO_SCHEMAS[1], [{"n": 1}, {"n": -5}]), b"\x00"),
            packed(1, b"\x03\x04\x02\x04\x00"),
            packed(2, written(AVRO_SCHEMAS[2], {"a": [None, 1.5]})),
            packed(3, written(AVRO_SCHEMAS[3], "text"), b"\x00", b"\x06"),
            packed(4, written(AVRO_SCHEMAS[4], [None] * 9)),
            packed(5, b"\x04\x01\x02", b"\x00"),
            packed(6, b"", b"\x00"),
        ],
        "avro_recursive": [
            packed(0, written(RECURSIVE_SCHEMAS[0], chain), b"\x02\x02" * 200),
            packed(1, b"\x02\x02\x00\x00\x00", b"\x02" * 300),
            packed(2, b""),
        ],
        "json_records": [
            packed(0, b'{"a": [1, 2.5, null, "x", true], "b": {"c": 1e400}}', b"[]", b"7"),
            packed(1, b'{"id": 1, "items": ["x", {"id": 2}]}', b'{"id": "no"}', b"null"),
            packed(2, b'{"a": 1}', b'{"specversion": "1.0", "type": "t", "source": "/", "id": "1", "data": {}}'),
        ],
        "protobuf": [packed(0, proto, b""), packed(1, b"\x08\x01\x13\x1a\x01a\x14\x21" + bytes(8), b"\x08\x01")],
        "opaque": [
            packed(0, "a,b,c\n1,2,ü\n".encode(), b"\x00\x01\x02"),
            packed(0, b'{"schema": {"type": "struct", "fields": []}, "payload": {}}'),
            packed(0, b'{"payload": 1, "schema": {"type": "int32", "optional": true}}'),
        ],
        "avro_schema": [json.dumps(schema).encode() for schema in (*AVRO_SCHEMAS, *RECURSIVE_SCHEMAS)],
        "json_schema": [text.encode() for text in JSON_SCHEMAS if text],
        "registry": [
            b"\x00" + packed(0, json.dumps(answer).encode())[1:],
            b"\x00"
            + packed(0, json.dumps({**answer, **referring}).encode())[1:],
            b"\x03" + packed(0, b'{"error_code": 40403, "message": "no"}')[1:] + b"\x04" + packed(0, b"<html>")[1:],
            b"\x00" + packed(0, b'[{"subject": "t-value", "version": 1}]')[1:],
        ],
        "head": [Head(bytes(range(32)), 7, "topic-id", ("value:7",)).to_metadata().encode(), b"{}"],
        "observation": [encode_observation(log), encode_observation(log, schema_id=3)],
        "profile": [bytes(40)],
        "dead_letter": [packed(1, b"topic", b"kind")[0:1] + (packed(0, b"topic", b"kind")[1:] + b"\x05") * 3],
        "lineage_header": [bytes.fromhex(vector["hex"]) for vector in vectors["headers"] + vectors["unreadable"]],
        "origin_headers": [
            packed(0, b"in") + packed(1, b"3") + packed(2, b"99"),
            packed(3, b"in") + packed(4, bytes(4)) + packed(5, bytes(8)),
        ],
        "edges": [encode_edges(edges), encode_edges(edges, schema_id=3)],
    }  # fmt: skip


def main() -> None:
    for target, contents in seeds().items():
        directory = CORPUS / target
        directory.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(contents):
            path = directory / f"seed-{number}"
            if not path.exists():
                path.write_bytes(content)


if __name__ == "__main__":
    main()
