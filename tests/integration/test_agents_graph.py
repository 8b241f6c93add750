"""If this failed, the lineage graph of a real Kafka would lack what is declared and read, or show what is not so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
from alerting import Deployment, consumed, deployed, wait_for
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_lineage.agents.feeds import Feeds
from stream_lineage.agents.silence import Silence
from stream_lineage.agents.value_look import ValueLook
from stream_lineage.graph.claim import news
from stream_lineage.graph.from_groups import GroupFacts, claims_of_groups
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.profile import Decoder, FieldProfile, Profile
from stream_lineage.model.record_edge import EdgeBatch, EdgeSource, ParentRange, RecordEdge
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON
from stream_lineage.model.schema_files import schema_text
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.edge_codec import encode_edges
from stream_lineage.sdk import declare, declare_lineage, send_declarations
from stream_lineage.wire.settings import KafkaSettings

pytestmark = pytest.mark.kafka
SCHEMA = jsonschema.Draft202012Validator(json.loads(schema_text("graph.schema.json")))


@pytest.fixture
def deployment(cluster: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Deployment:
    return deployed(cluster, tmp_path, request.node.name)


def graph(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "stream_lineage.cli.main", "graph", *arguments,
        "--bootstrap-servers", deployment.bootstrap_servers,
        "--topic-prefix", deployment.prefix,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": "."}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def shown(deployment: Deployment, *arguments: str) -> Any:
    done = graph(deployment, *arguments, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def consumer_of(deployment: Deployment, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": deployment.bootstrap_servers,
            "group.id": group,
            "client.id": "reader-7",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def read_by(deployment: Deployment, group: str, topic: str) -> None:
    """A real group, without members, that has committed an offset."""
    consumer = consumer_of(deployment, group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    consumer.close()


def reading(deployment: Deployment, group: str, topic: str) -> Consumer:
    """One with a member, that has committed nothing yet."""
    consumer = consumer_of(deployment, group)
    consumer.subscribe([topic])
    message = None
    while message is None or message.error():
        message = consumer.poll(1)
    return consumer


def transacted(deployment: Deployment, group: str, source: str, target: str) -> None:
    """Read and written in one transaction."""
    consumer = consumer_of(deployment, group)
    config = {"bootstrap.servers": deployment.bootstrap_servers, "transactional.id": f"{deployment.prefix}any"}
    producer = Producer(config)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(target, b"{}", partition=0)
    producer.send_offsets_to_transaction([TopicPartition(source, 0, 1)], consumer.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    consumer.close()


def produce_edges(deployment: Deployment, source: str, target: str) -> None:
    """As a collector does that has seen lineage headers."""
    now = datetime.now(UTC).replace(microsecond=0)
    parents = (RecordEdge(0, 7, (ParentRange(source, 0, 1, 3),), EdgeSource.LINEAGE),)
    batch = EdgeBatch("b1", "test", target, None, "c", now, parents)
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers})
    producer.produce(deployment.topic("edges"), encode_edges(batch), key=target.encode())
    assert producer.flush(30) == 0


def test_the_graph_says_what_was_planted_and_nothing_more(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declare, "DECLARED", declare.Declared(prefix=deployment.prefix))
    names = ("orders", "users", "enriched", "predictions", "orders-copy")
    topics = {name: f"{deployment.prefix[:-1]}-{name}" for name in names}
    base = f"{deployment.prefix[:-1]}-enrich"
    admin = AdminClient({"bootstrap.servers": deployment.bootstrap_servers})
    for future in admin.create_topics([NewTopic(topic, 1) for topic in topics.values()]).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers})
    for topic in topics.values():
        producer.produce(topic, b"{}", partition=0)
    assert producer.flush(30) == 0
    declared = deployment.directory / "lineage.yaml"
    job = {"name": "enrich", "inputs": [topics["orders"], topics["users"]], "outputs": [topics["enriched"]]}
    document = {
        "datasets": [{"name": topics["orders"], "owner": "shop"}],
        "jobs": [{**job, "groups": [base]}],
        "models": [{"name": "churn", "inputs": [topics["enriched"]], "outputs": [topics["predictions"]]}],
    }
    declared.write_text(json.dumps(document))  # which is YAML
    # Decoys: a group whose name begins alike and reads the same, one that reads what the first one's topics are like.
    reader = reading(deployment, base, topics["orders"])
    read_by(deployment, f"{base}-too", topics["orders"])
    transacted(deployment, f"{base}-exact", topics["users"], topics["predictions"])
    read_by(deployment, f"{deployment.prefix[:-1]}-billing", topics["orders-copy"])
    settings = [
        "--group-poll-seconds", "0.3", "--graph-poll-seconds", "0.5", "--lineage-declarations", str(declared),
        "--groups-include", f"{deployment.prefix[:-1]}-.*",
    ]  # fmt: skip
    planted = {
        ("dataset", topics["orders"], "job", "enrich"): {"declared", "group"},
        ("dataset", topics["users"], "job", "enrich"): {"declared"},
        ("job", "enrich", "dataset", topics["enriched"]): {"declared"},
        ("dataset", topics["enriched"], "model", "churn"): {"declared"},
        ("model", "churn", "dataset", topics["predictions"]): {"declared"},
        ("dataset", topics["orders"], "job", f"{base}-too"): {"group"},
        ("dataset", topics["users"], "job", f"{base}-exact"): {"group"},
        ("job", f"{base}-exact", "dataset", topics["predictions"]): {"transaction"},
        ("dataset", topics["orders-copy"], "job", f"{deployment.prefix[:-1]}-billing"): {"group"},
    }
    with deployment.agents(settings=settings):
        events: list[Any] = []
        messages = consumed(deployment, "graph")

        def all_there() -> bool:
            message = next(messages)
            if message is not None:
                events.append(json.loads(message.value() or b""))
                assert (message.key() or b"").decode() == events[-1]["id"]
            return edges_of(events) == planted

        wait_for(all_there, deployment.log, 120)
        produce_edges(deployment, topics["orders"], topics["orders-copy"])
        planted["dataset", topics["orders"], "dataset", topics["orders-copy"]] = {"header"}
        wait_for(all_there, deployment.log, 120)
        declare_lineage(job="scoring", inputs=[topics["users"]], outputs=[topics["predictions"]])(all_there)
        assert send_declarations({"bootstrap.servers": deployment.bootstrap_servers}, wait_seconds=60)
        planted["dataset", topics["users"], "job", "scoring"] = {"declared"}
        planted["job", "scoring", "dataset", topics["predictions"]] = {"declared"}
        wait_for(all_there, deployment.log, 120)
        found = shown(deployment, "show")
    reader.close()
    for event in events:
        SCHEMA.validate(event)

    nodes = {node["id"]: (node["kind"], node["name"]) for node in found["nodes"]}
    assert {
        (*nodes[edge["from"]], *nodes[edge["to"]]): {each["class"] for each in edge["evidence"]}
        for edge in found["edges"]
    } == planted
    assert {node["namespace"] for node in found["nodes"]} == {"kafka://test"}
    clients = {each["detail"].get("clients") for edge in found["edges"] for each in edge["evidence"]}
    assert clients == {None, "reader-*"}


def test_the_end_of_record_edges_and_silence_as_brokers_tell_them(deployment: Deployment) -> None:
    settings = KafkaSettings(bootstrap_servers=deployment.bootstrap_servers, topic_prefix=deployment.prefix)
    topic = deployment.topic("edges")
    own = AdminClient({"bootstrap.servers": deployment.bootstrap_servers})
    own.create_topics([NewTopic(topic, 2)])[topic].result(30)
    moments = [datetime.now(UTC)]
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers, "transactional.id": deployment.prefix})
    producer.init_transactions(30)
    feed = Feeds(settings, "test").record_edges()

    def transact(partition: int, *, committed: bool = True) -> None:
        producer.begin_transaction()
        producer.produce(topic, b"none of ours", partition=partition)
        producer.flush(30)
        (producer.commit_transaction if committed else producer.abort_transaction)(30)

    def all_read() -> bool:
        return feed.read(lambda _: False, lambda *_: None)

    transact(0)
    feed.start(None)
    wait_for(all_read, deployment.log, 60)
    moments.append(datetime.now(UTC))
    transact(1, committed=False)
    wait_for(all_read, deployment.log, 60)  # nothing comes of it but the mark of the transaction, which has a time too
    moments.append(datetime.now(UTC))
    silence = Silence(own)
    assert silence.records(topic, moments[0], moments[1])
    assert not silence.records(topic, moments[2], datetime.now(UTC))
    later = moments[2] + timedelta(days=1)
    assert not silence.records(topic, later, later + timedelta(days=1))


def test_the_newest_observations_of_all_partitions_are_compared(deployment: Deployment) -> None:
    settings = KafkaSettings(bootstrap_servers=deployment.bootstrap_servers, topic_prefix=deployment.prefix)
    names = naming("test", [])
    graph = Graph(
        news(Graph(), claims_of_groups([GroupFacts("g", frozenset({"orders"}), ())], (), names), lambda *_: False,
             datetime.now(UTC), timedelta(hours=1))
    )  # fmt: skip
    look = ValueLook(Feeds(settings, "test").newest_observations().read, names, seconds=1)
    # There is nothing in it; the brokers may not know it yet.
    wait_for(lambda: look.look(graph, {"orders", "copy"}) == [], deployment.log)
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers, "transactional.id": deployment.prefix})
    producer.init_transactions(30)
    sketch = DistinctSketch(10)
    sketch.add(np.random.default_rng(1).integers(0, 2**63, 3_000).astype(np.uint64))
    field = FieldProfile("id", (), 3_000, 0, 0, distinct=sketch.to_bytes())
    profile = Profile(Decoder.JSON, Decoder.OPAQUE, 3_000, 0, None, (field,), ())
    for number, (topic, committed) in enumerate([("orders", True), ("copy", True), ("private", False)]):
        observation = Observation(
            "o", ObservationKind.OBSERVATION, "test", topic, None, "c", datetime.now(UTC), PLAIN_JSON, OPAQUE, 3_000, 0,
            0, None, (), profile, (),
        )  # fmt: skip
        producer.begin_transaction()
        producer.produce(deployment.topic("observations"), encode_observation(observation), partition=number % 2)
        producer.flush(30)
        (producer.commit_transaction if committed else producer.abort_transaction)(30)
    look.drop()
    claims = look.look(graph, {"orders", "copy", "private"}) or []
    assert [each.subject.id for each in claims] == ["dataset:kafka://test/orders>dataset:kafka://test/copy"]


def edges_of(events: list[Any]) -> dict[tuple[str, str, str, str], set[str]]:
    found: dict[tuple[str, str, str, str], set[str]] = {}
    for event in events:
        if event["edge"] is not None:
            one, other = event["edge"]["from"], event["edge"]["to"]
            key = one["kind"], one["name"], other["kind"], other["name"]
            found.setdefault(key, set()).add(event["evidence"]["class"])
    return found
