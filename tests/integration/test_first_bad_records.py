"""If this failed, an answer would name another record as the first bad one, or send readers to the wrong offset."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alerting import Deployment, deployed
from confluent_kafka import Consumer, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_lineage.cli.main import run
from stream_lineage.explain.first_bad import Sought
from stream_lineage.graph.codec import encode_event, message_key
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import PLAIN_JSON, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import OffsetSpan
from stream_lineage.pinpointing import Place, pinpoint
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.settings import load_settings
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

pytestmark = pytest.mark.kafka
RECORDS, FLUSH, WINDOWS, ONSET = 600, 20, 300, 270
"""Records of a partition and of a flush; windows of ten seconds, and the first of them that deviates."""
SECRET = 987_654.25
Record = Callable[[int, int], dict[str, Any]]


@dataclass
class Planted:
    """Records, and what was observed and measured of them; the last record is as old as ``now``. What was observed in
    the first window that deviates are the records from 280 to 299."""

    deployment: Deployment
    topic: str
    now: datetime
    store: Path

    def time(self, offset: int) -> datetime:
        """When a record was written: half of them in the time that deviates."""
        return self.now - timedelta(seconds=(RECORDS - offset) * self.spacing)

    @property
    def spacing(self) -> float:
        return 10 * (WINDOWS - ONSET) * 2 / RECORDS

    def explained(self, capsys: pytest.CaptureFixture[str], *asked: str) -> dict[str, Any]:
        given = ["--bootstrap-servers", self.deployment.bootstrap_servers, "--topic-prefix", self.deployment.prefix,
                 "--cluster", "test", "--sqlite-path", str(self.store), "--output", "json",
                 "--at", self.now.isoformat()]  # fmt: skip
        assert run(["explain", *asked, *given]) == 0
        text = capsys.readouterr().out
        assert "987654" not in text
        answer: dict[str, Any] = json.loads(text)
        assert (answer["verdict"], answer["causes"][0]["node"]) == ("root-cause", self.topic), answer["sentence"]
        return answer


def planted(cluster: Any, tmp_path: Path, name: str, record: Record, schema_from: dict[int, int]) -> Planted:
    """A topic of two partitions and what is made of it. ``schema_from``: where another schema begins."""
    deployment = deployed(cluster, tmp_path, name)
    topic = f"{deployment.prefix}raw"
    made = Planted(deployment, topic, datetime.now(UTC), tmp_path / "metrics.sqlite")
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    new = [NewTopic(deployment.topic("graph"), num_partitions=1), NewTopic(topic, num_partitions=2)]
    for future in admin.create_topics(new).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "enable.idempotence": True})
    places: list[tuple[int, int]] = []
    for partition, offset in itertools.product((0, 1), range(RECORDS)):
        producer.produce(
            topic, json.dumps(record(partition, offset)), f"k{offset}", partition=partition,
            timestamp=int(made.time(offset).timestamp() * 1000),
            on_delivery=lambda _, message: places.append((message.partition(), message.offset())),
        )  # fmt: skip
    assert producer.flush(30) == 0
    assert sorted(places) == [(partition, offset) for partition in (0, 1) for offset in range(RECORDS)]
    for first in range(0, RECORDS, FLUSH):
        for each in observed(made, first, schema_from):
            at = int(each.observed_at.timestamp() * 1000)
            where = deployment.topic("observations")
            producer.produce(where, encode_observation(each), topic, partition=2, timestamp=at)
    known = Evidence(EvidenceClass.DECLARED, "test", made.now - timedelta(hours=2), made.now, 1.0)
    namespace = "kafka://test"
    edges = [
        GraphEdge(Node(NodeKind.DATASET, namespace, topic), Node(NodeKind.DATASET, namespace, "scores")),
        GraphEdge(
            Node(NodeKind.COLUMN, namespace, topic, "amount"), Node(NodeKind.COLUMN, namespace, "scores", "total")
        ),
    ]
    for edge in edges:
        event = GraphEvent(edge, known)
        producer.produce(deployment.topic("graph"), encode_event(event), message_key(event))
    assert producer.flush(30) == 0
    store = SqliteStore(made.store)
    random = np.random.default_rng(5)
    for hop, node in enumerate((topic, "scores")):
        ratios = 0.03 + 0.003 * random.normal(size=WINDOWS)
        ratios[ONSET + hop :] += 0.5
        times = (made.now - timedelta(seconds=10 * (WINDOWS - window)) for window in range(WINDOWS))
        tags = {"cluster": "test", "topic": node, "field": "amount"}
        store.write(
            Point("lineage_field", tags, {"null_ratio": float(ratio)}, at)
            for at, ratio in zip(times, ratios, strict=True)
        )
    for window in range(WINDOWS) if schema_from else ():
        version = "2" if window >= ONSET else "1"
        tags = {"cluster": "test", "topic": topic, "partition": "all", "schema_version": version}
        store.write([Point("lineage_topic", tags, {"records": 20}, made.now - timedelta(seconds=10 * (300 - window)))])
    store.close()
    return made


def observed(made: Planted, first: int, schema_from: dict[int, int]) -> list[Observation]:
    """What a flush says of both partitions: one observation for each schema."""
    old = SchemaReference(SchemaType.JSON, Framing.CONFLUENT_PREFIX, 1, subject="raw-value", version=1)
    new = SchemaReference(SchemaType.JSON, Framing.CONFLUENT_PREFIX, 2, subject="raw-value", version=2)
    found = []
    for schema in (old, new) if schema_from else (PLAIN_JSON,):
        spans = []
        for partition in (0, 1):
            turn = min(max(schema_from.get(partition, RECORDS), first), first + FLUSH)
            begin, stop = (turn, first + FLUSH) if schema == new else (first, turn)
            if begin < stop:
                spans.append(OffsetSpan(partition, begin, stop - 1, stop - begin))
        if spans:
            found.append(
                Observation(
                    f"{first}/{schema.version}", ObservationKind.OBSERVATION, "test", made.topic, None, "one",
                    made.time(first + FLUSH), schema, PLAIN_JSON, sum(span.count for span in spans), 100, 0, None,
                    tuple(spans), None, (),
                )
            )  # fmt: skip
    return found


def committed(made: Planted, group: str, offset: int) -> None:
    """A group that has read so far, and has stopped."""
    consumer = Consumer(
        {"bootstrap.servers": made.deployment.bootstrap_servers, "group.id": group, "enable.auto.commit": False}
    )
    consumer.commit(offsets=[TopicPartition(made.topic, each, offset) for each in (0, 1)], asynchronous=False)
    consumer.close()


def test_the_first_null_is_found_by_reading_again_and_readers_are_sent_before_it(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # In partition 0 every second record is bad from 287 on; in partition 1 no record is.
    def record(partition: int, offset: int) -> dict[str, Any]:
        bad = partition == 0 and offset >= 287 and offset % 2
        return {"id": offset, "amount": None if bad else SECRET}

    made = planted(cluster, tmp_path, "first", record, {})
    committed(made, f"{made.deployment.prefix}billing", 450)
    asked = ("scores:amount", "--metric", "null_ratio")
    answer = made.explained(capsys, *asked)
    [found] = answer["first_bad"]
    assert (found["partition"], found["offset"], found["exact"], found["by"]) == (0, 287, True, "values")
    written = datetime.fromisoformat(found["timestamp"])
    assert abs(written - made.time(287)) < timedelta(milliseconds=2)
    assert "287" in answer["located"]
    assert answer["columns"] == ["scores:total"]
    assert answer["consumer_groups"] == [f"{made.deployment.prefix}billing"]
    [plan] = answer["replay"]
    [reset] = plan["groups"][0]["partitions"]
    assert (reset["partition"], reset["committed"], reset["target"], reset["again"]) == (0, 450, 287, 163)

    # Retention takes it: then it is one of a range, which is what was observed.
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(made.topic, 0, 290)]).values():
        future.result(30)
    answer = made.explained(capsys, *asked)
    [found] = answer["first_bad"]
    assert not found["exact"]
    assert found["first"] <= 287 <= found["last"]
    assert "retention" in found["why"]
    assert run(["explain", *asked, "--bootstrap-servers", cluster.bootstrap_servers, "--topic-prefix",
                made.deployment.prefix, "--cluster", "test", "--sqlite-path", str(made.store)]) == 0  # fmt: skip
    assert "retention has taken" in capsys.readouterr().out


def test_a_new_schema_is_exact_without_reading_and_a_rate_that_was_there_before_gives_a_range(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(7)
    usual = random.random((2, RECORDS)) < 0.05

    def record(partition: int, offset: int) -> dict[str, Any]:
        bad = bool(usual[partition, offset]) or (offset >= 291 and offset % 2)
        return {"id": offset, "amount": None if bad else SECRET}

    made = planted(cluster, tmp_path, "rates", record, {})
    answer = made.explained(capsys, "scores", "--field", "amount", "--metric", "null_ratio")
    assert [each["partition"] for each in answer["first_bad"]] == [0, 1]
    for found in answer["first_bad"]:
        assert found["first"] <= 291 <= found["last"]
        assert found["last"] - found["first"] < 60

    deeper = tmp_path / "schema"
    deeper.mkdir()
    made = planted(cluster, deeper, "schema", record, {0: 285, 1: 293})
    answer = made.explained(capsys, "scores", "--field", "amount", "--metric", "null_ratio")
    found = [(each["partition"], each["offset"], each["exact"], each["by"]) for each in answer["first_bad"]]
    assert found == [(0, 285, True, "schema"), (1, 293, True, "schema")]
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    [described] = admin.describe_topics(TopicCollection([made.topic])).values()
    assert {each["topic_id"] for each in answer["first_bad"]} == {str(described.result(30).topic_id)}


def test_a_transaction_that_is_open_in_one_partition_hides_nothing_of_the_others_and_is_said(
    cluster: Any, tmp_path: Path
) -> None:
    deployment = deployed(cluster, tmp_path, "open")
    topic, now = f"{deployment.prefix}raw", datetime.now(UTC)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    for future in admin.create_topics([NewTopic(topic, num_partitions=3)]).values():
        future.result(30)
    at = int(now.timestamp() * 1000)
    address = {"bootstrap.servers": cluster.bootstrap_servers}
    plain = Producer(address)
    for partition, offset in itertools.product((0, 1), range(100)):
        amount = None if partition == 0 and offset >= 60 else SECRET
        value = json.dumps({"amount": amount})
        plain.produce(topic, value, partition=partition, timestamp=at + (offset - 50) * 1000)
    assert plain.flush(30) == 0
    writing = Producer({**address, "transactional.id": topic})
    writing.init_transactions(30)
    writing.begin_transaction()
    for partition, offset in itertools.product((1, 2), range(10)):
        writing.produce(topic, '{"amount": null}', partition=partition, timestamp=at + (offset + 55) * 1000)
    assert writing.flush(30) == 0
    given = {"bootstrap_servers": cluster.bootstrap_servers, "topic_prefix": deployment.prefix, "cluster": "test",
             "sqlite_path": str(tmp_path / "metrics.sqlite")}  # fmt: skip
    sought = Sought("null_ratio", "amount", True)
    place = Place(topic, sought, now + timedelta(seconds=5), now + timedelta(seconds=12))
    found = pinpoint(load_settings(given, {}), place)
    writing.abort_transaction(30)
    assert [(each.partition, each.offset, each.exact) for each in found.first_bad] == [(0, 60, True)]
    said = " ".join(found.notes)
    assert "In partition 1 a transaction is open: its 10 offsets from 100 on cannot be read yet." in said
    assert "In partition 2 a transaction is open: its 10 offsets from 0 on cannot be read yet." in said
    assert "In partition 0" not in said
