"""If this failed, one schema would be taken for two, or an id that nobody knows be asked for under another name."""

from __future__ import annotations

import pytest

from stream_lineage.detect.schema_versions import (
    bare_subject,
    group_name,
    is_version,
    sightings_of,
    unresolved,
    version_key,
    wire_id_of,
)
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON, Framing, SchemaReference, SchemaType
from stream_lineage.testing.observations import avro_reference, span, unresolved_reference

GUID = "89791762-2336-4186-9674-299b90a802e2"
BY_GUID = SchemaReference(SchemaType.AVRO, Framing.GUID_HEADER, guid=GUID)
SINGLE = SchemaReference(SchemaType.AVRO, Framing.SINGLE_OBJECT, crc64="63dd24e7cc258f8a")


@pytest.mark.parametrize(
    ("reference", "wire_id"),
    [
        (unresolved_reference(7), "id:7"),
        (SchemaReference(SchemaType.NONE, Framing.GUID_HEADER, guid=GUID, unresolved=True), f"guid:{GUID}"),
        (
            SchemaReference(SchemaType.NONE, Framing.SINGLE_OBJECT, crc64="63dd24e7cc258f8a", unresolved=True),
            "crc64:63dd24e7cc258f8a",
        ),
    ],
    ids=["id", "GUID", "fingerprint"],
)
def test_what_records_name_their_schema_by_leads_back(reference: SchemaReference, wire_id: str) -> None:
    assert wire_id_of(reference) == wire_id
    assert unresolved(wire_id) == reference


def test_the_same_name_before_and_after_the_registry_answers() -> None:
    assert [wire_id_of(each) for each in (avro_reference(7), BY_GUID, SINGLE)] == [
        "id:7",
        f"guid:{GUID}",
        "crc64:63dd24e7cc258f8a",
    ]
    assert [wire_id_of(each) for each in (PLAIN_JSON, OPAQUE)] == [None, None]


def test_one_schema_has_one_key_under_any_id() -> None:
    assert version_key(avro_reference(7, fingerprint="f")) == version_key(avro_reference(8, fingerprint="f")) == "f"
    keys = {version_key(each) for each in (BY_GUID, SINGLE, PLAIN_JSON)}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("reference", "as_value", "as_key"),
    [
        (avro_reference(7), True, True),
        (PLAIN_JSON, True, False),
        (OPAQUE, False, False),
        (unresolved_reference(7), False, False),
    ],
    ids=["Avro", "JSON", "bytes", "not known yet"],
)
def test_what_says_which_schema_the_bytes_have(reference: SchemaReference, as_value: bool, as_key: bool) -> None:
    assert (is_version(reference, "value"), is_version(reference, "key")) == (as_value, as_key)


@pytest.mark.parametrize(
    ("subject", "bare", "group"),
    [
        (None, None, ""),
        ("clicks-value", "clicks-value", ""),
        (":.eu:clicks-value", "clicks-value", ""),
        (":.eu:com.shop:Order", "com.shop:Order", "com.shop:Order"),
        ("com.shop.Order", "com.shop.Order", "com.shop.Order"),
        ("clicks-key", "clicks-key", "clicks-key"),
    ],
)
def test_subjects(subject: str | None, bare: str | None, group: str) -> None:
    assert bare_subject(subject) == bare
    assert group_name(avro_reference(7, subject=subject), "clicks", "value") == group


def test_sightings_are_of_records() -> None:
    spans = [span(1, 5, 9), span(0, 3, 9, lost=[(3, 4)]), span(2, 0, 9, lost=[(0, 9)])]
    assert sightings_of(spans) == [(0, 5), (1, 5)]
