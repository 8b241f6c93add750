"""JSON Schemas as a graph of nodes, each with what it asserts, whatever the draft that it is written in.

The graph has cycles where a schema recurses. A node that asserts nothing accepts everything. ``json_parser`` makes
nodes, ``json_keys`` tells which of them say the same.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_SHOWN_VALUES = 4
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Bound:
    """An end of a range of numbers."""

    value: Fraction
    exclusive: bool = False

    def text(self) -> str:
        return f"{number_text(self.value)}{' (exclusive)' if self.exclusive else ''}"


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """A schema for the members of an object that have none of these names and match none of these patterns."""

    names: frozenset[str]
    patterns: frozenset[str]
    schema: Node


@dataclass(slots=True, eq=False)
class Node:
    """One schema: the conjunction of its members, of which null and empty ones assert nothing.

    ``always`` is what a boolean schema says. ``types`` never holds ``integer`` beside ``number``. ``prefix`` are the
    schemas of the first items, ``items`` that of those after them. ``dependent`` are schemas for objects that have a
    member. ``opaque`` names keywords that nothing can be proved of but that they equal themselves.

    ``key`` is the same for schemas that say the same as far as spelling, order and annotations go, ``same`` likewise
    but that defaults count.
    """

    always: bool | None = None
    types: frozenset[str] | None = None
    values: tuple[Any, ...] | None = None
    lower: Bound | None = None
    upper: Bound | None = None
    multiple: Fraction | None = None
    min_length: int = 0
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    prefix: tuple[Node, ...] = ()
    items: Node | None = None
    contains: Node | None = None
    min_contains: int = 1
    max_contains: int | None = None
    unique: bool = False
    min_items: int = 0
    max_items: int | None = None
    properties: Mapping[str, Node] = field(default_factory=dict)
    patterns: Mapping[str, Node] = field(default_factory=dict)
    rests: tuple[Rest, ...] = ()
    names: Node | None = None
    required: frozenset[str] = frozenset()
    min_properties: int = 0
    max_properties: int | None = None
    required_with: Mapping[str, frozenset[str]] = field(default_factory=dict)
    dependent: Mapping[str, Node] = field(default_factory=dict)
    all_of: tuple[Node, ...] = ()
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    negated: Node | None = None
    condition: Node | None = None
    then: Node | None = None
    otherwise: Node | None = None
    opaque: tuple[tuple[str, Node | None, str], ...] = ()
    has_default: bool = False
    default: Any = None
    key: int = -1
    same: int = -1
    _listed: frozenset[Hashable] | None = field(default=None, init=False)

    def admits(self, kind: str) -> bool:
        """Whether the types allow some value of a kind: ``integer`` is not one, it is a ``number``."""
        if self.types is None:
            return True
        return kind in self.types or (kind == "number" and "integer" in self.types)

    def lists(self, value: Any) -> bool:
        """Whether a value is one of the enum's, which is not to change after this was asked first."""
        if self._listed is None:
            self._listed = frozenset(map(frozen, self.values or ()))
        return frozen(value) in self._listed

    @property
    def integers_only(self) -> bool:
        return self.types is not None and "integer" in self.types

    def children(self) -> Iterator[Node]:
        """Every schema inside, those of rests and conditions too."""
        yield from self.prefix
        yield from self.properties.values()
        yield from self.patterns.values()
        yield from (rest.schema for rest in self.rests)
        yield from self.dependent.values()
        for group in (self.all_of, self.any_of, self.one_of):
            yield from group
        for each in (self.items, self.contains, self.names, self.negated, self.condition, self.then, self.otherwise):
            if each is not None:
                yield each
        yield from (inner for _, inner, _ in self.opaque if inner is not None)

    def describe(self, depth: int = 3) -> str:
        """The schema as short text, such as ``integer | null``, ``array<string>`` or ``one of "a", "b"``."""
        if self.always is not None:
            return "anything" if self.always else "nothing"
        if self.values is not None:
            return values_text(self.values)
        if self.types is not None:
            return " | ".join(self._type_text(name, depth) for name in TYPES if name in self.types) or "nothing"
        branches = self.any_of or self.one_of
        if branches and depth:
            return " | ".join(dict.fromkeys(branch.describe(depth - 1) for branch in branches))
        if len(self.all_of) == 1 and depth:
            return self.all_of[0].describe(depth - 1)
        if self.properties:
            return "object"
        return "anything" if self.key == ANYTHING_KEY else "schema"

    def _type_text(self, name: str, depth: int) -> str:
        if name == "array" and self.items is not None and not self.prefix and depth:
            return f"array<{self.items.describe(depth - 1)}>"
        if name == "string" and self.format:
            return f"string ({self.format})"
        return name


ANYTHING_KEY = 0
"""The key of schemas that assert nothing."""


def frozen(value: Any) -> Hashable:
    """Equal for equal JSON values only: 1 equals 1.0, and not true."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, int | float):
        return as_fraction(value)
    if isinstance(value, list | tuple):
        return ("array", *map(frozen, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, frozen(member)) for name, member in value.items()))
    return ("string", value) if isinstance(value, str) else ("null",)


def as_fraction(value: float) -> Fraction:
    """The number that stands in the text: 0.1 is a tenth.

    Raises:
        ValueError: it is not finite.
    """
    if isinstance(value, int):
        return Fraction(value)
    if not math.isfinite(value):
        raise ValueError("a number is not finite")
    return Fraction(repr(value))


def kind_of(value: Any) -> str:
    """The type of a value: ``number`` for every number."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
    return "object"


def number_text(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else repr(float(value))


def values_text(values: tuple[Any, ...]) -> str:
    """The first values of an enum, cut where they are long."""
    import json

    texts = [json.dumps(value, ensure_ascii=False) for value in values[:_SHOWN_VALUES]]
    shown = ", ".join(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…" for text in texts)
    more = f" and {len(values) - len(texts)} more" if len(values) > len(texts) else ""
    return f"one of {shown}{more}" if values else "nothing"
