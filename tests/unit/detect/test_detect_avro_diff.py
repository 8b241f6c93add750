"""If this failed, alerts would name the wrong change or call a breaking schema change harmless."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import avro.schema
import fastavro
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.detect.avro_diff import diff_avro
from stream_lineage.errors import SchemaError


def record(*fields: Any, name: str = "R", **extra: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **extra}


def field(name: str, type_: Any, **extra: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **extra}


def enum(*symbols: str, name: str = "E", **extra: Any) -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols), **extra}


def fixed(size: int, name: str = "F", **extra: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size, **extra}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def stamp(unit: str) -> dict[str, Any]:
    return {"type": "long", "logicalType": f"timestamp-{unit}"}


TREE = record(field("v", "int"), field("next", ["null", "R"]))
TREE_LONG = record(field("v", "long"), field("next", ["null", "R"]))
TREE_TEXT = record(field("v", "string"), field("next", ["null", "R"]))
ADDRESS = record(field("zip", "int"), name="Address")
ADDRESS_TEXT = record(field("zip", "string"), name="Address")

# number, why, old type or record, new, verdict, changes as (kind, path, breaks)
TABLE: list[tuple[int, str, Any, Any, str, list[tuple[str, str, tuple[str, ...]]]]] = [
    (1, "nothing changed", record(field("a", "int")), record(field("a", "int")), "full", []),
    (
        2,
        "doc is no change",
        record(field("a", "int")),
        record(field("a", "int", doc="d"), doc="e"),
        "full",
        [],
    ),
    (
        3,
        "an optional field is harmless",
        record(field("a", "int")),
        record(field("a", "int"), field("b", ["null", "string"], default=None)),
        "full",
        [("field-added", "b", ())],
    ),
    (
        4,
        "a required field: old data lack it",
        record(field("a", "int")),
        record(field("a", "int"), field("b", "string")),
        "forward",
        [("field-added", "b", ("backward",))],
    ),
    (
        5,
        "a required field removed: old readers miss it",
        record(field("a", "int"), field("b", "string")),
        record(field("a", "int")),
        "backward",
        [("field-removed", "b", ("forward",))],
    ),
    (
        6,
        "a field with a default removed",
        record(field("a", "int"), field("b", "string", default="")),
        record(field("a", "int")),
        "full",
        [("field-removed", "b", ())],
    ),
    (
        7,
        "int to string",
        record(field("age", "int")),
        record(field("age", "string")),
        "none",
        [("type-changed", "age", ("backward", "forward"))],
    ),
    (
        8,
        "int to long is promoted",
        record(field("a", "int")),
        record(field("a", "long")),
        "backward",
        [("type-promoted", "a", ("forward",))],
    ),
    (
        9,
        "long to int narrows",
        record(field("a", "long")),
        record(field("a", "int")),
        "forward",
        [("type-changed", "a", ("backward",))],
    ),
    (
        10,
        "string and bytes read each other",
        record(field("a", "string")),
        record(field("a", "bytes")),
        "full",
        [("type-promoted", "a", ())],
    ),
    (
        11,
        "renamed with an alias: only the new reader knows",
        record(field("a", "int")),
        record(field("b", "int", aliases=["a"])),
        "backward",
        [("field-renamed", "b", ("forward",))],
    ),
    (
        12,
        "renamed without alias: one gone, one new",
        record(field("a", "int")),
        record(field("b", "int")),
        "none",
        [("field-added", "b", ("backward",)), ("field-removed", "a", ("forward",))],
    ),
    (
        13,
        "renamed with an alias and changed",
        record(field("a", "int", default=1)),
        record(field("b", "string", aliases=["a"], default="")),
        "forward",
        [
            ("default-changed", "b", ()),
            ("field-renamed", "b", ()),
            ("type-changed", "b", ("backward",)),
        ],
    ),
    (
        14,
        "made nullable: old readers cannot read null",
        record(field("a", "int")),
        record(field("a", ["null", "int"])),
        "backward",
        [("nullability-added", "a", ("forward",))],
    ),
    (
        15,
        "no longer nullable: nulls of old data have no place",
        record(field("a", ["null", "int"])),
        record(field("a", "int")),
        "forward",
        [("nullability-removed", "a", ("backward",))],
    ),
    (
        16,
        "a branch more",
        record(field("a", ["int", "string"])),
        record(field("a", ["int", "string", "boolean"])),
        "backward",
        [("union-branch-added", "a", ("forward",))],
    ),
    (
        17,
        "a branch less",
        record(field("a", ["int", "string", "boolean"])),
        record(field("a", ["int", "string"])),
        "forward",
        [("union-branch-removed", "a", ("backward",))],
    ),
    (
        18,
        "order of branches",
        record(field("a", ["int", "string"])),
        record(field("a", ["string", "int"])),
        "full",
        [],
    ),
    (
        19,
        "a removed branch that another one reads",
        record(field("a", ["int", "long", "string"])),
        record(field("a", ["long", "string"])),
        "full",
        [("union-branch-removed", "a", ())],
    ),
    (
        20,
        "a branch promoted",
        record(field("a", ["null", "int"])),
        record(field("a", ["null", "long"])),
        "backward",
        [("type-promoted", "a", ("forward",))],
    ),
    (
        21,
        "an enum symbol more, no default: old readers do not know it",
        record(field("e", enum("A"))),
        record(field("e", enum("A", "B"))),
        "backward",
        [("enum-symbol-added", "e", ("forward",))],
    ),
    (
        22,
        "an enum symbol more, old readers have a default",
        record(field("e", enum("A", default="A"))),
        record(field("e", enum("A", "B", default="A"))),
        "full",
        [("enum-symbol-added", "e", ())],
    ),
    (
        23,
        "an enum symbol less",
        record(field("e", enum("A", "B"))),
        record(field("e", enum("A"))),
        "forward",
        [("enum-symbol-removed", "e", ("backward",))],
    ),
    (
        24,
        "an enum default appears",
        record(field("e", enum("A", "B"))),
        record(field("e", enum("A", "B", default="B"))),
        "full",
        [("enum-default-added", "e", ())],
    ),
    (
        25,
        "a fixed of another size",
        record(field("f", fixed(4))),
        record(field("f", fixed(8))),
        "none",
        [("fixed-size-changed", "f", ("backward", "forward"))],
    ),
    (
        26,
        "items of an array",
        record(field("a", {"type": "array", "items": "int"})),
        record(field("a", {"type": "array", "items": "string"})),
        "none",
        [("type-changed", "a[]", ("backward", "forward"))],
    ),
    (
        27,
        "values of a map, nested",
        record(field("m", {"type": "map", "values": ADDRESS})),
        record(field("m", {"type": "map", "values": ADDRESS_TEXT})),
        "none",
        [("type-changed", "m{}.zip", ("backward", "forward"))],
    ),
    (
        28,
        "another name of the record",
        record(field("a", "int")),
        record(field("a", "int"), name="S"),
        "none",
        [("name-changed", "", ("backward", "forward"))],
    ),
    (
        29,
        "another name with an alias",
        record(field("a", "int")),
        record(field("a", "int"), name="S", aliases=["R"]),
        "backward",
        [("name-changed", "", ("forward",))],
    ),
    (
        30,
        "another namespace: names match unqualified",
        record(field("a", "int"), namespace="x"),
        record(field("a", "int"), namespace="y"),
        "full",
        [("name-changed", "", ())],
    ),
    (31, "recursion, the same", TREE, TREE, "full", []),
    (32, "recursion, promoted, told once", TREE, TREE_LONG, "backward", [("type-promoted", "v", ("forward",))]),
    (33, "recursion, changed", TREE, TREE_TEXT, "none", [("type-changed", "v", ("backward", "forward"))]),
    (
        34,
        "another scale of a decimal",
        record(field("d", decimal(10, 2))),
        record(field("d", decimal(10, 3))),
        "none",
        [("logical-type-changed", "d", ("backward", "forward"))],
    ),
    (
        35,
        "milliseconds to microseconds: reads, and means something else",
        record(field("t", stamp("millis"))),
        record(field("t", stamp("micros"))),
        "full",
        [("logical-type-changed", "t", ())],
    ),
    (
        36,
        "a default appears on a field that was there",
        record(field("a", "int")),
        record(field("a", "int", default=0)),
        "full",
        [("default-added", "a", ())],
    ),
    (
        37,
        "a default of null is a default",
        record(field("a", ["null", "int"], default=None)),
        record(field("a", ["null", "int"])),
        "full",
        [("default-removed", "a", ())],
    ),
    (38, "primitive roots", "int", "string", "none", [("type-changed", "", ("backward", "forward"))]),
    (
        39,
        "an array becomes a map",
        record(field("a", {"type": "array", "items": "int"})),
        record(field("a", {"type": "map", "values": "int"})),
        "none",
        [("type-changed", "a", ("backward", "forward"))],
    ),
    (
        40,
        "one record used twice is told at each path",
        record(field("a", ADDRESS), field("b", "Address")),
        record(field("a", ADDRESS_TEXT), field("b", "Address")),
        "none",
        [("type-changed", "a.zip", ("backward", "forward")), ("type-changed", "b.zip", ("backward", "forward"))],
    ),
    (
        41,
        "the old side's alias names the new field",
        record(field("a", "int", aliases=["b"])),
        record(field("b", "int")),
        "forward",
        [("field-renamed", "b", ("backward",))],
    ),
    (
        42,
        "made a union with more than null",
        record(field("a", "int")),
        record(field("a", ["int", "string"])),
        "backward",
        [("union-branch-added", "a", ("forward",))],
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]}" for row in TABLE])
def test_truth_table(row: tuple[int, str, Any, Any, str, list[Any]]) -> None:
    number, why, old, new, verdict, changes = row
    diff = diff_avro(json.dumps(old), json.dumps(new))

    assert diff.compatibility is not None, (number, why)
    assert diff.compatibility.verdict == verdict, (number, why)
    assert [(change.kind, change.path, change.breaks) for change in diff.changes] == changes, (number, why)


def test_short_types_are_given() -> None:
    old = record(field("a", "int"), field("b", ADDRESS))
    new = record(field("a", "string"), field("c", ["null", {"type": "array", "items": decimal(4, 2)}], default=None))

    texts = [(change.path, change.old, change.new) for change in diff_avro(json.dumps(old), json.dumps(new)).changes]

    assert texts == [
        ("a", "int", "string"),
        ("c", None, "null | array<bytes (decimal(4,2))>"),
        ("b", "record Address", None),
    ]


def test_odd_ways_of_writing_a_schema() -> None:
    assert diff_avro("int", '{"type": {"type": "int"}}').changes == ()
    assert diff_avro(
        '{"type": "bytes", "logicalType": "decimal", "precision": "4"}', '{"type": "bytes", "logicalType": 7}'
    ).changes == ()  # fmt: skip
    deep: Any = "int"
    for _ in range(6):
        deep = {"type": "array", "items": deep}
    [change] = diff_avro('"int"', json.dumps(deep)).changes
    assert change.new == "array<array<array<array>>>"


def test_a_break_is_said_even_where_the_changes_were_told_as_harmless() -> None:
    inner = record(field("x", "int"), name="A")
    # A is met first in a union in which another branch reads it, inside itself: there it breaks nothing.
    old = record(field("a", {**inner, "fields": [field("x", "int"), field("n", ["null", "A"])]}), field("b", "A"))
    new = json.loads(json.dumps(old).replace('"int"', '"string"'))

    diff = diff_avro(json.dumps(old), json.dumps(new))

    assert diff.compatibility is not None
    assert diff.compatibility.verdict == "none"
    assert {way for change in diff.changes for way in change.breaks} == {"backward", "forward"}


def test_too_many_changes_are_cut_and_the_verdict_is_not() -> None:
    old = record(*(field(f"f{n}", "int", default=1) for n in range(600)), field("last", "int"))
    new = record(*(field(f"f{n}", "int", default=2) for n in range(600)), field("last", "string"))

    diff = diff_avro(json.dumps(old), json.dumps(new))

    assert len(diff.changes) <= 502
    assert diff.compatibility is not None
    assert diff.compatibility.verdict == "none"
    assert diff.changes[-1].breaks == ("backward", "forward")


def test_references_are_read_in_any_order() -> None:
    inner = json.dumps(record(field("x", "int"), name="Inner", namespace="n"))
    middle = json.dumps(record(field("i", "n.Inner"), name="Middle", namespace="n"))
    changed = json.dumps(record(field("x", "string"), name="Inner", namespace="n"))
    outer = json.dumps(record(field("m", "n.Middle")))

    diff = diff_avro(outer, outer, (middle, inner), (changed, middle))

    assert [(change.kind, change.path) for change in diff.changes] == [("type-changed", "m.i.x")]


def test_a_reference_that_refers_to_nothing_is_refused() -> None:
    with pytest.raises(SchemaError, match="Nowhere"):
        diff_avro('"int"', '"int"', (json.dumps(record(field("x", "Nowhere"))),))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "7",
        '"Nowhere"',
        '{"type": "record", "name": "R"}',
        '{"type": "record", "fields": []}',
        '{"type": "array"}',
        '{"type": "fixed", "name": "F"}',
        '{"type": "record", "name": "R", "fields": [7]}',
        "[" * 5_000 + "]" * 5_000,
        '{"type":"array","items":' * 400 + '"int"' + "}" * 400,
    ],
)
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        diff_avro(text, '"int"')


def test_wide_sharing_stays_bounded() -> None:
    def chain(leaf: str) -> str:
        schema: Any = record(field("v", leaf), name="N0")
        for level in range(1, 40):
            schema = record(field("a", schema), field("b", f"N{level - 1}"), name=f"N{level}")
        return json.dumps(schema)

    diff = diff_avro(chain("int"), chain("string"))

    assert diff.compatibility is not None
    assert diff.compatibility.verdict == "none"
    assert 0 < len(diff.changes) <= 501


PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
DEFAULTS: dict[str, Any] = {
    "null": None, "boolean": True, "int": 1, "long": 2, "float": 1.5, "double": 2.5, "bytes": "b", "string": "s",
}  # fmt: skip


def node_types(depth: int, counter: list[int]) -> st.SearchStrategy[Any]:
    """Small Avro types, with names from a small pool so that pairs share some."""

    @st.composite
    def one(draw: st.DrawFn, level: int) -> Any:
        kinds = ["primitive"] * 4 + (["array", "map", "union", "record", "enum", "fixed"] if level else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "primitive":
            return draw(st.sampled_from(PRIMITIVES))
        if kind in ("array", "map"):
            return {"type": kind, "items" if kind == "array" else "values": draw(one(level - 1))}
        if kind == "union":
            return draw(st.lists(st.sampled_from(PRIMITIVES), min_size=1, max_size=4, unique=True))
        counter[0] += 1
        if kind == "enum":
            symbols = draw(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=4, unique=True))
            extra = {"default": symbols[0]} if draw(st.booleans()) else {}
            return enum(*symbols, name=f"E{counter[0]}", **extra)
        if kind == "fixed":
            return fixed(draw(st.integers(1, 3)), name=f"F{counter[0]}")
        return draw(records(level - 1, f"R{counter[0]}"))

    @st.composite
    def records(draw: st.DrawFn, level: int, name: str) -> Any:
        names = draw(st.lists(st.sampled_from("abcd"), min_size=0, max_size=4, unique=True))
        fields = []
        for member in names:
            inner = draw(one(level))
            extra: dict[str, Any] = {}
            if isinstance(inner, str) and draw(st.booleans()):
                extra["default"] = DEFAULTS[inner]
            if draw(st.integers(0, 3)) == 0:
                alias = draw(st.sampled_from("abcdx"))
                if alias not in names:
                    extra["aliases"] = [alias]
            fields.append(field(member, inner, **extra))
        return record(*fields, name=name)

    return records(depth, "R")


@st.composite
def schema_pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """Two schemas that differ in places: the second is the first mutated, or drawn anew."""
    old = draw(node_types(2, [0]))
    if draw(st.integers(0, 3)) == 0:
        return old, draw(node_types(2, [0]))
    return old, _mutated(draw, old)


def _mutated(draw: st.DrawFn, schema: Any) -> Any:
    if isinstance(schema, str):
        return draw(st.sampled_from(PRIMITIVES)) if draw(st.integers(0, 5)) == 0 else schema
    if isinstance(schema, list):
        return draw(st.permutations(schema))
    copy = dict(schema)
    if schema["type"] == "record":
        fields = [{**member, "type": _mutated(draw, member["type"])} for member in schema["fields"]]
        for member, was in zip(fields, schema["fields"], strict=True):
            if member["type"] != was["type"]:
                member.pop("default", None)
        names = {member["name"] for member in fields}
        if fields and draw(st.integers(0, 3)) == 0:
            member = fields[draw(st.integers(0, len(fields) - 1))]
            fresh = next(name for name in "abcdefgh" if name not in names)
            if draw(st.booleans()):
                member["aliases"] = [member["name"]]
            member["name"] = fresh
        if fields and draw(st.integers(0, 4)) == 0:
            fields.pop()
        copy["fields"] = fields
    elif schema["type"] in ("array", "map"):
        key = "items" if schema["type"] == "array" else "values"
        copy[key] = _mutated(draw, schema[key])
    elif schema["type"] == "enum" and draw(st.booleans()):
        copy["symbols"] = [*schema["symbols"], "Z"]
    elif schema["type"] == "fixed" and draw(st.integers(0, 3)) == 0:
        copy["size"] = schema["size"] + 1
    return copy


def apache_reads(reader: Any, writer: Any) -> bool:
    checker: Any = ReaderWriterCompatibilityChecker  # untyped
    result = checker().get_compatibility(avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer)))
    return bool(result.compatibility is SchemaCompatibilityType.compatible)


@settings(max_examples=300, deadline=None)
@given(schema_pairs())
def test_verdicts_are_those_of_the_apache_library(pair: tuple[Any, Any]) -> None:
    old, new = pair

    diff = diff_avro(json.dumps(old), json.dumps(new))

    assert diff.compatibility is not None
    assert (diff.compatibility.backward, diff.compatibility.forward) == (apache_reads(new, old), apache_reads(old, new))
    for direction, fine in (("backward", diff.compatibility.backward), ("forward", diff.compatibility.forward)):
        assert fine == (not any(direction in change.breaks for change in diff.changes))


@settings(max_examples=100, deadline=None)
@given(node_types(2, [0]))
def test_a_schema_equals_itself(schema: Any) -> None:
    assert diff_avro(json.dumps(schema), json.dumps(schema)).changes == ()


@settings(max_examples=150, deadline=None)
@given(schema_pairs(), st.data())
def test_what_is_called_readable_is_read_for_real(pair: tuple[Any, Any], data: st.DataObject) -> None:
    old, new = pair
    diff = diff_avro(json.dumps(old), json.dumps(new))
    assert diff.compatibility is not None
    for writer, reader, readable in ((old, new, diff.compatibility.backward), (new, old, diff.compatibility.forward)):
        if not readable or _ambiguous(reader) or _steals(reader, writer):
            continue
        parsed = fastavro.parse_schema(json.loads(json.dumps(writer)))
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, parsed, data.draw(data_for(writer)))
        buffer.seek(0)
        fastavro.schemaless_reader(buffer, parsed, fastavro.parse_schema(json.loads(json.dumps(reader))))


def _ambiguous(schema: Any) -> bool:
    """Whether two fields of a record claim one field of the writer's: checkers allow it, readers differ in what they
    make of it."""
    if not isinstance(schema, dict):
        return False
    fields = schema.get("fields", [])
    claims = [name for member in fields for name in {member["name"], *member.get("aliases", ())}]
    inner = [schema.get("items"), schema.get("values"), *(member["type"] for member in fields)]
    return len(set(claims)) < len(claims) or any(map(_ambiguous, inner))


def _steals(reader: Any, writer: Any) -> bool:
    """Whether a field of the reader's has its own name and an alias of it among the writer's names."""
    names = set(re.findall(r'"name": "(.*?)"', json.dumps(writer)))
    members = re.findall(r'"name": "(\w)", [^{}]*?"aliases": \["(\w)"\]', json.dumps(reader))
    return any(name in names and alias in names for name, alias in members)


def data_for(schema: Any) -> st.SearchStrategy[Any]:
    if isinstance(schema, list):
        return st.one_of([data_for(branch) for branch in schema])
    if isinstance(schema, str):
        plain: dict[str, st.SearchStrategy[Any]] = {
            "null": st.none(),
            "boolean": st.booleans(),
            "int": st.integers(-(2**31), 2**31 - 1),
            "long": st.integers(-(2**63), 2**63 - 1),
            "float": st.floats(width=32, allow_nan=False),
            "double": st.floats(allow_nan=False),
            "bytes": st.text("abc").map(str.encode),
            "string": st.text("abc"),
        }
        return plain[schema]
    if schema["type"] == "record":
        return st.fixed_dictionaries({member["name"]: data_for(member["type"]) for member in schema["fields"]})
    if schema["type"] == "array":
        return st.lists(data_for(schema["items"]), max_size=2)
    if schema["type"] == "map":
        return st.dictionaries(st.text("ab", max_size=2), data_for(schema["values"]), max_size=2)
    if schema["type"] == "enum":
        return st.sampled_from(schema["symbols"])
    return st.binary(min_size=schema["size"], max_size=schema["size"])
