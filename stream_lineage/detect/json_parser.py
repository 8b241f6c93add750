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
from typing import Any

from stream_lineage.detect.json_dialect import DRAFT_2019, draft_of
from stream_lineage.detect.json_evaluated import evaluated_members
from stream_lineage.detect.json_place import Place, shown
from stream_lineage.detect.json_reading import Reading
from stream_lineage.detect.json_types import Node
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
        self._pending: list[tuple[Place, Node]] = []

    def root(self) -> Node:
        node = self._node(self._schemas.root)
        while self._pending:
            Reading(self, *self._pending.pop()).fill()
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
            raise SchemaError(f"a JSON schema holds {shown(schema)} where a schema belongs")
        known = (id(schema), id(at.document))
        if (node := self._nodes.get(known)) is None:
            if len(self._nodes) >= MAX_NODES:
                raise SchemaError(f"the JSON schema has more than {MAX_NODES} parts")
            node = self._nodes[known] = Node()
            self._pending.append((Place(schema, at, self._draft(at.document)), node))
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
                f"the JSON schema refers to {shown(reference)}, which is not there",
                hint="Schemas of other files are given by the names under which they are referred to.",
            )
        return found

    def inner(self, schema: Any, at: Located) -> Node:
        return self._node(self._schemas.within(schema, at))

    def referred(self, reference: str, at: Located) -> Node:
        return self._node(self.target(reference, at))

    def evaluated(self, at: Located) -> tuple[frozenset[str], frozenset[str]] | None:
        return evaluated_members(self._schemas, at, self.target)

    def dynamic(self, keyword: str, reference: str, at: Located) -> Node | None:
        if keyword == "$dynamicRef":
            name = reference.partition("#")[2]
            fixed = not name or name.startswith("/") or self._anchors[name] <= 1
        else:
            root = self._schemas.root.schema
            fixed = not self._anchors[""] or (self._anchors[""] == 1 and root.get("$recursiveAnchor") is True)
        return self.referred(reference, at) if fixed else None


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
