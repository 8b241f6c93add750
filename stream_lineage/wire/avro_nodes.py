"""Nodes: an Avro schema as an immutable tree with all names resolved.

A named type that is used again after its definition is the same object again, so the tree is a directed acyclic graph;
a use of a type inside its own definition is a ``Recursion``, to be looked up in ``AvroSchema.names``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SATURATED = 1 << 62
"""Sizes and counts of hostile schemas grow exponentially; they are kept at this value."""

MAX_DECIMAL_PRECISION = 1_000
"""A decimal of more digits is read as the bytes that it is."""


@dataclass(frozen=True, slots=True)
class Logical:
    """A ``logicalType`` as it is written, whether or not it is one that the specification knows."""

    name: str
    precision: int | None = None
    scale: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """``kind`` is null, boolean, int, long, float, double, bytes or string."""

    kind: str
    logical: Logical | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    name: str
    size: int
    aliases: tuple[str, ...] = ()
    logical: Logical | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Enum:
    name: str
    symbols: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    items: Node
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    values: Node
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Union:
    branches: tuple[Node, ...]
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A record field. ``default`` is JSON text, null where there is no default."""

    name: str
    type: Node
    default: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """``minimum`` is a lower bound of the bytes that a value takes: 0 if and only if every value takes none."""

    name: str
    fields: tuple[Field, ...]
    height: int
    minimum: int
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Recursion:
    """A use of the record ``name`` inside its own definition."""

    name: str


Definition = Primitive | Fixed | Enum | Array | Map | Union | Record
Node = Definition | Recursion
Named = Fixed | Enum | Record


@dataclass(frozen=True, slots=True, eq=False)
class AvroSchema:
    """A parsed schema. ``names`` holds every named type by its full name, those of the references too."""

    root: Node
    recursive: bool
    names: Mapping[str, Named] = field(default_factory=dict)

    def resolved(self, node: Node) -> Definition:
        """The node itself, or the record that a recursion means."""
        return self.names[node.name] if isinstance(node, Recursion) else node


def children(node: Node) -> tuple[Node, ...]:
    """The types that this one is made of, in schema order."""
    match node:
        case Array():
            return (node.items,)
        case Map():
            return (node.values,)
        case Union():
            return node.branches
        case Record():
            return tuple(field.type for field in node.fields)
        case _:
            return ()


def height(node: Node) -> int:
    """Levels of nesting below this node, uses of a type inside itself not followed."""
    return node.height if isinstance(node, Array | Map | Union | Record) else 0


def minimum(node: Node) -> int:
    """A lower bound of the bytes that a value takes: 0 if and only if every value takes none."""
    match node:
        case Primitive(kind="null"):
            return 0
        case Primitive(kind="float"):
            return 4
        case Primitive(kind="double"):
            return 8
        case Fixed():
            return node.size
        case Record():
            return node.minimum
        case Union():
            return 1 + min(minimum(branch) for branch in node.branches)
        case _:
            return 1


def decimal_scale(node: Node) -> int | None:
    """The scale of a valid decimal; null for everything else, and for decimals that are to be ignored as invalid."""
    if not isinstance(node, Fixed | Primitive) or node.logical is None or node.logical.name != "decimal":
        return None
    if isinstance(node, Primitive) and node.kind != "bytes":
        return None
    precision, scale = node.logical.precision, node.logical.scale or 0
    if precision is None or not 0 < precision <= MAX_DECIMAL_PRECISION or not 0 <= scale <= precision:
        return None
    return scale
