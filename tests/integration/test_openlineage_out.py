"""If this failed, others would be told of jobs and datasets what was not observed, registered or declared."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stream_lineage import indexing
from stream_lineage.connections import log_reader
from stream_lineage.emitting import our_events, sender
from stream_lineage.graph.codec import encode_event, message_key
from stream_lineage.graph.naming import naming
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, detail
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import OffsetSpan
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.log import read_messages
from stream_lineage.provenance.topics import GRAPH, OBSERVATIONS, OPENLINEAGE, ensure_topics
from stream_lineage.settings import load_settings
from stream_lineage.store.open import open_store
from stream_lineage.store.ports import Point
from stream_lineage.wire import acknowledged, kafka
from stream_lineage.wire.registry import SchemaRegistry

pytestmark = pytest.mark.kafka
NOW = datetime.now(UTC)
RUN = "0190a1b2-0000-7000-8000-000000000001"
SCHEMA = {
    "type": "record", "name": "Order", "fields": [
        {"name": "id", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}  # fmt: skip


def test_what_is_known_goes_out(cluster: Any, tmp_path: Path) -> None:
    topic = f"{tmp_path.name}-orders"
    settings = load_settings(
        {
            "bootstrap_servers": cluster.bootstrap_servers, "schema_registry_url": cluster.schema_registry_url,
            "topic_prefix": f"{tmp_path.name}.", "cluster": "test", "store": "sqlite",
            "index_path": str(tmp_path / "index.sqlite"), "sqlite_path": str(tmp_path / "metrics.sqlite"),
            "registry_timeout_seconds": 60.0,
        },
        {},
    )  # fmt: skip
    ensure_topics(kafka.admin(settings.kafka), settings.kafka)
    with closing(SchemaRegistry(settings.registry)) as registry:
        id_ = registry.register(f"{topic}-value", json.dumps(SCHEMA))
    schema = SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, id_, None, f"{topic}-value", 1, "ab" * 32)
    observed = Observation(
        "o", ObservationKind.OBSERVATION, "test", topic, "id", "c", NOW, schema, OPAQUE, 5, 0, 0, None,
        (OffsetSpan(0, 0, 4, 5, ()),), None, (),
    )  # fmt: skip
    observations = [(topic.encode(), encode_observation(observed))]
    acknowledged.write(settings.kafka, settings.kafka.topic(OBSERVATIONS), observations)
    names = naming("test", settings.kafka.addresses)
    job = names.job("enrich")

    def told(subject: Node | GraphEdge, **more: str) -> tuple[bytes, bytes]:
        begun = NOW - timedelta(days=1)
        event = GraphEvent(subject, Evidence(EvidenceClass.DECLARED, "a", begun, NOW, 1.0, detail(**more)))
        return message_key(event), encode_event(event)

    graph = [
        told(GraphEdge(names.topic(topic), job)), told(GraphEdge(job, names.topic("made"))),
        told(job, parent=f"airflow/nightly/{RUN}"),
    ]  # fmt: skip
    acknowledged.write(settings.kafka, settings.kafka.topic(GRAPH), graph)
    store = open_store(settings.store)
    whole = {"cluster": "test", "topic": topic, "partition": "all", "schema_version": "all"}
    field = {"cluster": "test", "topic": topic, "field": "more"}
    minute = NOW - timedelta(minutes=5)
    store.write([Point("lineage_topic", whole, {"bytes": 100}, minute),
                 Point("lineage_topic", {**whole, "partition": "0", "schema_version": "1"}, {"records": 5}, minute),
                 Point("lineage_field", field, {"slots": 5, "nulls": 2, "min": 1.5, "max": 2.5}, minute)])  # fmt: skip
    store.close()
    indexing.update(settings)

    events = our_events(settings, NOW)
    [running] = [event for event in events if event.get("eventType") == "RUNNING"]
    assert running["run"]["facets"]["parent"]["run"] == {"runId": RUN}
    [read] = running["inputs"]
    assert (read["namespace"], read["name"]) == ("kafka://test", topic)
    assert read["facets"]["version"]["datasetVersion"] == "ab" * 32
    assert [(each["name"], each["type"]) for each in read["facets"]["schema"]["fields"]] == [
        ("id", "string"), ("at", "timestamp-millis"), ("more", "number"),
    ]  # fmt: skip
    metrics = read["inputFacets"]["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["bytes"]) == (5, 100)
    assert metrics["columnMetrics"]["more"] == {"count": 5, "nullCount": 2, "min": 1.5, "max": 2.5}

    own = settings.kafka.topic(OPENLINEAGE)
    sender(f"kafka:{own}", settings)(events)
    sender(str(tmp_path / "events"), settings)(events)
    with closing(log_reader(settings)) as reader:
        kept = [json.loads(message.value() or b"") for message in read_messages(reader, own)]
    as_json = json.loads(json.dumps(events))
    assert kept == as_json
    assert [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()] == as_json
