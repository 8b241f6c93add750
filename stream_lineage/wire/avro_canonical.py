"""The canonical form of an Avro schema: the same bytes for schemas that mean the same.

Avro's own Parsing Canonical Form keeps only what reading needs, and so calls schemas equal that differ in what they
promise. This form keeps, beside types, full names, fields in their order, symbols in their order and sizes:

- defaults of fields and enums (object keys sorted),
- aliases (full names, sorted),
- logical types, with precision and scale where written.

It drops ``doc``, the sort ``order`` of fields, attributes that the specification does not know, the order in which
attributes are written, white space, and whether a name was written in full. A type is spelled out where it is first
used, so that a schema with references equals the same schema written in one piece.
"""

from __future__ import annotations

from typing import Any

import orjson

from stream_lineage.wire.avro_nodes import (
    Array,
    AvroSchema,
    Enum,
    Fixed,
    Logical,
    Map,
    Node,
    Primitive,
    Record,
    Union,
)


def canonical_form(schema: AvroSchema) -> bytes:
    """The canonical form as JSON text in UTF-8."""
    return orjson.dumps(_document(schema, schema.root, set()))


def _document(schema: AvroSchema, use: Node, written: set[str]) -> Any:
    node = schema.resolved(use)
    if isinstance(node, Record | Enum | Fixed):
        if node.name in written:
            return node.name
        written.add(node.name)
    match node:
        case Primitive():
            return node.kind if node.logical is None else {"type": node.kind} | _logical(node.logical)
        case Array():
            return {"type": "array", "items": _document(schema, node.items, written)}
        case Map():
            return {"type": "map", "values": _document(schema, node.values, written)}
        case Union():
            return [_document(schema, branch, written) for branch in node.branches]
        case Fixed():
            out = {"type": "fixed", "name": node.name, "size": node.size} | _aliases(node.aliases)
            return out if node.logical is None else out | _logical(node.logical)
        case Enum():
            out = {"type": "enum", "name": node.name, "symbols": node.symbols} | _aliases(node.aliases)
            return out if node.default is None else out | {"default": node.default}
        case _:
            fields = []
            for field in node.fields:
                entry = {"name": field.name, "type": _document(schema, field.type, written)} | _aliases(field.aliases)
                if field.default is not None:
                    entry["default"] = orjson.Fragment(field.default)
                fields.append(entry)
            return {"type": "record", "name": node.name, "fields": fields} | _aliases(node.aliases)


def _aliases(aliases: tuple[str, ...]) -> dict[str, Any]:
    return {"aliases": aliases} if aliases else {}


def _logical(logical: Logical) -> dict[str, Any]:
    out: dict[str, Any] = {"logicalType": logical.name}
    for key, value in (("precision", logical.precision), ("scale", logical.scale)):
        if value is not None:
            out[key] = value
    return out
