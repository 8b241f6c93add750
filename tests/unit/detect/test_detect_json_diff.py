"""If this failed, a change of a JSON Schema would get another verdict than registries give, or the wrong words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_lineage.detect import json_literals, json_parser
from stream_lineage.detect.json_diff import diff_json
from stream_lineage.errors import SchemaError

S, INT, N, B, NULL = ({"type": name} for name in ("string", "integer", "number", "boolean", "null"))
NEWER = "https://json-schema.org/draft/2020-12/schema"


def obj(properties: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "object", **({"properties": properties} if properties is not None else {}), **more}


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return obj(properties, additionalProperties=False, **more)


def arr(items: Any = True, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def newer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": NEWER, **schema}


def tree(value: Any, name: str = "T") -> dict[str, Any]:
    inner = obj({"v": value, "next": {"anyOf": [NULL, {"$ref": f"#/definitions/{name}"}]}})
    return {"$ref": f"#/definitions/{name}", "definitions": {name: inner}}


def event(kind: str, **more: Any) -> dict[str, Any]:
    return obj({"kind": {"const": kind}, **more}, required=["kind"])


HAS_A, HAS_B = {"required": ["a"]}, {"required": ["b"]}
IF = {"if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]}}

# old, new, verdict, why. An open content model is one that takes members of other names.
TABLE: list[tuple[Any, Any, str, str]] = [
    # content models and properties
    (obj({"a": S}), obj({"a": S, "b": S}), "forward", "added to an open model: old data may hold b of any type"),
    (obj({"a": S}), obj({"a": S, "b": {}}), "full", "added to an open model without saying anything of it"),
    (obj({"a": S}), obj({"a": S, "b": True}), "full", "the same, as a boolean schema"),
    (obj({"a": S, "b": S}), obj({"a": S}), "backward", "removed from an open model"),
    (closed({"a": S}), closed({"a": S, "b": S}), "backward", "added to a closed model"),
    (closed({"a": S, "b": S}), closed({"a": S}), "forward", "removed from a closed model"),
    (closed({"a": S, "b": False}), closed({"a": S}), "full", "what could never be there is removed"),
    (closed({"a": S}), obj({"a": S}), "backward", "the model opened"),
    (obj({"a": S}), closed({"a": S}), "forward", "the model closed"),
    (obj({"a": S}, additionalProperties=S), obj({"a": S, "b": S}, additionalProperties=S), "full", "as the rest"),
    (obj({"a": S}, additionalProperties=S), obj({"a": S, "b": INT}, additionalProperties=S), "none", "not so"),
    (obj({"a": S}, additionalProperties=INT), obj({"a": S, "b": N}, additionalProperties=INT), "backward", "wider"),
    (obj({"a": S, "b": INT}, additionalProperties=N), obj({"a": S}, additionalProperties=N), "backward", "as the rest"),
    (obj({}, additionalProperties=S), obj({}, additionalProperties=True), "backward", "a partly open model opened"),
    (obj({}, additionalProperties=S), obj({}, additionalProperties=False), "forward", "a partly open model closed"),
    (obj({}, additionalProperties=INT), obj({}, additionalProperties=N), "backward", "the rest widened"),
    (closed({"a": S}), closed({"a": S, "b": S}, required=["b"]), "none", "a required one added to a closed model"),
    (obj({"a": S}), obj({"a": S, "b": S}, required=["b"]), "forward", "a required one added to an open model"),
    (obj({"a": S}), obj({"a": S}, required=["a"]), "forward", "made required"),
    (obj({"a": S}, required=["a"]), obj({"a": S}), "backward", "made optional"),
    (obj({"a": {**S, "default": "x"}}), obj({"a": {**S, "default": "x"}}, required=["a"]), "forward", "a default does "
     "not fill in what validation misses"),
    (obj({"a": S}, required=["a"]), obj({"b": S}, required=["b"]), "none", "renamed"),
    (obj({"a": S}), obj({"a": S}, minProperties=1), "forward", "at least one member"),
    (obj({"a": S}, required=["a"]), obj({"a": S}, required=["a"], minProperties=1), "full", "which is required anyway"),
    (obj(), obj(maxProperties=5), "forward", "at most five members"),
    (closed({"a": S, "b": S}), closed({"a": S, "b": S}, maxProperties=2), "full", "there are no more than two"),
    (obj(), obj(propertyNames={"pattern": "^a"}), "forward", "names restricted"),
    (closed({"a": S}), closed({"a": S}, propertyNames={"maxLength": 1}), "full", "names that are so anyway"),
    (obj(patternProperties={"^x-": S}), obj(), "backward", "a pattern removed"),
    (obj(patternProperties={"^x-": S}), obj(patternProperties={"^x-": INT}), "none", "a pattern's schema changed"),
    (closed({}, patternProperties={"^x-": S}), obj(propertyNames={"pattern": "^x-"}), "backward", "only such names"),
    (closed({}, patternProperties={"^x-": S}), closed({"x-a": S}, patternProperties={"^x-": S}), "full", "covered by "
     "the pattern"),
    (closed({}, patternProperties={"^x-": S}), closed({"x-a": S}), "forward", "one of its names only"),
    (obj({"a": S}, dependencies={"a": ["b"]}), obj({"a": S}), "backward", "a dependency removed"),
    (obj({"a": S}), obj({"a": S}, dependencies={"a": ["b"]}), "forward", "a dependency added"),
    (obj(dependencies={"a": ["b"]}), newer(obj(dependentRequired={"a": ["b"]})), "full", "the same in a later draft"),
    (obj(dependencies={"a": {"required": ["b"]}}), obj(dependencies={"a": ["b"]}), "full", "the same as a schema"),
    (newer(obj(dependentRequired={"a": ["b"]})), newer(obj(required=["b"])), "forward", "required of all"),
    # types
    (INT, N, "backward", "an integer is a number"),
    (N, INT, "forward", "not every number is one"),
    (S, INT, "none", "another type"),
    (S, {"type": ["string", "null"]}, "backward", "made nullable"),
    ({"type": ["string", "null"]}, S, "forward", "no longer nullable"),
    ({"type": ["null", "string"]}, {"type": ["string", "null"]}, "full", "order of types"),
    ({"type": ["integer", "number"]}, N, "full", "one is the other"),
    ({"type": ["string"]}, S, "full", "a list of one"),
    ({"anyOf": [S, NULL]}, {"type": ["null", "string"]}, "full", "a choice of types is a list of them"),
    ({"oneOf": [S, NULL]}, {"anyOf": [NULL, S]}, "full", "types exclude each other"),
    ({"oneOf": [INT, N]}, N, "backward", "an integer is both, so it is not one of them"),
    ({}, True, "full", "anything"),
    ({}, S, "forward", "anything to something"),
    (S, {}, "backward", "something to anything"),
    (False, S, "backward", "nothing to something"),
    (S, False, "forward", "something to nothing"),
    (False, {"not": {}}, "full", "nothing, in two ways"),
    ({"type": ["null", "boolean", "number", "string", "array", "object"]}, {}, "full", "all types are anything"),
    ({"type": ["null", "boolean", "integer", "string", "array", "object"]}, {}, "backward", "but for other numbers"),
    # values
    ({"enum": ["a", "b"]}, {"enum": ["a", "b", "c"]}, "backward", "a value added"),
    ({"enum": ["a", "b"]}, {"enum": ["a"]}, "forward", "a value removed"),
    ({"enum": ["a", "b"]}, {"enum": ["b", "c"]}, "none", "one for another"),
    ({"enum": ["a"]}, {"const": "a"}, "full", "one value"),
    ({"enum": ["a", "b"]}, S, "backward", "any string"),
    (S, {"type": "string", "enum": ["a"]}, "forward", "these strings only"),
    ({"enum": [1, 2, 3]}, {"type": "integer", "minimum": 1}, "backward", "values within a range"),
    ({"enum": [1, 2, 3]}, {"type": "integer", "minimum": 2}, "none", "one value outside"),
    ({"type": "integer", "minimum": 1, "maximum": 3}, {"enum": [3, 2, 1]}, "full", "all values of a range"),
    (B, {"enum": [True, False]}, "full", "both truth values"),
    ({"const": 1}, {"const": 1.0}, "full", "one number, written in two ways"),
    ({"const": 1}, {"const": True}, "none", "one is not true"),
    ({"enum": ["ab", "ac"]}, {"type": "string", "pattern": "^a[a-z]$"}, "backward", "values that match a pattern"),
    ({"const": {"a": [1]}}, obj({"a": arr(INT)}, required=["a"]), "backward", "a value that is an object"),
    # ranges
    ({**N, "minimum": 0}, {**N, "minimum": 1}, "forward", "a minimum raised"),
    ({**N, "minimum": 0}, N, "backward", "a minimum removed"),
    ({**N, "maximum": 5}, {**N, "maximum": 6}, "backward", "a maximum raised"),
    (N, {**N, "maximum": 6}, "forward", "a maximum added"),
    ({**N, "minimum": 0}, {**N, "exclusiveMinimum": 0}, "forward", "the minimum itself excluded"),
    ({**INT, "exclusiveMinimum": 0}, {**INT, "minimum": 1}, "full", "the same for integers"),
    ({**N, "exclusiveMinimum": 0}, {**N, "minimum": 1}, "forward", "not for numbers"),
    ({**INT, "exclusiveMaximum": 10}, {**INT, "maximum": 9}, "full", "the same for integers, above"),
    ({**INT, "multipleOf": 4}, {**INT, "multipleOf": 2}, "backward", "every multiple of four is one of two"),
    ({**INT, "multipleOf": 2}, {**INT, "multipleOf": 3}, "none", "multiples of two and of three"),
    ({**N, "multipleOf": 0.5}, {**N, "multipleOf": 0.25}, "backward", "fractions"),
    ({**N, "multipleOf": 1}, INT, "full", "integers, in two ways"),
    ({**N, "multipleOf": 0.1}, {**N, "multipleOf": 0.01}, "backward", "decimal fractions are exact"),
    ({"minimum": 3}, {"minimum": 3, "maxLength": 2}, "forward", "other types have their own ranges"),
    ({**N, "minimum": 3, "maxLength": 2}, {**N, "minimum": 3}, "full", "a length of numbers says nothing"),
    ({"$schema": "http://json-schema.org/draft-04/schema#", **N, "minimum": 0, "exclusiveMinimum": True},
     {**N, "exclusiveMinimum": 0}, "full", "draft 4 writes it in another way"),
    # strings
    ({**S, "minLength": 1}, {**S, "minLength": 2}, "forward", "a length raised"),
    ({**S, "maxLength": 5}, {**S, "maxLength": 9}, "backward", "a length relaxed"),
    ({**S, "minLength": 0}, S, "full", "no length"),
    (S, {**S, "pattern": "^a"}, "forward", "a pattern added"),
    ({**S, "pattern": "^a"}, S, "backward", "a pattern removed"),
    ({**S, "pattern": "^a"}, {**S, "pattern": "^b"}, "none", "another pattern"),
    ({**S, "pattern": "a+"}, {**S, "pattern": "a"}, "none", "two patterns are never told to be the same"),
    ({**S, "pattern": ""}, S, "full", "a pattern that is everywhere"),
    (S, {**S, "format": "date"}, "forward", "a format added"),
    ({**S, "format": "date"}, {**S, "format": "time"}, "none", "another format"),
    ({**S, "format": "email"}, {**S, "format": "idn-email"}, "backward", "a wider format"),
    # arrays
    (arr(INT), arr(N), "backward", "items widened"),
    (arr(S), arr(INT), "none", "items changed: but for the empty array"),
    (arr(S), arr(), "backward", "items of any type"),
    (arr(S), arr(S, minItems=1), "forward", "not empty"),
    (arr(S, maxItems=3), arr(S, maxItems=2), "forward", "fewer"),
    (arr(S, uniqueItems=True), arr(S), "backward", "may repeat"),
    (arr(S, maxItems=1), arr(S, maxItems=1, uniqueItems=True), "full", "one item cannot repeat"),
    (arr([S, INT]), arr([S, N]), "backward", "one position widened"),
    (arr([S, INT]), arr([S]), "backward", "a position removed, others are open"),
    (arr([S], additionalItems=False), arr([S, INT], additionalItems=False), "backward", "a position added"),
    (arr([S], additionalItems=INT), arr([S, INT], additionalItems=INT), "full", "a position as those after it"),
    (arr([S, INT]), newer({"type": "array", "prefixItems": [S, INT]}), "full", "positions in two drafts"),
    (arr([S], additionalItems=INT), newer({"type": "array", "prefixItems": [S], "items": INT}), "full", "and the rest"),
    (arr(INT, minItems=1), arr(contains=INT), "backward", "at least one such item"),
    (arr(contains=INT), arr(contains=N), "backward", "an item widened"),
    (newer(arr(contains=INT, minContains=2)), newer(arr(contains=INT)), "backward", "fewer are enough"),
    (newer(arr(contains=INT)), newer(arr(contains=INT, maxContains=3)), "forward", "not too many"),
    (newer({"type": "array", "prefixItems": [INT], "items": False, "contains": INT}), False, "forward", "it may be"),
    (newer({"type": "array", "prefixItems": [S], "items": False, "contains": INT}), False, "full", "none can be it"),
    # combinations
    ({"anyOf": [S, INT]}, {"anyOf": [S, INT, B]}, "backward", "a branch added"),
    ({"anyOf": [S, INT, B]}, {"anyOf": [S, INT]}, "forward", "a branch removed"),
    ({"oneOf": [S, INT]}, {"oneOf": [INT, S, NULL]}, "backward", "a branch added, the others do not meet it"),
    ({"oneOf": [event("a"), event("b")]}, {"oneOf": [event("b"), event("a"), event("c")]}, "backward", "a kind added"),
    ({"oneOf": [event("a"), event("b")]}, {"anyOf": [event("a"), event("b")]}, "full", "kinds exclude each other"),
    ({"oneOf": [event("a", n=INT), event("b")]}, {"oneOf": [event("a", n=N), event("b")]}, "backward", "one widened"),
    ({"oneOf": [obj({"a": S}), obj({"b": S})]}, {"anyOf": [obj({"a": S}), obj({"b": S})]}, "backward", "both at once"),
    ({"allOf": [obj({"a": S}), obj({"b": S})]}, obj({"a": S, "b": S}), "full", "together or in two"),
    (obj({"a": S}), {"allOf": [obj({"a": S}), {"required": ["a"]}]}, "forward", "one more to fulfil"),
    ({"allOf": [S, INT]}, False, "full", "both at once is nothing"),
    ({"not": S}, {"not": {"type": ["string", "null"]}}, "forward", "more is excluded"),
    ({"not": {"not": S}}, S, "full", "not not"),
    ({"not": {"required": ["a"]}}, {"properties": {"a": False}}, "backward", "not objects that have it, or no other"),
    ({**IF, "then": {"required": ["n"]}}, {}, "backward", "a condition removed"),
    ({**IF, "then": {"required": ["n"]}}, {**IF, "then": {"required": ["n", "m"]}}, "forward", "more in one case"),
    (IF, {}, "full", "a condition without consequence"),
    ({**IF, "then": {"required": ["n"]}}, {"anyOf": [{"not": IF["if"]}, {"required": ["n"]}]}, "full", "said in two "
     "ways"),
    # references and recursion
    ({"definitions": {"A": S}, **obj({"a": {"$ref": "#/definitions/A"}})}, obj({"a": S}), "full", "in place"),
    ({"definitions": {"A": INT}, **obj({"a": {"$ref": "#/definitions/A"}})},
     {"definitions": {"A": N}, **obj({"a": {"$ref": "#/definitions/A"}})}, "backward", "what it refers to widened"),
    (tree(INT), tree(INT, "Other"), "full", "recursion under another name"),
    (tree(INT), tree(N), "backward", "recursion, widened"),
    (tree(S), tree(INT), "none", "recursion, changed"),
    ({"$ref": "#/definitions/A", "definitions": {"A": S}, "minLength": 3}, S, "full", "before 2019 nothing counts "
     "beside a reference"),
    (newer({"$ref": "#/$defs/A", "$defs": {"A": S}, "minLength": 3}), newer(S), "backward", "since then it does"),
    (newer({"$defs": {"A": {"$anchor": "a", **S}}, "$ref": "#a"}), S, "full", "an anchor"),
    ({"definitions": {"A": {"$id": "#a", **S}}, "$ref": "#a"}, S, "full", "an anchor in draft 7"),
    (newer({"$id": "https://x.org/a", "$defs": {"A": {"$id": "b", **S}}, "$ref": "https://x.org/b"}), S, "full",
     "an embedded document"),
    (newer({"$dynamicRef": "#n", "$defs": {"A": {"$dynamicAnchor": "n", **S}}}), S, "full", "the only dynamic anchor"),
    # unevaluated members
    (newer({"allOf": [obj({"a": S})], "unevaluatedProperties": False}), closed({"a": S}), "full", "closed over allOf"),
    (newer({"$ref": "#/$defs/A", "$defs": {"A": obj({"a": S})}, "unevaluatedProperties": False}), closed({"a": S}),
     "full", "closed over a reference"),
    (newer({"type": "object", "properties": {"a": S}, "unevaluatedProperties": False}),
     newer({"type": "object", "properties": {"a": S, "b": S}, "unevaluatedProperties": False}), "backward", "closed"),
    (newer({"anyOf": [obj({"a": S}), obj({"b": S})], "unevaluatedProperties": False}),
     newer({"anyOf": [obj({"b": S}), obj({"a": S})], "unevaluatedProperties": False, "title": "x"}), "full", "equal to "
     "itself"),
    (newer({"anyOf": [obj({"a": S}), obj({"b": S})], "unevaluatedProperties": False}),
     newer({"anyOf": [obj({"a": S}), obj({"b": S})]}), "backward", "removed"),
    # enums inside, sizes of nothing, many patterns: what is proved by going through the cases
    ({"allOf": [{"enum": ["a", "b"]}]}, {"enum": ["a", "b", "c"]}, "backward", "an enum inside"),
    ({"allOf": [{"enum": ["a", 1]}, {"enum": ["b", 1]}]}, {"const": 1}, "full", "what is in both enums"),
    ({"allOf": [{"enum": ["a", "b"]}]}, {"enum": ["a", "b"], "format": "date"}, "forward", "a format may exclude some"),
    ({"format": "date", "anyOf": [{"const": "a"}, {"allOf": [{"const": "a"}]}, {"const": "a", "minLength": 1}]},
     {"const": "a", "format": "date"}, "backward", "the same format, whatever it takes"),
    (arr(maxItems=0), {"enum": [[]]}, "full", "the only array without items"),
    (obj(maxProperties=0), {"const": {}}, "full", "the only object without members"),
    (newer(arr(contains=INT, minContains=3)), newer(arr(contains=N, minContains=2)), "backward", "fewer, but wider"),
    (newer(arr(contains=INT, minContains=0)), newer(arr()), "full", "none is asked for"),
    (newer(arr(contains=INT, minContains=0, maxContains=2)), newer(arr()), "backward", "but not too many"),
    (obj({"ab": S}, required=["ab"]), obj({"ab": S}, required=["ab"], propertyNames={"maxLength": 1}), "forward",
     "a name that must be there and must not"),
    (closed({}, patternProperties={f"^{each}": INT for each in "abcdef"}),
     closed({}, patternProperties={f"^{each}": N for each in "abcdef"}), "backward", "every combination of patterns"),
    ({**S, "pattern": "^abc"}, {**S, "pattern": "^ab"}, "backward", "a longer start"),
    ({**S, "allOf": [{"pattern": "^a"}, {"pattern": "^b"}]}, False, "full", "no text has two starts"),
    ({**INT, "minimum": 2, "maximum": 4}, {"anyOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, "backward", "each one"),
    ({"oneOf": [event("a"), obj({"n": INT}, required=["n"])]}, {"anyOf": [event("a"), obj({"n": INT}, required=["n"])]},
     "backward", "one kind has no name"),
    ({"oneOf": [event("a", n=INT), event("a", m=INT)]}, {"anyOf": [event("a", n=INT), event("a", m=INT)]}, "backward",
     "two kinds of one name"),
    ({"oneOf": [{**S, "minLength": n} for n in (1, 2, 3)]}, {**S, "minLength": 1, "maxLength": 1}, "full",
     "a longer text is several of them"),
    ({**S, "pattern": "^ab$"}, {"const": "ab"}, "full", "the only text"),
    ({**S, "pattern": "^ab$"}, {"const": "ac"}, "none", "another text"),
    ({**S, "pattern": "^ab$", "minLength": 2, "maxLength": 2}, False, "forward", "the only text is long enough"),
    ({**S, "pattern": "^ab$", "minLength": 3}, False, "full", "the only text is too short"),
    ({**S, "pattern": "^ab$", "maxLength": 1}, False, "full", "the only text is too long"),
    ({**S, "allOf": [{"pattern": "^ab$"}, {"pattern": "^xy|b$"}]}, False, "forward", "the only text has both patterns"),
    ({**S, "allOf": [{"pattern": "^ab$"}, {"not": {"pattern": "b$"}}]}, False, "full", "and must not have one"),
    ({**S, "allOf": [{"pattern": "^xy"}, {"pattern": "^x"}]}, False, "forward", "two starts, one in the other"),
    ({**INT, "minimum": 3, "maximum": 3}, False, "forward", "the only number"),
    ({**INT, "minimum": 2.5, "maximum": 2.5}, False, "full", "the only number is no integer"),
    ({**N, "minimum": 3, "maximum": 3}, {"const": 3.0}, "full", "the only number, as a value"),
    # what nothing is said of but that it equals itself
    (newer(obj({"a": {**S, "default": "x"}}, anyOf=[obj({"a": S}), obj({"b": S})], unevaluatedProperties=False)),
     newer(obj({"a": {**S, "default": "y"}}, anyOf=[obj({"a": S}), obj({"b": S})], unevaluatedProperties=False)),
     "full", "but for a default"),
    (newer(obj(dependencies={"a": ["b"]})), newer(obj()), "backward", "no longer a keyword, which some still heed"),
    (newer(obj(dependencies={"a": ["b"]})), newer(obj(dependencies={"a": ["b"]}, title="x")), "full", "the same"),
    (newer(obj(dependencies={"a": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": S}})),
     newer(obj(dependencies={"a": {"$ref": "#/$defs/A"}}, **{"$defs": {"A": INT}})), "none", "it may refer to another"),
    (newer(arr(contains=INT)), newer(arr(contains=INT, unevaluatedItems=False)), "full", "all items are looked at"),
    # words that say nothing
    ({**S, "title": "a", "description": "b", "$comment": "c", "examples": ["d"], "readOnly": True}, S, "full", "words"),
    (obj({"a": S}, required=[]), obj({"a": S}), "full", "none required"),
    (obj({"b": S, "a": INT}, required=["b", "a"]), obj({"a": INT, "b": S}, required=["a", "b"]), "full", "order"),
    (obj({"a": S}, additionalProperties=True), obj({"a": S}), "full", "open, said or not"),
    (arr(S, additionalItems=False), arr(S), "full", "what has no effect beside items"),
    ({**S, "contentEncoding": "base64"}, S, "full", "encodings are annotations"),
]  # fmt: skip


def verdict(old: Any, new: Any) -> str:
    found = diff_json(json.dumps(old), json.dumps(new))
    assert found.compatibility is not None
    for way, fine in (("backward", found.compatibility.backward), ("forward", found.compatibility.forward)):
        assert fine == (not any(way in change.breaks for change in found.changes))
    return found.compatibility.verdict


@pytest.mark.parametrize("row", TABLE, ids=[f"{number}-{row[3]}" for number, row in enumerate(TABLE)])
def test_truth_table(row: tuple[Any, Any, str, str]) -> None:
    old, new, expected, _ = row
    assert verdict(old, new) == expected
    mirrored = {"backward": "forward", "forward": "backward"}.get(expected, expected)
    assert verdict(new, old) == mirrored


def test_the_table_is_large_enough() -> None:
    assert len(TABLE) >= 80


# old, new, changes as (kind, path, old, new, breaks)
WORDS: list[tuple[Any, Any, list[tuple[str, str, str | None, str | None, tuple[str, ...]]]]] = [
    (
        obj({"a": S, "b": INT}),
        obj({"a": INT, "c": arr(S)}, required=["c"]),
        [
            ("type-changed", "a", "string", "integer", ("backward", "forward")),
            ("property-removed", "b", "integer", None, ("forward",)),
            ("property-added", "c", None, "array<string>", ("backward",)),
            ("required-added", "c", "optional", "required", ("backward",)),
        ],
    ),
    (
        obj({"user": obj({"tags": arr(obj({"n": INT}))})}),
        obj({"user": obj({"tags": arr(obj({"n": N}))})}),
        [("type-widened", "user.tags[].n", "integer", "number", ("forward",))],
    ),
    (
        obj({"e": {"enum": ["a", "b"]}}),
        obj({"e": {"enum": ["a", "c"]}}),
        [
            ("enum-value-removed", "e", '"b"', None, ("backward",)),
            ("enum-value-added", "e", None, '"c"', ("forward",)),
        ],
    ),
    (obj(), closed({}), [("content-model-closed", "", "anything", "nothing", ("backward",))]),
    (obj({"m": obj(additionalProperties=INT)}), obj({"m": obj(additionalProperties=N)}), [
        ("type-widened", "m{}", "integer", "number", ("forward",)),
    ]),
    (S, {"type": ["string", "null"]}, [("nullability-added", "", "string", "null | string", ("forward",))]),
    (S, {"anyOf": [S, NULL]}, [("nullability-added", "", None, "null", ("forward",))]),
    ({"oneOf": [S, INT]}, {"oneOf": [S, N]}, [("type-widened", "", "integer", "number", ("forward",))]),
    ({**INT, "minimum": 0}, {**INT, "minimum": 5, "maximum": 9}, [
        ("minimum-changed", "", "0", "5", ("backward",)),
        ("maximum-added", "", None, "9", ("backward",)),
    ]),
    ({**S, "minLength": 2, "pattern": "a"}, {**S, "maxLength": 9}, [
        ("min-length-removed", "", "2", None, ("forward",)),
        ("max-length-added", "", None, "9", ("backward",)),
        ("pattern-removed", "", "a", None, ("forward",)),
    ]),
    (obj({"a": {**S, "default": "x"}}), obj({"a": {**S, "default": "y"}}), [
        ("default-changed", "a", '"x"', '"y"', ()),
    ]),
    (obj(), obj({"a": {**INT, "default": 1}}), [("property-added", "a", None, "integer", ("backward",))]),
    (tree(INT), tree(S), [("type-changed", "v", "integer", "string", ("backward", "forward"))]),
    (arr([S, INT]), arr([S, S]), [("type-changed", "[1]", "integer", "string", ("backward", "forward"))]),
    ({"not": S}, {"not": INT}, [("not-changed", "", "string", "integer", ("backward", "forward"))]),
    (obj(), obj(dependencies={"a": ["b"]}), [("dependency-added", "a", None, "b", ("backward",))]),
    (obj(dependencies={"a": ["b"]}), obj(dependencies={"a": ["b"], "c": ["d"]}), [
        ("dependency-added", "c", None, "d", ("backward",)),
    ]),
    (obj(dependencies={"a": {"required": ["b"]}}), obj(dependencies={"a": {"required": ["b", "c"]}}), [
        ("dependency-changed", "a", "schema", "schema", ("backward",)),
    ]),
    (obj(anyOf=[HAS_A, HAS_B]), obj(anyOf=[HAS_A, HAS_B, {"required": ["c"]}]), [
        ("union-branch-added", "", None, "schema", ("forward",)),
    ]),
    (obj(), obj(oneOf=[HAS_A, {"maxProperties": 0}]), [("one-of-added", "", None, "schema | schema", ("backward",))]),
    (obj(anyOf=[HAS_A, S]), obj(), [("any-of-removed", "", "schema | string", None, ("forward",))]),
    (newer(arr(contains=INT)), newer(arr(contains=INT, maxContains=3)), [
        ("contains-count-changed", "", "1 or more", "1 to 3", ("backward",)),
    ]),
    ({"anyOf": [S, INT]}, {"anyOf": [B, NULL]}, [
        ("union-branch-removed", "", "string", None, ("backward",)),
        ("union-branch-removed", "", "integer", None, ("backward",)),
        ("union-branch-added", "", None, "boolean", ("forward",)),
        ("nullability-added", "", None, "null", ("forward",)),
    ]),
    ({**N, "multipleOf": 4}, {**N, "multipleOf": 2}, [("multiple-of-changed", "", "4", "2", ("forward",))]),
    ({**N, "multipleOf": 2}, {**N, "multipleOf": 3}, [("multiple-of-changed", "", "2", "3", ("backward", "forward"))]),
    ({**N, "multipleOf": 0.5}, N, [("multiple-of-removed", "", "0.5", None, ("forward",))]),
    (N, {**N, "multipleOf": 0.5}, [("multiple-of-added", "", None, "0.5", ("backward",))]),
    ({"enum": ["a"]}, S, [("enum-removed", "", 'one of "a"', None, ("forward",))]),
    (S, {"enum": ["a"]}, [("enum-added", "", None, 'one of "a"', ("backward",))]),
    ({"type": ["array", "string", "integer"], "uniqueItems": True, "minItems": 1, "minLength": 1, "minimum": 1}, B, [
        ("type-changed", "", "integer | string | array", "boolean", ("backward", "forward")),
    ]),
    ({"type": ["array", "string", "integer", "null"], "uniqueItems": True, "minItems": 1, "pattern": "a", "minimum": 1},
     NULL, [("type-narrowed", "", "null | integer | string | array", "null", ("backward",))]),
    ({**S, "format": "date"}, {**S, "format": "time"}, [
        ("format-changed", "", "date", "time", ("backward", "forward")),
    ]),
    (arr(), arr(uniqueItems=True), [("unique-items-added", "", None, "True", ("backward",))]),
    (obj(allOf=[{"maxProperties": 3}]), obj(allOf=[{"maxProperties": 2}]), [
        ("max-properties-changed", "", "3", "2", ("backward",)),
    ]),
    (newer(obj(anyOf=[obj({"a": S}), obj({"b": S})], unevaluatedProperties=False)),
     newer(obj(anyOf=[obj({"a": S}), obj({"b": S})])), [
        ("unevaluatedProperties-removed", "", None, None, ("forward",)),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("row", WORDS, ids=[str(number) for number in range(len(WORDS))])
def test_changes_are_named_where_they_are(row: tuple[Any, Any, list[Any]]) -> None:
    old, new, expected = row
    found = diff_json(json.dumps(old), json.dumps(new)).changes
    assert [(each.kind, each.path, each.old, each.new, each.breaks) for each in found] == expected


def test_references_to_other_subjects() -> None:
    outer = json.dumps(obj({"a": {"$ref": "common.json#/definitions/A"}, "b": {"$ref": "other.json"}}))
    common = [json.dumps({"definitions": {"A": kind}}) for kind in (INT, N)]
    others = {"other.json": json.dumps(S)}
    found = diff_json(outer, outer, {"common.json": common[0], **others}, {"common.json": common[1], **others})
    assert [(each.kind, each.path) for each in found.changes] == [("type-widened", "a")]
    with pytest.raises(SchemaError, match=r"common\.json"):
        diff_json(outer, outer, others, others)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "NaN",
        '{"type": "record", "name": "R", "fields": []}',
        '{"type": 7}',
        '{"minimum": "1"}',
        '{"minLength": -1}',
        '{"multipleOf": 0}',
        '{"minimum": 1e999}',
        '{"enum": [1, 1e999]}',
        '{"default": -1e999}',
        '{"pattern": 7}',
        '{"minLength": 1.5}',
        '{"minItems": true}',
        '{"uniqueItems": "yes"}',
        '{"uniqueItems": 1}',
        '{"$defs": {}, "unevaluatedProperties": false, "allOf": 7}',
        '{"$defs": {}, "unevaluatedProperties": false, "allOf": [{"properties": 7}]}',
        '{"$defs": {}, "unevaluatedProperties": false, "dependentSchemas": []}',
        '{"$defs": {}, "unevaluatedItems": false, "oneOf": 7}',
        '{"dependencies": {"a": 7}}',
        '{"$ref": 7}',
        '{"type": [{}]}',
        '{"title": "' + "x" * 5_000_000 + '"}',
        '{"properties": []}',
        '{"required": [1]}',
        '{"anyOf": {}}',
        '{"items": 7}',
        '{"$ref": "#/definitions/Nowhere"}',
        '{"$ref": "https://x.org/nowhere"}',
        '{"$ref": "#"}',
        '{"definitions": {"A": {"$ref": "#/definitions/B"}, "B": {"$ref": "#/definitions/A"}}, '
        '"$ref": "#/definitions/A"}',
        "[" * 100_000,
        '{"not":' * 50_000,
    ],
)
def test_what_is_no_schema_is_refused(text: str) -> None:
    for old, new in ((text, "{}"), ("{}", text)):
        with pytest.raises(SchemaError):
            diff_json(old, new)


# old, new, what is known of them: nothing is proved of what is too large, and no is the answer then
LARGE: list[tuple[Any, Any, str, str]] = [
    (newer({"type": "array", "prefixItems": [INT] * 201}), newer({"type": "array", "prefixItems": [N] * 201}), "none",
     "positions"),
    (closed({}, patternProperties={f"^{each}": INT for each in "abcdefg"}),
     closed({}, patternProperties={f"^{each}": N for each in "abcdefg"}), "none", "patterns"),
    ({**INT, "minimum": 0, "maximum": 1_000}, {"enum": [*range(1_001)]}, "forward", "numbers of a range"),
]  # fmt: skip


@pytest.mark.parametrize("row", LARGE, ids=[row[3] for row in LARGE])
def test_what_is_too_large_to_be_proved_is_not_called_compatible(row: tuple[Any, Any, str, str]) -> None:
    old, new, expected, _ = row
    assert verdict(old, new) == expected
    assert verdict(old, old) == "full"


def test_of_many_branches_it_is_not_proved_that_only_one_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    one_of = {"oneOf": [{**S, "minLength": n} for n in (1, 2, 3)]}
    monkeypatch.setattr(json_literals, "_MAX_BRANCHES", 2)
    assert verdict(one_of, {**S, "minLength": 1, "maxLength": 1}) == "backward"
    assert verdict({"oneOf": [S, NULL, B]}, {"oneOf": [S, NULL, B, INT]}) == "backward", "they exclude each other"


def test_a_schema_of_too_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_parser, "MAX_NODES", 9)
    assert verdict({"allOf": [{} for _ in range(8)]}, {}) == "full"
    with pytest.raises(SchemaError, match="more than 9 parts"):
        diff_json(json.dumps({"allOf": [{} for _ in range(9)]}), "{}")


def shared(levels: int, leaf: Any) -> dict[str, Any]:
    """There are 2 to the power of ``levels`` ways through it."""
    kinds = {f"N{n}": {"allOf": [{"$ref": f"#/$defs/N{n + 1}"}] * 2} for n in range(levels)} | {f"N{levels}": leaf}
    return newer({"$ref": "#/$defs/N0", "$defs": kinds, "unevaluatedProperties": False})


def test_unevaluated_members_of_schemas_that_share_others() -> None:
    assert verdict(closed({"a": S}), shared(3, obj({"a": S}))) == "full"
    assert verdict(closed({"a": S, "b": S}), shared(3, obj({"a": S}))) == "forward"
    assert verdict(shared(60, obj({"a": S})), shared(60, obj({"a": S}, title="x"))) == "full"
    loop = newer({"$ref": "#/$defs/A", "unevaluatedProperties": False, "$defs": {"A": {"$ref": "#/$defs/B", **HAS_A},
                  "B": obj({"a": S}, allOf=[{"$ref": "#/$defs/A"}])}})  # fmt: skip
    assert verdict(loop, loop) == "full"


def test_hostile_schemas_take_bounded_time() -> None:
    deep: Any = S
    for _ in range(400):
        deep = obj({"a": deep})
    wide = {"anyOf": [{"allOf": [{"not": {"oneOf": [obj({f"p{n}": {"type": k}}) for n in range(9)]}}
                                for k in ("string", "integer")]} for _ in range(30)]}  # fmt: skip
    names = {f"N{n}": obj({side: {"$ref": f"#/definitions/N{n + 1}"} for side in "ab"}) for n in range(60)}
    shared = {"definitions": {**names, "N60": S}, "$ref": "#/definitions/N0"}
    pattern = {**S, "pattern": "^(a+)+$"}
    for old in (deep, wide, shared):
        changed = json.loads(json.dumps(old).replace('"string"', '"number"'))
        assert verdict(old, changed) == "none"
        assert verdict(old, old) == "full"
    assert verdict({"const": "a" * 5_000 + "b"}, pattern) == "none"
    assert verdict({"const": "a" * 5_000}, pattern) == "backward"
    assert verdict({"enum": [*range(3_000)]}, {"enum": [*range(3_001)]}) == "backward"
