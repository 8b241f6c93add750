"""If this failed, commands, the API and traced records would say something else of a record than what is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.provenance import Provenance
from stream_lineage.model.schema import OPAQUE
from stream_lineage.model.structure import Deviation, DeviationKind, Structure
from stream_lineage.provenance import stamp
from stream_lineage.provenance.documents import (
    provenance_document,
    reading_document,
    schema_document,
    span_document,
)
from stream_lineage.provenance.lookup import StoredRecord
from stream_lineage.provenance.spans import IndexedSpan
from stream_lineage.provenance.stamp import Stamp
from stream_lineage.testing.observations import avro_reference, span, unresolved_reference

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = avro_reference(3, fingerprint="ab")
SCHEMA_DOCUMENT = {
    "type": "AVRO", "framing": "CONFLUENT_PREFIX", "id": 3, "guid": None, "subject": "clicks-value", "version": 3,
    "fingerprint": "ab",
}  # fmt: skip


def test_a_schema_says_only_what_is_known() -> None:
    assert schema_document(SCHEMA) == SCHEMA_DOCUMENT
    assert schema_document(replace(SCHEMA, crc64="63dd24e7cc258f8a")) == SCHEMA_DOCUMENT | {"crc64": "63dd24e7cc258f8a"}
    assert schema_document(unresolved_reference(3))["unresolved"] is True


def test_how_records_were_read() -> None:
    profile = Profile(Decoder.JSON, Decoder.OPAQUE, 1, 0, None, (), ())
    found = Structure((Deviation(DeviationKind.TYPE_MISMATCH, "a", "string", "integer", 3),))
    assert reading_document(None) == {"decoder": None, "deviations": None}
    assert reading_document(profile) == {"decoder": Decoder.JSON.value, "deviations": None}
    assert reading_document(replace(profile, structure=found))["deviations"] == [
        {"kind": "type-mismatch", "path": "a", "declared": "string", "seen": "integer", "count": 3}
    ]


@pytest.mark.parametrize(("timestamp", "shown"), [(NOON, "2026-03-01T12:00:00+00:00"), (None, None)])
def test_the_coordinates_of_a_record(timestamp: datetime | None, shown: str | None) -> None:
    record = Provenance("eu", "clicks", "id", 1, 7, 4, timestamp, "create", "k", SCHEMA, OPAQUE, "t", "r")
    document = provenance_document(record)
    assert (document["topic"], document["partition"], document["offset"]) == ("clicks", 1, 7)
    assert (document["timestamp"], document["key_hash"], document["trace_id"]) == (shown, "k", "t")
    assert document["schema"] == SCHEMA_DOCUMENT


def test_a_span() -> None:
    entry = IndexedSpan(span(0, 3, 9, lost=[(5, 6)]), SCHEMA, OPAQUE)
    document = span_document(entry, "id")
    assert (document["first_offset"], document["last_offset"], document["count"]) == (3, 9, 5)
    assert document["missing"] == [{"first_offset": 5, "last_offset": 6, "reason": "retention"}]


@pytest.mark.parametrize("left_out", [0, 2])
def test_a_traced_record_says_the_same_as_the_command(monkeypatch: pytest.MonkeyPatch, left_out: int) -> None:
    stored = StoredRecord(NOON, "create", 4, "6b", "4bf92f", None)
    monkeypatch.setattr(stamp, "stored_record", lambda message, key_hash: stored)  # only the client makes messages
    message: Any = object()
    made = Stamp("eu", "clicks", "id", (SCHEMA, OPAQUE), lambda key: key.hex())
    said = orjson.loads(made.of(message, 1, 7, headers_left_out=left_out))
    assert said.pop("version") == 1
    assert said.pop("headers_left_out", 0) == left_out
    record = Provenance("eu", "clicks", "id", 1, 7, 4, NOON, "create", "6b", SCHEMA, OPAQUE, "4bf92f", None)
    assert said == provenance_document(record)
