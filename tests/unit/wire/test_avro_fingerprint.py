"""If this failed, single objects would be taken for those of another schema, or of none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form

from stream_lineage.wire.avro_fingerprint import crc64, crc64_name, parsing_form
from stream_lineage.wire.avro_schema import parse_schema

VECTORS = [  # of Avro's own share/test/data/schema-tests.txt
    ('"null"', 7195948357588979594),
    ('"boolean"', -6970731678124411036),
    ('{"name":"foo","type":"fixed","size":15}', 1756455273707447556),
]
SCHEMAS: list[Any] = [
    "string",
    ["null", "long"],
    {"type": "array", "items": {"type": "map", "values": {"type": "long", "logicalType": "timestamp-millis"}}},
    {
        "type": "record",
        "name": "a.b.R",
        "doc": "d",
        "aliases": ["old"],
        "fields": [
            {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "A"}, "default": "B"},
            {"name": "again", "type": ["null", "E"], "doc": "x", "order": "ignore"},
            {"name": "f", "type": {"type": "fixed", "name": "c.F", "size": 4}},
            {"name": "f2", "type": "c.F"},
            {"name": "next", "type": ["null", "R"]},
        ],
    },
    {"type": "error", "name": "Oops", "fields": []},
]


@pytest.mark.parametrize(("text", "expected"), VECTORS)
def test_vectors_of_the_specification(text: str, expected: int) -> None:
    assert int(crc64_name(parse_schema(text)), 16) == expected % 2**64


def test_nothing_has_the_empty_fingerprint() -> None:
    assert crc64(b"") == 0xC15D213AA4D7A795


@pytest.mark.parametrize("schema", SCHEMAS)
def test_fastavro_says_the_same(schema: Any) -> None:
    form = to_parsing_canonical_form(schema)
    if isinstance(schema, dict) and schema["type"] == "error":
        form = form.replace('"error"', '"record"')
    parsed = parse_schema(json.dumps(schema))
    assert parsing_form(parsed).decode() == form
    assert crc64_name(parsed) == bytes.fromhex(fingerprint(form, "CRC-64-AVRO"))[::-1].hex()
