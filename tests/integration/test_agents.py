"""If this failed, a real schema change in a real Kafka would raise no alert, a wrong one, or another after a crash."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from alerting import NOW, PARTITIONS, Deployment, alerts, body, deployed, headers, produce, wait_for
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
from patience import deadline_in, patient

from stream_lineage.model.observation import Observation
from stream_lineage.model.profile import Decoder, Profile
from stream_lineage.model.schema import SchemaReference
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.testing.observations import avro_reference, observation, span

pytestmark = pytest.mark.kafka


@pytest.fixture
def deployment(cluster: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Deployment:
    return deployed(cluster, tmp_path, request.node.name)


def registered(deployment: Deployment, subject: str, schema: dict[str, Any]) -> SchemaReference:
    base = deployment.registry_url
    answer = httpx.post(f"{base}/subjects/{subject}/versions", json={"schema": json.dumps(schema)}, timeout=30)
    answer.raise_for_status()
    schema_id = answer.json()["id"]
    known = httpx.post(f"{base}/subjects/{subject}", json={"schema": json.dumps(schema)}, timeout=30).json()
    fingerprint = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()
    return avro_reference(schema_id, subject=subject, version=known["version"], fingerprint=fingerprint)


def customer(age: str) -> dict[str, Any]:
    return {"type": "record", "name": "Customer", "fields": [{"name": "age", "type": age}]}


def test_a_changed_schema_is_an_alert_with_exact_offsets(deployment: Deployment) -> None:
    subject = f"{deployment.prefix}customers-value"
    topic = f"{deployment.prefix}customers"
    v1 = registered(deployment, subject, customer("int"))
    httpx.put(f"{deployment.registry_url}/config/{subject}", json={"compatibility": "NONE"}, timeout=30)
    v2 = registered(deployment, subject, customer("string"))
    with deployment.agents() as process:
        produce(deployment, [observation(v1, span(0, 0, 99), span(1, 0, 49), topic=topic, cluster="test", at=NOW)])
        produce(
            deployment,
            [
                observation(v1, span(0, 100, 119), topic=topic, cluster="test", at=NOW + timedelta(seconds=1)),
                observation(v2, span(0, 120, 149), topic=topic, cluster="test", at=NOW + timedelta(seconds=1)),
            ],
        )
        produce(
            deployment, [observation(v2, span(1, 50, 70), topic=topic, cluster="test", at=NOW + timedelta(seconds=2))]
        )
        found = alerts(deployment, "drift-alerts", lambda seen: len(seen) >= 2)

        assert [body(message)["first_offsets"] for message in found] == [{"0": 120}, {"0": 120, "1": 50}]
        first, update = body(found[0]), body(found[1])
        assert first["fingerprint"] == update["fingerprint"]
        assert (first["kind"], first["severity"]) == ("schema-drift", "critical")
        assert first["dataset"] == {"namespace": "kafka://test", "name": topic}
        assert first["compatibility"] == {"verdict": "none", "backward": False, "forward": False}
        assert first["changes"] == [
            {
                "kind": "type-changed",
                "path": "age",
                "old": "int",
                "new": "string",
                "breaks": ["backward", "forward"],
            }
        ]
        assert (first["before"]["id"], first["after"]["id"]) == (v1.id, v2.id)
        assert found[0].key() == topic.encode()
        ids = [headers(message) for message in found]
        assert ids[0]["ce_id"] != ids[1]["ce_id"]
        assert {name: value for name, value in ids[0].items() if name != "ce_id"} == {
            "ce_specversion": "1.0",
            "ce_source": f"kafka://test/{topic}",
            "ce_type": "io.stream-lineage.drift.v1",
            "ce_time": (NOW + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "ce_subject": topic,
            "content-type": "application/json",
        }
        listening = [
            connection.laddr
            for connection in psutil.Process(process.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN and not connection.laddr.ip.startswith("127.")
        ]
        assert listening == []

        process.send_signal(signal.SIGTERM)
        assert process.wait(patient(20)) == 0, deployment.log()


def test_lost_records_are_an_anomaly(deployment: Deployment) -> None:
    with deployment.agents():
        produce(deployment, [observation(avro_reference(1), span(2, 0, 999, lost=[(100, 599)]), at=NOW)])
        [found] = alerts(deployment, "anomaly-alerts", lambda seen: len(seen) >= 1)

    document = body(found)
    assert (document["kind"], document["severity"]) == ("data-loss", "critical")
    assert (document["first_offsets"], document["last_offsets"]) == ({"2": 100}, {"2": 599})
    assert headers(found)["ce_type"] == "io.stream-lineage.anomaly.v1"


def test_aborted_observations_count_for_nothing(deployment: Deployment) -> None:
    v1, v2, v3 = avro_reference(1), avro_reference(2), avro_reference(3)
    with deployment.agents():
        produce(deployment, [observation(v1, span(0, 0, 9), at=NOW)])
        producer = Producer(
            {"bootstrap.servers": deployment.bootstrap_servers, "transactional.id": f"{deployment.prefix}aborts"}
        )
        producer.init_transactions(30)
        producer.begin_transaction()
        aborted = observation(v2, span(0, 10, 19), at=NOW)
        producer.produce(deployment.topic("observations"), encode_observation(aborted), key=aborted.topic.encode())
        producer.flush(30)
        producer.abort_transaction(30)
        produce(deployment, [observation(v3, span(0, 10, 19), at=NOW)])
        found = alerts(deployment, "drift-alerts", lambda seen: len(seen) >= 1)

    assert [(body(message)["before"]["id"], body(message)["after"]["id"]) for message in found] == [(1, 3)]


def test_rubbish_in_the_log_stops_nothing(deployment: Deployment) -> None:
    with deployment.agents():
        producer = Producer({"bootstrap.servers": deployment.bootstrap_servers})
        for value in (b"rubbish", b"", None, b"\x00\x00\x00\x00\x01rubbish"):
            producer.produce(deployment.topic("observations"), value, key=b"clicks")
        assert producer.flush(30) == 0
        produce(deployment, [observation(avro_reference(1), span(0, 0, 9), at=NOW)])
        produce(deployment, [observation(avro_reference(2), span(0, 10, 19), at=NOW)])
        alerts(deployment, "drift-alerts", lambda seen: len(seen) >= 1)


def profile() -> Profile:
    return Profile(Decoder.COLUMNAR, Decoder.OPAQUE, 10, 0, None, (), ())


def drifts(topics: int, rounds: int) -> tuple[list[list[Observation]], set[tuple[str, str, str]]]:
    """Flushes in which every topic moves to a new version each round, partition by partition; and what must be told:
    topic, id of the new version, first offsets as JSON."""
    flushes: list[list[Observation]] = []
    expected: set[tuple[str, str, str]] = set()
    for number in range(rounds):
        at = NOW + timedelta(seconds=number)
        for partition in (0, 1):
            flush = []
            for index in range(topics):
                topic, first = f"topic-{index}", number * 100
                reference = avro_reference(number + 1, subject=f"{topic}-value")
                flush.append(
                    observation(
                        reference, span(partition, first, first + 99), topic=topic, at=at, profile=profile(),
                        observation_id=f"{topic}/{number}/{partition}",
                    )
                )  # fmt: skip
                if number > 0:
                    offsets = {str(item): first for item in range(partition + 1)}
                    expected.add((topic, str(number + 1), json.dumps(offsets)))
            flushes.append(flush)
    return flushes, expected


def told(message: Message) -> tuple[str, str, str]:
    document = json.loads(message.value() or b"")
    return document["topic"], str(document["after"]["id"]), json.dumps(document["first_offsets"])


def many(count: int) -> Callable[[list[Message]], bool]:
    """Whether so many different things have been told, looking at each message once."""
    seen: set[tuple[str, str, str]] = set()

    def enough(found: list[Message]) -> bool:
        if found:
            seen.add(told(found[-1]))
        return len(seen) >= count

    return enough


@pytest.mark.slow
def test_killed_again_and_again_no_alert_is_missing_or_extra(deployment: Deployment) -> None:
    flushes, expected = drifts(topics=6, rounds=40)
    chance = random.Random(11)
    kills, sent = 0, 0
    while sent < len(flushes):
        with deployment.agents() as process:
            deadline = time.monotonic() + chance.uniform(4, 9)
            while time.monotonic() < deadline and sent < len(flushes):
                produce(deployment, flushes[sent])
                sent += 1
                time.sleep(0.05)
            assert process.poll() is None, deployment.log()[-6000:]
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    with deployment.agents():
        found = alerts(deployment, "drift-alerts", many(len(expected)), 120)
        # What follows the last drift proves that all before it has been told.
        last = observation(avro_reference(999, subject="topic-0-value"), span(0, 9000, 9001), topic="topic-0", at=NOW)
        produce(deployment, [last])
        found = alerts(deployment, "drift-alerts", lambda seen: bool(seen) and told(seen[-1])[1] == "999")

    by_id: dict[str, set[tuple[str, str, str]]] = {}
    for message in found:
        body(message)
        by_id.setdefault(headers(message)["ce_id"], set()).add(told(message))
    assert all(len(bodies) == 1 for bodies in by_id.values())
    distinct = [next(iter(bodies)) for bodies in by_id.values()]
    assert kills >= 2
    assert len(distinct) == len(set(distinct)), "one alert under two ids"
    assert {item for item in distinct if item[1] != "999"} == expected
    with closing(SqliteStore(deployment.directory / "metrics.sqlite")) as store:
        for index in range(6):
            points = store.range("lineage_topic", NOW - timedelta(minutes=1), NOW + timedelta(minutes=9))
            mine = [point for point in points if point.tags["topic"] == f"topic-{index}"]
            closed = max(point.time for point in mine)
            counted = sum(int(p.fields["records"]) for p in mine if "records" in p.fields and p.time <= closed)
            expected_records = sum(
                item.records
                for flush in flushes
                for item in flush
                if item.topic == f"topic-{index}" and item.observed_at < closed + timedelta(seconds=10)
            )
            assert counted == expected_records


def assigned(deployment: Deployment, name: str) -> list[int]:
    """The partitions that a worker has, as it logged last."""
    lines = [json.loads(line) for line in deployment.log(name).splitlines() if '"partitions assigned"' in line]
    found: list[int] = lines[-1]["partitions"] if lines else []
    return found


def shared(deployment: Deployment) -> bool:
    first, second = assigned(deployment, "first"), assigned(deployment, "second")
    return bool(first) and bool(second) and sorted(first + second) == list(range(PARTITIONS))


@pytest.mark.slow
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_two_workers_share_the_work_and_one_takes_over(deployment: Deployment, fault: signal.Signals) -> None:
    flushes, expected = drifts(topics=6, rounds=20)
    with deployment.agents("first") as first, deployment.agents("second") as second:
        wait_for(lambda: shared(deployment), lambda: deployment.log("first") + deployment.log("second"))
        for number, flush in enumerate(flushes):
            produce(deployment, flush)
            if number == 15:
                first.send_signal(fault)
        found = alerts(deployment, "drift-alerts", many(len(expected)), 90)
        if fault is signal.SIGSTOP:  # it was taken for dead; now it goes on in the middle of what it did
            first.send_signal(signal.SIGCONT)
            wait_for(lambda: shared(deployment), lambda: deployment.log("first") + deployment.log("second"))
        if fault is signal.SIGTERM:
            assert first.wait(patient(30)) == 0, deployment.log("first")[-6000:]
        assert second.poll() is None, deployment.log("second")[-6000:]
        flushes, more = drifts(topics=6, rounds=22)
        for flush in flushes[40:]:
            produce(deployment, flush)
        found = alerts(deployment, "drift-alerts", many(len(more)), 90)

    pairs = {(headers(message)["ce_id"], told(message)) for message in found}
    assert {pair[1] for pair in pairs} == more
    assert len(pairs) == len(more)


def test_a_store_that_cannot_be_written_ends_the_worker(deployment: Deployment) -> None:
    with deployment.agents() as process:
        wait_for(lambda: assigned(deployment, "agents"), deployment.log)
        with closing(sqlite3.connect(deployment.directory / "metrics.sqlite")) as plain:
            plain.execute("DROP TABLE point")
        produce(deployment, [observation(avro_reference(1), span(0, 0, 9), at=NOW - timedelta(minutes=5))])
        assert process.wait(patient(60)) not in (0, None)
    assert "could not write" in deployment.log()


def test_the_changelog_grows_with_the_log(deployment: Deployment) -> None:
    admin = AdminClient({"bootstrap.servers": deployment.bootstrap_servers})
    changelog = f"{deployment.prefix}agents-state-changelog"
    for partitions in (PARTITIONS, PARTITIONS + 2):
        if partitions > PARTITIONS:
            grown = admin.create_partitions([NewPartitions(deployment.topic("observations"), partitions)])
            grown[deployment.topic("observations")].result(30)
        with deployment.agents() as process:
            expected = list(range(partitions))
            wait_for(lambda: assigned(deployment, "agents") == expected, deployment.log)  # noqa: B023 - used at once
            process.send_signal(signal.SIGTERM)
            assert process.wait(patient(30)) == 0, deployment.log()
        found = admin.list_topics(changelog, timeout=30).topics[changelog]
        assert len(found.partitions) == partitions
    resource = ConfigResource(ConfigResource.Type.TOPIC, changelog)
    config = admin.describe_configs([resource])[resource].result(30)
    assert config["cleanup.policy"].value == "compact"


def test_metrics_land_in_the_store(deployment: Deployment) -> None:

    at = NOW - timedelta(minutes=5)
    items = [
        replace(
            observation(avro_reference(3), span(0, n * 10, n * 10 + 9), at=at + timedelta(seconds=n)), profile=profile()
        )
        for n in range(30)
    ]
    with deployment.agents():
        produce(deployment, items)
        path = deployment.directory / "metrics.sqlite"
        deadline = deadline_in(60)
        total = 0
        while total < 300:
            assert time.monotonic() < deadline, deployment.log()[-6000:]
            time.sleep(0.2)
            if not path.exists():
                continue
            with closing(SqliteStore(path)) as store:
                points = store.range("lineage_topic", at - timedelta(minutes=1), at + timedelta(minutes=2))
                total = sum(int(point.fields.get("records", 0)) for point in points)
    assert total == 300
    parts = [point for point in points if point.tags["partition"] == "0"]
    assert {tuple(sorted(point.tags.items())) for point in parts} == {
        (("cluster", "test"), ("partition", "0"), ("schema_version", "3"), ("topic", "clicks"))
    }
    assert {point.time.second % 10 for point in points} == {0}
    assert {point.fields["decoder"] for point in points if point.tags["partition"] == "all"} == {"COLUMNAR"}


def test_the_watchdog_sees_what_waits(deployment: Deployment) -> None:
    from stream_lineage.agents.watchdog import observation_waits
    from stream_lineage.wire.settings import KafkaSettings

    first, aborted = observation(avro_reference(1), span(0, 0, 9)), observation(avro_reference(1), span(0, 10, 19))
    produce(deployment, [first])
    producer = Producer(
        {"bootstrap.servers": deployment.bootstrap_servers, "transactional.id": f"{deployment.prefix}aborts"}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(deployment.topic("observations"), encode_observation(aborted), key=aborted.topic.encode())
    producer.flush(30)
    producer.abort_transaction(30)
    waits = observation_waits(
        KafkaSettings(bootstrap_servers=deployment.bootstrap_servers), deployment.topic("observations"), "nobody"
    )
    found = {partition: (waits(partition, None), waits(partition, 1)) for partition in range(PARTITIONS)}

    # Nothing committed: the first observation waits. After it there are a control record and an aborted observation.
    assert sorted(found.values()) == [(False, False), (False, False), (True, False)]


def test_kafka_away_is_said_and_not_waited_for_for_ever(tmp_path: Path) -> None:
    away = Deployment("127.0.0.1:1", "http://127.0.0.1:1", "away.", tmp_path)
    result = subprocess.run(
        [sys.executable, "-c", "import stream_lineage.agents.topics as t, sys; "
         "t.prepare_topics.__kwdefaults__['wait_seconds'] = 3.0; t.CALL_SECONDS = 2.0; "
         "from stream_lineage.cli.main import run; sys.exit(run(sys.argv[1:]))", *away.command()[3:]],
        capture_output=True, text=True, timeout=patient(120), check=False, env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip

    assert result.returncode == 1
    assert "error:" in result.stderr
    assert "127.0.0.1:1" in result.stderr or "could not" in result.stderr


def test_the_partitioner_is_librdkafkas(deployment: Deployment) -> None:
    code = (
        "import sys; from aiokafka.partitioner import DefaultPartitioner as P; "
        "print([P()(key.encode(), list(range(7)), list(range(7))) for key in sys.argv[1:]])"
    )
    keys = [f"{np.base_repr(n, 36)}-topic" for n in range(40)]
    ours = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *keys], capture_output=True, text=True, check=True
    )
    name = deployment.topic("seven")
    admin = AdminClient({"bootstrap.servers": deployment.bootstrap_servers})
    admin.create_topics([NewTopic(name, num_partitions=7)])[name].result(30)
    placed: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers, "partitioner": "murmur2_random"})
    for key in keys:
        producer.produce(
            name, b"", key=key.encode(), on_delivery=lambda _, m: placed.update({m.key().decode(): m.partition()})
        )
    assert producer.flush(30) == 0
    assert json.loads(ours.stdout) == [placed[key] for key in keys]
