"""If this fails, Protobuf fields have other paths than documented, or what is absent is taken for what is default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from stream_lineage.model.profile import Decoder, FieldProfile
from stream_lineage.model.structure import DeviationKind
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.wire.columns import Batch, Containers, Decoded, Numbers, Symbols, Texts
from stream_lineage.wire.limits import DecodeLimits
from stream_lineage.wire.protobuf_columns import ProtobufColumns
from stream_lineage.wire.protobuf_compile import parse_schema

HEAD = 'syntax = "proto3"; import "google/protobuf/wrappers.proto"; '
FIRST = b""


def batch(records: Iterable[bytes]) -> Batch:
    records = list(records)
    lengths = np.array([len(record) for record in records], np.int64)
    data = np.frombuffer(b"".join(records) + bytes(16), np.uint8)
    return Batch(data, np.cumsum(lengths) - lengths, lengths)


def decoded(text: str, *records: bytes, indexes: bytes | None = FIRST, **limits: int) -> Decoded:
    decoder = ProtobufColumns(parse_schema(text), DecodeLimits(**limits), indexes)
    assert decoder.kind is Decoder.COLUMNAR
    return decoder.decode(batch(records))


def shown(found: Decoded) -> dict[str, tuple[int, int, list[Any]]]:
    """Slots, missing and values by path."""
    out = {}
    for column in found.columns:
        values: list[Any] = []
        for part in column.parts:
            match part:
                case Numbers():
                    values += part.values.tolist()
                case Texts():
                    ends = (part.starts + part.lengths).tolist()
                    values += [part.data[a:b].tobytes() for a, b in zip(part.starts.tolist(), ends, strict=True)]
                case Symbols():
                    values += [part.symbols[code] for code in part.codes.tolist()]
                case Containers():
                    values += [part.type] * part.count if part.lengths is None else part.lengths.tolist()
        out[column.path] = (column.slots, column.missing, sorted(values, key=str))
    return out


def test_absent_is_missing_with_presence_and_the_default_without() -> None:
    text = (
        HEAD
        + """enum E { Z = 0; Y = 1; }
    message M { int32 plain = 1; optional int32 maybe = 2; string s = 3; E e = 4; bool b = 5; double d = 6; bytes y = 7;
      repeated int32 many = 8; map<string, int32> by = 9; oneof o { int32 one = 10; string two = 11; } M m = 12;
      google.protobuf.Int64Value w = 13; }"""
    )
    all_there = b"\x08\x07\x10\x08\x1a\x01x\x20\x01\x28\x01\x42\x01\x05\x4a\x04\x0a\x00\x10\x02\x50\x09\x6a\x02\x08\x03"
    found = decoded(text, b"", all_there)
    assert shown(found) == {
        "plain": (2, 0, [0, 7]),
        "maybe": (2, 1, [8]),
        "s": (2, 0, [b"", b"x"]),
        "e": (2, 0, ["Y", "Z"]),
        "b": (2, 0, [False, True]),
        "d": (2, 0, [0.0, 0.0]),
        "y": (2, 0, [b"", b""]),
        "many": (2, 0, [0, 1]),
        "many[]": (1, 0, [5]),
        "by": (2, 0, [0, 1]),
        "by{}": (1, 0, [2]),
        "one": (2, 1, [9]),
        "w": (2, 1, [3]),
    }
    assert found.compared is not None
    assert found.compared.unseen == {"two": ("string", 2), "m": ("M", 2)}
    assert not found.compared.found


def test_a_wrapper_that_is_there_and_empty_holds_the_default() -> None:
    text = HEAD + "message M { google.protobuf.Int64Value w = 1; repeated google.protobuf.StringValue r = 2; }"
    assert shown(decoded(text, b"\x0a\x00\x12\x00\x12\x03\x0a\x01a", b"")) == {
        "w": (2, 1, [0]),
        "r": (2, 0, [0, 2]),
        "r[]": (2, 0, [b"", b"a"]),
    }


def test_a_wrapper_of_somebody_elses_making_is_a_message() -> None:
    own = 'syntax = "proto3"; package google.protobuf; message Int64Value { Int64Value value = 1; }'
    text = 'syntax = "proto3"; import "own.proto"; message M { google.protobuf.Int64Value w = 1; }'
    decoder = ProtobufColumns(parse_schema(text, {"own.proto": own}), indexes=FIRST)
    found = shown(decoder.decode(batch([b"\x0a\x02\x0a\x00"])))
    assert found == {"w": (1, 0, ["record"]), "w.value": (1, 0, ["record"])}


def test_required_fields_that_are_absent_are_missing_and_said_to_be() -> None:
    text = (
        'syntax = "proto2"; message M { required int32 a = 1; optional N n = 2; message N { required int32 b = 1; } }'
    )
    found = decoded(text, b"\x08\x01", b"\x12\x00", b"\x12\x02\x08\x01")
    assert shown(found) == {"a": (3, 2, [1]), "n": (3, 1, ["record", "record"]), "n.b": (2, 1, [1])}
    assert found.compared is not None
    assert dict(found.compared.found) == {
        (DeviationKind.REQUIRED_MISSING, "a", "int32", None): 2,
        (DeviationKind.REQUIRED_MISSING, "n.b", "int32", None): 1,
    }


def test_unknown_fields_and_numbers_are_counted_where_they_are() -> None:
    text = 'syntax = "proto3"; enum E { Z = 0; } message M { repeated M sub = 1; E e = 2; int32 a = 3; }'
    found = decoded(text, b"\x38\x01\x38\x02\x0a\x03\x3a\x01x\x10\x07\x1a\x00", b"\x3d\x00\x00\x00\x00")
    assert found.compared is not None
    assert dict(found.compared.found) == {
        (DeviationKind.UNDECLARED, "#7", None, "varint"): 2,
        (DeviationKind.UNDECLARED, "#7", None, "32-bit"): 1,
        (DeviationKind.UNDECLARED, "sub[].#7", None, "length-delimited"): 1,
        (DeviationKind.TYPE_MISMATCH, "a", "int32", "length-delimited"): 1,
        (DeviationKind.OUTSIDE_ENUM, "e", "E", None): 1,
    }
    assert shown(found)["e"] == (2, 0, [7, "Z"])


def test_made_up_numbers_take_no_room() -> None:
    varint = [bytes([0x80 | n & 0x7F, 0x80 | n >> 7 & 0x7F, n >> 14]) for n in range(8_000, 200_000, 8)]
    found = decoded('syntax = "proto3"; message M { int32 a = 1; }', b"".join(tag + b"\x01" for tag in varint))
    assert found.compared is not None
    assert len(found.compared.found) <= 1_001
    assert found.compared.found.total() == len(varint)


def test_values_in_order_of_their_types() -> None:
    text = """syntax = "proto3";
    message M { int32 a = 1; uint32 b = 2; sint32 c = 3; sint64 d = 4; uint64 e = 5; bool f = 6;
      fixed32 g = 7; sfixed32 h = 8; fixed64 i = 9; sfixed64 j = 10; float k = 11; double l = 12; }"""
    ones = b"\xff" * 9 + b"\x01"
    record = b"\x08" + ones + b"\x10" + ones + b"\x18" + ones + b"\x20" + ones + b"\x28" + ones + b"\x30\x02"
    record += b"\x3d" + b"\xff" * 4 + b"\x45" + b"\xff" * 4 + b"\x49" + b"\xff" * 8 + b"\x51" + b"\xff" * 8
    record += b"\x5d\x00\x00\x80\x3f" + b"\x61" + bytes(6) + b"\xf0\x3f"
    assert {path: values for path, (_, _, values) in shown(decoded(text, record)).items()} == {
        "a": [-1], "b": [2**32 - 1], "c": [-(2**31)], "d": [-(2**63)], "e": [float(2**64)], "f": [True],
        "g": [2**32 - 1], "h": [-1], "i": [float(2**64)], "j": [-1], "k": [1.0], "l": [1.0],
    }  # fmt: skip


LIST = 'syntax = "proto3"; message L { int32 v = 1; L next = 2; repeated L more = 3; }'


def nested(depth: int) -> bytes:
    record = b""
    for level in range(depth, -1, -1):
        inner = b"" if level == depth else b"\x12" + varint(len(record)) + record
        record = b"\x08" + varint(level + 1) + inner
    return record


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_messages_within_themselves_are_unfolded_four_times() -> None:
    found = shown(decoded(LIST, nested(7)))
    assert found["v"][2] == [1]
    assert found["next.next.next.v"] == (1, 0, [4])
    assert found["next.next.next.…[].v"] == (4, 0, [5, 6, 7, 8])
    assert found["next.next.next.…[]"] == (4, 0, ["record"] * 4)
    assert [path for path in found if path.count("next") > 4] == []


@pytest.mark.parametrize("depth", [99, 100, 101, 300])
def test_the_depth_of_records_is_bounded(depth: int) -> None:
    found = decoded(LIST, nested(depth), b"\x08\x05")
    assert [(bad.index, bad.kind) for bad in found.bad] == ([(0, "too-deep")] if depth > 100 else [])
    assert shown(found)["v"][0] == (2 if depth <= 100 else 1)


def test_paths_beyond_the_bound_are_counted_and_their_bytes_still_checked() -> None:
    text = """syntax = "proto3";
    message M { int32 a = 1; N n = 2; string s = 3; message N { string t = 1; repeated N r = 2; } }"""
    found = decoded(text, b"\x12\x03\x0a\x01x", b"\x12\x03\x0a\x01\xff", b"\x1a\x01\xff", max_fields=1)
    assert [column.path for column in found.columns] == ["a"]
    assert found.truncated == 5
    assert [(bad.index, bad.kind) for bad in found.bad] == [(1, "bad-utf8"), (2, "bad-utf8")]


LOST = """syntax = "proto2"; enum E { A = 0; B = 5; }
message M { oneof o { N n = 1; int32 x = 2; } repeated E packed = 3 [packed = true]; optional E e = 4; }
message N { optional E e = 1; }"""


@pytest.mark.parametrize(
    ("records", "outside", "values"),
    [
        ([b"\x0a\x02\x08\x05"], 0, {"n.e": ["B"]}),
        ([b"\x0a\x02\x08\x09"], 1, {"n.e": []}),
        ([b"\x0a\x02\x08\x09\x10\x07"], 0, {"x": [7]}),  # what lost against its rival is nowhere
        ([b"\x0a\x02\x08\x05", b"\x10\x07"], 0, {"n.e": ["B"], "x": [7]}),  # no rivals: two records
        ([b"\x1a\x02\x00\x05"], 0, {"packed": [2], "packed[]": ["A", "B"]}),
        ([b"\x1a\x03\x00\x09\x05"], 1, {"packed": [2], "packed[]": ["A", "B"]}),
        ([b"\x20\x05"], 0, {"e": ["B"]}),
    ],
)
def test_numbers_that_a_closed_enum_does_not_have(
    records: list[bytes], outside: int, values: dict[str, list[Any]]
) -> None:
    found = decoded(LOST, *records)
    assert not found.bad
    assert found.compared is not None
    assert sum(n for (kind, *_), n in found.compared.found.items() if kind is DeviationKind.OUTSIDE_ENUM) == outside
    seen = {path: values for path, (_, _, values) in shown(found).items() if path != "n" and any(values)}
    assert seen == {path: some for path, some in values.items() if some}


def test_texts_of_an_array_are_checked_each() -> None:
    found = decoded(
        LIST.replace("int32 v", "repeated string v"), b"\x0a\x01a\x0a\x02\xc3\xa9", b"\x0a\x01a\x0a\x01\xff"
    )
    assert [(bad.index, bad.kind) for bad in found.bad] == [(1, "bad-utf8")]
    assert shown(found)["v[]"] == (2, 0, ["é".encode(), b"a"])


def test_an_entry_of_a_map_without_a_value_holds_an_empty_message() -> None:
    text = 'syntax = "proto3"; message M { map<string, N> m = 1; message N { int32 a = 1; optional int32 b = 2; } }'
    found = decoded(text, b"\x0a\x03\x0a\x01k", b"\x0a\x07\x0a\x01k\x12\x02\x08\x05")
    assert shown(found) == {
        "m": (2, 0, [1, 1]),
        "m{}": (2, 0, ["record", "record"]),
        "m{}.a": (2, 0, [0, 5]),
    }
    assert found.compared is not None
    assert found.compared.unseen == {"m{}.b": ("int32", 2)}
    alone = b"\x0a\x03\x0a\x01k"
    assert shown(decoded(text, alone)) == {"m": (1, 0, [1]), "m{}": (1, 0, ["record"]), "m{}.a": (1, 0, [0])}
    assert shown(decoded(text, alone, max_fields=1)) == {"m": (1, 0, [1])}


def test_messages_on_two_ways_to_the_same_levels_are_together() -> None:
    """Beyond the fourth level it makes no difference by which field a message is reached."""
    text = 'syntax = "proto3"; message T { int32 v = 1; T left = 2; T right = 3; }'

    def tree(depth: int, number: int) -> bytes:
        record = b"\x08" + varint(number)
        for tag, below in ((b"\x12", 2 * number), (b"\x1a", 2 * number + 1)) if depth else ():
            inner = tree(depth - 1, below)
            record += tag + varint(len(inner)) + inner
        return record

    found = shown(decoded(text, tree(6, 1), tree(5, 1_000)))
    numbers = [*range(1, 128), *(1_000 * 2**level + each for level in range(6) for each in range(2**level))]
    values = [value for path, (_, _, each) in found.items() if path.endswith("v") for value in each]
    assert sorted(values) == sorted(numbers)
    assert sum(len(each) for path, (_, _, each) in found.items() if path.endswith("…[]")) == sum(
        2**level for depth in (6, 5) for level in range(4, depth + 1)
    )


FOLDED = """syntax = "proto3"; message L { L next = 1; N n = 2; repeated int32 p = 3; repeated N many = 4;
  message N { N n = 1; int32 x = 2; repeated N more = 3; } }"""


def test_wherever_the_bound_of_paths_is_bytes_are_checked_and_columns_the_same() -> None:
    deep = b"\x1a\x02\x01\x02\x18\x03\x12\x08\x0a\x02\x10\x07\x1a\x02\x10\x06\x22\x04\x1a\x02\x10\x05"
    for _ in range(6):
        deep = b"\x0a" + varint(len(deep)) + deep + b"\x1a\x02\x01\x02\x12\x02\x10\x09"
    schema, records = parse_schema(FOLDED), batch([deep, b"\x0a\x02\x1a\x05"])
    unbounded = shown(ProtobufColumns(schema, indexes=FIRST).decode(records))
    for max_fields in range(100):
        found = ProtobufColumns(schema, DecodeLimits(max_fields=max_fields), FIRST).decode(records)
        assert [bad.kind for bad in found.bad] == ["truncated"]
        assert len(found.columns) <= max_fields
        assert found.truncated > 0
        assert {path: unbounded[path] for path in shown(found)} == shown(found)


def test_paths_of_errors_are_cut() -> None:
    name = "n" * 400
    [bad] = decoded(f'syntax = "proto3"; message M {{ M {name} = 1; string s = 2; }}', b"\x0a\x03\x12\x01\xff").bad
    assert bad.error.endswith("nnn…")
    assert len(bad.error) < 300


FILE = """syntax = "proto3"; message A { int32 a = 1; }
message B { map<string, int32> m = 1; message C { int32 c = 1; } message D { int32 d = 1; } int32 a = 2; }"""


@pytest.mark.parametrize(
    ("indexes", "path"),
    [
        (b"\x00", "a"),
        (b"\x02\x00", "a"),
        (b"\x02\x02", "m"),
        (b"\x04\x02\x00", "c"),  # Java does not count the entry of the map
        (b"\x04\x02\x02", "d"),
        (b"\x04\x02\x04", "d"),  # others do
        (b"\x04\x00\x00", None),
        (b"\x04\x02\x06", None),
        (b"\x02\x04", None),
        (b"\x02\x01", None),
        (b"\x01", None),
        (b"\x02", None),
        (b"\x80", None),
        (b"\xff" * 11, None),
        (b"\x80\x80\x80\x08", None),
        (b"\x02" + b"\xff" * 11, None),
    ],
)
def test_message_indexes(indexes: bytes, path: str | None) -> None:
    before = decoded(FILE, indexes + b"\x08\x05", indexes=None)
    in_header = decoded(FILE, b"\x08\x05", indexes=indexes)
    for found in (before, in_header):
        assert [bad.kind for bad in found.bad] == ([] if path else ["bad-message-index"])
        assert (found.columns[0].path if path else None) == path


def test_clients_for_python_count_the_entries_of_maps() -> None:
    import base64

    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name="x.proto", syntax="proto3")
    outer = file.message_type.add(name="B")
    entry = outer.nested_type.add(name="MEntry")
    entry.options.map_entry = True
    for number, name in ((1, "key"), (2, "value")):
        entry.field.add(name=name, number=number, type=5, label=1)
    for name in ("c", "d"):
        outer.nested_type.add(name=name.upper()).field.add(name=name, number=1, type=5, label=1)
    outer.field.add(name="m", number=1, type=11, label=3, type_name=".B.MEntry")
    text = base64.b64encode(file.SerializeToString()).decode()
    assert [column.path for column in decoded(text, b"\x04\x00\x02\x08\x05", indexes=None).columns] == ["c"]
    assert [column.path for column in decoded(text, b"\x04\x00\x04\x08\x05", indexes=None).columns] == ["d"]


def test_messages_of_several_types_share_paths() -> None:
    found = shown(decoded(FILE, b"\x00\x08\x05", b"\x02\x02\x10\x06", b"\x04\x02\x00\x08\x07", indexes=None))
    assert found == {"a": (3, 1, [5, 6]), "m": (3, 2, [0]), "c": (3, 2, [7])}


def test_a_schema_without_a_message_has_no_records() -> None:
    found = decoded('syntax = "proto3"; enum E { Z = 0; }', b"\x00", indexes=None)
    assert [bad.kind for bad in found.bad] == ["bad-message-index"]
    assert decoded('syntax = "proto3"; enum E { Z = 0; }', b"").bad[0].kind == "bad-message-index"


def test_a_record_outside_of_its_data_is_refused() -> None:
    decoder = ProtobufColumns(parse_schema(LIST), indexes=FIRST)
    with pytest.raises(ValueError, match="outside"):
        decoder.decode(Batch(np.zeros(20, np.uint8), np.array([0]), np.array([5])))


def test_bad_records_say_where_and_nothing_of_what_they_hold() -> None:
    text = 'syntax = "proto3"; message M { repeated N list = 1; message N { string secret = 1; } }'
    [bad] = decoded(text, b"\x0a\x0a\x0a\x08SECRET\xff\xff").bad
    assert (bad.kind, bad.error) == ("bad-utf8", "a string is not UTF-8, at list[]")


def profile_of(text: str, *batches: list[bytes]) -> dict[str, FieldProfile]:
    decoder = ProtobufColumns(parse_schema(text), indexes=FIRST)
    builder = ProfileBuilder(ProfileOptions(hash_key=b"k" * 32))
    for records in batches:
        builder.add(decoder.decode(batch(records)))
    profile = builder.finish(Decoder.COLUMNAR, Decoder.OPAQUE, 1 << 20)
    return {field.path: field for field in profile.fields}


def test_profiles_count_defaults_as_values() -> None:
    text = """syntax = "proto3"; enum E { Z = 0; Y = 1; }
    message M { int64 i = 1; double d = 2; string s = 3; bool b = 4; E e = 5; repeated int32 r = 6; bytes y = 7; }"""
    full = b"\x08\x04\x11" + bytes(6) + b"\x10\x40\x1a\x01x\x20\x01\x28\x01\x32\x01\x09\x3a\x01z"
    found = profile_of(text, [b""] * 3 + [full], [b""] * 5)
    assert {path: (field.slots, field.missing) for path, field in found.items()} == {
        **dict.fromkeys(("i", "d", "s", "b", "e", "r", "y"), (9, 0)),
        "r[]": (1, 0),
    }
    for path, mean in (("i", 4 / 9), ("d", 4 / 9)):
        numeric = found[path].numeric
        assert numeric is not None
        assert (numeric.count, numeric.min, numeric.max, round(numeric.mean, 9)) == (9, 0.0, 4.0, round(mean, 9))
    for path in ("s", "y", "r"):
        lengths = found[path].lengths
        assert lengths is not None
        assert (lengths.count, lengths.min, lengths.max) == (9, 0, 1)
    assert found["e"].types[0].count == 9
    assert found["b"].types[0].count == 9


def test_wide_messages_of_few_values_take_little_room() -> None:
    """300 fields without presence in 100,000 records would be 240 MB if each default took its own eight bytes."""
    import tracemalloc

    text = 'syntax = "proto3"; message M {' + "".join(f"int64 f{n} = {n};" for n in range(1, 301)) + "}"
    decoder = ProtobufColumns(parse_schema(text), indexes=FIRST)
    records = batch([b"\x08\x01"] * 100_000)
    tracemalloc.start()
    try:
        found = decoder.decode(records)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.columns) == 300
    assert peak < 40_000_000
