"""If this failed, a change of a Protobuf schema would get another verdict than its wire format and registries give."""

from __future__ import annotations

import importlib.resources
import tempfile
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields
from google.protobuf.message import DecodeError
from grpc_tools import protoc
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.detect import protobuf_types
from stream_lineage.detect.protobuf_diff import diff_protobuf
from stream_lineage.errors import SchemaError

P2, P3, E23 = 'syntax = "proto2";', 'syntax = "proto3";', 'edition = "2023";'


def m(body: str, more: str = "", head: str = P3) -> str:
    return f"{head} message M {{ {body} }} {more}"


def m2(body: str, more: str = "") -> str:
    return m(body, more, P2)


ITEM, ITEM2 = "message Item { int32 n = 1; }", "message Item { int32 n = 1; string s = 2; }"
ENUM, ENUM2 = "enum E { A = 0; B = 1; }", "enum E { A = 0; B = 1; C = 2; }"

# old, new, verdict, why
TABLE: list[tuple[str, str, str, str]] = [
    (m("int32 a = 1;"), m("int32 a = 1;"), "full", "nothing changed"),
    (m("int32 a = 1;"), m("int32 a = 1; string b = 2;"), "full", "a field added"),
    (m("int32 a = 1; string b = 2;"), m("int32 a = 1;"), "full", "a field removed"),
    (m("int32 a = 1; string b = 2;"), m("int32 a = 1; reserved 2;"), "full", "removed and reserved"),
    (m("int32 a = 1; reserved 2;"), m("int32 a = 1; string b = 2;"), "full", "a reserved number taken"),
    (m("int32 a = 1;"), m("int32 b = 1;"), "full", "a name does not matter"),
    (m("int32 a = 1;"), m("int32 a = 2;"), "none", "a number does"),
    (m("string a = 1; string b = 2;"), m("string b = 1; string a = 2;"), "none", "two names have changed places"),
    (m("int32 a = 1;"), m("string a = 1;"), "none", "another type"),
    (m("int32 a = 1;"), m("string b = 1;"), "none", "a number used for something else"),
    # families of types
    (m("int32 a = 1;"), m("int64 a = 1;"), "full", "varints"),
    (m("int64 a = 1;"), m("int32 a = 1;"), "full", "varints, cut as in C"),
    (m("int32 a = 1;"), m("uint32 a = 1;"), "full", "varints without sign"),
    (m("uint64 a = 1;"), m("bool a = 1;"), "full", "a varint as truth"),
    (m("int32 a = 1;"), m("sint32 a = 1;"), "none", "zigzag is another code"),
    (m("sint32 a = 1;"), m("sint64 a = 1;"), "full", "both zigzag"),
    (m("fixed32 a = 1;"), m("sfixed32 a = 1;"), "full", "four bytes"),
    (m("fixed64 a = 1;"), m("sfixed64 a = 1;"), "full", "eight bytes"),
    (m("fixed32 a = 1;"), m("fixed64 a = 1;"), "none", "four bytes are not eight"),
    (m("int32 a = 1;"), m("fixed32 a = 1;"), "none", "a varint has no fixed width"),
    (m("float a = 1;"), m("double a = 1;"), "none", "another width"),
    (m("float a = 1;"), m("fixed32 a = 1;"), "none", "the same width with another meaning"),
    (m("double a = 1;"), m("int64 a = 1;"), "none", "a float as a varint"),
    (m("string a = 1;"), m("bytes a = 1;"), "full", "text and bytes"),
    (m("bytes a = 1;"), m("string a = 1;"), "full", "bytes that are UTF-8"),
    (m("E a = 1;", ENUM), m("int32 a = 1;", ENUM), "full", "an enum is a number"),
    (m("int64 a = 1;", ENUM), m("E a = 1;", ENUM), "full", "a number as an enum"),
    (m("E a = 1;", ENUM), m("bool a = 1;", ENUM), "none", "an enum is no truth"),
    (m("E a = 1;", ENUM), m("string a = 1;", ENUM), "none", "an enum is no text"),
    (m("Item a = 1;", ITEM), m("bytes a = 1;", ITEM), "backward", "an encoded message is bytes"),
    (m("bytes a = 1;", ITEM), m("Item a = 1;", ITEM), "forward", "bytes are not always a message"),
    (m("Item a = 1;", ITEM), m("string a = 1;", ITEM), "none", "a message is no text"),
    (m2("optional group G = 1 { optional int32 n = 1; }"), m2("optional G g = 1; message G { optional int32 n = 1; }"),
     "none", "a group is framed in another way"),
    # labels
    (m("string a = 1;"), m("repeated string a = 1;"), "full", "the last of several texts"),
    (m("repeated bytes a = 1;"), m("bytes a = 1;"), "full", "the last of several bytes"),
    (m("Item a = 1;", ITEM), m("repeated Item a = 1;", ITEM), "full", "several messages are merged"),
    (m("int32 a = 1;"), m("repeated int32 a = 1;"), "none", "numbers are packed"),
    (m("repeated E a = 1;", ENUM), m("E a = 1;", ENUM), "none", "enums are packed too"),
    (m("int32 a = 1;"), m("optional int32 a = 1;"), "full", "presence is not on the wire"),
    (m("repeated int32 a = 1;"), m("repeated int32 a = 1 [packed = false];"), "full", "packed or not"),
    # required
    (m2("optional int32 a = 1;"), m2("optional int32 a = 1; required int32 b = 2;"), "forward", "required added"),
    (m2("optional int32 a = 1; required int32 b = 2;"), m2("optional int32 a = 1;"), "backward", "required removed"),
    (m2("optional int32 a = 1;"), m2("required int32 a = 1;"), "forward", "made required"),
    (m2("required int32 a = 1;"), m2("optional int32 a = 1;"), "backward", "no longer required"),
    (m2("required int32 a = 1;"), m("int32 a = 1;"), "backward", "proto3 knows no required"),
    (m2("optional int32 a = 1 [default = 1];"), m2("optional int32 a = 1 [default = 2];"), "full", "a default"),
    # oneof
    (m("int32 a = 1; string b = 2;"), m("oneof x { int32 a = 1; } string b = 2;"), "full", "one into a new oneof"),
    (m("int32 a = 1; string b = 2;"), m("oneof x { int32 a = 1; string b = 2; }"), "forward", "several into a new one"),
    (m("oneof x { int32 a = 1; string b = 2; }"), m("int32 a = 1; string b = 2;"), "backward", "several out of it"),
    (m("oneof x { int32 a = 1; } string b = 2;"), m("oneof x { int32 a = 1; string b = 2; }"), "forward", "one into "
     "an existing one"),
    (m("oneof x { int32 a = 1; string b = 2; }"), m("oneof x { int32 a = 1; }"), "forward", "a member removed"),
    (m("oneof x { int32 a = 1; }"), m("oneof x { int32 a = 1; string b = 2; }"), "backward", "a member added"),
    (m("int32 c = 3; oneof x { int32 a = 1; string b = 2; }"), m("int32 c = 3;"), "full", "the whole oneof removed"),
    (m("int32 c = 3;"), m("int32 c = 3; oneof x { int32 a = 1; string b = 2; }"), "full", "a whole oneof added"),
    (m("oneof x { int32 a = 1; string b = 2; }"), m("oneof y { int32 a = 1; string b = 2; }"), "full", "renamed"),
    (m("oneof x { int32 a = 1; } oneof y { string b = 2; }"), m("oneof x { int32 a = 1; string b = 2; }"), "forward",
     "two oneofs made one"),
    (m("oneof x { int32 a = 1; string b = 2; }"), m("oneof x { int32 a = 1; } oneof y { string b = 2; }"), "backward",
     "one made two"),
    (m("oneof x { int32 a = 1; }"), m("oneof x { string a = 1; }"), "none", "a member's type"),
    # enums
    (m("E a = 1;", ENUM), m("E a = 1;", ENUM2), "full", "a value added to an open enum"),
    (m("E a = 1;", ENUM2), m("E a = 1;", ENUM), "full", "a value removed from an open enum"),
    (m2("optional E a = 1;", ENUM), m2("optional E a = 1;", ENUM2), "backward", "old readers lose a value of a closed "
     "enum"),
    (m2("optional E a = 1;", ENUM2), m2("optional E a = 1;", ENUM), "forward", "new readers lose it"),
    (m("E a = 1;", ENUM), m("E a = 1;", "enum E { A = 0; X = 1; }"), "full", "a value renamed"),
    (m("E a = 1;", ENUM), m("E a = 1;", "enum E { A = 0; B = 2; }"), "none", "a value with another number"),
    (m("E a = 1;", ENUM), m("F a = 1;", "enum F { FA = 0; FB = 1; }"), "full", "another enum with the same numbers"),
    (m2("optional E a = 1;", ENUM), m("optional E a = 1;", ENUM), "full", "an enum opened"),
    (m2("optional E a = 1;", ENUM), m("optional E a = 1;", ENUM2), "backward", "opened, with a value that old readers "
     "lose"),
    (m("E a = 1;", ENUM, E23), m("E a = 1;", "enum E { option features.enum_type = CLOSED; A = 0; B = 1; }", E23),
     "full", "an enum closed, by an edition's feature"),
    # messages
    (m("int32 a = 1;", ITEM), m("int32 a = 1;"), "forward", "a message removed that records may be of"),
    (m("int32 a = 1;"), m("int32 a = 1;", ITEM), "backward", "a message added that records may be of"),
    (m("int32 a = 1;"), m("int32 a = 1; Item i = 2;", ITEM), "full", "a field of a new message added"),
    (m("Item i = 1;", ITEM), m("Item i = 1;", ITEM2), "full", "a field added inside"),
    (m("Item i = 1;", ITEM), m("Item i = 1;", "message Item { string n = 1; }"), "none", "a type changed inside"),
    (m("Item i = 1;", ITEM), m("Item i = 1; " + ITEM), "full", "a message moved into another"),
    (m("Item i = 1;", ITEM), m("Part i = 1;", "message Part { int32 n = 1; }"), "full", "the same under another name"),
    (m("Item i = 1;", ITEM), m("Part i = 1;", "message Part { bytes n = 1; }"), "none", "another under another name"),
    (m("M next = 1; int32 v = 2;"), m("M next = 1; int64 v = 2;"), "full", "recursion, widened"),
    (m("M next = 1; int32 v = 2;"), m("M next = 1; string v = 2;"), "none", "recursion, changed"),
    (f"{P3} {ITEM} message M {{ Item i = 1; }}", f"{P3} message M {{ Item i = 1; }} {ITEM}", "full", "order"),
    # maps
    (m("map<string, int32> a = 1;"), m("map<string, int64> a = 1;"), "full", "values widened"),
    (m("map<string, int32> a = 1;"), m("map<string, string> a = 1;"), "none", "values changed"),
    (m("map<string, int32> a = 1;"), m("map<int32, int32> a = 1;"), "none", "keys changed"),
    (m("map<string, int32> a = 1;"), m("repeated X a = 1; message X { string key = 1; int32 value = 2; }"), "full",
     "a map is a list of entries"),
    (m("map<string, Item> a = 1;", ITEM), m("map<string, Item> a = 1;", ITEM2), "full", "messages as values"),
    (m("map<string, int32> a = 1;"), m("int32 a = 1;"), "none", "a map is no number"),
    # files
    (f"{P3} package a; message M {{ int32 a = 1; }}", f"{P3} package b; message M {{ int32 a = 1; }}", "none", "names"),
    (m2("optional int32 a = 1;"), m("optional int32 a = 1;"), "full", "proto2 to proto3"),
    (m("int32 a = 1;"), m("int32 a = 1 [features.field_presence = IMPLICIT];", head=E23), "full", "to an edition"),
    (m("Item i = 1;", ITEM), m("Item i = 1 [features.message_encoding = DELIMITED];", ITEM, E23), "none", "as a group"),
    (m("int32 a = 1;"), m("int32 a = 1 [deprecated = true]; /* with words */"), "full", "options and comments"),
    (m("int32 a = 1;"), m("int32 a = 1;", "service S { rpc R (M) returns (M); }"), "full", "services"),
    (m("google.protobuf.Timestamp t = 1;", head=P3 + 'import "google/protobuf/timestamp.proto";'),
     m("google.protobuf.Duration t = 1;", head=P3 + 'import "google/protobuf/duration.proto";'), "full",
     "well-known types with the same fields"),
]  # fmt: skip


def verdict(old: str, new: str) -> str:
    found = diff_protobuf(old, new)
    assert found.compatibility is not None
    for way, fine in (("backward", found.compatibility.backward), ("forward", found.compatibility.forward)):
        assert fine == (not any(way in change.breaks for change in found.changes))
    return found.compatibility.verdict


@pytest.mark.parametrize("row", TABLE, ids=[f"{number}-{row[3]}" for number, row in enumerate(TABLE)])
def test_truth_table(row: tuple[str, str, str, str]) -> None:
    old, new, expected, _ = row
    assert verdict(old, new) == expected
    assert verdict(new, old) == {"backward": "forward", "forward": "backward"}.get(expected, expected)
    assert diff_protobuf(old, old).changes == ()


def test_the_table_is_large_enough() -> None:
    assert len(TABLE) >= 50


# old, new, changes as (kind, path, old, new, breaks)
WORDS: list[tuple[str, str, list[tuple[str, str, str | None, str | None, tuple[str, ...]]]]] = [
    (m("int32 a = 1; string b = 2;"), m("string c = 1; reserved 2;"), [
        ("field-renamed", "c", "a", "c", ()),
        ("type-changed", "c", "int32", "string", ("backward", "forward")),
        ("field-removed", "b", "string", "reserved", ()),
        ("reserved-added", "", None, "2", ()),
    ]),
    (m("int32 a = 1;"), m("int32 a = 5;"), [("field-renumbered", "a", "1", "5", ("backward", "forward"))]),
    (m("repeated Item items = 1; Item one = 2;", ITEM), m("repeated Item items = 1; Item one = 2;", ITEM2), [
        ("field-added", "items[].s", None, "string", ()),
        ("field-added", "one.s", None, "string", ()),
    ]),
    (m("map<string, Item> a = 1;", ITEM), m("map<string, Item> a = 1;", ITEM2), [
        ("field-added", "a{}.s", None, "string", ()),
    ]),
    (m("map<string, int32> a = 1;"), m("map<string, bool> a = 1;"), [
        ("type-promoted", "a{}", "int32", "bool", ()),
    ]),
    (m("E e = 1;", ENUM), m("E e = 1;", "enum E { A = 0; X = 1; Y = 2; }"), [
        ("enum-value-renamed", "e", "B", "X", ()),
        ("enum-value-added", "e", None, "Y", ()),
    ]),
    (m("int32 a = 1; string b = 2;"), m("oneof x { int32 a = 1; string b = 2; }"), [
        ("field-moved-into-oneof", "a", None, "x", ("backward",)),
        ("field-moved-into-oneof", "b", None, "x", ("backward",)),
    ]),
    (m2("optional int32 a = 1;"), m2("required int32 a = 1;"), [
        ("required-added", "a", "optional", "required", ("backward",)),
    ]),
    (m("int32 a = 1;", "message Other { int32 n = 1; }"), m("int32 a = 1;", "message Other { string n = 1; }"), [
        ("type-changed", "Other.n", "int32", "string", ("backward", "forward")),
    ]),
    (m("Item i = 1;", ITEM), m("Part i = 1;", "message Part { int32 n = 1; }"), [
        ("message-removed", "Item", "Item", None, ()),
        ("message-added", "Part", None, "Part", ()),
        ("message-type-changed", "i", "Item", "Part", ()),
    ]),
    (m("map<string, Item> a = 1;", ITEM), m("map<string, Item> b = 1;", ITEM), [
        ("field-renamed", "b", "a", "b", ()),
    ]),
    (m("map<string, Item> a = 1; map<int32, bool> b = 2;", ITEM), m("map<string, Part> a = 1;", "message Part { }"), [
        ("message-removed", "Item", "Item", None, ()),
        ("message-added", "Part", None, "Part", ()),
        ("field-removed", "b", "map<int32, bool>", None, ()),
        ("message-type-changed", "a{}", "Item", "Part", ()),
        ("field-removed", "a{}.n", "int32", None, ()),
    ]),
    (m2("optional E e = 1;", ENUM), m("optional E e = 1;", ENUM), [
        ("syntax-changed", "", "proto2", "proto3", ()),
        ("enum-openness-changed", "e", "closed", "open", ()),
    ]),
    (m("E a = 1;", ENUM, E23), m("E a = 1;", "enum E { option features.enum_type = CLOSED; A = 0; B = 1; }", E23), [
        ("enum-openness-changed", "a", "open", "closed", ()),
    ]),
]  # fmt: skip


@pytest.mark.parametrize("row", WORDS, ids=[str(number) for number in range(len(WORDS))])
def test_changes_are_named_where_they_are(row: tuple[str, str, list[Any]]) -> None:
    old, new, expected = row
    found = diff_protobuf(old, new).changes
    assert [(each.kind, each.path, each.old, each.new, each.breaks) for each in found] == expected


def test_imported_files_are_compared_too() -> None:
    text = f'{P3} import "a/item.proto"; message M {{ Item i = 1; }}'
    olds, news = ({"a/item.proto": f"{P3} {each}"} for each in (ITEM, "message Item { string n = 1; }"))
    assert [(each.kind, each.path) for each in diff_protobuf(text, text, olds, news).changes] == [
        ("type-changed", "i.n")
    ]
    with pytest.raises(SchemaError, match=r"a/item\.proto"):
        diff_protobuf(text, text, olds, {})


@pytest.mark.parametrize("text", ["", "{}", "message", "message M { int32 a = 0; }", '{"type": "string"}', "\0" * 9])
def test_what_is_no_schema_is_refused(text: str) -> None:
    if text:
        with pytest.raises(SchemaError):
            diff_protobuf(text, m("int32 a = 1;"))
    else:  # a file without anything is one
        assert diff_protobuf(text, text).changes == ()


TYPE = {"name": "M", "package": "", "entry": False, "nested": [], "enums": [], "fields": [], "reserved": [],
        "reserved_names": []}  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"types": None, "messages": [], "enums": [], "package": "", "syntax": "proto3"},
        {"types": [TYPE], "messages": [1], "enums": [], "package": "", "syntax": "proto3"},
        {"types": [{**TYPE, "reserved": [[1, 2, 3]]}], "messages": [0], "enums": [], "package": "", "syntax": "proto3"},
    ],
    ids=["nothing", "no list", "a message that is not there", "three ends of a range"],
)
def test_an_answer_of_the_compiler_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    whole = {"types": [TYPE], "messages": [0], "enums": [], "package": "", "syntax": "proto3"}
    monkeypatch.setattr(protobuf_types, "declared_by", lambda text, references: whole)
    assert diff_protobuf("old", "new").changes == ()
    monkeypatch.setattr(protobuf_types, "declared_by", lambda text, references: answer)
    with pytest.raises(SchemaError, match="answer"):
        diff_protobuf("old", "new")


def test_many_messages_take_bounded_time() -> None:
    def chain(kind: str, length: int) -> str:
        links = [f"message N{n} {{ N{n + 1} a = 1; N{n + 1} b = 2; }}" for n in range(length)]
        return f"{P3} {' '.join(links)} message N{length} {{ {kind} v = 1; }}"

    for length in (40, 400):
        found = diff_protobuf(chain("int32", length), chain("string", length))
        assert found.compatibility is not None
        assert found.compatibility.verdict == "none"
        assert len(found.changes) <= 501


# Against the real thing: what is written with one schema and read with the other.

KINDS = ("int32", "uint32", "int64", "bool", "sint32", "sint64", "fixed32", "sfixed32", "fixed64", "sfixed64",
         "float", "double", "string", "bytes", "E", "N")  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> list[list[Any]]:
    """Fields as number, label, type and oneof."""
    numbers = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4, unique=True))
    return [_field(draw, number) for number in numbers]


def _field(draw: st.DrawFn, number: int) -> list[Any]:
    label = draw(st.sampled_from(("optional", "optional", "required", "repeated", "oneof")))
    return [number, label, draw(st.sampled_from(KINDS)), draw(st.sampled_from("xy"))]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[list[Any]], list[list[Any]]]:
    old = draw(bodies())
    new = [list(field) for field in old]
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(new) - 1))
        what = draw(st.integers(0, 6))
        if what == 0 and len(new) > 1:
            new.pop(place)
        elif what == 1:
            free = sorted(set(range(1, 7)) - {field[0] for field in new})
            new.append(_field(draw, free[0]))
        elif what == 2:
            new[place][2] = draw(st.sampled_from(KINDS))
        elif what == 3:
            new[place][1] = draw(st.sampled_from(("optional", "required", "repeated", "oneof")))
        elif what == 4:
            new[place][3] = "y" if new[place][3] == "x" else "x"
        else:  # all into one oneof, or all out of it
            for field in new:
                field[1], field[3] = ("oneof", "x") if what == 5 else ("optional", field[3])
    return old, new


def text_of(fields: list[list[Any]]) -> str:
    plain = []
    for number, label, kind, _ in fields:
        packed = " [packed = true]" if label == "repeated" and kind not in ("string", "bytes", "N") else ""
        plain += [f"{label} {kind} f{number} = {number}{packed};"] if label != "oneof" else []
    for name in "xy":
        inside = [
            f"{kind} f{number} = {number};" for number, label, kind, of in fields if (label, of) == ("oneof", name)
        ]
        plain += [f"oneof {name} {{ {' '.join(inside)} }}"] if inside else []
    return m2(" ".join(plain), "enum E { A = 0; B = 1; C = 2; } message N { optional int32 n = 1; optional M m = 2; }")


def real_class(text: str) -> Any:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "s.proto").write_text(text)
        known = importlib.resources.files("grpc_tools") / "_proto"
        arguments = [f"--proto_path={folder}", f"--proto_path={known}", f"--descriptor_set_out={folder / 'out'}"]
        assert protoc.main(["protoc", *arguments, "s.proto"]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString((folder / "out").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("M"))


def value_of(draw: st.DrawFn, kind: str, message: Any) -> Any:
    if kind == "N":
        return type(message)(n=draw(st.integers(0, 9)))
    if kind in ("string", "bytes"):
        text = draw(st.sampled_from(("", "a", "bc")))
        return text if kind == "string" else text.encode()
    if kind == "bool":
        return draw(st.booleans())
    if kind in ("float", "double"):
        return draw(st.sampled_from((0.0, 1.5)))
    return draw(st.integers(0, 2))


def filled(draw: st.DrawFn, written: Any, fields: list[list[Any]]) -> Any:
    record = written()
    for number, label, kind, _ in fields:
        name = f"f{number}"
        if label == "repeated":
            target = getattr(record, name)
            for _ in range(draw(st.integers(0, 3))):
                if kind == "N":
                    target.add(n=draw(st.integers(0, 9)))
                else:
                    target.append(value_of(draw, kind, record))
        elif label == "required" or draw(st.booleans()):
            if kind == "N":
                getattr(record, name).n = draw(st.integers(0, 9))
            else:
                setattr(record, name, value_of(draw, kind, record))
    return record


def test_a_list_may_lack_what_was_required() -> None:
    one, many = ([[1, label, "string", "x"]] for label in ("required", "repeated"))
    for old, new, broken in ((one, many, ("forward",)), (many, one, ("backward",))):
        [change] = diff_protobuf(text_of(old), text_of(new)).changes
        assert (change.kind, change.breaks) == ("label-changed", broken)


def test_a_field_that_moves_into_another_oneof_may_be_lost_either_way() -> None:
    """A writer of the old schema may set f2 or f3, and f4 with it: a reader of the new one keeps one of f3 and f4."""
    old = [[2, "oneof", "int32", "x"], [3, "oneof", "int32", "x"], [4, "oneof", "int32", "y"]]
    new = [[2, "oneof", "int32", "x"], [3, "oneof", "int32", "y"], [4, "oneof", "int32", "y"]]
    found = diff_protobuf(text_of(old), text_of(new))
    assert found.compatibility is not None
    assert (found.compatibility.backward, found.compatibility.forward) == (False, False)
    record = real_class(text_of(old))(f3=1, f4=2)
    assert len(real_class(text_of(new)).FromString(record.SerializeToString()).ListFields()) == 1


@settings(max_examples=200, deadline=None)
@given(pairs(), st.data())
def test_what_is_called_readable_is_read_for_real(pair: tuple[Any, Any], data: st.DataObject) -> None:
    old, new = pair
    found = diff_protobuf(text_of(old), text_of(new))
    assert found.compatibility is not None
    real = {"old": real_class(text_of(old)), "new": real_class(text_of(new))}
    for fine, writer, reader, fields in (
        (found.compatibility.backward, "old", "new", old),
        (found.compatibility.forward, "new", "old", new),
    ):
        if not fine:
            continue
        for _ in range(3):
            record = filled(data.draw(st.composite(lambda draw: draw)()), real[writer], fields)
            try:
                read = real[reader].FromString(record.SerializeToString())
            except DecodeError as error:
                raise AssertionError("it cannot be read") from error
            assert read.IsInitialized()
            known = {field.number for field in real[reader].DESCRIPTOR.fields}
            left = {each.field_number for each in unknown_fields.UnknownFieldSet(read)}
            assert not left & known
            kept = {field.number for field, _ in read.ListFields()}
            assert {field.number for field, _ in record.ListFields()} & known <= kept
