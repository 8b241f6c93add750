"""What of an object or array the other keywords of a JSON Schema look at, so that ``unevaluated...`` is not about it.

The schemas that are looked at here may not have been read: keywords whose values are none say nothing here, and are
refused there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_lineage.wire.json_references import Located, Schemas

_EVALUATES = frozenset(
    {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "items", "prefixItems"}
) | {"unevaluatedItems", "additionalItems", "contains", "$ref", "$dynamicRef", "$recursiveRef"}
_MAY_EVALUATE_ITEMS = frozenset({"allOf", "contains", "$ref", "$dynamicRef", "$recursiveRef"})


def evaluated_members(
    schemas: Schemas, at: Located, target: Callable[[str, Located], Located]
) -> tuple[frozenset[str], frozenset[str]] | None:
    """Names and patterns of members that a schema's own keywords, and those of schemas that always hold with it,
    look at. None: every member, or it depends. ``target`` is what a reference leads to."""
    names: set[str] = set()
    patterns: set[str] = set()
    pending, seen = [at], set()
    while pending:
        here = pending.pop()
        schema = here.schema
        if id(schema) in seen:
            continue
        seen.add(id(schema))
        if not isinstance(schema, dict) or "additionalProperties" in schema or in_some_cases(schema):
            return None
        if "$dynamicRef" in schema or "$recursiveRef" in schema:
            return None
        if here is not at and "unevaluatedProperties" in schema:
            return None
        names.update(_members(schema, "properties"))
        patterns.update(_members(schema, "patternProperties"))
        pending += [schemas.within(each, here) for each in _listed(schema, "allOf") if isinstance(each, dict)]
        if isinstance(schema.get("$ref"), str):
            pending.append(target(schema["$ref"], here))
    return frozenset(names), frozenset(patterns)


def may_evaluate_items(schema: dict[str, Any]) -> bool:
    """Whether schemas that hold with a schema, or in some cases, may look at items of an array."""
    return in_some_cases(schema) or not _MAY_EVALUATE_ITEMS.isdisjoint(schema)


def in_some_cases(schema: dict[str, Any]) -> bool:
    """Whether a schema that holds in some cases only looks at members or items."""
    branches = [
        *(branch for name in ("anyOf", "oneOf") for branch in _listed(schema, name)),
        *(schema[name] for name in ("if", "then", "else", "not") if name in schema),
        *_members(schema, "dependentSchemas").values(),
    ]
    pending: list[Any] = branches
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            if not _EVALUATES.isdisjoint(each):
                return True
            pending.extend(value for name, value in each.items() if name not in ("enum", "const", "default"))
        elif isinstance(each, list):
            pending.extend(each)
    return False


def _listed(schema: dict[str, Any], keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []


def _members(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}
