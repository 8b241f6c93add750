"""If this failed, a change that breaks consumers of JSON would be called compatible."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]

from stream_lineage.detect.json_diff import diff_json

DRAFTS = {
    "http://json-schema.org/draft-07/schema#": Draft7Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}
NAMES = ("a", "b", "c", "x-a", "x-b")
PATTERNS = ("^x-", "^[ab]$", "b", "^a", "")
TEXTS = ("", "a", "b", "ab", "x-a", "abc", "3")
NUMBERS = (-3, -1, 0, 1, 2, 3, 4, 6, 0.5, 1.0, 1.5, 2.25, 12)

scalars: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), st.sampled_from(TEXTS))
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=8,
)
small_values: st.SearchStrategy[Any] = st.one_of(scalars, st.just([]))


@st.composite
def schemas(draw: st.DrawFn, level: int = 2, newer: bool = False) -> Any:
    """Schemas of few words: those that meet in the same values."""
    if level == 0 or draw(st.integers(0, 9)) == 0:
        leaf = draw(st.integers(0, 5))
        if leaf == 0:
            return draw(st.booleans())
        if leaf == 1:
            return {"enum": draw(st.lists(small_values, min_size=1, max_size=3))}
        if leaf == 2:
            return {"const": draw(small_values)}
        return {"type": draw(st.sampled_from(("string", "integer", "number", "boolean", "null")))}
    inner = schemas(level - 1, newer)
    size = st.integers(0, 3)
    names = st.sampled_from(NAMES)
    words: dict[str, st.SearchStrategy[Any]] = {
        "type": st.one_of(
            st.sampled_from(("object", "array", "string", "number", "integer")),
            st.lists(st.sampled_from(("object", "array", "string", "integer", "null")), min_size=1, unique=True),
        ),
        "enum": st.lists(small_values, min_size=1, max_size=4),
        "minimum": st.sampled_from(NUMBERS),
        "maximum": st.sampled_from(NUMBERS),
        "exclusiveMinimum": st.sampled_from(NUMBERS),
        "exclusiveMaximum": st.sampled_from(NUMBERS),
        "multipleOf": st.sampled_from((0.5, 1, 2, 3, 1.5, 0.25)),
        "minLength": size,
        "maxLength": size,
        "pattern": st.sampled_from(PATTERNS),
        "items": inner,
        "contains": inner,
        "uniqueItems": st.booleans(),
        "minItems": size,
        "maxItems": size,
        "properties": st.dictionaries(names, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), inner, max_size=2),
        "additionalProperties": inner,
        "propertyNames": st.one_of(
            st.fixed_dictionaries({"pattern": st.sampled_from(PATTERNS)}),
            st.fixed_dictionaries({"enum": st.lists(names, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"maxLength": size}),
        ),
        "required": st.lists(names, max_size=2, unique=True),
        "minProperties": size,
        "maxProperties": size,
        "allOf": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=3),
        "oneOf": st.lists(inner, min_size=1, max_size=3),
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "$ref": st.sampled_from(("#", "#/definitions/D", "#/definitions/E")),
    }
    if newer:
        words |= {
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "minContains": size,
            "maxContains": size,
            "dependentRequired": st.dictionaries(names, st.lists(names, max_size=2, unique=True), max_size=2),
            "dependentSchemas": st.dictionaries(names, inner, max_size=2),
            "unevaluatedProperties": inner,
            "unevaluatedItems": inner,
        }
    else:
        words |= {
            "items": st.one_of(inner, st.lists(inner, min_size=1, max_size=2)),
            "additionalItems": inner,
            "dependencies": st.dictionaries(
                names, st.one_of(inner, st.lists(names, max_size=2, unique=True)), max_size=2
            ),
        }
    chosen = draw(st.lists(st.sampled_from(sorted(words)), min_size=1, max_size=4, unique=True))
    return {word: draw(words[word]) for word in chosen}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """A draft's validator and two schemas, of which the second is mostly the first with some part changed."""
    dialect, validator = draw(st.sampled_from(sorted(DRAFTS.items())))
    newer = "2020" in dialect
    definitions = {"D": draw(schemas(1, newer)), "E": draw(schemas(1, newer))}
    old = draw(schemas(2, newer))
    new = _changed(draw, old, newer) if draw(st.integers(0, 4)) else draw(schemas(2, newer))
    wholes = []
    for schema in (old, new):
        body = {"definitions": definitions, **schema} if isinstance(schema, dict) else {"allOf": [schema]}
        wholes.append({"$schema": dialect, **body})
        definitions = {name: _changed(draw, each, newer) for name, each in definitions.items()}
    return validator, wholes[0], wholes[1]


def _changed(draw: st.DrawFn, schema: Any, newer: bool) -> Any:
    """A schema that differs in one place or two, or not at all."""
    if not isinstance(schema, dict):
        return schema if draw(st.integers(0, 3)) else draw(schemas(1, newer))
    what = draw(st.integers(0, 7))
    copy = dict(schema)
    if what == 0 and len(copy) > 1:
        copy.pop(draw(st.sampled_from(sorted(copy))))
    elif what == 1:
        extra = draw(schemas(1, newer))
        copy |= extra if isinstance(extra, dict) else {}
    elif what < 6 and copy:
        word = draw(st.sampled_from(sorted(copy)))
        value = copy[word]
        if isinstance(value, dict) and word in ("properties", "patternProperties", "dependentSchemas") and value:
            name = draw(st.sampled_from(sorted(value)))
            copy[word] = {**value, name: _changed(draw, value[name], newer)}
        elif word in ("items", "contains", "additionalProperties", "not", "if", "then", "else", "additionalItems"):
            if not isinstance(value, list):
                copy[word] = _changed(draw, value, newer)
        elif word in ("anyOf", "allOf", "oneOf"):
            copy[word] = [_changed(draw, each, newer) for each in value]
        elif isinstance(value, int) and not isinstance(value, bool) and word not in ("multipleOf", "const"):
            copy[word] = max(value + draw(st.sampled_from((-1, 1))), 0)
        elif word == "enum" and len(value) > 1:
            copy[word] = value[1:]
        elif word == "required":
            copy[word] = sorted({*value, "a"})
    return copy


def circular(whole: Any) -> bool:
    """Whether a schema refers to itself in place, so that it says nothing of any value."""

    def in_place(schema: Any) -> list[Any]:
        if not isinstance(schema, dict):
            return []
        found = [schema[word] for word in ("not", "if", "then", "else") if word in schema]
        found += [each for word in ("allOf", "anyOf", "oneOf") for each in schema.get(word, ())]
        found += [each for word in ("dependencies", "dependentSchemas") for each in schema.get(word, {}).values()]
        if (target := schema.get("$ref")) is not None:
            found.append(whole if target == "#" else whole["definitions"][target[-1]])
        return found

    def loops(schema: Any, above: tuple[int, ...]) -> bool:
        return id(schema) in above or any(loops(each, (*above, id(schema))) for each in in_place(schema))

    every, pending = [], [whole]
    while pending:
        each = pending.pop()
        every.append(each)
        pending += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
    return any(loops(each, ()) for each in every if isinstance(each, dict))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs(), st.lists(values, min_size=5, max_size=25))
def test_no_value_breaks_what_is_called_compatible(pair: tuple[Any, Any, Any], samples: list[Any]) -> None:
    validator, old, new = pair
    assume(not circular(old) and not circular(new))
    diff = diff_json(json.dumps(old), json.dumps(new))
    verdict = diff.compatibility
    reads_old, reads_new = validator(old), validator(new)
    assert verdict is not None
    for way, fine in (("backward", verdict.backward), ("forward", verdict.forward)):
        assert fine == (not any(way in change.breaks for change in diff.changes))
    for value in samples:
        before, after = reads_old.is_valid(value), reads_new.is_valid(value)
        assert not (verdict.backward and before and not after), value
        assert not (verdict.forward and after and not before), value


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs())
def test_a_schema_is_compatible_with_itself_in_another_order(pair: tuple[Any, Any, Any]) -> None:
    _, old, _ = pair

    def turned(schema: Any) -> Any:
        if isinstance(schema, dict):
            return {name: turned(schema[name]) for name in reversed(schema)}
        return schema

    assume(not circular(old))
    changed = {"title": "another", "$comment": "x", **turned(old)}
    diff = diff_json(json.dumps(old), json.dumps(changed))
    assert diff.changes == ()
    assert diff.compatibility is not None
    assert diff.compatibility.full
