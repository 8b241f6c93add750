"""If this failed, a record would be found by a value that it does not have, or not by the one that it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.profile.key_hashes import MOST_DECODES, REST, KeyHasher, Located, fields_of
from stream_lineage.wire.columns import Batch, Decoded
from stream_lineage.wire.decoder import RecordDecoder, decoder_for
from stream_lineage.wire.text_buffer import text_buffer

HASHER = KeyHasher(b"k" * 32, "orders", "id")
JSON = (SchemaType.JSON, Framing.PLAIN_JSON, None)


def batch(records: list[bytes]) -> Batch:
    return Batch(*text_buffer(records))


def located(records: list[bytes], hasher: KeyHasher = HASHER, schema: Any = JSON) -> Located:
    decoder: RecordDecoder = decoder_for(*schema)
    own = batch(records)
    return hasher.located(decoder.decode, own, decoder.decode(own))


def found(where: Located, typed: str, hasher: KeyHasher = HASHER) -> list[int]:
    wanted = hasher.wanted(typed)
    return sorted(int(place) for place, hashed in zip(where.places, where.hashes, strict=True) if int(hashed) in wanted)


VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.text(max_size=12), st.integers(0, 9),
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["3", 3, 3.0, 2.5, "a\nb", "käse", ""]),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=30), st.data())
def test_each_record_is_found_by_its_own_value_alone(values: list[Any], data: st.DataObject) -> None:
    where = located([orjson.dumps({"id": value, "more": "x"}) for value in values])
    assert len(where.places) + where.left_out == len(values)
    at = data.draw(st.sampled_from(range(len(values))))
    same = [place for place, value in enumerate(values) if _alike(values[at], value)]
    kept = set(where.places.tolist())
    assert found(where, _typed(values[at])) == [place for place in same if place in kept]


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _alike(typed: Any, value: Any) -> bool:
    """As ``ValueSearch`` compares: what was typed may be text or a number."""
    if isinstance(value, str):
        return _typed(typed) == value
    try:
        number = json.loads(_typed(typed), parse_float=Fraction, parse_constant=str)
    except ValueError:
        return False
    if isinstance(number, bool) or not isinstance(number, int | Fraction) or _typed(typed) != _typed(typed).strip():
        return False
    return float(number) == value if isinstance(value, float) else bool(number == value)


CASES: list[tuple[str, list[Any], dict[str, list[int]], int]] = [
    ("all have one", [{"id": "a"}, {"id": "b"}, {"id": "a"}], {"a": [0, 2], "b": [1], "c": []}, 0),
    ("some are null", [{"id": "a"}, {"id": None}, {"id": "b"}], {"a": [0], "b": [2], "": []}, 0),
    ("some have none", [{"x": 1}, {"id": "a"}, {"x": 2}, {"x": 3}], {"a": [1]}, 0),
    ("some are broken", [b"{", {"id": "a"}, b"}", {"id": "b"}], {"a": [1], "b": [3]}, 0),
    ("of several types", [{"id": "7"}, {"id": 7}, {"id": 7.5}], {"7": [0, 1], "7.5": [2], "7.0": [1]}, 0),
    ("nobody has one", [{"x": 1}, {"x": 2}], {"1": []}, 0),
    ("objects, not values", [{"id": {"a": 1}}, {"id": {"a": 2}}], {"1": []}, 0),
    ("truth values", [{"id": True}, {"id": False}], {"true": [], "1": []}, 2),
    ("none", [], {"1": []}, 0),
]


@pytest.mark.parametrize(
    ("records", "wanted", "left_out"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_places(records: list[Any], wanted: dict[str, list[int]], left_out: int) -> None:
    where = located([each if isinstance(each, bytes) else orjson.dumps(each) for each in records])
    assert {typed: found(where, typed) for typed in wanted} == wanted
    assert where.left_out == left_out


def test_nested_fields_are_found_and_those_of_arrays_are_left_out() -> None:
    records = [orjson.dumps({"user": {"id": number}, "items": [{"sku": number}]}) for number in range(5)]
    nested, items = (KeyHasher(b"k", "t", path) for path in ("user.id", "items[].sku"))
    assert found(located(records, nested), "3", nested) == [3]
    assert located(records, items).left_out == 5


def test_avro_and_protobuf() -> None:
    fields = [{"name": "id", "type": ["null", "long"]}, {"name": "kind", "type": {"type": "enum", "name": "k",
              "symbols": ["A", "B"]}}]  # fmt: skip
    avro = (SchemaType.AVRO, Framing.CONFLUENT_PREFIX, json.dumps({"type": "record", "name": "r", "fields": fields}))
    records = [b"\x02\x0a\x00", b"\x00\x02", b"\x02\x0c\x02"]
    assert found(located(records, schema=avro), "5") == [0]
    assert found(located(records, schema=avro), "6") == [2]
    kind = KeyHasher(b"k", "t", "kind")
    assert found(located(records, kind, avro), "B", kind) == [1, 2]
    # Two messages in turn that have the same field: their values do not stand in the order of the records.
    text = 'syntax = "proto3"; message A { int64 id = 1; } message B { int64 x = 2; int64 id = 1; }'
    proto = (SchemaType.PROTOBUF, Framing.CONFLUENT_PREFIX, text)
    mixed = [(b"\x00" if number % 2 else b"\x02\x02") + b"\x08" + bytes([number]) for number in range(1, 9)]
    where = located(mixed, schema=proto)
    for number in range(1, 9):
        places = found(where, str(number))
        assert places in ([number - 1], []), number
    assert len(where.places) + where.left_out == 8


RECORD_A = {"type": "record", "name": "A", "fields": [{"name": "id", "type": "long"}]}
RECORD_B = {"type": "record", "name": "B", "fields": [{"name": "x", "type": "long"}, {"name": "id", "type": "long"}]}
BRANCHES: list[tuple[str, Any, list[bytes]]] = [
    ("id", ["int", "long"], [bytes([number % 2 * 2, number * 2]) for number in range(8)]),
    ("id", ["string", "bytes"], [bytes([number % 2 * 2, 2, 48 + number]) for number in range(8)]),
    ("id.id", [RECORD_A, RECORD_B],
     [bytes([number % 2 * 2] + [0] * (number % 2) + [number * 2]) for number in range(8)]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "type_", "records"), BRANCHES)
def test_branches_of_a_union_are_told_apart(path: str, type_: Any, records: list[bytes]) -> None:
    """Their values stand branch by branch in one column."""
    hasher = KeyHasher(b"k", "t", path)
    fields = [{"name": "id", "type": type_}]
    avro = (SchemaType.AVRO, Framing.CONFLUENT_PREFIX, json.dumps({"type": "record", "name": "r", "fields": fields}))
    where = located(records, hasher, avro)
    assert where.left_out == 0
    assert [found(where, str(number), hasher) for number in range(8)] == [[number] for number in range(8)]


def test_deciding_whose_values_are_whose_has_an_end() -> None:
    calls = 0
    decoder = decoder_for(*JSON)

    def decode(part: Batch) -> Decoded:
        nonlocal calls
        calls += 1
        return decoder.decode(part)

    records = [orjson.dumps({"id": n} if n % 2 else {"no": n}) for n in range(4_000)]
    own = batch(records)
    hasher = KeyHasher(b"k", "t", "id")
    where = hasher.located(decode, own, decoder.decode(own))
    assert calls <= MOST_DECODES
    assert len(where.places) + where.left_out == 2_000
    for _ in range(REST):  # and it is not tried for ever
        assert hasher.located(decode, own, decoder.decode(own)).left_out >= 1_900
    assert calls <= 2 * MOST_DECODES
    # Where they stand together it is told all the same.
    together = [orjson.dumps({"id": n} if 1_000 <= n < 3_000 else {"no": n}) for n in range(4_000)]
    where = located(together)
    assert (sorted(where.places.tolist()), where.left_out) == (list(range(1_000, 3_000)), 0)


def test_after_a_rest_it_is_tried_again() -> None:
    calls = 0
    decoder = decoder_for(*JSON)
    records = [orjson.dumps({"id": n} if n % 2 else {"no": n}) for n in range(2_000)]
    own = batch(records)
    whole, hasher = decoder.decode(own), KeyHasher(b"k", "t", "id")

    def decode(part: Batch) -> Decoded:
        nonlocal calls
        calls += 1
        return decoder.decode(part)

    def costs() -> int:
        before = calls
        hasher.located(decode, own, whole)
        return calls - before

    while costs():
        pass
    assert [costs() for _ in range(REST - 1)] == [0] * (REST - 1)
    assert costs() == MOST_DECODES


def test_keys_and_fields_and_topics_hash_apart() -> None:
    others = [
        KeyHasher(b"other", "orders", "id"),
        KeyHasher(b"k" * 32, "order", "sid"),
        KeyHasher(b"k" * 32, "x", "id"),
    ]
    for other in others:
        assert other.check != HASHER.check
        assert not HASHER.wanted("p-1") & other.wanted("p-1")
    again = KeyHasher(b"k" * 32, "orders", "id")
    assert (again.check, again.wanted("p-1")) == (HASHER.check, HASHER.wanted("p-1"))
    raw = again.raw(batch([b"p-1", b"", b"p-2"]))
    assert [int(each) in again.wanted("p-1") for each in raw] == [True, False, False]
    assert int(raw.max()) < 2**48


def test_the_fields_of_a_topic() -> None:
    declared: Mapping[str, list[str]] = {"orders": ["id", "user.id"], "users": ["@key"], "order": []}
    said = ["orders:id", "users:@key", "orders:user.id", "orders:id"]
    assert {topic: fields_of(said, topic) for topic in declared} == declared


LONG = "a" * 300 + "{}" + "z" * 300


@pytest.mark.parametrize("schema", ["texts", "symbols"])
def test_long_texts_that_differ_in_the_middle_are_two_values(schema: str) -> None:
    texts = [LONG.format(n) for n in range(3)]
    if schema == "texts":
        where, hasher = located([orjson.dumps({"id": text}) for text in texts]), HASHER
        raw = HASHER.raw(batch([text.encode() for text in texts]))
        assert [int(each) in HASHER.wanted(texts[1]) for each in raw] == [False, True, False]
    else:
        field = {"name": "id", "type": {"type": "enum", "name": "k", "symbols": texts}}
        text = json.dumps({"type": "record", "name": "r", "fields": [field]})
        avro = (SchemaType.AVRO, Framing.CONFLUENT_PREFIX, text)
        where, hasher = located([bytes([2 * n]) for n in range(3)], schema=avro), HASHER
    assert [found(where, text, hasher) for text in (*texts, LONG.format("b"))] == [[0], [1], [2], []]


@pytest.mark.parametrize("typed", ["1_000", "+1000", " 1000", "1000 ", "01000", "1000.", "١٠٠٠", "1e3_0", "0x3e8"])
def test_what_is_no_number_in_json_is_a_text(typed: str) -> None:
    where = located([orjson.dumps({"id": 1_000}), orjson.dumps({"id": 1_000.0}), orjson.dumps({"id": typed})])
    assert found(where, typed) == [2]
    assert found(where, "1000") == found(where, "1e3") == [0, 1]


def test_strange_texts_can_be_wanted() -> None:
    for text in ("", "nan", "inf", "1e400", "9" * 5000, "0e999999", "1e999999", "1e-999999", "\udc80", "1_0", "-0.0"):
        assert HASHER.wanted(text)
    assert isinstance(np.uint64(min(HASHER.wanted("1"))), np.uint64)
