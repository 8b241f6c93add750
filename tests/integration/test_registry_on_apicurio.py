"""If this failed, ids on the wire would not be resolved against a real registry."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from stream_lineage.errors import SchemaError, UnknownSchema
from stream_lineage.model.schema import SchemaType
from stream_lineage.wire.registered_schema import SubjectVersion
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings

pytestmark = pytest.mark.kafka


@pytest.fixture
def registry(cluster: Any) -> Iterator[SchemaRegistry]:
    found = SchemaRegistry(
        RegistrySettings(schema_registry_url=cluster.schema_registry_url, registry_timeout_seconds=20)
    )
    yield found
    found.close()


def record(name: str, *fields: str) -> str:
    return json.dumps({"type": "record", "name": name, "fields": [{"name": f, "type": "long"} for f in fields]})


def test_versions_of_a_subject(registry: SchemaRegistry) -> None:
    topic, name = f"t-{uuid.uuid4()}", f"R{uuid.uuid4().hex}"
    first = registry.register(f"{topic}-value", record(name, "a"))
    second = registry.register(f"{topic}-value", record(name, "a", "b"))
    assert first != second
    assert registry.register(f"{topic}-value", record(name, "a")) == first
    for id_, version in ((first, 1), (second, 2)):
        schema = registry.by_id(id_, topic=topic, role="value")
        assert (schema.reference.subject, schema.reference.version) == (f"{topic}-value", version)
        assert schema.type is SchemaType.AVRO
    assert json.loads(schema.text) == json.loads(record(name, "a", "b"))
    assert registry.latest(f"{topic}-value").reference == schema.reference
    assert f"{topic}-value" in registry.subjects()


def test_one_schema_under_two_subjects(registry: SchemaRegistry) -> None:
    topic, name = f"t-{uuid.uuid4()}", f"R{uuid.uuid4().hex}"
    id_ = registry.register(f"{topic}-value", record(name, "a"))
    assert registry.register(f"{topic}-key", record(name, "a")) == id_
    assert registry.versions_of(id_) == (SubjectVersion(f"{topic}-key", 1), SubjectVersion(f"{topic}-value", 1))
    assert registry.by_id(id_, topic=topic, role="key").reference.subject == f"{topic}-key"
    assert registry.by_id(id_, topic=topic, role="value").reference.subject == f"{topic}-value"
    assert registry.by_id(id_, topic="another", role="value").reference.subject == f"{topic}-key"


def test_types_and_references(registry: SchemaRegistry) -> None:
    unique = uuid.uuid4().hex
    inner = record(f"Inner{unique}", "a")
    registry.register(f"inner-{unique}", inner)
    outer = json.dumps(
        {"type": "record", "name": f"Outer{unique}", "fields": [{"name": "inner", "type": f"Inner{unique}"}]}
    )
    to_inner = {"name": f"Inner{unique}", "subject": f"inner-{unique}", "version": 1}
    id_ = registry.register(f"outer-{unique}", outer, references=(to_inner,))
    schema = registry.by_id(id_, topic="t", role="value")
    assert {name: json.loads(text) for name, text in schema.references.items()} == {f"Inner{unique}": json.loads(inner)}
    document = json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "title": unique})
    id_ = registry.register(f"json-{unique}-value", document, SchemaType.JSON)
    assert registry.by_id(id_, topic=f"json-{unique}", role="value").type is SchemaType.JSON
    id_ = registry.register(
        f"proto-{unique}-value", f'syntax = "proto3"; message M{unique} {{ int32 a = 1; }}', SchemaType.PROTOBUF
    )
    assert registry.by_id(id_, topic=f"proto-{unique}", role="value").type is SchemaType.PROTOBUF


def test_what_it_does_not_know(registry: SchemaRegistry) -> None:
    with pytest.raises(UnknownSchema):
        registry.by_id(2_000_000_000, topic="t", role="value")
    with pytest.raises(UnknownSchema):
        registry.by_guid(str(uuid.uuid4()), topic="t", role="value")
    with pytest.raises(UnknownSchema):
        registry.latest(f"none-{uuid.uuid4()}")
    with pytest.raises(SchemaError):
        registry.register(f"bad-{uuid.uuid4()}", "{no schema")
