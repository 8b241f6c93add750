"""Avro schemas as a graph of nodes, with what resolution needs: names, aliases, defaults, symbols and sizes.

The graph has cycles where a schema recurses. Parsing is that of the Avro 1.11 specification, lenient where registries
are: unknown attributes are ignored, and a logical type that the specification would ignore is kept as its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream_lineage.errors import SchemaError

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NAMED = frozenset({"record", "enum", "fixed"})
MAX_DEPTH = 200
"""Schemas that nest deeper than this are refused, so that a hostile one cannot exhaust the interpreter's stack."""


@dataclass(slots=True, eq=False)
class Field:
    """One field of a record. ``default`` counts only when ``has_default``, for a default may be null."""

    name: str
    type: Node
    aliases: tuple[str, ...]
    has_default: bool
    default: Any


@dataclass(slots=True, eq=False)
class Node:
    """One type. ``kind`` is a primitive's name, ``array``, ``map``, ``union``, ``record``, ``enum`` or ``fixed``.

    ``children`` holds the items of an array, the values of a map and the branches of a union. Nodes are compared by
    identity: the same named type is one node wherever it is used.
    """

    kind: str
    name: str = ""
    aliases: frozenset[str] = frozenset()
    children: tuple[Node, ...] = ()
    fields: tuple[Field, ...] = ()
    symbols: tuple[str, ...] = ()
    default_symbol: str | None = None
    size: int = 0
    logical: str | None = None
    decimal: tuple[int, int] | None = None
    by_name: dict[str, Field] = field(default_factory=dict)

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]

    def describe(self, depth: int = 3) -> str:
        """The type as short text, such as ``null | array<record Item>``."""
        if self.kind in PRIMITIVES:
            return f"{self.kind} ({self.logical_text()})" if self.logical else self.kind
        if depth == 0:
            return self.kind
        if self.kind == "union":
            return " | ".join(branch.describe(depth - 1) for branch in self.children) or "empty union"
        if self.kind in ("array", "map"):
            return f"{self.kind}<{self.children[0].describe(depth - 1)}>"
        size = f"[{self.size}]" if self.kind == "fixed" else ""
        logical = f" ({self.logical_text()})" if self.logical else ""
        return f"{self.kind} {self.short_name}{size}{logical}"

    def logical_text(self) -> str:
        """``decimal(10,2)`` or the logical type's name."""
        if self.decimal is not None:
            return f"decimal({self.decimal[0]},{self.decimal[1]})"
        return self.logical or "none"


def parse(text: str, references: Sequence[str] = ()) -> Node:
    """Parse a schema and the schemas that it refers to, which may come in any order.

    Raises:
        SchemaError: not JSON, not Avro, a name is missing or defined twice differently, or it nests too deeply.
    """
    parser = _Parser()
    waiting = [_loads(reference) for reference in references]
    while waiting:
        missing: list[Any] = []
        problem: SchemaError | None = None
        for schema in waiting:
            known = dict(parser.names)
            try:
                parser.node(schema, "", 0)
            except SchemaError as error:
                parser.names = known
                missing.append(schema)
                problem = error
        if problem is not None and len(missing) == len(waiting):
            raise problem
        waiting = missing
    return parser.node(_loads(text), "", 0)


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.strip() in PRIMITIVES:  # registries return bare primitives either way
            return text.strip()
        raise SchemaError(f"the Avro schema is not JSON: {error}") from error


class _Parser:
    def __init__(self) -> None:
        self.names: dict[str, Node] = {}

    def node(self, schema: Any, namespace: str, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise SchemaError(f"the Avro schema nests deeper than {MAX_DEPTH} levels")
        if isinstance(schema, str):
            return self._by_name(schema, namespace)
        if isinstance(schema, list):
            return Node("union", children=tuple(self.node(branch, namespace, depth + 1) for branch in schema))
        if not isinstance(schema, Mapping) or "type" not in schema:
            raise SchemaError("an Avro schema is a name, a list or an object with a type")
        kind = schema["type"]
        if kind in ("record", "error", "enum", "fixed"):
            return self._named("record" if kind == "error" else kind, schema, namespace, depth)
        if kind in ("array", "map"):
            member = "items" if kind == "array" else "values"
            if member not in schema:
                raise SchemaError(f"the Avro {kind} has no {member}")
            return Node(kind, children=(self.node(schema[member], namespace, depth + 1),))
        if isinstance(kind, str) and kind in PRIMITIVES:
            return self._logical(Node(kind), schema)
        return self.node(kind, namespace, depth + 1)

    def _by_name(self, name: str, namespace: str) -> Node:
        if name in PRIMITIVES:
            return Node(name)
        full = _full_name(name, namespace)
        found = self.names.get(full) or self.names.get(name)
        if found is None:
            raise SchemaError(f"the Avro schema refers to {full}, which is defined nowhere")
        return found

    def _named(self, kind: str, schema: Mapping[str, Any], namespace: str, depth: int) -> Node:
        name = schema.get("name")
        if not isinstance(name, str) or not name:
            raise SchemaError(f"an Avro {kind} has no name")
        full = _full_name(name, schema["namespace"] if isinstance(schema.get("namespace"), str) else namespace)
        inner = full.rpartition(".")[0]
        aliases = frozenset(_full_name(alias, inner) for alias in _strings(schema.get("aliases")))
        node = Node(kind, name=full, aliases=aliases)
        self.names[full] = node
        if kind == "enum":
            node.symbols = _strings(schema.get("symbols"))
            default = schema.get("default")
            node.default_symbol = default if isinstance(default, str) and default in node.symbols else None
        elif kind == "fixed":
            size = schema.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise SchemaError(f"the Avro fixed {full} has no size")
            node.size = size
            self._logical(node, schema)
        else:
            members = schema.get("fields")
            if not isinstance(members, list):
                raise SchemaError(f"the Avro record {full} has no fields")
            node.fields = tuple(self._field(member, inner, depth) for member in members)
            node.by_name = {member.name: member for member in node.fields}
        return node

    def _field(self, schema: Any, namespace: str, depth: int) -> Field:
        if not isinstance(schema, Mapping) or not isinstance(schema.get("name"), str) or "type" not in schema:
            raise SchemaError("an Avro field is an object with a name and a type")
        return Field(
            schema["name"],
            self.node(schema["type"], namespace, depth + 1),
            _strings(schema.get("aliases")),
            "default" in schema,
            schema.get("default"),
        )

    @staticmethod
    def _logical(node: Node, schema: Mapping[str, Any]) -> Node:
        logical = schema.get("logicalType")
        if not isinstance(logical, str):
            return node
        if logical == "decimal":
            precision, scale = schema.get("precision"), schema.get("scale", 0)
            if node.kind not in ("bytes", "fixed") or not isinstance(precision, int) or not isinstance(scale, int):
                return node  # the specification: an invalid logical type is ignored
            node.decimal = (precision, scale)
        node.logical = logical
        return node


def _full_name(name: str, namespace: str) -> str:
    if "." in name or not namespace:
        return name.lstrip(".")
    return f"{namespace}.{name}"


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
