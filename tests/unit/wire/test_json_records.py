"""If this fails, JSON records give wrong columns, data becomes field paths, or hostile text costs without bound."""

from __future__ import annotations

import gc
import json
import math
import random
from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.wire import json_records
from stream_lineage.wire.columns import Batch, Containers, Decoded, Numbers, Texts
from stream_lineage.wire.cycle_search import without_cycle_search
from stream_lineage.wire.json_records import JsonRecords, looks_like_json
from stream_lineage.wire.json_schema import declared_by_document
from stream_lineage.wire.limits import DecodeLimits


def batch(*records: bytes) -> Batch:
    lengths = np.array([len(record) for record in records], np.int64)
    data = np.frombuffer(b"".join(b"}" + record for record in records) + bytes(16), np.uint8)
    return Batch(data, np.cumsum(lengths + 1) - lengths, lengths)


def decode(*values: Any, **limits: int) -> Decoded:
    return JsonRecords(DecodeLimits(**limits)).decode(batch(*(json.dumps(value).encode() for value in values)))


def shown(decoded: Decoded) -> dict[str, Any]:
    out = {}
    for column in decoded.columns:
        parts: dict[str, Any] = {}
        for part in column.parts:
            match part:
                case Numbers():
                    parts[part.type] = part.values.tolist()
                case Texts():
                    pairs = zip(part.starts.tolist(), part.lengths.tolist(), strict=True)
                    parts[part.type] = [part.data[start : start + size].tobytes().decode() for start, size in pairs]
                case Containers():
                    parts[part.type] = part.count if part.lengths is None else part.lengths.tolist()
        out[column.path] = (column.slots, column.nulls, column.missing, parts)
    return out


def test_members_are_counted_against_the_objects_at_their_path() -> None:
    decoded = decode(
        {"id": 1, "user": {"name": "ü"}}, {"id": None, "user": {"name": "b", "age": 3}}, {"user": None}, {}
    )
    assert shown(decoded) == {
        "id": (4, 1, 2, {"integer": [1]}),
        "user": (4, 1, 1, {"object": 2}),
        "user.name": (2, 0, 0, {"string": ["ü", "b"]}),
        "user.age": (2, 0, 1, {"integer": [3]}),
    }
    assert decoded.records == 4


def test_a_member_of_several_types_has_several_parts() -> None:
    values = [True, 1, 1.5, "a", [1], {"b": 2}, None, False, "c", -7]
    assert shown(decode(*({"x": value} for value in values))) == {
        "x": (
            10,
            1,
            0,
            {
                "boolean": [True, False],
                "integer": [1, -7],
                "number": [1.5],
                "string": ["a", "c"],
                "array": [1],
                "object": 1,
            },
        ),
        "x[]": (1, 0, 0, {"integer": [1]}),
        "x.b": (1, 0, 0, {"integer": [2]}),
    }


def test_items_and_what_is_in_them() -> None:
    assert shown(decode({"a": [{"s": 1}, {"s": 2, "t": "x"}]}, {"a": []}, {"a": [[1, 2], [3]]})) == {
        "a": (3, 0, 0, {"array": [2, 0, 2]}),
        "a[]": (4, 0, 0, {"object": 2, "array": [2, 1]}),
        "a[][]": (3, 0, 0, {"integer": [1, 2, 3]}),
        "a[].s": (2, 0, 0, {"integer": [1, 2]}),
        "a[].t": (2, 0, 1, {"string": ["x"]}),
    }


def test_values_at_the_top_that_are_no_objects() -> None:
    assert shown(decode(1, "a", None, [2], {"m": 3})) == {
        "$": (5, 1, 0, {"integer": [1], "string": ["a"], "array": [1], "object": 1}),
        "$[]": (1, 0, 0, {"integer": [2]}),
        "m": (5, 0, 4, {"integer": [3]}),
    }


def test_integers_beyond_64_bits_are_numbers() -> None:
    values = [2**63 - 1, -(2**63), 2**63, 2**64, -(2**63) - 1]
    (column,) = decode(*({"n": value} for value in values)).columns
    found = {part.type: part.values.tolist() for part in column.parts if isinstance(part, Numbers)}
    assert found == {"integer": [2**63 - 1, -(2**63)], "number": [2.0**63, 2.0**64, -(2.0**63)]}
    assert len(column.parts) == 2
    (alone,) = decode({"n": 2**63}).columns
    assert [part.type for part in alone.parts if isinstance(part, Numbers)] == ["number"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"NaN",
        b'{"a": NaN}',
        b"[Infinity]",
        b"1e999",
        b"{",
        b'{"a":1}x',
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\\ud800"',
        b"[" * 100_000,
        b"tru",
        b"{'a':1}",
        b"\x00",
    ],
)
def test_what_is_no_json_is_bad_and_alone(text: bytes) -> None:
    decoded = JsonRecords().decode(batch(b'{"a":1}', text, b'{"a":2}'))
    assert [(bad.index, bad.kind) for bad in decoded.bad] == [(1, "invalid-json")]
    assert shown(decoded) == {"a": (2, 0, 0, {"integer": [1, 2]})}


def test_the_search_for_cycles_goes_on_afterwards() -> None:
    def failing() -> None:
        with without_cycle_search():
            assert not gc.isenabled()
            raise RuntimeError("out of it")

    decode({"a": 1})
    assert gc.isenabled()
    with pytest.raises(RuntimeError):
        failing()
    assert gc.isenabled()


def test_nobody_who_does_without_the_search_for_cycles_gets_it_back() -> None:
    gc.disable()
    try:
        decode({"a": 1})
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_errors_hold_no_value() -> None:
    for text in (b'{"card": secret}', b'{"card": "secret}', b'"secret\xff"', b'{"secret": 1e9999}'):
        (bad,) = JsonRecords().decode(batch(text)).bad
        assert "secret" not in bad.error


def test_the_last_of_members_of_one_name_counts() -> None:
    assert shown(JsonRecords().decode(batch(b'{"a":1,"a":"x"}'))) == {"a": (1, 0, 0, {"string": ["x"]})}


def test_names_that_look_like_paths_are_quoted() -> None:
    decoded = decode({"a.b": 1, "a": {"b": 2}, "c[]": 3, "": 4, "$": 5, "first name": 6, "@type": 7, 'q"': 8})
    assert [column.path for column in decoded.columns] == [
        '"a.b"', "a", "a.b", '"c[]"', '""', '"$"', "first name", "@type", '"q\\""',
    ]  # fmt: skip


def test_an_object_of_many_names_is_a_map_and_stays_one() -> None:
    records = JsonRecords(DecodeLimits(max_members=20))
    small = batch(*(json.dumps({"by": {f"u{i}": i}}).encode() for i in range(20)))
    assert "by.u7" in shown(records.decode(small))
    more = shown(records.decode(batch(b'{"by":{"u1":1,"other":2}}', b'{"by":{"u3":3}}')))
    assert more == {"by": (2, 0, 0, {"object": 2}), "by{}": (3, 0, 0, {"integer": [1, 2, 3]})}
    assert shown(records.decode(batch(b'{"by":{"u1":1}}'))) == {
        "by": (1, 0, 0, {"object": 1}),
        "by{}": (1, 0, 0, {"integer": [1]}),
    }


def test_wide_objects_are_no_maps_as_long_as_their_names_stay_the_same() -> None:
    records = JsonRecords(DecodeLimits(max_members=20))
    wide = json.dumps({f"field_{n}": n for n in range(90)}).encode()
    narrow = json.dumps({f"field_{n}": n for n in range(0, 90, 3)}).encode()
    for _ in range(2):
        found = shown(records.decode(batch(wide, narrow, wide)))
        assert len(found) == 90
        assert found["field_1"] == (3, 0, 1, {"integer": [1, 1]})
    other = {f"user {n}": n for n in range(40)}
    again = shown(records.decode(batch(json.dumps(other).encode())))
    assert again.keys() == {"${}"}


def test_names_that_a_schema_declares_are_no_data() -> None:
    names = ["2024", *(f"n{n}" for n in range(60))]
    declared = declared_by_document({"properties": {name: {"type": "integer"} for name in names}})
    records = JsonRecords(DecodeLimits(max_members=20), declared)
    found = records.decode(batch(*(json.dumps({name: 1}).encode() for name in names)))
    assert {column.path for column in found.columns} == set(names)


@pytest.mark.parametrize("name", ["a", "b"])
def test_objects_of_one_writer_and_of_several_give_the_same_columns(name: str) -> None:
    alike = [{"a": n, "b": [n], "c": None} for n in range(5)]
    mixed = [*alike, {"c": 1, "b": [7], "a": 5}]
    one, several = shown(decode(*alike)), shown(decode(*mixed))
    assert several[name][3].keys() == one[name][3].keys()
    assert [each[:5] for each in several[name][3].values()] == [each[:5] for each in one[name][3].values()]


@pytest.mark.parametrize(
    "name",
    [
        "12345",
        "2024-01-31",
        "550e8400-e29b-41d4-a716-446655440000",
        "d41d8cd98f00b204e9800998ecf8427e",
        "a.b@c.org",
        "x" * 101,
    ],
)
def test_names_that_are_data_never_become_paths(name: str) -> None:
    decoded = decode({"by": {name: 1, "normal": 2}}, {name: {"v": 1}})
    assert name not in " ".join(column.path for column in decoded.columns)
    assert "${}" in shown(decoded)


def test_maps_at_the_top_and_within_maps() -> None:
    assert shown(decode({"1": {"2": {"x": 3}}}, {"4": {"5": {"x": 6}}})) == {
        "${}": (2, 0, 0, {"object": 2}),
        "${}{}": (2, 0, 0, {"object": 2}),
        "${}{}.x": (2, 0, 0, {"integer": [3, 6]}),
    }


def test_paths_are_bounded_over_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    records = JsonRecords(DecodeLimits(max_fields=3))
    assert len(records.decode(batch(b'{"a":1,"b":2}')).columns) == 2
    decoded = records.decode(batch(b'{"b":1,"c":[2],"d":{"e":3}}'))
    assert [column.path for column in decoded.columns] == ["b", "c"]
    assert decoded.truncated == 2  # the items of c, and d
    assert decoded.bad == []
    monkeypatch.setattr(json_records, "MOST_TRUNCATED", 2)
    assert records.decode(batch(b'{"e":1,"f":2,"g":3}')).truncated == 2


def test_what_is_nested_deeper_than_the_bound_is_not_looked_into() -> None:
    nested: Any = 1
    for _ in range(300):
        nested = {"a": [nested]}
    decoded = decode(nested, {"a": 1}, max_json_depth=4)
    assert [column.path for column in decoded.columns] == ["a", "a[]", "a[].a", "a[].a[]"]
    assert decoded.truncated == 1
    assert decoded.bad == []


def test_objects_below_the_bound_are_not_looked_into() -> None:
    decoded = decode({"a": {"b": {"c": 1}}}, {"a": {"b": [2]}}, max_json_depth=2)
    assert [column.path for column in decoded.columns] == ["a", "a.b"]
    assert decoded.truncated == 2


def test_a_parser_without_memory_says_nothing_of_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(text: Any) -> Any:
        raise orjson.JSONDecodeError("not enough memory to allocate buffer", "", 0)

    records = JsonRecords()
    monkeypatch.setattr(orjson, "loads", failing)
    with pytest.raises(MemoryError):
        records.decode(batch(b"{}"))


def test_endless_new_names_cost_no_memory() -> None:
    rng = random.Random(7)
    records = JsonRecords(DecodeLimits(max_fields=50, max_members=10))
    for _ in range(200):
        value = {
            f"k{rng.randrange(5)}": {f"m{rng.randrange(10**9)}": {f"n{rng.randrange(10**9)}": 1}} for _ in range(9)
        }
        decoded = records.decode(batch(json.dumps(value).encode()))
        assert len(decoded.columns) <= 50
    assert {column.path for column in decoded.columns} <= {f"k{i}{end}" for i in range(5) for end in ("", "{}", "{}{}")}


def test_an_empty_batch_and_empty_objects() -> None:
    assert JsonRecords().decode(batch()) == Decoded(0, [], [])
    assert decode({}, {}) == Decoded(2, [], [])
    assert shown(decode([], [])) == {"$": (2, 0, 0, {"array": [0, 0]})}


@pytest.mark.parametrize(
    ("byte", "looks"), [(b"{", True), (b"[", True), (b'"', True), (b"1", False), (b"\0", False), (b"t", False)]
)
def test_sniffing(byte: bytes, looks: bool) -> None:
    assert looks_like_json(byte[0]) is looks


names = st.sampled_from(["a", "b", "c d", "é"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


class Expected:
    """The values at each path by type, and the objects at the path above, from Python values one by one."""

    def __init__(self, records: list[Any]) -> None:
        self.values: dict[str, Counter[Any]] = {}
        self.objects: Counter[str] = Counter()
        self.parents: dict[str, str] = {}
        for record in records:
            if isinstance(record, dict):
                self.members("", record)
        if not all(isinstance(record, dict) for record in records):
            for record in records:
                self.value("$", record)

    def members(self, prefix: str, value: dict[str, Any]) -> None:
        for name, inner in value.items():
            self.parents[prefix + name] = prefix.removesuffix(".")
            self.value(prefix + name, inner)

    def value(self, path: str, value: Any) -> None:
        name = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
        shown = len(value) if isinstance(value, list) else None if isinstance(value, dict) else value
        kind = "null" if value is None else name[type(value)]
        self.values.setdefault(path, Counter())[kind, repr(shown)] += 1
        if isinstance(value, list):
            for item in value:
                self.value(f"{path}[]", item)
        elif isinstance(value, dict):
            self.objects[path] += 1
            if path != "$":
                self.members(f"{path}.", value)


@settings(deadline=None)
@given(st.lists(values, max_size=12))
def test_columns_hold_all_values_and_no_others(records: list[Any]) -> None:
    decoded = JsonRecords().decode(batch(*(json.dumps(record, ensure_ascii=False).encode() for record in records)))
    expected = Expected(records)
    assert decoded.bad == []
    assert {column.path for column in decoded.columns} == set(expected.values)
    for path, (slots, nulls, missing, parts) in shown(decoded).items():
        found: Counter[Any] = Counter({("null", "None"): nulls})
        for kind, values in parts.items():
            found.update([(kind, "None")] * values if kind == "object" else [(kind, repr(value)) for value in values])
        assert +found == expected.values[path]
        parent = expected.parents.get(path)
        above = len(records) if parent == "" else expected.objects[parent] if parent else expected.values[path].total()
        assert slots == above
        assert missing == above - expected.values[path].total()


def test_one_that_begins_afresh_has_seen_nothing() -> None:
    decoder = JsonRecords(DecodeLimits(max_fields=2), tail=1)
    texts = [b'{"a": 1, "b": 2}!', b'{"c": 3}!']

    def paths(decoder: JsonRecords, text: bytes) -> tuple[list[str], int]:
        found = decoder.decode(batch(text))
        return [column.path for column in found.columns], found.truncated

    assert paths(decoder, texts[0]) == (["a", "b"], 0)
    assert paths(decoder, texts[1]) == ([], 1)
    assert paths(decoder.afresh(), texts[1]) == (["c"], 0)


def test_infinities_cannot_come_in() -> None:
    for column in decode({"x": 1e308}, {"x": -1e308}, {"x": 5e-324}).columns:
        for part in column.parts:
            assert isinstance(part, Numbers)
            assert all(math.isfinite(value) for value in part.values.tolist())
