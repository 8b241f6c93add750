"""Parses Avro 1.11 schema text, with the schemas that it refers to, into a tree of nodes.

Schemas come from a registry that anybody may write to: size, nesting and number of nodes are bounded, and whatever is
wrong with one is a ``SchemaError``. Names are more lenient than the specification (any letters, not only ASCII), as
registries let such schemas in; defaults are kept, not checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from stream_lineage.errors import SchemaError
from stream_lineage.wire.avro_canonical import canonical_form
from stream_lineage.wire.avro_nodes import (
    SATURATED,
    Array,
    AvroSchema,
    Enum,
    Field,
    Fixed,
    Logical,
    Map,
    Named,
    Node,
    Primitive,
    Record,
    Recursion,
    Union,
    children,
    height,
    minimum,
)

MAX_TEXT_BYTES = 2_000_000
MAX_NODES = 50_000
MAX_HEIGHT = 64
"""Levels of types within types, also through names: far more than people write, few enough to recurse over."""

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED = frozenset({"record", "error", "enum", "fixed"})
_NAME = re.compile(r"[^\W\d]\w*")
_NAME_CHARACTERS = 1_000

References = Mapping[str, str] | Iterable[str]
"""Texts of the schemas referred to, in dependency order, with or without the names they are referred to by."""


def parse_schema(text: str, references: References = ()) -> AvroSchema:
    """The tree of a schema.

    Raises:
        SchemaError: the text or a reference is not an Avro schema, or is beyond a bound.
    """
    referred = list(references.values() if isinstance(references, Mapping) else references)
    if sum(map(len, referred)) + len(text) > MAX_TEXT_BYTES:
        raise SchemaError(f"the schema and its references are longer than {MAX_TEXT_BYTES} characters")
    parser = _Parser()
    for reference in referred:
        parser.node(_json(reference), "", 0)
    root = parser.node(_json(text), "", 0)
    return AvroSchema(root, _recursive(root, parser.names), parser.names)


def fingerprint(text: str, references: References = ()) -> str:
    """SHA-256, in hexadecimal, of the canonical form: see ``avro_canonical`` for what that keeps.

    Raises:
        SchemaError: as ``parse_schema``.
    """
    return hashlib.sha256(canonical_form(parse_schema(text, references))).hexdigest()


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError as error:  # orjson's and, for lone surrogates, UnicodeEncodeError
        if text in PRIMITIVES:  # registries also keep primitive schemas without the quotes
            return text
        raise SchemaError("the schema is not JSON") from error


def _recursive(root: Node, names: Mapping[str, Named]) -> bool:
    """Whether a type is used within itself.

    Checks the depth of the schema when it is spelled out, each record where it is first met, which may be more than the
    depth of its text: a type of a reference may lead to the record around its definition.
    """
    pending: list[tuple[Node, int]] = [(root, 0)]
    met: set[str] = set()
    recursive = False
    while pending:
        node, level = pending.pop()
        if level > MAX_HEIGHT:
            raise SchemaError(f"the schema nests deeper than {MAX_HEIGHT} levels")
        if isinstance(node, Recursion):
            recursive = True
            node = names[node.name]
        if isinstance(node, Record):
            if node.name in met:
                continue
            met.add(node.name)
        pending.extend((child, level + 1) for child in reversed(children(node)))
    return recursive


class _Parser:
    def __init__(self) -> None:
        self.names: dict[str, Named] = {}
        self._open: set[str] = set()  # records whose definition is being read
        self._nodes = 0

    def node(self, schema: Any, namespace: str, level: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise SchemaError(f"the schema has more than {MAX_NODES} types")
        if level > MAX_HEIGHT:
            raise SchemaError(f"the schema nests deeper than {MAX_HEIGHT} levels")
        if isinstance(schema, str):
            return Primitive(schema) if schema in PRIMITIVES else self._reference(schema, namespace)
        if isinstance(schema, list):
            return self._union(schema, namespace, level)
        if not isinstance(schema, dict):
            raise SchemaError("a type is neither a name, a union nor an object")
        kind = schema.get("type")
        if isinstance(kind, dict | list):  # {"type": {"type": ...}}: common, though not in the specification
            return self.node(kind, namespace, level + 1)
        if not isinstance(kind, str):
            raise SchemaError("a type has no 'type'")
        if kind in PRIMITIVES:
            return Primitive(kind, _logical(schema))
        if kind == "array":
            items = self.node(_attribute(schema, "items"), namespace, level + 1)
            return Array(items, _above(items))
        if kind == "map":
            values = self.node(_attribute(schema, "values"), namespace, level + 1)
            return Map(values, _above(values))
        if kind in _NAMED:
            return self._named(kind, schema, namespace, level)
        return self._reference(kind, namespace)

    def _reference(self, name: str, namespace: str) -> Node:
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        for candidate in (full, name):
            if candidate in self._open:
                return Recursion(candidate)
            if candidate in self.names:
                return self.names[candidate]
        raise SchemaError(
            f"the type {name[:200]!r} is not defined",
            hint="references have to be given before what refers to them, and cannot refer to each other",
        )

    def _union(self, schemas: list[Any], namespace: str, level: int) -> Union:
        branches = tuple(self.node(schema, namespace, level + 1) for schema in schemas)
        if not branches:
            raise SchemaError("a union has no branches")
        if any(isinstance(branch, Union) for branch in branches):
            raise SchemaError("a union holds a union directly")
        kinds = [_kind(branch) for branch in branches]
        if len(set(kinds)) < len(kinds):
            raise SchemaError("a union holds a type twice")
        return Union(branches, _above(*branches))

    def _named(self, kind: str, schema: dict[str, Any], namespace: str, level: int) -> Named:
        full, namespace = _full_name(schema, namespace)
        if full in self.names or full in self._open:
            raise SchemaError(f"the type {full!r} is defined twice")
        aliases = tuple(sorted({_qualified(alias, namespace) for alias in _names(schema, "aliases")}))
        named: Named
        if kind == "fixed":
            size = schema.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < SATURATED:
                raise SchemaError(f"the fixed {full!r} has no size")
            named = Fixed(full, size, aliases, _logical(schema))
        elif kind == "enum":
            named = _enum(full, schema, aliases)
        else:
            self._open.add(full)
            named = self._record(full, schema, aliases, namespace, level)
            self._open.remove(full)
        self.names[full] = named
        return named

    def _record(
        self, full: str, schema: dict[str, Any], aliases: tuple[str, ...], namespace: str, level: int
    ) -> Record:
        written = _attribute(schema, "fields")
        if not isinstance(written, list):
            raise SchemaError(f"the fields of {full!r} are no list")
        fields: dict[str, Field] = {}
        for entry in written:
            if not isinstance(entry, dict):
                raise SchemaError(f"a field of {full!r} is no object")
            name = _name(entry)
            if name in fields:
                raise SchemaError(f"the record {full!r} has the field {name!r} twice")
            default = None
            if "default" in entry:
                default = _default(entry["default"])
            type_ = self.node(_attribute(entry, "type"), namespace, level + 1)
            fields[name] = Field(name, type_, default, tuple(sorted(set(_names(entry, "aliases")))))
        types = [field.type for field in fields.values()]
        least = min(SATURATED, sum(map(minimum, types)))
        return Record(full, tuple(fields.values()), _above(*types), least, aliases)


def _above(*nodes: Node) -> int:
    level = 1 + max(map(height, nodes), default=0)
    if level > MAX_HEIGHT:
        raise SchemaError(f"the schema nests deeper than {MAX_HEIGHT} levels")
    return level


def _kind(branch: Node) -> str:
    match branch:
        case Primitive():
            return branch.kind
        case Fixed() | Enum() | Record() | Recursion():
            return f"named {branch.name}"
        case _:
            return type(branch).__name__


def _enum(full: str, schema: dict[str, Any], aliases: tuple[str, ...]) -> Enum:
    symbols = tuple(_names(schema, "symbols"))
    if not symbols or len(set(symbols)) < len(symbols):
        raise SchemaError(f"the enum {full!r} has no symbols, or one twice")
    default = schema.get("default")
    if default is not None and default not in symbols:
        raise SchemaError(f"the default of the enum {full!r} is none of its symbols")
    return Enum(full, symbols, aliases, default)


def _logical(schema: dict[str, Any]) -> Logical | None:
    name = schema.get("logicalType")
    if not isinstance(name, str):
        return None
    precision, scale = (schema.get(key) for key in ("precision", "scale"))
    return Logical(name, precision if type(precision) is int else None, scale if type(scale) is int else None)


def _default(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise SchemaError("a default nests too deeply") from error


def _attribute(schema: dict[str, Any], key: str) -> Any:
    try:
        return schema[key]
    except KeyError:
        raise SchemaError(f"a type or field has no {key!r}") from None


def _name(schema: dict[str, Any]) -> str:
    name = schema.get("name")
    if not isinstance(name, str) or len(name) > _NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise SchemaError("a type or field has no valid name")
    return name


def _names(schema: dict[str, Any], key: str) -> list[str]:
    names = schema.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SchemaError(f"{key!r} is no list of names")
    return names


def _full_name(schema: dict[str, Any], enclosing: str) -> tuple[str, str]:
    """The full name of a definition and the namespace for the names within it."""
    name = schema.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_CHARACTERS:
        raise SchemaError("a type has no valid name")
    if "." not in name:
        namespace = schema.get("namespace", enclosing)
        if not isinstance(namespace, str) or len(namespace) > _NAME_CHARACTERS:
            raise SchemaError("a namespace is no text")
        name = _qualified(name, namespace)
    namespace, _, simple = name.rpartition(".")
    if not all(_NAME.fullmatch(part) for part in name.split(".")) or simple in PRIMITIVES:
        raise SchemaError("a type has no valid name")
    return name, namespace


def _qualified(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
