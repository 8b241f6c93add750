"""If this failed, an alert would describe a JSON Schema as what it is not, or two values would be one."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest

from stream_lineage.detect.json_keys import assign_keys
from stream_lineage.detect.json_parser import parse_json_schema
from stream_lineage.detect.json_types import Node, frozen, kind_of, number_text

S, INT, NULL = ({"type": name} for name in ("string", "integer", "null"))


def arr(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


SHOWN: list[tuple[Any, str]] = [
    (True, "anything"),
    (False, "nothing"),
    ({}, "anything"),
    ({"minimum": 1}, "schema"),
    (INT, "integer"),
    ({"type": ["string", "null"]}, "null | string"),
    ({"type": []}, "nothing"),
    ({"type": ["integer", "number"]}, "number"),
    ({**S, "format": "date"}, "string (date)"),
    ({"type": "object", "properties": {"a": S}}, "object"),
    ({"properties": {"a": S}}, "object"),
    ({"type": "array"}, "array"),
    (arr(S), "array<string>"),
    ({"items": [S], "type": "array"}, "array"),
    (arr(arr(arr(arr(arr(S))))), "array<array<array<array>>>"),
    ({"anyOf": [S, NULL, S]}, "string | null"),
    ({"oneOf": [INT, arr(S)]}, "integer | array<string>"),
    ({"allOf": [S]}, "string"),
    ({"allOf": [S, INT]}, "schema"),
    ({"allOf": [{"anyOf": [{"allOf": [{"allOf": [S]}]}, S]}]}, "schema | string"),
    ({"const": "a"}, 'one of "a"'),
    ({"enum": []}, "nothing"),
    ({"enum": [1, 2.5, None, [1], {"a": 1}, "x"]}, "one of 1, 2.5, null, [1] and 2 more"),
    ({"const": "x" * 70}, 'one of "' + "x" * 59 + "…"),
    ({"const": "x" * 58}, 'one of "' + "x" * 58 + '"'),
]


@pytest.mark.parametrize(("schema", "text"), SHOWN, ids=[str(number) for number in range(len(SHOWN))])
def test_a_schema_in_short(schema: Any, text: str) -> None:
    node = parse_json_schema(json.dumps(schema), {})
    assign_keys([node, Node()])
    assert node.describe() == text


def test_values_that_are_equal_and_no_others() -> None:
    different = [None, True, False, 0, 1, 0.1, "1", "", [], [1], [[1]], {}, {"a": 1}, {"a": [1]}]
    assert all(frozen(one) != frozen(other) for one, other in combinations(different, 2))
    for one, other in ((1, 1.0), (10**400, int("1" + "0" * 400)), ([1, {"a": 2}], (1.0, {"a": 2.0}))):
        assert frozen(one) == frozen(other)
    assert frozen({"a": 1, "b": 2}) == frozen({"b": 2, "a": 1})
    assert frozen(0.1) == frozen(json.loads("0.1"))


def test_kinds_and_numbers() -> None:
    values: tuple[Any, ...] = (None, True, 1, 1.5, "a", [1], {})
    assert [kind_of(value) for value in values] == ["null", "boolean", "number", "number", "string", "array", "object"]
    assert [number_text(value) for value in (frozen(3.0), frozen(0.25))] == ["3", "0.25"]  # type: ignore[arg-type]
