"""If this failed, a change that breaks consumers of JSON would be called compatible."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]

from stream_lineage.detect.json_diff import diff_json

DRAFTS = {
    "http://json-schema.org/draft-07/schema#": Draft7Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}
NAMES = ("a", "b", "x-a", "x-b")
PATTERNS = ("^x-", "^[ab]$", "b", "^a", "")
TEXTS = ("", "a", "b", "ab", "x-a", "abc")
NUMBERS = (-1, 0, 1, 2, 3, 4, 6, 0.5, 1.5, 2.25)
ITEMS = (None, 1, 1.5, "a", "")
MEMBERS = (None, 1, "a")

UNIVERSE: dict[str, list[Any]] = {
    "number": [*NUMBERS, 1.0, 12, 1e6, -0.25, True],
    "string": [*TEXTS, "abcd", "b-x", "x-", "3"],
    "array": [list(items) for length in range(4) for items in product(ITEMS, repeat=length)] + [[[]], [{}, [1]]],
    "object": [
        {name: value for name, value in zip(NAMES, values, strict=True) if value is not ...}
        for values in product((..., *MEMBERS), repeat=len(NAMES))
    ],
}
"""Of each type all values that are small: whether one breaks a verdict is found out, not hoped for."""
SMALL = [None, True, False, 0, 2, 1.5, "a", "", [], [1], {}, {"a": 1}, {"c": "a"}, {"a": {"a": 1}}, {"a": {"b": [1]}}]

scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.sampled_from(([], {}, {"a": 1}, [1]))
)
size = st.integers(0, 3)
names = st.sampled_from(NAMES)
lists_of_names = st.lists(names, max_size=2, unique=True)


def leaves() -> st.SearchStrategy[Any]:
    types = st.sampled_from(("string", "integer", "number", "boolean", "null", "array", "object"))
    return st.one_of(
        st.booleans(),
        st.fixed_dictionaries({"enum": st.lists(scalars, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"const": scalars}),
        st.fixed_dictionaries({"type": types}),
        st.fixed_dictionaries({"type": st.lists(types, min_size=1, max_size=3, unique=True)}),
        st.fixed_dictionaries({"minimum": st.sampled_from(NUMBERS)}),
        st.fixed_dictionaries({"required": lists_of_names}),
    )


def words_of(kind: str, newer: bool, inner: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """The keywords about values of one type."""
    many = st.lists(inner, min_size=1, max_size=2)
    if kind == "number":
        bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        steps = st.sampled_from((0.5, 1, 2, 3, 1.5, 0.25))
        return {**dict.fromkeys(bounds, st.sampled_from(NUMBERS)), "multipleOf": steps}
    if kind == "string":
        return {"minLength": size, "maxLength": size, "pattern": st.sampled_from(PATTERNS)}
    if kind == "array":
        words = {"contains": inner, "uniqueItems": st.booleans(), "minItems": size, "maxItems": size}
        if newer:
            return words | {"items": inner, "prefixItems": many, "minContains": size, "maxContains": size,
                            "unevaluatedItems": inner}  # fmt: skip
        return words | {"items": st.one_of(inner, many), "additionalItems": inner}
    depending = {"dependentRequired": st.dictionaries(names, lists_of_names, max_size=2),
                 "dependentSchemas": st.dictionaries(names, inner, max_size=2),
                 "unevaluatedProperties": inner}  # fmt: skip
    if not newer:
        depending = {"dependencies": st.dictionaries(names, st.one_of(inner, lists_of_names), max_size=2)}
    return depending | {
        "properties": st.dictionaries(names, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), inner, max_size=2),
        "additionalProperties": inner,
        "propertyNames": st.one_of(
            st.fixed_dictionaries({"pattern": st.sampled_from(PATTERNS)}),
            st.fixed_dictionaries({"enum": st.lists(names, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"maxLength": size}),
        ),
        "required": lists_of_names,
        "minProperties": size,
        "maxProperties": size,
    }


@st.composite
def schemas(draw: st.DrawFn, kind: str, newer: bool, level: int = 2) -> Any:
    """Schemas that mostly talk of one type of values, so that they meet."""
    if level == 0 or draw(st.integers(0, 9)) == 0:
        return draw(leaves())
    words = words_of(kind, newer, schemas(draw(st.sampled_from(sorted(UNIVERSE))), newer, level - 1))
    same = schemas(kind, newer, level - 1)
    logic: dict[str, st.SearchStrategy[Any]] = {
        "type": st.sampled_from((kind, [kind, "null"], "integer")),
        "enum": st.lists(st.sampled_from(UNIVERSE[kind]), min_size=1, max_size=4),
        "allOf": st.lists(same, min_size=1, max_size=2),
        "anyOf": st.lists(same, min_size=1, max_size=3),
        "oneOf": st.lists(same, min_size=1, max_size=3),
        "not": same,
        "if": same,
        "then": same,
        "else": same,
        "$ref": st.sampled_from(("#", "#/definitions/D", "#/definitions/E")),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(words)), min_size=2 if level == 2 else 1, max_size=4, unique=True))
    if draw(st.integers(0, 2)) == 0:
        words |= logic
        chosen += [each for each in draw(st.lists(st.sampled_from(sorted(logic)), max_size=2, unique=True))]
    if "if" in chosen:
        chosen += ["then", "else"]
    return {word: draw(words[word]) for word in dict.fromkeys(chosen)}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, Any, Any, Any]:
    """A type of values, a draft's validator, and two schemas: the second is mostly the first with some part changed."""
    kind = draw(st.sampled_from(sorted(UNIVERSE)))
    dialect, validator = draw(st.sampled_from(sorted(DRAFTS.items())))
    newer = "2020" in dialect
    definitions = {name: draw(schemas(kind, newer, 1)) for name in "DE"}
    old = draw(schemas(kind, newer))
    new = _changed(draw, old, kind, newer) if draw(st.integers(0, 3)) else draw(schemas(kind, newer))
    wholes = []
    for schema in (old, new):
        body = {"definitions": definitions, **schema} if isinstance(schema, dict) else {"allOf": [schema]}
        wholes.append({"$schema": dialect, **without_idle(body)})
        definitions = {name: _changed(draw, each, kind, newer) for name, each in definitions.items()}
    return kind, validator, wholes[0], wholes[1]


def without_idle(schema: Any) -> Any:
    """Without additionalItems where it says nothing: the validator stumbles over it."""
    if isinstance(schema, list):
        return [without_idle(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    idle = {"additionalItems"} if not isinstance(schema.get("items"), list) else set()
    return {word: without_idle(value) for word, value in schema.items() if word not in idle}


def _changed(draw: st.DrawFn, schema: Any, kind: str, newer: bool) -> Any:
    """A schema that differs in one place or two, or not at all."""
    if not isinstance(schema, dict):
        return schema if draw(st.integers(0, 3)) else draw(schemas(kind, newer, 1))
    what = draw(st.integers(0, 7))
    copy = dict(schema)
    if what == 0 and len(copy) > 1:
        copy.pop(draw(st.sampled_from(sorted(copy))))
    elif what == 1:
        extra = draw(schemas(kind, newer, 1))
        copy |= extra if isinstance(extra, dict) else {}
    elif what < 6 and copy:
        word = draw(st.sampled_from(sorted(copy)))
        value = copy[word]
        if isinstance(value, dict) and word in ("properties", "patternProperties", "dependentSchemas") and value:
            name = draw(st.sampled_from(sorted(value)))
            copy[word] = {**value, name: _changed(draw, value[name], kind, newer)}
        elif word in ("items", "contains", "additionalProperties", "not", "if", "then", "else", "additionalItems"):
            if not isinstance(value, list):
                copy[word] = _changed(draw, value, kind, newer)
        elif word in ("anyOf", "allOf", "oneOf", "prefixItems"):
            copy[word] = [_changed(draw, each, kind, newer) for each in value]
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


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs())
def test_no_value_breaks_what_is_called_compatible(pair: tuple[str, Any, Any, Any]) -> None:
    kind, validator, old, new = pair
    assume(not circular(old) and not circular(new))
    diff = diff_json(json.dumps(old), json.dumps(new))
    verdict = diff.compatibility
    assert verdict is not None
    for way, fine in (("backward", verdict.backward), ("forward", verdict.forward)):
        assert fine == (not any(way in change.breaks for change in diff.changes))
    if not verdict.backward and not verdict.forward:
        return
    reads_old, reads_new = validator(old), validator(new)
    for value in (*SMALL, *UNIVERSE[kind]):
        before, after = reads_old.is_valid(value), reads_new.is_valid(value)
        assert not (verdict.backward and before and not after), value
        assert not (verdict.forward and after and not before), value


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs())
def test_a_schema_is_compatible_with_itself_in_another_order(pair: tuple[str, Any, Any, Any]) -> None:
    _, _, old, _ = pair

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
