"""What one JSON Schema says, as one node. Schemas inside it are asked for, not read."""

from __future__ import annotations

import json
from typing import Any, Protocol

from stream_lineage.detect.json_dialect import DRAFT_7, DRAFT_2020
from stream_lineage.detect.json_evaluated import may_evaluate_items
from stream_lineage.detect.json_place import Place
from stream_lineage.detect.json_types import TYPES, Bound, Node, Rest, frozen
from stream_lineage.errors import SchemaError
from stream_lineage.wire.json_references import Located

_ALL_TYPES = frozenset(TYPES) - {"integer"}


class Nodes(Protocol):
    """The other schemas of the document and of those that it refers to. ``digest`` is the same for the same texts."""

    @property
    def digest(self) -> str: ...

    def inner(self, schema: Any, at: Located) -> Node:
        """The node of a part of a schema."""
        ...

    def referred(self, reference: str, at: Located) -> Node:
        """The node of what a reference leads to."""
        ...

    def dynamic(self, keyword: str, reference: str, at: Located) -> Node | None:
        """What a dynamic reference leads to; null where it depends on the way that led here."""
        ...

    def evaluated(self, at: Located) -> tuple[frozenset[str], frozenset[str]] | None:
        """Names and patterns of members that are looked at; null for every member, and where it depends."""
        ...


class Reading:
    """One schema into one node."""

    def __init__(self, nodes: Nodes, place: Place, node: Node) -> None:
        self._nodes = nodes
        self._place = place
        self._node = node

    def fill(self) -> None:
        self._values()
        self._ranges()
        self._arrays()
        self._objects()
        self._logic()
        schema, node = self._place.schema, self._node
        node.has_default = "default" in schema
        [node.default] = _distinct([schema.get("default")])

    def _inner(self, schema: Any) -> Node:
        return self._nodes.inner(schema, self._place.at)

    def _one(self, keyword: str) -> Node | None:
        return self._inner(self._place.schema[keyword]) if self._place.has(keyword) else None

    def _values(self) -> None:
        place, node = self._place, self._node
        if place.has("type"):
            said = place.schema["type"]
            names = [said] if isinstance(said, str) else said
            if not isinstance(names, list) or not all(isinstance(name, str) and name in TYPES for name in names):
                raise place.wrong("type")
            types = frozenset(names)
            types -= {"integer"} if "number" in types else frozenset()
            node.types = None if types == _ALL_TYPES else types
        if place.has("enum"):
            node.values = _distinct(place.listed("enum"))
        if place.has("const"):
            [value] = _distinct([place.schema["const"]])
            kept = node.values is None or frozen(value) in set(map(frozen, node.values))
            node.values = (value,) if kept else ()

    def _ranges(self) -> None:
        place, node = self._place, self._node
        node.lower = self._bound("minimum", "exclusiveMinimum", lowest=True)
        node.upper = self._bound("maximum", "exclusiveMaximum", lowest=False)
        node.multiple = place.number("multipleOf")
        if node.multiple is not None and node.multiple <= 0:
            raise place.wrong("multipleOf")
        node.min_length, node.max_length = place.size("minLength") or 0, place.size("maxLength")
        node.pattern, node.format = place.text("pattern"), place.text("format")

    def _bound(self, keyword: str, exclusive: str, *, lowest: bool) -> Bound | None:
        place = self._place
        value = place.number(keyword)
        strict = place.get(exclusive)
        if strict is None or isinstance(strict, bool):  # draft 4 says it beside the bound
            return None if value is None else Bound(value, strict is True)
        limit = place.number(exclusive)
        assert limit is not None  # noqa: S101  (it has just been seen)
        if value is None or (limit >= value if lowest else limit <= value):
            return Bound(limit, exclusive=True)
        return Bound(value)

    def _arrays(self) -> None:
        place, node = self._place, self._node
        items = place.get("items")
        if isinstance(items, list):
            node.prefix = tuple(map(self._inner, items))
            node.items = self._one("additionalItems")
        else:
            node.prefix = tuple(map(self._inner, place.listed("prefixItems")))
            node.items = self._one("items")
        node.contains = self._one("contains")
        if node.contains is not None:
            least = place.size("minContains")
            node.min_contains, node.max_contains = 1 if least is None else least, place.size("maxContains")
        unique = place.get("uniqueItems")
        if not (unique is None or isinstance(unique, bool)):
            raise place.wrong("uniqueItems")
        node.unique = unique is True
        node.min_items, node.max_items = place.size("minItems") or 0, place.size("maxItems")
        if place.has("unevaluatedItems") and node.items is None:
            if may_evaluate_items(place.schema):
                self._opaque("unevaluatedItems", place.schema["unevaluatedItems"])
            else:
                node.items = self._one("unevaluatedItems")

    def _objects(self) -> None:
        place, node = self._place, self._node
        node.properties = {name: self._inner(each) for name, each in place.members("properties").items()}
        node.patterns = {name: self._inner(each) for name, each in place.members("patternProperties").items()}
        if place.has("additionalProperties"):
            rest = self._inner(place.schema["additionalProperties"])
            node.rests = (Rest(frozenset(node.properties), frozenset(node.patterns), rest),)
        elif place.has("unevaluatedProperties"):
            evaluated = self._nodes.evaluated(place.at)
            if evaluated is None:
                self._opaque("unevaluatedProperties", place.schema["unevaluatedProperties"])
            else:
                node.rests = (Rest(*evaluated, self._inner(place.schema["unevaluatedProperties"])),)
        node.names = self._one("propertyNames")
        required = place.get("required")
        if required is not None and not isinstance(required, bool):  # before draft 4 it stood in the member
            node.required = place.names("required", required)
        node.min_properties, node.max_properties = place.size("minProperties") or 0, place.size("maxProperties")
        needed = {name: place.names("dependentRequired", v) for name, v in place.members("dependentRequired").items()}
        dependent = {name: self._inner(each) for name, each in place.members("dependentSchemas").items()}
        if place.draft <= DRAFT_7:
            for name, each in place.members("dependencies").items():
                if isinstance(each, list):
                    needed[name] = needed.get(name, frozenset()) | place.names("dependencies", each)
                else:
                    dependent[name] = self._inner(each)
        elif place.members("dependencies"):  # no longer a keyword, which some validators still heed
            said = json.dumps(place.schema["dependencies"], sort_keys=True)
            node.opaque += (("dependencies", None, said + (self._nodes.digest if "$ref" in said else "")),)
        node.required_with = {name: others - {name} for name, others in needed.items() if others - {name}}
        node.dependent = dependent

    def _logic(self) -> None:
        place, node = self._place, self._node
        node.all_of = tuple(map(self._inner, place.listed("allOf")))
        node.any_of = tuple(map(self._inner, place.listed("anyOf")))
        node.one_of = tuple(map(self._inner, place.listed("oneOf")))
        node.negated = self._one("not")
        if place.has("if") and (place.has("then") or place.has("else")):
            node.condition, node.then, node.otherwise = self._one("if"), self._one("then"), self._one("else")
        reference = place.text("$ref")
        if reference is not None:
            node.all_of += (self._nodes.referred(reference, place.at),)
        for keyword in ("$dynamicRef", "$recursiveRef"):
            dynamic = place.text(keyword)
            if dynamic is None or (keyword == "$recursiveRef" and place.draft >= DRAFT_2020):
                continue
            found = self._nodes.dynamic(keyword, dynamic, place.at)
            if found is not None:
                node.all_of += (found,)
            else:
                node.opaque += ((keyword, None, f"{dynamic} {self._nodes.digest}"),)

    def _opaque(self, keyword: str, schema: Any) -> None:
        """What it says depends on the schemas beside it, so it equals itself only where they are equal too."""
        self._node.opaque += ((keyword, self._inner(schema), ""),)


def _distinct(values: list[Any]) -> tuple[Any, ...]:
    try:
        return tuple({frozen(value): value for value in values}.values())
    except ValueError as error:
        raise SchemaError("the JSON schema holds a number that is not finite") from error
