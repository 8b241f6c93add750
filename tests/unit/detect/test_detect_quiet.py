"""If this failed, a harmless change of a schema would wake somebody, or one under another id would raise alerts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stream_lineage.detect.detector import SchemaText
from stream_lineage.detect.registry import detectors
from stream_lineage.detect.registry_watch import Holding, RegistryWatch, Subject
from stream_lineage.detect.schema_versions import version_key
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.testing.observations import observation, span
from stream_lineage.wire.registered_schema import fingerprint

AVRO_A = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
AVRO_B = {**AVRO_A, "fields": [*AVRO_A["fields"], {"name": "b", "type": ["null", "string"], "default": None}]}  # type: ignore[misc]
A = {"a": {"type": "integer"}}
B = {**A, "b": {"type": "string"}}
OPEN_A, OPEN_B = ({"type": "object", "properties": each, "required": ["a"]} for each in (A, B))
CLOSED_A, CLOSED_B = ({**each, "additionalProperties": False} for each in (OPEN_A, OPEN_B))
ROOMY_A, ROOMY_B = ({**each, "additionalProperties": {"type": "string"}} for each in (OPEN_A, OPEN_B))
PROTO = 'syntax = "proto3"; message M { int32 a = 1; %s }'


class Texts:
    def __init__(self, *texts: str) -> None:
        self.texts = dict(enumerate(texts, 1))

    def text(self, reference: SchemaReference) -> SchemaText:
        return SchemaText(self.texts[reference.id or 0])

    def registered(self, reference: SchemaReference) -> bool:
        return True

    def has_subject(self, subject: str) -> bool:
        return True


def references(type_: SchemaType, *texts: str) -> list[SchemaReference]:
    return [
        SchemaReference(type_, Framing.CONFLUENT_PREFIX, id_, None, "clicks-value", id_, fingerprint(type_, text, {}))
        for id_, text in enumerate(texts, 1)
    ]


def everything(type_: SchemaType, old: str, new: str) -> list[Finding]:
    """What all detectors find on the wire and in the registry when ``new`` follows ``old`` in every partition."""
    schemas = Texts(old, new)
    before, after = references(type_, old, new)
    flushes = [
        observation(before, span(0, 0, 9), span(1, 0, 9)),
        observation(after, span(0, 10, 19)),
        observation(after, span(0, 20, 29), span(1, 10, 19)),
    ]
    found: list[Finding] = []
    for detector in detectors().values():
        state = detector.initial()
        for flush in flushes:
            state, findings = detector.observe(state, flush, flush.observed_at, schemas)
            found += findings
    watch = RegistryWatch()
    subject = Subject("test", "clicks", "value", "clicks-value", before, frozenset({version_key(before)}))
    state, _ = watch.look(watch.initial(), subject, Holding((1,)), schemas)
    _, findings = watch.look(state, subject, Holding((1, 2), added={2: after}), schemas)
    return [*found, *findings]


@pytest.mark.parametrize(
    ("type_", "old", "new"),
    [
        (SchemaType.AVRO, json.dumps(AVRO_A), json.dumps(AVRO_B)),
        (SchemaType.PROTOBUF, PROTO % "", PROTO % "string b = 2;"),
        (SchemaType.PROTOBUF, PROTO % "", PROTO % "optional string b = 2;"),
        (SchemaType.JSON, json.dumps(ROOMY_A), json.dumps(ROOMY_B)),
    ],
)
def test_a_compatible_optional_field_is_information(type_: SchemaType, old: str, new: str) -> None:
    found = everything(type_, old, new)

    assert {finding.kind for finding in found} == {"schema-drift", "upcoming-schema"}
    assert {finding.severity for finding in found} == {Severity.INFO}


@pytest.mark.parametrize(("old", "new"), [(OPEN_A, OPEN_B), (CLOSED_A, CLOSED_B)])
def test_an_optional_property_that_one_side_may_trip_over_is_no_page(old: object, new: object) -> None:
    found = everything(SchemaType.JSON, json.dumps(old), json.dumps(new))

    assert found
    assert {finding.severity for finding in found} == {Severity.WARNING}


@pytest.mark.parametrize(
    ("type_", "old", "new"),
    [
        (SchemaType.AVRO, json.dumps(AVRO_B), json.dumps({**AVRO_B, "doc": "new words"}, indent=2)),
        (SchemaType.JSON, json.dumps(OPEN_B), json.dumps(dict(reversed(OPEN_B.items())), indent=2)),
        (SchemaType.PROTOBUF, PROTO % "", "// a comment\n" + (PROTO % "").replace("{", "{\n")),
        (SchemaType.AVRO, json.dumps(AVRO_A), json.dumps(AVRO_A)),
    ],
)
def test_an_unchanged_schema_under_a_new_id_is_nothing(type_: SchemaType, old: str, new: str) -> None:
    assert everything(type_, old, new) == []


def test_nor_is_one_whose_subject_has_another_name_in_the_registry() -> None:
    [first] = references(SchemaType.AVRO, json.dumps(AVRO_A))
    renamed = replace(first, id=2, subject="R", version=1)
    detector = detectors()["schema-drift"]
    state = detector.initial()
    for index, reference in enumerate((first, renamed, first)):
        flush = observation(reference, span(0, index * 10, index * 10 + 9))
        state, findings = detector.observe(state, flush, flush.observed_at, Texts(json.dumps(AVRO_A)))
        assert findings == ()
