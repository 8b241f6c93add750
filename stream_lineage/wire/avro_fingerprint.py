"""CRC-64-AVRO: the fingerprint by which an Avro single object names its schema.

Source: Avro 1.11, "Parsing Canonical Form for Schemas" and "Schema Fingerprints".
"""

from __future__ import annotations

import json
from typing import Any

from stream_lineage.wire.avro_nodes import Array, AvroSchema, Enum, Fixed, Map, Node, Primitive, Record, Union

_EMPTY = 0xC15D213AA4D7A795


def _entry(index: int) -> int:
    for _ in range(8):
        index = (index >> 1) ^ (_EMPTY & -(index & 1))
    return index


_TABLE = tuple(map(_entry, range(256)))


def crc64(data: bytes) -> int:
    """The Rabin fingerprint of 64 bits that Avro defines."""
    number = _EMPTY
    for byte in data:
        number = (number >> 8) ^ _TABLE[(number ^ byte) & 0xFF]
    return number


def crc64_name(schema: AvroSchema) -> str:
    """A schema's fingerprint: the number as 16 hexadecimal digits (on the wire its bytes stand the other way round)."""
    return f"{crc64(parsing_form(schema)):016x}"


def parsing_form(schema: AvroSchema) -> bytes:
    """The Parsing Canonical Form: what reading needs, and nothing else."""
    document = _document(schema, schema.root, set())
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _document(schema: AvroSchema, use: Node, written: set[str]) -> Any:
    node = schema.resolved(use)
    if isinstance(node, Record | Enum | Fixed):
        if node.name in written:
            return node.name
        written.add(node.name)
    match node:
        case Primitive():
            return node.kind
        case Array():
            return {"type": "array", "items": _document(schema, node.items, written)}
        case Map():
            return {"type": "map", "values": _document(schema, node.values, written)}
        case Union():
            return [_document(schema, branch, written) for branch in node.branches]
        case Fixed():
            return {"name": node.name, "type": "fixed", "size": node.size}
        case Enum():
            return {"name": node.name, "type": "enum", "symbols": node.symbols}
        case _:
            fields = [{"name": each.name, "type": _document(schema, each.type, written)} for each in node.fields]
            return {"name": node.name, "type": "record", "fields": fields}
