"""If this failed, a value would be taken for valid, or not, under a JSON Schema that says otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft201909Validator, Draft202012Validator  # type: ignore[import-untyped]

from stream_lineage.detect.json_dialect import (
    DRAFT_4,
    DRAFT_6,
    DRAFT_7,
    DRAFT_2019,
    DRAFT_2020,
    counts,
    draft_of,
)
from stream_lineage.detect.json_parser import parse_json_schema
from stream_lineage.detect.json_values import at_least, every, holds, implies, opposite, some

OLD, NEW = "https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema"
VALIDATORS: dict[str, Any] = {OLD: Draft201909Validator, NEW: Draft202012Validator}
S, INT, ONE = {"type": "string"}, {"type": "integer"}, {"const": 1}
UNKNOWN = "(?=a)"
DATE = {"format": "date"}
X_INT = {"patternProperties": {"^x-": INT}}
LOOK = {"patternProperties": {UNKNOWN: INT}}


def newer(**schema: Any) -> dict[str, Any]:
    return {"$schema": NEW, **schema}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


AGAIN = {"type": "object", "properties": {"a": {"$ref": "#"}}}
DOUBLED = {
    "definitions": {f"N{n}": {"allOf": [{"$ref": f"#/definitions/N{n + 1}"}] * 2} for n in range(16)} | {"N16": S},
    "allOf": [{"$ref": "#/definitions/N0"}],
}

# schema, value, whether it is valid (null: nobody can say), why
TABLE: list[tuple[Any, Any, bool | None, str]] = [
    (True, 1, True, "anything"),
    (False, 1, False, "nothing"),
    (INT, 1.0, True, "a number without a fraction is an integer"),
    (INT, 1.5, False, "one with a fraction is none"),
    (INT, True, False, "true is no number"),
    ({"type": ["null", "array"]}, None, True, "one of the types"),
    ({"type": ["null", "array"]}, {}, False, "none of the types"),
    ({"enum": [1, 2], "const": 2.0}, 2, True, "in the enum, and the constant"),
    ({"enum": [1, 2], "const": 3}, 3, False, "not in the enum"),
    ({"type": ["null", "boolean", "integer", "string", "array", "object"]}, 1.5, False, "the only type that is not"),
    # numbers
    ({"minimum": 1}, 1, True, "the minimum itself"),
    ({"exclusiveMinimum": 1}, 1, False, "but where it is exclusive"),
    ({"minimum": 1}, 0.5, False, "below it"),
    ({"maximum": 1}, 1, True, "the maximum itself"),
    ({"exclusiveMaximum": 1}, 1, False, "but where it is exclusive"),
    ({"maximum": 1}, 1.5, False, "above it"),
    ({"minimum": 3, "exclusiveMinimum": 1}, 2, False, "of two bounds the tighter counts"),
    ({"minimum": 1, "exclusiveMinimum": 3}, 3, False, "of two bounds the tighter counts, the other way round"),
    ({"maximum": 1, "exclusiveMaximum": 3}, 2, False, "of two upper bounds the tighter counts"),
    ({"multipleOf": 0.5}, 2.5, True, "five halves"),
    ({"multipleOf": 0.5}, 2.25, False, "not a multiple"),
    ({"minimum": 1}, "a", True, "bounds are about numbers"),
    # strings
    ({"minLength": 2.0}, "ab", True, "a size may be written as a float"),
    ({"minLength": 2}, "a", False, "too short"),
    ({"maxLength": 2}, "abc", False, "too long"),
    ({"pattern": "b"}, "abc", True, "found within"),
    ({"pattern": "^b"}, "abc", False, "not at the start"),
    ({"pattern": UNKNOWN}, "abc", None, "look-around is not known"),
    ({"pattern": UNKNOWN, "maxLength": 2}, "abc", False, "what is known decides"),
    (DATE, "2026-01-01", None, "a format may be heeded or not"),
    ({"not": DATE}, "2026-01-01", None, "neither is its negation known"),
    ({"anyOf": [DATE, S]}, "x", True, "one branch suffices"),
    # arrays
    ({"minItems": 1}, [], False, "too few"),
    ({"maxItems": 1}, [1, 2], False, "too many"),
    ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], True, "all differ"),
    ({"uniqueItems": True}, [1, 1.0], False, "one number, written in two ways"),
    ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], False, "one object, written in two ways"),
    ({"items": [S, INT]}, ["a"], True, "positions that are not there"),
    ({"items": [S, INT]}, ["a", "b"], False, "the second is no integer"),
    ({"items": [S], "additionalItems": INT}, ["a", 1, "b"], False, "those after the first"),
    (newer(prefixItems=[S], items=INT), ["a", 1, 2], True, "positions in the latest draft"),
    ({"items": INT}, [1, "a"], False, "every item"),
    ({"contains": ONE}, [2, 1], True, "one of them is"),
    ({"contains": ONE}, [2, 3], False, "none of them is"),
    ({"contains": ONE}, [], False, "an empty array holds nothing"),
    (newer(contains=ONE, minContains=0), [], True, "but where nothing is asked for"),
    (newer(contains=ONE, minContains=2), [1, 2, 1], True, "two of three"),
    (newer(contains=ONE, minContains=2), [1, 2, 3], False, "one of three"),
    (newer(contains=ONE, maxContains=2), [1, 1, 2], True, "not too many"),
    (newer(contains=ONE, maxContains=1), [1, 1, 2], False, "too many"),
    ({"contains": {**S, **DATE}}, [1, "a"], None, "one of them may be"),
    (newer(prefixItems=[S], unevaluatedItems=False), ["a"], True, "the first is looked at"),
    (newer(prefixItems=[S], unevaluatedItems=False), ["a", "b"], False, "nothing looks at the second"),
    (newer(items=S, unevaluatedItems=False), ["a", "b"], True, "all are looked at"),
    # objects
    ({"required": ["a"]}, {"b": 1}, False, "it is missing"),
    ({"required": ["a"]}, [], True, "arrays have no members"),
    ({"minProperties": 1}, {}, False, "too few"),
    ({"maxProperties": 1}, {"a": 1, "b": 1}, False, "too many"),
    ({"properties": {"a": S}}, {"a": 1}, False, "a member of another type"),
    ({"propertyNames": {"maxLength": 1}}, {"a": 1}, True, "a short name"),
    ({"propertyNames": {"maxLength": 1}}, {"a": 1, "bc": 1}, False, "a long one"),
    (X_INT, {"x-a": 1, "a": "b"}, True, "only what matches"),
    (X_INT, {"x-a": "b"}, False, "what matches is no integer"),
    (LOOK, {"a": "b"}, None, "it may be meant"),
    (LOOK, {"a": 1}, True, "valid, whether it is meant or not"),
    ({"properties": {"a": S}, "additionalProperties": False}, {"a": "b"}, True, "named"),
    ({"properties": {"a": S}, "additionalProperties": False}, {"b": "b"}, False, "not named"),
    ({**X_INT, "additionalProperties": False}, {"x-a": 1}, True, "a pattern is as good as a name"),
    ({**X_INT, "additionalProperties": S}, {"y": 1}, False, "it is one of the rest"),
    ({**LOOK, "additionalProperties": False}, {"a": 1}, None, "it may be one of the rest"),
    ({"dependencies": {"a": ["b"]}}, {"a": 1}, False, "what is needed with it is missing"),
    ({"dependencies": {"a": ["b"]}}, {"a": 1, "b": 1}, True, "it is there"),
    ({"dependencies": {"a": ["b"]}}, {}, True, "nothing is needed"),
    ({"dependencies": {"a": {"required": ["b"]}}}, {"a": 1}, False, "the same as a schema"),
    ({"dependencies": {"a": {"required": ["b"]}}}, {"c": 1}, True, "a schema that does not concern it"),
    (newer(dependentRequired={"a": ["a"]}), {"a": 1}, True, "it needs itself"),
    # combinations
    ({"allOf": [INT, {"minimum": 1}]}, 0, False, "one of both fails"),
    ({"anyOf": [S, {"minimum": 1}]}, 0, False, "none of both holds"),
    ({"oneOf": [INT, {"minimum": 1}]}, 1, False, "both hold"),
    ({"oneOf": [INT, {"minimum": 1}]}, 1.5, True, "one holds"),
    ({"oneOf": [S, {"maximum": 1}]}, 2, False, "none holds"),
    ({"oneOf": [S, {**S, **DATE}]}, "a", None, "both may hold"),
    ({"not": S}, "a", False, "not that"),
    ({"not": S}, 1, True, "something else"),
    ({"if": INT, "then": {"minimum": 1}}, 0, False, "the case is met"),
    ({"if": INT, "then": {"minimum": 1}}, 0.5, True, "the case is not met"),
    ({"if": INT, "else": {"minLength": 1}}, "", False, "in the other case"),
    ({"if": INT, "else": {"minimum": 1}}, 0, True, "which it is not"),
    ({"if": INT, "then": {"minimum": 1}, "else": S}, 1.5, False, "both cases are told"),
    ({"if": DATE, "then": {"minLength": 2}}, "a", None, "the case may be met"),
    # references
    (AGAIN, nested(20), True, "what recurses"),
    (AGAIN, {"a": {"a": 1}}, False, "what recurses, to a number"),
    ({"$schema": OLD, "$ref": "#/$defs/A", "$defs": {"A": S}, "minLength": 2}, "a", False, "beside a reference"),
    ({"$ref": "#/definitions/A", "definitions": {"A": S}, "minLength": 2}, "a", True, "which is alone before 2019"),
    ({"$schema": OLD, "properties": {"a": {"$recursiveRef": "#"}}, "type": "object"}, {"a": 1}, False, "no anchor"),
    ({"$schema": OLD, "$recursiveAnchor": True, "properties": {"a": {"$recursiveRef": "#"}}, "type": "object"},
     {"a": 1}, False, "the only anchor is the root"),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=[f"{number}-{row[3]}" for number, row in enumerate(TABLE)])
def test_truth_table(row: tuple[Any, Any, bool | None, str]) -> None:
    schema, value, expected, _ = row
    assert holds(parse_json_schema(json.dumps(schema), {}), value) is expected
    if expected is not None:
        said = schema.get("$schema", "") if isinstance(schema, dict) else ""
        assert VALIDATORS.get(said, Draft7Validator)(schema).is_valid(value) is expected, "the table is wrong"


# schema, a value that is valid, one that is not: what it says depends on what is around, so that nobody says
OPAQUE: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("members that a branch looks at", newer(anyOf=[{"properties": {"a": S}}], unevaluatedProperties=False),
     {"a": "b"}, {"c": 1}),
    ("an open schema beside it", newer(allOf=[{"additionalProperties": INT}], unevaluatedProperties=False),
     {"a": 1}, {"a": "b"}),
    ("a boolean behind it", newer(**{"$ref": "#/$defs/T", "$defs": {"T": True}}, unevaluatedProperties=False),
     {}, {"a": 1}),
    ("members behind a dynamic reference", newer(**{"$dynamicRef": "#n", "$defs": {"N": {"$dynamicAnchor": "n",
     "properties": {"a": S}}}}, unevaluatedProperties=False), {"a": "b"}, {"c": 1}),
    ("a schema beside it that says it too", newer(allOf=[{"unevaluatedProperties": INT}], unevaluatedProperties=False),
     {"a": 1}, {"a": "b"}),
    ("items that a schema beside it looks at", newer(allOf=[{"prefixItems": [S]}], unevaluatedItems=False),
     ["a"], ["a", "b"]),
    ("items that another schema contains", newer(contains=ONE, unevaluatedItems=False), [1], [1, 2]),
    ("items that a branch looks at", newer(anyOf=[{"prefixItems": [S]}, INT], unevaluatedItems=False), ["a"], ["a", 1]),
    ("items behind a dynamic reference", newer(**{"$dynamicRef": "#n", "$defs": {"N": {"$dynamicAnchor": "n",
     "prefixItems": [S]}}}, unevaluatedItems=False), ["a"], ["a", "b"]),
    ("items behind a recursive reference", {"$schema": OLD, "properties": {"a": {"$recursiveRef": "#",
     "unevaluatedItems": False}}, "items": [S]}, {"a": ["a"]}, {"a": ["a", "b"]}),
    ("a dynamic reference with two anchors", newer(**{"$id": "https://x.org/tree", "$dynamicAnchor": "n",
     "properties": {"a": {"$dynamicRef": "#n"}}, "type": "object", "$defs": {"B": {"$id": "other",
     "$dynamicAnchor": "n"}}}), {"a": {}}, {"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize("row", OPAQUE, ids=[row[0] for row in OPAQUE])
def test_nobody_says_wrongly_what_depends_on_what_is_around(row: tuple[str, dict[str, Any], Any, Any]) -> None:
    _, schema, valid, invalid = row
    node = parse_json_schema(json.dumps(schema), {})
    validator = VALIDATORS[schema["$schema"]](schema)
    assert (validator.is_valid(valid), validator.is_valid(invalid)) == (True, False), "the table is wrong"
    assert holds(node, valid) is None
    assert holds(node, invalid) in (None, False)


# unevaluated keywords that can be told: what evaluates stands beside them for every value
CLOSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a branch that looks at no member", newer(anyOf=[{"required": ["a"]}, {"minProperties": 3}],
     properties={"a": S, "b": S}, unevaluatedProperties=False),
     newer(anyOf=[{"required": ["a"]}, {"minProperties": 3}], properties={"a": S, "b": S}, additionalProperties=False)),
    ("a branch within a branch, values that look like keywords", newer(anyOf=[{"allOf": [{"required": ["a"]}]},
     {"enum": [{"properties": {}}]}], properties={"a": S}, unevaluatedProperties=False),
     newer(anyOf=[{"allOf": [{"required": ["a"]}]}, {"enum": [{"properties": {}}]}], properties={"a": S},
     additionalProperties=False)),
    ("patterns beside it", newer(allOf=[{"patternProperties": {"^x": INT}}], unevaluatedProperties=False),
     newer(patternProperties={"^x": INT}, additionalProperties=False)),
]  # fmt: skip
OBJECTS = [
    {},
    {"a": "b"},
    {"a": 1},
    {"a": "b", "b": "c"},
    {"b": "c"},
    {"x": 1},
    {"x": "y"},
    {"z": 1},
    {"properties": {}},
]


@pytest.mark.parametrize("row", CLOSED, ids=[row[0] for row in CLOSED])
def test_unevaluated_members_are_additional_ones_where_all_is_known(
    row: tuple[str, dict[str, Any], dict[str, Any]],
) -> None:
    _, unevaluated, additional = (row[0], *(parse_json_schema(json.dumps(each), {}) for each in row[1:]))
    validator = Draft202012Validator(row[1])
    for value in OBJECTS:
        assert holds(unevaluated, value) is holds(additional, value) is validator.is_valid(value)


def test_a_value_takes_bounded_time() -> None:
    again = parse_json_schema(json.dumps(AGAIN), {})
    assert [holds(again, nested(depth)) for depth in (30, 60)] == [True, None]
    doubled = parse_json_schema(json.dumps(DOUBLED), {})
    assert holds(doubled, "a") is None, "65,536 times the same"


def test_three_valued_logic() -> None:
    """Kleene's tables: what is not known decides nothing, and may be decided by what is."""
    assert [opposite(each) for each in (True, False, None)] == [False, True, None]
    values = (False, None, True)  # in this order "and" is the least of both, "or" the greatest
    for a in values:
        for b in values:
            assert every((a, b)) is values[min(values.index(a), values.index(b))]
            assert some((a, b)) is values[max(values.index(a), values.index(b))]
            assert implies(a, b) is some((opposite(a), b))
    assert (every(()), some(())) == (True, False)
    assert [at_least(least, (True, None, False)) for least in (0, 1, 2, 3)] == [True, True, None, False]


DIALECTS: list[tuple[Any, int, str]] = [
    ({"$schema": "http://json-schema.org/draft-03/schema#"}, DRAFT_4, "before draft 4"),
    ({"$schema": "http://json-schema.org/draft-04/schema#"}, DRAFT_4, "draft 4"),
    ({"$schema": "http://json-schema.org/draft-06/schema#"}, DRAFT_6, "draft 6"),
    ({"$schema": "http://json-schema.org/draft-07/schema"}, DRAFT_7, "draft 7"),
    ({"$schema": OLD}, DRAFT_2019, "2019-09"),
    ({"$schema": NEW}, DRAFT_2020, "2020-12"),
    ({"$schema": "https://json-schema.org/draft/next/schema"}, DRAFT_2020, "what comes next"),
    ({"$schema": "https://example.org/own"}, DRAFT_7, "somebody's own"),
    ({"$schema": 7}, DRAFT_7, "no text"),
    (True, DRAFT_7, "a boolean"),
    ({"type": "object", "allOf": [{"enum": ["$defs"]}]}, DRAFT_7, "a value that is called like a keyword"),
    ({"$defs": {}}, DRAFT_2020, "a keyword of later drafts"),
    ({"allOf": [{"items": [{"minContains": 2}]}]}, DRAFT_2020, "a keyword of later drafts, inside"),
    ({"$schema": OLD, "prefixItems": []}, DRAFT_2019, "what is said counts"),
]  # fmt: skip


@pytest.mark.parametrize("row", DIALECTS, ids=[row[2] for row in DIALECTS])
def test_the_draft_of_a_document(row: tuple[Any, int, str]) -> None:
    schema, draft, _ = row
    assert draft_of(schema) == draft
    said = isinstance(schema, dict) and "json-schema.org" in str(schema.get("$schema"))
    assert draft_of(schema, DRAFT_6) == (draft if said else DRAFT_6), "other files are of the first one's draft"


@pytest.mark.parametrize(
    ("keyword", "since"),
    [
        ("minimum", DRAFT_4),
        ("const", DRAFT_6),
        ("contains", DRAFT_6),
        ("propertyNames", DRAFT_6),
        ("if", DRAFT_7),
        ("dependentRequired", DRAFT_2019),
        ("unevaluatedItems", DRAFT_2019),
        ("$recursiveRef", DRAFT_2019),
        ("prefixItems", DRAFT_2020),
    ],
)
def test_keywords_count_since_the_draft_that_introduced_them(keyword: str, since: int) -> None:
    drafts = (DRAFT_4, DRAFT_6, DRAFT_7, DRAFT_2019, DRAFT_2020)
    assert [draft for draft in drafts if counts(keyword, draft)] == [draft for draft in drafts if draft >= since]
