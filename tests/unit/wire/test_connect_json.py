"""If this failed, Connect's records would be profiled with their envelope, or stand under another record's schema."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.collect.embedded_schemas import MAX_ENVELOPES
from stream_lineage.collect.payloads import joined
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.model.schema import Framing
from stream_lineage.wire.connect_json import as_json_schema, envelope_of
from stream_lineage.wire.framing import JSON, OPAQUE, classify

SCHEMAS: list[Any] = [
    None,
    {"type": "int32", "optional": False},
    {"type": "struct", "fields": [{"field": "schema", "type": "string"}], "name": "ü"},
    {"type": "string", "parameters": {"schema": "payload"}},
    "text",
    {"no": "type"},
    [],
]
PAYLOADS = st.recursive(
    st.sampled_from([None, 1, -2.5, "a", '"payload":{"schema":null}}', "é", {"schema": {"type": "x"}, "payload": 1}]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["schema", "payload", "b"]), inner),
    max_leaves=4,
)
LAYOUTS: list[dict[str, Any]] = [{"separators": (",", ":")}, {}, {"indent": 2}, {"ensure_ascii": False}]


@st.composite
def records(draw: st.DrawFn) -> bytes:
    schema, payload = draw(st.sampled_from(SCHEMAS)), draw(PAYLOADS)
    document = draw(
        st.sampled_from(
            [
                {"schema": schema, "payload": payload},
                {"payload": payload, "schema": schema},
                {"schema": schema, "payload": payload, "more": 1},
                {"schema": schema},
                payload,
            ]
        )
    )
    text = json.dumps(document, **draw(st.sampled_from(LAYOUTS))).encode()
    text = draw(st.sampled_from([b"", b" ", b"\n"])) + text + draw(st.sampled_from([b"", b"\n"]))
    return draw(st.sampled_from([text, text, text, text[:-1], text[:-2], text + b"}"]))


def sliced(record: bytes, codes: SchemaCodes, code: int) -> bytes:
    envelope = codes.envelope(code)
    assert envelope is not None
    return record[codes.payload_offset(code) : len(record) - len(envelope.tail)]


def looked_into(codes: SchemaCodes, texts: list[bytes], topic: str = "t") -> list[int]:
    payloads = joined(list(texts))
    found = classify(np.frombuffer(payloads.data, np.uint8), payloads.starts, payloads.lengths)
    codes.look_inside(topic, "value", found, payloads.data, payloads.starts, payloads.lengths)
    return [int(code) for code in found]


def canonical(schema: Any) -> str | None:
    if schema is None:
        return None
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(records(), min_size=1, max_size=8), min_size=1, max_size=3))
def test_each_record_stands_in_its_own_envelope(batches: list[list[bytes]]) -> None:
    codes = SchemaCodes()
    for texts in batches:
        for text, code in zip(texts, looked_into(codes, texts), strict=True):
            try:
                document = json.loads(text)
            except ValueError:
                document = None
            proper = isinstance(document, dict) and document.keys() == {"schema", "payload"}
            schema = document["schema"] if proper else "none"
            proper = proper and (schema is None or (isinstance(schema, dict) and isinstance(schema.get("type"), str)))
            key = codes.key(code)
            if proper:
                assert (key.framing, key.id) == (Framing.CONNECT_JSON, canonical(schema))
                assert json.loads(sliced(text, codes, code)) == document["payload"]
            elif key.framing is Framing.CONNECT_JSON:  # by its looks; what is inside is then found to be no JSON
                with pytest.raises(ValueError):
                    json.loads(sliced(text, codes, code))
            else:
                assert code in (JSON, OPAQUE)


def test_one_schema_in_two_layouts_is_one_reference() -> None:
    codes = SchemaCodes()
    document = {"schema": {"type": "int8", "optional": True}, "payload": 1}
    turned = {"schema": {"optional": True, "type": "int8"}, "payload": 2}
    found = looked_into(codes, [json.dumps(document).encode(), json.dumps(turned, separators=(",", ":")).encode()])
    assert found[0] != found[1]
    assert codes.key(found[0]) == codes.key(found[1])


def test_made_up_schemas_are_told_apart_within_bounds() -> None:
    codes = SchemaCodes()
    texts = [json.dumps({"schema": {"type": f"t{n}"}, "payload": n}).encode() for n in range(500)]
    for _ in range(2):
        found = looked_into(codes, texts)
        assert len({code for code in found if code != JSON}) == MAX_ENVELOPES
    assert found == looked_into(codes, texts)
    assert codes.key(looked_into(codes, texts[:1], "other")[0]).framing is Framing.CONNECT_JSON


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b'{"schema":',
        b'{"schema":{"type":"int8"},"payload":',
        b'{"schema":' + b'{"type":' * 5_000,
        b'{"schema":{"type":"int8","a":"\xff"},"payload":1}',
        b'{"payload":1,"schema":' + b"[" * 5_000 + b"}",
        b'{"payload":{"schema":{"type":"a"}}}',
        b'{"schema":{"type":"int8"},"other":1}',
        b'{"schema":{"type":3},"payload":1}',
        b'{"schema":{},"payload":1}',
        b'{"payload":1,"other":{"schema":{"type":"a"}}}',
        b'{"payload":[{},"schema"]}',
        b'{"payload":1,"schema":{"type":"a"},"other":2}',
    ],
)
def test_what_is_no_envelope(record: bytes) -> None:
    assert envelope_of(record) is None


@pytest.mark.parametrize(
    ("record", "payload", "schema"),
    [
        (b'{"schema":{"type":"int8"},"payload":1}', b"1", '{"type":"int8"}'),
        (b' { "schema" : null , "payload" :  [2] } \n', b"  [2] ", None),
        (b'{"payload":1,"schema":{"type":"int8"}}', b"1", '{"type":"int8"}'),
        (b'{"payload" :1 ,"schema": {"type":"int8","name":"n"} }', b"1 ", '{"name":"n","type":"int8"}'),
        (b'{"payload":{"a":1,"schema":{"type":"x"}},"schema":null}', b'{"a":1,"schema":{"type":"x"}}', None),
        (
            b'{"payload":1,"schema":{"type":"int8","a":1,"schema":{"b":2}}}',
            b"1",
            '{"a":1,"schema":{"b":2},"type":"int8"}',
        ),
    ],
)
def test_an_envelope_is_what_stands_around_the_payload(record: bytes, payload: bytes, schema: str | None) -> None:
    envelope = envelope_of(record)
    assert envelope is not None
    assert record == envelope.head + payload + envelope.tail
    assert envelope.schema == schema
    assert envelope.fingerprint == (None if schema is None else canonical(json.loads(schema)))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "struct", "fields": 5}, {"type": ["object"], "properties": {}, "required": []}),
        ({"type": "array", "items": {"type": ["int8"]}}, {"type": ["array"], "items": True}),
        ({"type": "array"}, {"type": ["array"], "items": True}),
        ({"type": {}}, True),
        ("int8", True),
    ],
)
def test_a_connect_schema_that_says_something_odd_declares_anything_there(schema: Any, expected: Any) -> None:
    assert as_json_schema(schema) == expected


def test_what_a_connect_schema_declares() -> None:
    declared = as_json_schema(
        {
            "type": "struct",
            "fields": [
                {"field": "id", "type": "int64", "optional": False},
                {"field": "at", "type": "int64", "optional": True, "name": "org.apache.kafka.connect.data.Timestamp"},
                {"field": "price", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"},
                {"field": "tags", "type": "array", "items": {"type": "string"}, "default": []},
                {"field": "more", "type": "map", "keys": {"type": "string"}, "values": {"type": "double"}},
                {"field": "odd", "type": "unheard-of", "optional": True},
                "no field",
            ],
        }
    )
    assert declared == {
        "type": ["object"],
        "properties": {
            "id": {"type": ["integer"]},
            "at": {"type": ["integer", "null"]},
            "price": {"type": ["string", "number"]},
            "tags": {"type": ["array"], "items": {"type": ["string"]}},
            "more": {"type": ["object", "array"], "additionalProperties": {"type": ["number"]}},
            "odd": True,
        },
        "required": ["id", "price", "more"],
    }
    nested: Any = {"type": "int8"}
    for _ in range(500):
        nested = {"type": "array", "items": nested}
    assert json.dumps(as_json_schema(nested)).count("items") < 100
