"""Reading JSON Schemas of drafts 4 to 2020-12 into nodes.

What is no schema is refused: a type that does not exist, a bound that is no number, a reference that leads nowhere.
Annotations are dropped. What cannot be said by a node is kept as ``opaque``: it equals itself and proves nothing
(``unevaluatedProperties`` beside conditional subschemas, ``$dynamicRef`` to an anchor that stands in several places).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from stream_lineage.detect.json_dialect import DRAFT_7, DRAFT_2019, DRAFT_2020, counts, draft_of
from stream_lineage.detect.json_types import TYPES, Bound, Node, Rest, as_fraction, frozen
from stream_lineage.errors import SchemaError
from stream_lineage.wire.json_references import Document, Located, Schemas

MAX_CHARACTERS = 5_000_000
MAX_NODES = 20_000

_SCHEMA_KEYWORDS = frozenset(
    {
        *("type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "format", "items", "prefixItems", "additionalItems", "contains"),
        *("minContains", "maxContains", "uniqueItems", "minItems", "maxItems", "properties", "patternProperties"),
        *("additionalProperties", "propertyNames", "required", "minProperties", "maxProperties", "dependencies"),
        *("dependentRequired", "dependentSchemas", "allOf", "anyOf", "oneOf", "not", "if", "unevaluatedItems"),
        *("unevaluatedProperties", "$ref", "$dynamicRef", "$recursiveRef"),
    }
)
_EVALUATES = frozenset(
    {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "items", "prefixItems"}
) | {"unevaluatedItems", "additionalItems", "contains", "$ref", "$dynamicRef", "$recursiveRef"}
_MAY_EVALUATE_ITEMS = frozenset({"allOf", "contains", "$ref", "$dynamicRef", "$recursiveRef"})


def parse_json_schema(text: str, references: Mapping[str, str]) -> Node:
    """The graph of a schema; ``references`` are the texts that it refers to, by the names it does so under.

    Keys are not assigned yet.

    Raises:
        SchemaError: not JSON, no schema, beyond a bound, or a reference leads nowhere.
    """
    if len(text) + sum(map(len, references.values())) > MAX_CHARACTERS:
        raise SchemaError(f"the JSON schema and its references are longer than {MAX_CHARACTERS} characters")
    try:
        schema = _loads(text, "the JSON schema")
        others = [_loads(referred, name) for name, referred in references.items()]
        return _Parser(schema, others, references, _digest(text, references)).root()
    except RecursionError as error:
        raise SchemaError("the JSON schema nests too deeply") from error


def _loads(text: str, name: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    try:
        schema = json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise SchemaError(f"{name} is not JSON: {error}") from error
    if not isinstance(schema, dict | bool):
        raise SchemaError(f"{name} is no schema: that is an object or a boolean")
    return schema


def _digest(text: str, references: Mapping[str, str]) -> str:
    whole = "\0".join([text, *(f"{name}\0{references[name]}" for name in sorted(references))])
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


class _Parser:
    def __init__(self, schema: Any, others: list[Any], references: Mapping[str, str], digest: str) -> None:
        self._schemas = Schemas(schema, references)
        self._default = draft_of(schema)
        self._anchors = _anchors([schema, *others])
        self.digest = digest
        self._drafts: dict[int, int] = {}
        self._nodes: dict[tuple[int, int], Node] = {}
        self._pending: list[tuple[_Place, Node]] = []

    def root(self) -> Node:
        node = self._node(self._schemas.root)
        while self._pending:
            _Reading(self, *self._pending.pop()).fill()
        return node

    def _draft(self, document: Document) -> int:
        found = self._drafts.get(id(document))
        if found is None:
            found = self._drafts[id(document)] = draft_of(document.root, self._default)
        return found

    def _node(self, at: Located) -> Node:
        """The node of a schema, to be filled later; references that stand alone are what they lead to."""
        at = self._followed(at)
        schema = at.schema
        if isinstance(schema, bool):
            return Node(always=schema)
        if not isinstance(schema, dict):
            raise SchemaError(f"a JSON schema holds {_short(schema)} where a schema belongs")
        known = (id(schema), id(at.document))
        if (node := self._nodes.get(known)) is None:
            if len(self._nodes) >= MAX_NODES:
                raise SchemaError(f"the JSON schema has more than {MAX_NODES} parts")
            node = self._nodes[known] = Node()
            self._pending.append((_Place(schema, at, self._draft(at.document)), node))
        return node

    def _followed(self, at: Located) -> Located:
        passed: set[int] = set()
        while (reference := self._alone(at)) is not None:
            if id(at.schema) in passed:
                raise SchemaError(f"the JSON schema's reference {reference} leads back to itself")
            passed.add(id(at.schema))
            at = self.target(reference, at)
        return at

    def _alone(self, at: Located) -> str | None:
        """The reference, where nothing else counts."""
        schema = at.schema
        if not isinstance(schema, dict) or not isinstance(schema.get("$ref"), str):
            return None
        siblings = _SCHEMA_KEYWORDS.intersection(schema) - {"$ref"}
        newer = self._draft(at.document) >= DRAFT_2019
        return None if newer and siblings else str(schema["$ref"])

    def target(self, reference: str, at: Located) -> Located:
        found = self._schemas.target(reference, at)
        if found is None:
            raise SchemaError(
                f"the JSON schema refers to {_short(reference)}, which is not there",
                hint="Schemas of other files are given by the names under which they are referred to.",
            )
        return found

    def inner(self, schema: Any, at: Located) -> Node:
        return self._node(self._schemas.within(schema, at))

    def referred(self, reference: str, at: Located) -> Node:
        return self._node(self.target(reference, at))

    def dynamic(self, keyword: str, reference: str, at: Located) -> Node | None:
        """What a dynamic reference leads to; null where it depends on the way that led here."""
        if keyword == "$dynamicRef":
            name = reference.partition("#")[2]
            fixed = not name or name.startswith("/") or self._anchors[name] <= 1
        else:
            root = self._schemas.root.schema
            fixed = not self._anchors[""] or (self._anchors[""] == 1 and root.get("$recursiveAnchor") is True)
        return self.referred(reference, at) if fixed else None

    def evaluated(self, at: Located) -> tuple[frozenset[str], frozenset[str]] | None:
        """Names and patterns of members that a schema's own keywords, and those of schemas that always hold with it,
        look at. None: every member, or it depends."""
        names: set[str] = set()
        patterns: set[str] = set()
        pending, seen = [at], set()
        while pending:
            here = pending.pop()
            schema = here.schema
            if id(schema) in seen:
                continue
            seen.add(id(schema))
            if not isinstance(schema, dict) or "additionalProperties" in schema or _conditional(schema):
                return None
            if "$dynamicRef" in schema or "$recursiveRef" in schema:
                return None
            if here is not at and "unevaluatedProperties" in schema:
                return None
            names.update(schema.get("properties") or ())
            patterns.update(schema.get("patternProperties") or ())
            pending += [
                self._schemas.within(each, here) for each in schema.get("allOf") or () if isinstance(each, dict)
            ]
            if isinstance(schema.get("$ref"), str):
                pending.append(self.target(schema["$ref"], here))
        return frozenset(names), frozenset(patterns)


@dataclass(frozen=True, slots=True)
class _Place:
    """A schema that is an object, and where it stands."""

    schema: dict[str, Any]
    at: Located
    draft: int

    def has(self, keyword: str) -> bool:
        return keyword in self.schema and counts(keyword, self.draft)

    def get(self, keyword: str) -> Any:
        return self.schema[keyword] if self.has(keyword) else None

    def wrong(self, keyword: str) -> SchemaError:
        return SchemaError(f"not a JSON Schema: it says {keyword}: {_short(self.schema[keyword])}")

    def size(self, keyword: str) -> int | None:
        value = self.get(keyword)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise self.wrong(keyword)
        return value

    def number(self, keyword: str) -> Fraction | None:
        value = self.get(keyword)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(keyword)
        try:
            return as_fraction(value)
        except ValueError as error:
            raise self.wrong(keyword) from error

    def text(self, keyword: str) -> str | None:
        value = self.get(keyword)
        if value is not None and not isinstance(value, str):
            raise self.wrong(keyword)
        return value

    def listed(self, keyword: str) -> list[Any]:
        value = self.get(keyword)
        if value is not None and not isinstance(value, list):
            raise self.wrong(keyword)
        return value or []

    def members(self, keyword: str) -> dict[str, Any]:
        value = self.get(keyword)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(keyword)
        return value or {}

    def names(self, keyword: str, value: Any) -> frozenset[str]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.wrong(keyword)
        return frozenset(value)


class _Reading:
    """One schema into one node."""

    def __init__(self, parser: _Parser, place: _Place, node: Node) -> None:
        self._parser = parser
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
        return self._parser.inner(schema, self._place.at)

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
            node.types = None if len(types) == len(TYPES) - 1 else types
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
            if _conditional(place.schema) or not _MAY_EVALUATE_ITEMS.isdisjoint(place.schema):
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
            evaluated = self._parser.evaluated(place.at)
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
            node.opaque += (("dependencies", None, said + (self._parser.digest if "$ref" in said else "")),)
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
            node.all_of += (self._parser.referred(reference, place.at),)
        for keyword in ("$dynamicRef", "$recursiveRef"):
            dynamic = place.text(keyword)
            if dynamic is None or (keyword == "$recursiveRef" and place.draft >= DRAFT_2020):
                continue
            found = self._parser.dynamic(keyword, dynamic, place.at)
            if found is not None:
                node.all_of += (found,)
            else:
                node.opaque += ((keyword, None, f"{dynamic} {self._parser.digest}"),)

    def _opaque(self, keyword: str, schema: Any) -> None:
        """What it says depends on the schemas beside it, so it equals itself only where they are equal too."""
        self._node.opaque += ((keyword, self._inner(schema), ""),)


def _conditional(schema: dict[str, Any]) -> bool:
    """Whether a schema that holds in some cases only looks at members or items."""
    branches = [
        *(branch for name in ("anyOf", "oneOf") for branch in schema.get(name) or ()),
        *(schema[name] for name in ("if", "then", "else", "not") if name in schema),
        *((schema.get("dependentSchemas") or {}).values()),
    ]
    pending = list(branches)
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if not _EVALUATES.isdisjoint(each):
                return True
            pending.extend(value for name, value in each.items() if name not in ("enum", "const", "default"))
        elif isinstance(each, list):
            pending.extend(each)
    return False


def _anchors(documents: list[Any]) -> Counter[str]:
    """How many dynamic anchors there are of each name; recursive ones under none."""
    found: Counter[str] = Counter()
    pending = list(documents)
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$dynamicAnchor"), str):
                found[node["$dynamicAnchor"]] += 1
            found[""] += node.get("$recursiveAnchor") is True
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return found


def _distinct(values: list[Any]) -> tuple[Any, ...]:
    try:
        return tuple({frozen(value): value for value in values}.values())
    except ValueError as error:
        raise SchemaError("the JSON schema holds a number that is not finite") from error


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:80]}…"
