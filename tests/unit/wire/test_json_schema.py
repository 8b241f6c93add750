"""If this failed, records would be said to differ from their schema where a validator accepts them, or not to."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.errors import SchemaError
from stream_lineage.model.structure import DeviationKind
from stream_lineage.wire import json_schema
from stream_lineage.wire.columns import Batch, Compared
from stream_lineage.wire.json_records import JsonRecords
from stream_lineage.wire.json_schema import Place, declared_by, declared_by_document
from stream_lineage.wire.limits import DecodeLimits

Row = tuple[str, str, str | None, str | None]
GRAVE = (DeviationKind.TYPE_MISMATCH, DeviationKind.REQUIRED_MISSING, DeviationKind.OUTSIDE_ENUM)


def compared(place: Place, *values: Any, **limits: int) -> Compared:
    texts = [json.dumps(value).encode() for value in values]
    lengths = np.array([len(text) for text in texts], np.int64)
    batch = Batch(np.frombuffer(b"".join(texts) + bytes(16), np.uint8), np.cumsum(lengths) - lengths, lengths)
    found = JsonRecords(DecodeLimits(**limits), place).decode(batch).compared
    assert found is not None
    return found


def rows(schema: Any, *values: Any) -> dict[tuple[str, str, str | None, str | None], int]:
    found = compared(declared_by_document(schema), *values)
    return {(kind.value, *rest): count for (kind, *rest), count in found.found.items()}  # type: ignore[misc]


def place_at(schema: Any, *steps: str, references: dict[str, str] | None = None) -> Place | None:
    place: Place | None = declared_by(json.dumps(schema), references or {})
    for step in steps:
        assert place is not None
        place = place.items() if step == "[]" else place.values() if step == "{}" else place.member(step)
    return place


def test_what_is_declared_against_what_is_there() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}, "c": {"enum": ["x", "y", 1]}},
        "required": ["a", "z"],
        "additionalProperties": False,
    }
    values = [
        {"a": 1, "c": "x"},
        {"a": "1", "c": "q", "d": [1]},
        {"a": 1.5, "c": 2.5},
        {"a": 2.0, "d": None, "z": 0},
        7,
    ]
    assert rows(schema, *values) == {
        ("type-mismatch", "$", "object", "integer"): 1,
        ("type-mismatch", "a", "integer", "string"): 1,
        ("type-mismatch", "a", "integer", "number"): 1,
        ("outside-enum", "c", "enum of 2", "string"): 1,
        ("type-mismatch", "c", "integer|string", "number"): 1,
        ("undeclared", "d", "no other members", "array|null"): 2,
        ("undeclared", "z", "no other members", "integer"): 1,
        ("required-missing", "z", None, None): 3,
    }
    found = compared(declared_by_document(schema), *values)
    assert found.unseen == {"b": ("null|string", 4)}


def test_open_objects_and_maps() -> None:
    assert rows({"type": "object"}, {"a": 1}) == {}
    assert rows({"properties": {"a": True}}, {"b": 1}) == {("undeclared", "b", None, "integer"): 1}
    assert rows({"properties": {"a": True}, "additionalProperties": {"type": "string"}}, {"b": 1}) == {
        ("type-mismatch", "b", "string", "integer"): 1
    }
    assert rows({"properties": {"a": True}, "patternProperties": {"^b": {}}}, {"b": 1, "c": 2}) == {}
    named = {"additionalProperties": {"type": "string"}}
    assert rows(named, {f"user-{n}@x.example": n for n in range(3)}) == {
        ("type-mismatch", "${}", "string", "integer"): 3
    }


def test_fields_beyond_the_bound_are_neither_missing_nor_unseen() -> None:
    schema = {"properties": {name: {"type": "integer"} for name in "abcd"}, "required": ["c"]}
    found = compared(declared_by_document(schema), {"a": 1, "b": 2, "c": 3}, max_fields=2)
    assert (dict(found.found), found.unseen) == ({}, {"d": ("integer", 1)})


REFERRED = {"$id": "https://x.example/address.json", "definitions": {"zip": {"type": "string"}}, "type": "object"}
SCHEMAS: list[tuple[Any, tuple[str, ...], str | None]] = [
    ({"properties": {"a": {"$ref": "#/definitions/b"}}, "definitions": {"b": {"type": "string"}}}, ("a",), "string"),
    ({"properties": {"a": {"$ref": "#/$defs/b%20c~1d~0"}}, "$defs": {"b c/d~": {"type": "null"}}}, ("a",), "null"),
    ({"properties": {"a": {"$ref": "#x"}}, "$defs": {"b": {"$anchor": "x", "type": "array"}}}, ("a",), "array"),
    ({"properties": {"a": {"$ref": "#x"}}, "definitions": {"b": {"$id": "#x", "type": "array"}}}, ("a",), "array"),
    ({"properties": {"a": {"$ref": "address.json"}}}, ("a",), "object"),
    ({"properties": {"a": {"$ref": "address.json#/definitions/zip"}}}, ("a",), "string"),
    ({"$id": "https://x.example/o.json", "properties": {"a": {"$ref": "address.json"}}}, ("a",), "object"),
    ({"properties": {"a": {"$ref": "https://x.example/address.json#/definitions/zip"}}}, ("a",), "string"),
    ({"properties": {"a": {"$ref": "nowhere.json"}}}, ("a",), None),
    ({"properties": {"a": {"$ref": "#/nowhere"}}}, ("a",), None),
    ({"properties": {"a": {"$ref": "#/properties/a"}}}, ("a",), None),
    ({"$ref": "#"}, (), None),
    ({"type": "object", "properties": {"next": {"$ref": "#"}}}, ("next",) * 50, "object"),
    (
        {
            "$id": "https://y.example/",
            "properties": {"a": {"$ref": "b"}},
            "$defs": {"b": {"$id": "b", "$ref": "#/c", "c": {"type": "null"}}},
        },
        ("a",),
        "null",
    ),
    ({"properties": {"a": {"$ref": "#/x", "type": "null"}}, "x": {"type": ["null", "string"]}}, ("a",), "null|string"),
    (
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {"a": {"$ref": "#/x", "type": "null"}},
            "x": {"type": ["null", "string"]},
        },
        ("a",),
        "null",
    ),
    ({"items": [{"type": "null"}, {"type": "string"}], "additionalItems": False}, ("[]",), "null|string"),
    ({"prefixItems": [{"type": "null"}], "items": {"type": "number"}}, ("[]",), "null|number"),
    ({"items": {"type": "object", "properties": {"a": {"const": 3}}}}, ("[]", "a"), "integer"),
    ({"additionalProperties": {"type": "string"}}, ("{}",), "string"),
    ({"properties": {"a": {"oneOf": [{"type": "null"}, {"type": "string"}]}}}, ("a",), "null|string"),
    ({"allOf": [{"type": ["null", "number"]}, {"type": ["integer", "null"]}]}, (), "null|integer"),
    ({"if": {}, "then": {"properties": {"a": {"type": "string"}}}}, ("a",), None),
    ({"properties": {"a": False}}, ("a",), "nothing"),
    ({"properties": {"a": {"type": "unheard-of"}}}, ("a",), None),
    ({"properties": {"a": {"$ref": "#/x/1"}}, "x": [{"type": "null"}, {"type": "string"}]}, ("a",), "string"),
    ({"properties": {"a": {"$ref": "#/x/2"}}, "x": [{"type": "null"}, {"type": "string"}]}, ("a",), None),
    ({"properties": {"a": {"$ref": "#/x/" + "9" * 5_000}}, "x": [{"type": "null"}]}, ("a",), None),
    ({"properties": {"a": {"$ref": "http://["}}}, ("a",), None),
    ({"properties": {"a": {"$ref": "http://[#/x"}}, "x": {"type": "null"}}, ("a",), None),
    ({"$id": "http://[", "properties": {"a": {"$ref": "address.json"}}}, ("a",), "object"),
    *(
        ({"properties": {"a": {"const": value}}}, ("a",), label)
        for value, label in [
            (None, "null"),
            (True, "boolean"),
            (3, "integer"),
            (2.0, "integer"),
            (2.5, "number"),
            ("x", "string"),
            ([], "array"),
            ({}, "object"),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "steps", "expected"), SCHEMAS)
def test_where_references_and_branches_lead(schema: Any, steps: tuple[str, ...], expected: str | None) -> None:
    place = place_at(schema, *steps, references={"address.json": json.dumps(REFERRED), "broken": "{"})
    assert place is not None
    assert place.label == expected


@pytest.mark.parametrize(
    ("schema", "step"),
    [
        ({"type": "array"}, "[]"),
        ({"type": "object"}, "{}"),
        ({"properties": {"a": {"type": "string"}}}, "{}"),  # members of their own, not the values of a map
        ({"properties": {"a": {"type": "string"}}}, "b"),
    ],
)
def test_where_nothing_is_declared_there_is_no_place(schema: Any, step: str) -> None:
    assert place_at(schema, step) is None


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "array"}, {"a": 1}, {("type-mismatch", "$", "array", "object"): 1}),
        ({"properties": {"a": {"type": "integer"}}}, {"a": None}, {("type-mismatch", "a", "integer", "null"): 1}),
        ({"properties": {"a": {"type": "integer"}}}, {"a": [1]}, {("type-mismatch", "a", "integer", "array"): 1}),
        ({"properties": {"a": {"type": "number"}}}, {"a": 1}, {}),
        ({"properties": {"a": {"enum": ["x", "y"]}}}, {"a": "y"}, {}),
        ({"properties": {"a": {}}}, {"a": 1, "b": 2}, {("undeclared", "b", None, "integer"): 1}),
        ({"properties": {"a": {}}, "dependentSchemas": {"a": {"properties": {"b": {"type": "null"}}}}}, {"b": 2}, {}),
        ({"properties": {"a": {}}, "dependencies": {"a": ["b"]}}, {"b": 2}, {("undeclared", "b", None, "integer"): 1}),
    ],
)
def test_one_record_against_its_schema(schema: Any, value: Any, expected: dict[Any, int]) -> None:
    assert rows(schema, value) == expected


def test_members_of_branches() -> None:
    one = {
        "type": "object",
        "properties": {"kind": {"const": "a"}, "x": {"type": "integer"}},
        "required": ["kind", "x"],
    }
    two = {"type": "object", "properties": {"kind": {"const": "b"}, "y": {"type": "string"}}, "required": ["kind"]}
    closed = [{**each, "additionalProperties": False} for each in (one, two)]
    values = [{"kind": "a", "x": 1}, {"kind": "b", "y": "s"}, {"kind": "c", "y": 1, "z": 2}, {}]
    assert rows({"oneOf": closed}, *values) == {
        ("outside-enum", "kind", "enum of 2", "string"): 1,
        ("type-mismatch", "y", "string", "integer"): 1,
        ("undeclared", "z", "no other members", "integer"): 1,
        ("required-missing", "kind", "string", None): 1,
    }
    # The first is open: y may be anything where it holds.
    assert rows({"oneOf": [one, two]}, *values) == {
        ("outside-enum", "kind", "enum of 2", "string"): 1,
        ("undeclared", "z", None, "integer"): 1,
        ("required-missing", "kind", "string", None): 1,
    }


@pytest.mark.parametrize("text", ["", "{", "3", '"x"', "[]", "{" * 10_000])
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        declared_by(text)


def test_texts_beyond_the_bound_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema, "MAX_TEXT_CHARACTERS", 20)
    assert declared_by("{}", {"a": "x" * 18}).label is None
    with pytest.raises(SchemaError, match="longer than 20"):
        declared_by("{}", {"a": "x" * 19})


def test_hostile_schemas_come_to_an_end() -> None:
    wide: Any = {"type": "integer"}
    for _ in range(60):
        wide = {"anyOf": [wide, wide]}
    assert compared(declared_by_document({"properties": {"a": wide}}), {"a": 1}).found == {}
    names = [f"d{n}" for n in range(40)]
    twice = {name: {"allOf": [{"$ref": f"#/$defs/{after}"}] * 3} for name, after in pairwise(names)}
    place = declared_by_document({"$ref": "#/$defs/d0", "$defs": {**twice, "d39": {"type": "object"}}})
    assert compared(place, {"a": {"b": 1}}).found == {}


SIMPLE = st.sampled_from(["null", "boolean", "integer", "number", "string"])
VALUES = st.recursive(
    st.sampled_from([None, True, 1, 2.0, 2.5, -7, "x", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=10,
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from("abc"), inner, min_size=1)},
        optional={"required": st.lists(st.sampled_from("abcd"), unique=True), "additionalProperties": st.booleans()},
    )


def plain(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(objects(inner), st.fixed_dictionaries({"type": st.just("array"), "items": inner}))


LEAVES = st.one_of(
    SIMPLE.map(lambda name: {"type": name}),
    st.lists(SIMPLE, min_size=1, unique=True).map(lambda names: {"type": names}),
    st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, unique=True).map(lambda names: {"enum": names}),
)
PLAIN = st.recursive(LEAVES, plain, max_leaves=6)
BRANCHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        plain(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each}),
        st.lists(inner, min_size=1, max_size=2).map(lambda each: {"allOf": each}),
        st.fixed_dictionaries({"if": inner, "then": inner}, optional={"else": inner}),
        st.fixed_dictionaries({"prefixItems": st.lists(inner, min_size=1, max_size=2)}, optional={"items": inner}),
    ),
    max_leaves=8,
)


def grave(found: Compared) -> list[Any]:
    """Deviations that a validator would refuse."""
    return [key for key in found.found if key[0] in GRAVE or key[2] == "no other members"]


@settings(max_examples=300, deadline=None)
@given(PLAIN, st.lists(VALUES, min_size=1, max_size=4))
def test_without_branches_it_finds_what_a_validator_finds(schema: Any, values: list[Any]) -> None:
    valid = all(jsonschema.Draft202012Validator(schema).is_valid(value) for value in values)
    assert (grave(compared(declared_by_document(schema), *values)) == []) == valid


@settings(max_examples=300, deadline=None)
@given(BRANCHING, st.lists(VALUES, min_size=1, max_size=4))
def test_what_a_validator_accepts_is_never_said_to_deviate(schema: Any, values: list[Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    accepted = [value for value in values if validator.is_valid(value)]
    if accepted:
        assert grave(compared(declared_by_document(schema), *accepted)) == []
