"""What a JSON schema declares, place by place: types, members, which of them are required, enums.

This is no validator. Records are compared with their schema column by column, so what is kept of it is the union of
what is possible at each place: of ``anyOf``, ``oneOf``, ``if`` and dependent schemas a member of any branch is
declared, and required is what every branch requires; ``allOf`` and ``$ref`` add up. Whatever cannot be told so
(``not``, ``contains``, patterns, a reference that leads nowhere or in a circle) declares nothing, and so finds nothing.

Places are worked out where records come to them: a schema that refers to itself has no end. Draft 4 to 2020-12; in
drafts before 2019-09 members beside ``$ref`` do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from stream_lineage.errors import SchemaError
from stream_lineage.wire.json_references import Located, Schemas

MAX_TEXT_CHARACTERS = 5_000_000
MAX_LEVELS = 64
"""Schemas within schemas at one place, references followed: what is further inside declares nothing."""
_MAX_STEPS = 20_000
"""Subschemas looked at for one place."""
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


@dataclass(frozen=True, slots=True)
class _All:
    """A place where all of these hold."""

    parts: tuple[_Expression, ...]


@dataclass(frozen=True, slots=True)
class _Any:
    """A place where one of these holds."""

    parts: tuple[_Expression, ...]


_Expression = Located | _All | _Any


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is declared at one place. ``types`` and ``strings`` are null where anything goes; ``lists`` says whether the
    members of objects are named at all, ``loose`` whether other names are declared too, by a pattern or as a map, and
    ``closed`` whether other names are forbidden."""

    types: frozenset[str] | None = None
    strings: frozenset[str] | None = None
    members: Mapping[str, _Expression] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    lists: bool = False
    loose: bool = False
    closed: bool = False
    others: tuple[_Expression, ...] = ()
    items: tuple[_Expression, ...] = ()

    def leaves_open(self, name: str) -> bool:
        """Whether an object may have a member of this name of which nothing is said."""
        return name not in self.members and not self.closed

    @property
    def allowed_strings(self) -> frozenset[str] | None:
        return frozenset() if self.types is not None and "string" not in self.types else self.strings


_FREE = _All(())
_ANYTHING = _Shape()
_NOTHING = _Shape(types=frozenset())


class Place:
    """One place in the records of a schema. ``types`` are names of ``TYPES``, null where any type is declared.

    ``strings`` are those that an enum allows, null where there is none. ``declared`` are the members named, ``closed``
    says that there must be no others.
    """

    def __init__(self, shapes: _Shapes, shape: _Shape) -> None:
        self.types = shape.types
        self.strings = shape.strings if shape.types is None or "string" in shape.types else None
        self.required = shape.required
        self.closed = shape.closed
        self.declared = shape.members.keys() if shape.lists else ()
        self._shapes = shapes
        self._shape = shape
        self._members: dict[str, Place | None] = {}
        self._items: Place | None = None
        self._values: Place | None = None

    @property
    def label(self) -> str | None:
        """The types as text: ``integer|null``; null where any is declared."""
        if self.types is None:
            return None
        return "|".join(name for name in TYPES if name in self.types) or "nothing"

    @property
    def names_members(self) -> bool:
        """Whether a member that is not among those declared is one that the schema does not know."""
        return self._shape.lists and not self._shape.loose

    def member(self, name: str) -> Place | None:
        """The place of a member; null where it is not declared."""
        if name not in self._members:
            expression = self._shape.members.get(name)
            if expression is None and self._shape.others:
                expression = _Any(self._shape.others)
            self._members[name] = None if expression is None else self._shapes.place(expression)
        return self._members[name]

    def items(self) -> Place | None:
        """The place of the items of an array; null where nothing is declared of them."""
        if self._items is None and self._shape.items:
            self._items = self._shapes.place(_Any(self._shape.items))
        return self._items

    def values(self) -> Place | None:
        """The place of all members together, where they are the values of a map."""
        if self._values is None and (self._shape.members or self._shape.others):
            if self._shape.lists and not self._shape.others:
                return None
            self._values = self._shapes.place(_Any((*self._shape.members.values(), *self._shape.others)))
        return self._values


def declared_by(text: str, references: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> Place:
    """The place of whole records.

    Raises:
        SchemaError: the text is no JSON schema, or is beyond a bound.
    """
    texts = dict(references)
    if len(text) + sum(map(len, texts.values())) > MAX_TEXT_CHARACTERS:
        raise SchemaError(f"the schema and its references are longer than {MAX_TEXT_CHARACTERS} characters")
    try:
        schema = orjson.loads(text)
    except ValueError as error:
        raise SchemaError("the schema is not JSON") from error
    return declared_by_document(schema, texts)


def declared_by_document(schema: Any, references: Mapping[str, str] | None = None) -> Place:
    """The same for a schema that is parsed."""
    if not isinstance(schema, dict | bool):
        raise SchemaError("a JSON schema is an object or a boolean")
    schemas = Schemas(schema, references or {})
    return _Shapes(schemas).place(schemas.root)


class _Shapes:
    """Works out shapes, each within a bounded number of steps."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._steps = 0

    def place(self, expression: _Expression) -> Place:
        self._steps = 0
        return Place(self, self._of(expression, (), 0))

    def _of(self, expression: _Expression, under_way: tuple[int, ...], level: int) -> _Shape:
        self._steps += 1
        if level > MAX_LEVELS or self._steps > _MAX_STEPS:
            return _ANYTHING
        if isinstance(expression, _All):
            return _both([self._of(part, under_way, level + 1) for part in expression.parts])
        if isinstance(expression, _Any):
            return _either([self._of(part, under_way, level + 1) for part in expression.parts])
        schema = expression.schema
        if not isinstance(schema, dict):
            return _NOTHING if schema is False else _ANYTHING
        if id(schema) in under_way:
            return _ANYTHING
        return self._schema(expression, schema, (*under_way, id(schema)), level + 1)

    def _schema(self, at: Located, schema: dict[str, Any], under_way: tuple[int, ...], level: int) -> _Shape:
        parts = []
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(schema.get(keyword), str):
                target = self._schemas.target(schema[keyword], at)
                parts.append(_ANYTHING if target is None else self._of(target, under_way, level))
                if keyword == "$ref" and not at.document.siblings_count:
                    return parts[0]
        parts.append(self._own(at, schema))

        def shapes(schemas: Any) -> list[_Shape]:
            listed = schemas if isinstance(schemas, list) else []
            return [self._of(self._schemas.within(each, at), under_way, level) for each in listed]

        parts += shapes(schema.get("allOf"))
        parts += [_either(found) for keyword in ("anyOf", "oneOf") if (found := shapes(schema.get(keyword)))]
        depending = [schema.get("then"), schema.get("else")] if "if" in schema else []
        for keyword in ("dependentSchemas", "dependencies"):
            if isinstance(schema.get(keyword), dict):
                depending += schema[keyword].values()
        parts += [_named_only(each) for each in shapes([each for each in depending if isinstance(each, dict)])]
        return _both(parts)

    def _own(self, at: Located, schema: dict[str, Any]) -> _Shape:
        def within(child: Any) -> Located:
            return self._schemas.within(child, at)

        types, strings = _types(schema.get("type")), None
        values = schema.get("enum") if isinstance(schema.get("enum"), list) else None
        if "const" in schema:
            values = [schema["const"]]
        if values is not None:
            strings = frozenset(value for value in values if isinstance(value, str))
            types = frozenset(map(_type, values)) if types is None else types
        properties = schema.get("properties")
        members = {name: within(each) for name, each in properties.items()} if isinstance(properties, dict) else {}
        required = schema.get("required")
        patterns = schema.get("patternProperties")
        others = [within(each) for each in patterns.values()] if isinstance(patterns, dict) else []
        closed = False
        for keyword in ("additionalProperties", "unevaluatedProperties"):
            rest = schema.get(keyword)
            closed = closed or rest is False
            if isinstance(rest, dict) and rest:
                others.append(within(rest))
        items = _items(schema)
        names = required if isinstance(required, list) else ()
        return _Shape(
            types,
            strings,
            members,
            frozenset(name for name in names if isinstance(name, str)),
            lists=bool(members) or closed,
            loose=bool(others),
            closed=closed,
            others=tuple(others),
            items=tuple(map(within, items)),
        )


def _items(schema: dict[str, Any]) -> list[Any]:
    """The schemas of which one holds for each item; none where an item may be anything."""
    items, first = schema.get("items"), schema.get("prefixItems")
    if isinstance(items, list):
        first, items = items, schema.get("additionalItems")
    if not isinstance(first, list):
        return [items] if isinstance(items, dict) else []
    if items is False:
        return first
    return [*first, items] if isinstance(items, dict) else []


def _both(shapes: list[_Shape]) -> _Shape:
    """What is declared where all of these hold."""
    known = [shape for shape in shapes if shape is not _ANYTHING]
    if len(known) < 2:
        return known[0] if known else _ANYTHING
    types, strings = None, None
    for shape in known:
        types = shape.types if types is None else types if shape.types is None else _common(types, shape.types)
        strings = shape.strings if strings is None else strings if shape.strings is None else strings & shape.strings
    return replace(_gathered(known, _All), types=types, strings=strings)


def _either(shapes: list[_Shape]) -> _Shape:
    """What is declared where one of these holds."""
    if len(shapes) < 2:
        return shapes[0] if shapes else _ANYTHING
    types: frozenset[str] | None = frozenset()
    strings: frozenset[str] | None = frozenset()
    for shape in shapes:
        types = None if types is None or shape.types is None else types | shape.types
        allowed = shape.allowed_strings
        strings = None if strings is None or allowed is None else strings | allowed
    objects = [shape for shape in shapes if shape.types is None or "object" in shape.types]
    arrays = [shape for shape in shapes if shape.types is None or "array" in shape.types]
    gathered = _gathered(shapes, _Any)
    members = {
        # Where one of them is open and does not name a member, that may be anything.
        name: _Any((expression, _FREE)) if any(shape.leaves_open(name) for shape in objects) else expression
        for name, expression in gathered.members.items()
    }
    lists = bool(objects) and all(shape.lists for shape in objects)
    return replace(
        gathered,
        types=types,
        strings=strings,
        members=members,
        required=frozenset.intersection(*(shape.required for shape in objects)) if objects else frozenset(),
        lists=lists,
        closed=lists and all(shape.closed for shape in objects),
        others=gathered.others if all(shape.others or shape.closed for shape in objects) else (),
        items=gathered.items if all(shape.items for shape in arrays) else (),
    )


def _gathered(shapes: list[_Shape], join: type[_All] | type[_Any]) -> _Shape:
    """Members, items and the rest of all of these."""
    members: dict[str, list[_Expression]] = {}
    for shape in shapes:
        for name, expression in shape.members.items():
            members.setdefault(name, []).append(expression)
    return _Shape(
        members={name: found[0] if len(found) == 1 else join(tuple(found)) for name, found in members.items()},
        required=frozenset().union(*(shape.required for shape in shapes)),
        lists=any(shape.lists for shape in shapes),
        loose=any(shape.loose for shape in shapes),
        closed=any(shape.closed for shape in shapes),
        others=tuple(each for shape in shapes for each in shape.others),
        items=tuple(each for shape in shapes for each in shape.items),
    )


def _named_only(shape: _Shape) -> _Shape:
    """Of a schema that holds for some records: the members that it knows."""
    return _Shape(members=dict.fromkeys(shape.members, _FREE), lists=shape.lists, loose=shape.loose)


def _common(a: frozenset[str], b: frozenset[str]) -> frozenset[str]:
    """Types of both; an integer is a number."""
    integers = {"integer"} if "integer" in a | b and {"integer", "number"} & a and {"integer", "number"} & b else set()
    return (a & b) | integers


def _types(given: Any) -> frozenset[str] | None:
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    known = frozenset(name for name in names if isinstance(name, str) and name in TYPES)
    return known or None


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"
