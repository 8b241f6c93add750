"""If this failed, events would be profiled as their envelopes, or what is none would be taken apart."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from stream_lineage.wire.cloud_events import is_json
from stream_lineage.wire.columns import Batch, Containers, Decoded, Texts
from stream_lineage.wire.json_records import JsonRecords
from stream_lineage.wire.json_schema import declared_by_document

ENVELOPE = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}


def decode(decoder: JsonRecords, *values: Any) -> Decoded:
    texts = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    lengths = np.array([len(text) for text in texts], np.int64)
    data = np.frombuffer(b"".join(texts) + bytes(16), np.uint8)
    return decoder.decode(Batch(data, np.cumsum(lengths) - lengths, lengths))


def shape(decoded: Decoded) -> dict[str, tuple[int, int, int, list[str]]]:
    kinds = {Containers: lambda part: part.type}
    return {
        column.path: (
            column.slots,
            column.nulls,
            column.missing,
            [kinds.get(type(part), lambda each: each.type)(part) for part in column.parts],
        )
        for column in decoded.columns
    }


def test_data_is_the_record_and_attributes_stand_beside_it() -> None:
    events = [{**ENVELOPE, "data": {"n": 1}}, {**ENVELOPE, "subject": "x", "data": {"n": 2, "ce": {"id": 3}}}]
    assert shape(decode(JsonRecords(), *events)) == {
        "n": (2, 0, 0, ["integer"]),
        '"ce"': (2, 0, 1, ["object"]),
        '"ce".id': (1, 0, 0, ["integer"]),
        "ce.specversion": (2, 0, 0, ["string"]),
        "ce.id": (2, 0, 0, ["string"]),
        "ce.source": (2, 0, 0, ["string"]),
        "ce.type": (2, 0, 0, ["string"]),
        "ce.subject": (2, 0, 1, ["string"]),
    }


def test_data_that_is_no_object() -> None:
    data = base64.b64encode(b"\x00\x01\x02").decode()
    found = decode(
        JsonRecords(),
        {**ENVELOPE, "data": "text"},
        ENVELOPE,
        {**ENVELOPE, "data_base64": data},
        {**ENVELOPE, "data": [1]},
    )
    (column,) = [column for column in found.columns if column.path == "$"]
    assert (column.slots, column.nulls) == (4, 1)
    (raw,) = [part for part in column.parts if isinstance(part, Texts) and part.type == "bytes"]
    assert raw.data[raw.starts[0] : raw.starts[0] + raw.lengths[0]].tobytes() == b"\x00\x01\x02"
    assert found.bad == []


def test_improper_events_are_found_by_their_place() -> None:
    found = decode(
        JsonRecords(),
        b"{",
        {**ENVELOPE, "data": {"n": 1}},
        {**ENVELOPE, "data_base64": "secret!"},
        b"nonsense",
        {**ENVELOPE, "data": {}, "data_base64": "AAEC"},
        {"n": 2},
    )
    assert sorted((bad.index, bad.kind) for bad in found.bad) == [
        (0, "invalid-json"),
        (2, "invalid-event"),
        (3, "invalid-json"),
        (4, "invalid-event"),
    ]
    assert shape(found)["n"] == (2, 0, 0, ["integer"])
    assert all("secret" not in bad.error for bad in found.bad)


@pytest.mark.parametrize(
    "change",
    [{"id": 7}, {"source": None}, {"specversion": 1}, {"specversion": "2.0"}, {"type": ["t"]}, {"specversion": "x1.0"}],
)
def test_what_only_resembles_an_event_is_left_be(change: dict[str, Any]) -> None:
    found = shape(decode(JsonRecords(), {**ENVELOPE, **change, "data": {"n": 1}}))
    assert "data.n" in found
    assert not any(path.startswith("ce.") for path in found)


def test_a_schema_describes_the_event_itself() -> None:
    declared = declared_by_document({"properties": {name: True for name in (*ENVELOPE, "data")}})
    found = decode(JsonRecords(declared=declared), {**ENVELOPE, "data": {"n": 1}})
    assert "data.n" in shape(found)
    assert found.compared is not None
    assert not found.compared.found


def test_plain_records_that_came_before_keep_no_name_that_could_be_mistaken() -> None:
    decoder = JsonRecords()
    assert "ce" in shape(decode(decoder, {"ce": 1}))
    found = shape(decode(decoder, {"ce": 1}, {**ENVELOPE, "data": {"ce": 2}}))
    assert found['"ce"'] == (2, 0, 0, ["integer"])
    assert found["ce.type"] == (2, 0, 1, ["string"])


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/json", True),
        (b"Application/JSON; charset=utf-8", True),
        (b"application/vnd.shop.order+json", True),
        (b"application/cloudevents+json", True),
        (b"application/avro", False),
        (b"text/plain", False),
        (b"\xff", False),
        (b"", False),
        (None, False),
    ],
)
def test_content_types(content_type: bytes | None, expected: bool) -> None:
    assert is_json(content_type) is expected
