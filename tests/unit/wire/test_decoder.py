"""If this fails, records are read by the wrong decoder, or a schema that cannot be used is not reported."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from stream_lineage.errors import SchemaError
from stream_lineage.model.profile import Decoder
from stream_lineage.model.schema import Framing, SchemaType
from stream_lineage.wire.columns import Batch, Decoded
from stream_lineage.wire.decoder import DecodeLimits, decoder_for

LIST = '{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]}]}'
PREFIX = Framing.CONFLUENT_PREFIX


@pytest.mark.parametrize(
    ("type_", "framing", "text", "kind"),
    [
        (SchemaType.AVRO, PREFIX, '"int"', Decoder.COLUMNAR),
        (SchemaType.AVRO, Framing.SINGLE_OBJECT, '"int"', Decoder.COLUMNAR),
        (SchemaType.AVRO, Framing.GUID_HEADER, LIST, Decoder.RECORDS),
        (SchemaType.JSON, PREFIX, '{"type":"object"}', Decoder.JSON),
        (SchemaType.JSON, Framing.PLAIN_JSON, None, Decoder.JSON),
        (SchemaType.NONE, Framing.PLAIN_JSON, None, Decoder.JSON),
        (SchemaType.PROTOBUF, PREFIX, 'syntax = "proto3"; message M {}', Decoder.COLUMNAR),
        (SchemaType.NONE, Framing.OPAQUE, None, Decoder.OPAQUE),
        (SchemaType.NONE, PREFIX, None, Decoder.OPAQUE),  # unresolved
    ],
)
def test_the_schema_decides(type_: SchemaType, framing: Framing, text: str | None, kind: Decoder) -> None:
    decoder = decoder_for(type_, framing, text)
    assert decoder.kind is kind
    assert decoder.decode(Batch(np.zeros(16, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64))) == Decoded(
        0, [], []
    )


@pytest.mark.parametrize(
    ("type_", "framing", "text", "compared"),
    [
        (SchemaType.NONE, Framing.PLAIN_JSON, None, False),
        (SchemaType.JSON, PREFIX, '{"properties": {"a": {"type": "string"}}}', True),
        (SchemaType.JSON, PREFIX, "{", False),
        (SchemaType.JSON, PREFIX, "3", False),
        (
            SchemaType.JSON,
            Framing.CONNECT_JSON,
            '{"type": "struct", "fields": [{"field": "a", "type": "string"}]}',
            True,
        ),
        (SchemaType.JSON, Framing.CONNECT_JSON, '{"type": "struct", "fields": 3}', True),
        (SchemaType.JSON, Framing.CONNECT_JSON, "{", False),
    ],
)
def test_json_is_compared_with_a_schema_that_can_be_used_and_read_without(
    type_: SchemaType, framing: Framing, text: str | None, compared: bool
) -> None:
    data = np.frombuffer(b'{"a":1}' + bytes(16), np.uint8)
    decoded = decoder_for(type_, framing, text).decode(Batch(data, np.array([0]), np.array([7])))
    assert [column.path for column in decoded.columns] == ["a"]
    assert (decoded.compared is not None) is compared


def test_opaque_bytes_are_never_bad() -> None:
    data = np.frombuffer(b"\xff\xff" + bytes(16), np.uint8)
    batch = Batch(data, np.array([0, 1]), np.array([1, 1]))
    assert decoder_for(SchemaType.NONE, Framing.OPAQUE, None).decode(batch) == Decoded(2, [], [], text=False)


@pytest.mark.parametrize(
    "references", [{"n.F": '{"type":"fixed","name":"n.F","size":1}'}, ['{"type":"fixed","name":"n.F","size":1}']]
)
def test_references_and_limits_reach_the_decoder(references: Any) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "n.F"}, {"name": "b", "type": "n.F"}]}
    decoder = decoder_for(SchemaType.AVRO, PREFIX, json.dumps(schema), references, DecodeLimits(max_fields=1))
    decoded = decoder.decode(Batch(np.frombuffer(b"xy" + bytes(16), np.uint8), np.array([0]), np.array([2])))
    assert [column.path for column in decoded.columns] == ["a"]
    assert decoded.truncated == 1


@pytest.mark.parametrize("text", [None, "", "{}", '"n.F"'])
def test_avro_without_a_schema_that_can_be_used_is_a_schema_error(text: str | None) -> None:
    with pytest.raises(SchemaError):
        decoder_for(SchemaType.AVRO, PREFIX, text)
