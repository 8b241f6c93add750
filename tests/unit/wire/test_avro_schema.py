"""If this fails, schemas are misread, hostile ones hang the service, or a schema's fingerprint is not its identity."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from stream_lineage.errors import SchemaError
from stream_lineage.wire import avro_schema
from stream_lineage.wire.avro_nodes import Array, Enum, Fixed, Primitive, Record, Recursion, Union
from stream_lineage.wire.avro_schema import fingerprint, parse_schema


def record(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": type_} for key, type_ in fields.items()]}


def parsed(document: Any, *references: Any) -> Any:
    return parse_schema(json.dumps(document), [json.dumps(reference) for reference in references]).root


def printed(document: Any, *references: Any) -> str:
    return fingerprint(json.dumps(document), [json.dumps(reference) for reference in references])


def test_names_are_resolved_as_the_specification_says() -> None:
    root = parsed(
        {
            "type": "record",
            "name": "Outer",
            "namespace": "org.one",
            "fields": [
                {"name": "own", "type": {"type": "fixed", "name": "F", "size": 2}},
                {"name": "other", "type": {"type": "enum", "name": "org.two.E", "symbols": ["A"]}},
                {
                    "name": "inner",
                    "type": {
                        "type": "record",
                        "name": "Inner",
                        "namespace": "org.three",
                        "fields": [
                            {"name": "near", "type": {"type": "fixed", "name": "F", "size": 3}},
                            {"name": "same", "type": "F"},
                            {"name": "far", "type": "org.one.F"},
                        ],
                    },
                },
                {"name": "again", "type": "F"},
                {"name": "none", "type": {"type": "fixed", "name": "G", "namespace": "", "size": 1}},
                {"name": "bare", "type": "G"},
            ],
        }
    )
    own, other, inner, again, none, bare = (field.type for field in root.fields)
    assert root.name == "org.one.Outer"
    assert (own.name, other.name, inner.name, none.name) == ("org.one.F", "org.two.E", "org.three.Inner", "G")
    assert [field.type.name for field in inner.fields] == ["org.three.F", "org.three.F", "org.one.F"]
    assert again is own
    assert bare is none


def test_a_type_within_itself_is_a_recursion_and_one_used_twice_is_not() -> None:
    tree = parse_schema(json.dumps(record("N", value="int", next=["null", "N"])))
    assert tree.recursive
    assert isinstance(tree.root, Record)
    union = tree.root.fields[1].type
    assert isinstance(union, Union)
    assert isinstance(union.branches[1], Recursion)
    assert tree.resolved(union.branches[1]) is tree.root

    twice = parse_schema(json.dumps(record("R", a=record("P", x="int"), b="P")))
    assert not twice.recursive


def test_recursion_that_comes_with_a_reference_is_found() -> None:
    outer = record("Outer", inner=record("Inner", back=["null", "Outer"]))
    assert parse_schema('"Inner"', [json.dumps(outer)]).recursive
    assert not parse_schema('"int"', [json.dumps(outer)]).recursive


def test_references_may_be_given_by_name_and_build_on_each_other() -> None:
    references = {
        "common": json.dumps({"type": "fixed", "name": "c.Id", "size": 8}),
        "user": json.dumps(record("u.User", id="c.Id")),
    }
    root = parse_schema(json.dumps(record("Event", user="u.User", id="c.Id")), references).root
    assert isinstance(root, Record)
    user = root.fields[0].type
    assert isinstance(user, Record)
    assert user.fields[0].type is root.fields[1].type


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("string", "string"),
        ({"type": "string"}, "string"),
        ({"type": {"type": "string"}}, "string"),
        ({"type": "string", "logicalType": 7}, "string"),
        ({"type": "string", "logicalType": "uuid"}, "string"),
    ],
)
def test_primitives_in_all_their_spellings(document: Any, expected: str) -> None:
    root = parsed(document)
    assert isinstance(root, Primitive)
    assert root.kind == expected


def test_a_primitive_without_quotes_is_accepted() -> None:
    assert isinstance(parse_schema("bytes").root, Primitive)


def test_a_name_may_stand_in_an_object() -> None:
    root = parsed(record("R", a={"type": "fixed", "name": "F", "size": 1}, b={"type": "F"}))
    assert root.fields[0].type is root.fields[1].type


def test_attributes_are_kept() -> None:
    root = parsed(
        {
            "type": "record",
            "name": "R",
            "namespace": "n",
            "aliases": ["Old", "m.Older"],
            "fields": [
                {"name": "größe", "type": "int", "default": 0, "aliases": ["b", "a"]},
                {"name": "none", "type": ["null", "int"], "default": None},
                {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "B"}},
                {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
                {"name": "l", "type": {"type": "array", "items": "long"}},
            ],
        }
    )
    sized, none, enum, decimal, items = root.fields
    assert root.aliases == ("m.Older", "n.Old")
    assert (sized.name, sized.default, sized.aliases) == ("größe", "0", ("a", "b"))
    assert none.default == "null"
    assert isinstance(enum.type, Enum)
    assert (enum.type.default, enum.default) == ("B", None)
    assert (decimal.type.logical.precision, decimal.type.logical.scale) == (4, 2)
    assert isinstance(items.type, Array)


FIXED = {"type": "fixed", "name": "F", "size": 1}


@pytest.mark.parametrize(
    "document",
    [
        "Unknown",
        None,
        7,
        {},
        {"type": "record", "name": "R"},
        {"type": "record", "name": "R", "fields": {}},
        {"type": "record", "name": "R", "fields": ["a"]},
        {"type": "record", "name": "R", "fields": [{"name": "a"}]},
        {"type": "record", "name": "R", "fields": [{"type": "int"}]},
        {"type": "record", "name": "1R", "fields": []},
        {"type": "record", "name": "a..b", "fields": []},
        {"type": "record", "name": "int", "fields": []},
        {"type": "record", "name": "R", "namespace": 3, "fields": []},
        {"type": "record", "name": "R", "aliases": "x", "fields": []},
        {"type": "record", "name": "R", "fields": [{"name": "a.b", "type": "int"}]},
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]},
        {"type": "Unknown"},
        {"type": "enum", "name": "E"},
        {"type": "enum", "name": "E", "symbols": ["A", "A"]},
        {"type": "enum", "name": "E", "symbols": ["A", 1]},
        {"type": "enum", "name": "E", "symbols": ["A"], "default": "B"},
        {"type": "fixed", "name": "F"},
        {"type": "fixed", "name": "F", "size": -1},
        {"type": "fixed", "name": "F", "size": True},
        {"type": "fixed", "name": "F", "size": 2**70},
        {"type": "fixed", "size": 1},
        {"type": "array"},
        {"type": "map"},
        [],
        ["int", "int"],
        ["int", ["null"]],
        [FIXED, "F"],
        [{"type": "array", "items": "int"}, {"type": "array", "items": "long"}],
        {"type": "array", "items": [FIXED, {**FIXED, "size": 2}]},
        record("R", a=record("R")),
    ],
)
def test_what_is_no_schema_is_a_schema_error(document: Any) -> None:
    with pytest.raises(SchemaError):
        parsed(document)


@pytest.mark.parametrize("text", ["", "{", "\ud800", "NaN", "[" * 100_000, '{"type":' * 100_000])
def test_text_that_is_no_json_is_a_schema_error(text: str) -> None:
    with pytest.raises(SchemaError):
        parse_schema(text)


def test_references_that_refer_to_each_other_are_a_schema_error() -> None:
    with pytest.raises(SchemaError, match="not defined"):
        parsed("A", record("A", b="B"), record("B", a="A"))


def nested(levels: int, around: str = '{"type":"array","items":%s}') -> str:
    before, after = around.split("%s")
    return before * levels + '"int"' + after * levels


def test_depth_is_bounded_in_one_text_and_over_many() -> None:
    parse_schema(nested(avro_schema.MAX_HEIGHT))
    for text in (nested(avro_schema.MAX_HEIGHT + 1), nested(300), nested(300, '{"type":%s}')):
        with pytest.raises(SchemaError, match="deeper"):
            parse_schema(text)
    chain = [record("R0", a="int"), *(record(f"R{i}", a=f"R{i - 1}") for i in range(1, 5_000))]
    with pytest.raises(SchemaError, match="deeper"):
        parsed("R4999", *chain)
    ring = [
        record(f"T{i}", n=record(f"N{i}", t=["null", f"T{i}"]), d=["null", f"N{max(i - 1, 0)}"]) for i in range(500)
    ]
    with pytest.raises(SchemaError, match="deeper"):
        parsed("N499", *ring)


def test_size_is_bounded() -> None:
    with pytest.raises(SchemaError, match="longer"):
        parse_schema('"int"', ['"' + "a" * avro_schema.MAX_TEXT_BYTES])
    with pytest.raises(SchemaError, match="types"):
        parsed(record("R", **{f"f{i}": "int" for i in range(avro_schema.MAX_NODES)}))
    with pytest.raises(SchemaError, match="default"):
        parsed({**record("R"), "fields": [{"name": "a", "type": "int", "default": json.loads(nested(300))}]})


def test_a_schema_that_doubles_at_every_level_takes_no_time() -> None:
    doubling = [record("R0", a="int"), *(record(f"R{i}", a=f"R{i - 1}", b=f"R{i - 1}") for i in range(1, 60))]
    began = time.monotonic()
    printed("R59", *doubling)
    assert time.monotonic() - began < 30  # spelled out it would have 10^18 fields


BASE = {
    "type": "record",
    "name": "R",
    "namespace": "n",
    "fields": [
        {"name": "a", "type": "int", "default": 1},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 4}},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "u", "type": ["null", "F"], "default": None},
        {"name": "m", "type": {"type": "map", "values": "string"}, "default": {"x": "1", "y": "2"}},
    ],
}


def changed(change: Any) -> Any:
    document = json.loads(json.dumps(BASE))
    change(document, document["fields"])
    return document


SAME: dict[str, Any] = {
    "white space": json.dumps(BASE, indent=4),
    "order of attributes": json.dumps(BASE, sort_keys=True),
    "doc": json.dumps(changed(lambda d, f: (d.update(doc="x"), f[0].update(doc="y")))),
    "unknown attributes": json.dumps(
        changed(lambda d, f: (d.update({"connect.name": "x"}), f[3].update(order="ignore")))
    ),
    "names in full": json.dumps(
        changed(lambda d, f: (d.update(name="n.R"), d.pop("namespace"), f[4].update(type=["null", "n.F"])))
    ),
    "long form of a primitive": json.dumps(changed(lambda d, f: f[0].update(type={"type": "int"}))),
    "order of a default's keys": json.dumps(changed(lambda d, f: f[5].update(default={"y": "2", "x": "1"}))),
    "empty aliases": json.dumps(changed(lambda d, f: d.update(aliases=[]))),
}

DIFFERENT: dict[str, Any] = {
    "name": lambda d, f: d.update(name="S"),
    "namespace": lambda d, f: d.update(namespace="m"),
    "aliases": lambda d, f: d.update(aliases=["Q"]),
    "field name": lambda d, f: f[0].update(name="b"),
    "field order": lambda d, f: f.append(f.pop(0)),
    "field aliases": lambda d, f: f[0].update(aliases=["b"]),
    "default": lambda d, f: f[0].update(default=2),
    "no default": lambda d, f: f[0].pop("default"),
    "null default": lambda d, f: f[4].pop("default"),
    "type": lambda d, f: f[0].update(type="long"),
    "symbols": lambda d, f: f[1]["type"]["symbols"].append("C"),
    "order of symbols": lambda d, f: f[1]["type"]["symbols"].reverse(),
    "enum default": lambda d, f: f[1]["type"].update(default="A"),
    "size": lambda d, f: f[2]["type"].update(size=5),
    "logical type": lambda d, f: f[3]["type"].update(logicalType="timestamp-micros"),
    "no logical type": lambda d, f: f[3]["type"].pop("logicalType"),
    "fixed logical type": lambda d, f: f[2]["type"].update(logicalType="decimal", precision=3),
    "items": lambda d, f: f[0].update(type={"type": "array", "items": "int"}),
    "order of branches": lambda d, f: f[4]["type"].reverse(),
}


@pytest.mark.parametrize("what", SAME)
def test_schemas_that_mean_the_same_have_one_fingerprint(what: str) -> None:
    assert fingerprint(SAME[what]) == printed(BASE)


@pytest.mark.parametrize("what", DIFFERENT)
def test_schemas_that_promise_something_else_have_another_fingerprint(what: str) -> None:
    document = changed(DIFFERENT[what])
    assert document != BASE
    assert printed(document) != printed(BASE)


def test_precision_and_scale_are_in_the_fingerprint() -> None:
    decimals = [
        {"type": "bytes", "logicalType": "decimal", "precision": precision, **scale}
        for precision in (4, 5)
        for scale in ({}, {"scale": 0}, {"scale": 2})
    ]
    assert len({printed(decimal) for decimal in decimals}) == 6


def test_where_a_type_is_spelled_out_makes_no_difference() -> None:
    user = record("User", id="long", friend=["null", "User"])
    unused = record("Unused", a={"type": "array", "items": "int"})
    assert printed(record("E", u="User", v="User"), unused, user) == printed(record("E", u=user, v="User"))
    inner = record("Inner", back=["null", "Outer"])
    assert printed("Inner", record("Outer", inner=inner)) != printed("Outer", record("Outer", inner=inner))


def test_a_fingerprint_is_a_sha256_in_hexadecimal_that_never_changes() -> None:
    assert printed("int") == "3f2b87a9fe7cc9b13835598c3981cd45e3e355309e5090aa0933d7becb6fba45"  # of '"int"'


def test_fixed_has_its_size() -> None:
    root = parsed({"type": "fixed", "name": "F", "size": 0})
    assert isinstance(root, Fixed)
    assert root.size == 0
