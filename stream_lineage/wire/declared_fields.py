"""The fields that a registered schema declares, with their types, under the paths that profiles have."""

from __future__ import annotations

from collections.abc import Iterator

from stream_lineage.model.schema import SchemaType
from stream_lineage.wire import avro_layout, protobuf_layout
from stream_lineage.wire import json_schema as declared_json
from stream_lineage.wire.avro_nodes import Array, Definition, Enum, Fixed, Map, Primitive, Union
from stream_lineage.wire.avro_schema import parse_schema as parse_avro
from stream_lineage.wire.json_records import path_step
from stream_lineage.wire.protobuf_compile import parse_schema as compile_protobuf
from stream_lineage.wire.registered_schema import RegisteredSchema

MOST_FIELDS = 500
_DEEPEST = 16
"""Levels of a JSON schema: one that refers to itself has no end."""
_LONGEST_TYPE = 200


def declared_fields(schema: RegisteredSchema) -> dict[str, str]:
    """Types by path, in the order of the schema, ``MOST_FIELDS`` at most. Types are called as the schema calls them,
    several of one field with ``|`` between; that a field may be null is not said.

    Raises:
        SchemaError: the schema cannot be read.
    """
    if schema.type is SchemaType.AVRO:
        return _avro(schema)
    if schema.type is SchemaType.PROTOBUF:
        return _protobuf(schema)
    if schema.type is SchemaType.JSON:
        place = declared_json.declared_by(schema.text, schema.references)
        found: dict[str, str] = {}
        for path, type_ in _members(place, "", 0):
            found.setdefault(path, type_)
            if len(found) >= MOST_FIELDS:
                break
        return found
    return {}


def _avro(schema: RegisteredSchema) -> dict[str, str]:
    layout = avro_layout.layout(parse_avro(schema.text, schema.references), MOST_FIELDS)
    types: dict[int, dict[str, None]] = {}
    pending, seen = [layout.root], {id(layout.root)}
    while pending:
        place = pending.pop()
        if place.column is not None and not isinstance(place.node, Union):
            types.setdefault(place.column, {})[_avro_type(place.node)] = None
        if place.fold is not None:
            types.setdefault(place.fold, {"record": None})
        for child in reversed(place.children):
            if id(child) not in seen:
                seen.add(id(child))
                pending.append(child)
    return {path: _joined(types.get(column, {})) for column, path in enumerate(layout.paths)}


def _avro_type(node: Definition) -> str:
    match node:
        case Primitive(kind=kind, logical=logical) | Fixed(name=kind, logical=logical) if logical is not None:
            return logical.name or kind
        case Primitive(kind=kind):
            return kind
        case Fixed():
            return "fixed"
        case Enum():
            return "enum"
        case Array():
            return "array"
        case Map():
            return "map"
        case _:
            return "record"


def _protobuf(schema: RegisteredSchema) -> dict[str, str]:
    messages = compile_protobuf(schema.text, schema.references).messages
    if not messages:
        return {}
    layout = protobuf_layout.ProtobufLayout(MOST_FIELDS)
    types: dict[int, str] = {}
    root = layout.root(messages[0])
    pending, seen = [root], {id(root)}
    while pending:
        place = pending.pop()
        for member in place.members:
            many = "map" if member.field.map else "repeated" if member.field.repeated else member.field.declared
            if member.column is not None:
                types.setdefault(member.column, many)
            if member.items is not None:
                types.setdefault(member.items, member.field.declared)
            if member.child is not None and id(member.child) not in seen:
                seen.add(id(member.child))
                pending.append(member.child)
    return {path: types.get(column, "message") for column, path in enumerate(layout.paths)}


def _members(place: declared_json.Place, prefix: str, level: int) -> Iterator[tuple[str, str]]:
    """What is declared inside, each field before what is inside of it."""
    if level > _DEEPEST:
        return
    for name in place.declared:
        inside = place.member(name)
        assert inside is not None  # noqa: S101  (it is declared)
        path = f"{prefix}.{path_step(name)}" if prefix else path_step(name)
        yield path, _json_type(inside)
        yield from _members(inside, path, level + 1)
    items = place.items()
    if items is not None and prefix:
        yield f"{prefix}[]", _json_type(items)
        yield from _members(items, f"{prefix}[]", level + 1)


def _json_type(place: declared_json.Place) -> str:
    return _joined(dict.fromkeys((place.label or "any").split("|")))


def _joined(types: dict[str, None]) -> str:
    kept = [name for name in types if name != "null"] or list(types) or ["null"]
    return "|".join(kept)[:_LONGEST_TYPE]
