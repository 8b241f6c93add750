"""If this failed, a verdict on two JSON Schemas would rest on what had been assumed only, or take for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_lineage.detect.json_keys import assign_keys
from stream_lineage.detect.json_parser import parse_json_schema
from stream_lineage.detect.json_subset import Subsets
from stream_lineage.detect.json_types import Node

S, INT, N = ({"type": name} for name in ("string", "integer", "number"))


def parsed(*schemas: Any) -> list[Node]:
    nodes = [parse_json_schema(json.dumps(schema), {}) for schema in schemas]
    assign_keys(nodes)
    return nodes


def couple(own: Any, others: Any) -> dict[str, Any]:
    """Objects that hold an object of another kind in ``b``, which holds one of the first kind in ``a``."""
    kinds = {
        "A": {"type": "object", "properties": {"b": {"$ref": "#/definitions/B"}, "own": own}},
        "B": {"type": "object", "properties": {"a": {"$ref": "#/definitions/A"}, "own": others}},
    }
    return {"$ref": "#/definitions/A", "definitions": kinds}


@pytest.mark.parametrize(
    ("old", "new", "outer", "inner"),
    [
        (couple(INT, S), couple(N, S), True, True),
        (couple(S, INT), couple(S, N), True, True),
        (couple(S, INT), couple(INT, INT), False, False),
        (couple(INT, S), couple(INT, INT), False, False),
        (couple(N, INT), couple(INT, N), False, False),
    ],
    ids=["the outer widened", "the inner widened", "the outer changed", "the inner changed", "one of each"],
)
def test_what_is_assumed_while_a_question_is_open_is_no_answer(old: Any, new: Any, outer: bool, inner: bool) -> None:
    """Of two kinds that hold each other both are wider or neither: whichever is asked for first."""
    nodes = parsed(old, new)
    members = [node.properties["b"] for node in nodes]
    for first, second in (((nodes, outer), (members, inner)), ((members, inner), (nodes, outer))):
        subsets = Subsets()
        for (one, other), expected in (first, second):
            assert subsets.within(one, other) is expected


def test_the_answer_is_no_where_the_steps_are_used_up() -> None:
    inner, outer = parsed({"type": "object", "properties": {"a": INT}}, {"type": "object", "properties": {"a": N}})
    assert Subsets().within(inner, outer)
    assert not any(Subsets(max_steps=steps).within(inner, outer) for steps in range(5))
    assert all(Subsets(max_steps=steps).within(inner, inner) for steps in range(5)), "that takes no step"


def test_values_under_several_schemas() -> None:
    short, long, text, either = parsed({**S, "maxLength": 2}, {**S, "minLength": 3}, S, {"type": ["string", "null"]})
    subsets = Subsets()
    assert subsets.entails([short, either], text)
    assert subsets.entails([short, long], Node(always=False, key=1_000))
    assert not subsets.entails([either], text)
    assert not subsets.entails([], text), "anything is valid under no schema"
