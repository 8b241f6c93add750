"""If this failed, a fault would be told as many incidents, as two after a crash, or without what broke first."""

from __future__ import annotations

import hashlib
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
from alerting import Deployment, alerts, deployed, headers
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream_lineage.agents.alerts import Alert, Place, alert
from stream_lineage.cli.main import run
from stream_lineage.graph.codec import encode_event
from stream_lineage.graph.codec import message_key as edge_key
from stream_lineage.model.finding import Finding, Phase, Severity
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.model.pushed import PushedPoint
from stream_lineage.model.schema_files import schema_text
from stream_lineage.provenance.pushed import encode_point, message_key
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

pytestmark = pytest.mark.kafka
SCHEMA = jsonschema.Draft202012Validator(json.loads(schema_text("incident.schema.json")))
FIRST_BAD, RECORDS = 187, 300


def planted(deployment: Deployment, now: datetime) -> tuple[str, ...]:
    """A graph of three topics, and their null ratios: up for two minutes in the first, then in the others. The first
    one is there, with a record each second. Their names."""
    hops = (deployment.topic("raw"), "clean", "scores")
    topic = deployment.topic("graph")
    admin = AdminClient({"bootstrap.servers": deployment.bootstrap_servers})
    for future in admin.create_topics([NewTopic(name, num_partitions=1) for name in (topic, hops[0])]).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers, "enable.idempotence": True})
    for offset in range(RECORDS):
        record = {"id": offset, "amount": None if offset >= FIRST_BAD and offset % 2 else 3.5}
        at = now - timedelta(seconds=RECORDS - offset)
        producer.produce(hops[0], json.dumps(record), timestamp=int(at.timestamp() * 1000))
    nodes = [Node(NodeKind.DATASET, "kafka://test", name) for name in hops]
    for source, target in itertools.pairwise(nodes):
        known = Evidence(EvidenceClass.DECLARED, "test", now - timedelta(hours=2), now, 1.0)
        event = GraphEvent(GraphEdge(source, target), known)
        producer.produce(topic, encode_event(event), edge_key(event))
    assert producer.flush(30) == 0
    store = SqliteStore(deployment.directory / "metrics.sqlite")
    random = np.random.default_rng(3)
    for hop, name in enumerate(hops):
        ratios = 0.03 + 0.003 * random.normal(size=300)
        ratios[288 + hop :] += 0.5
        tags = {"cluster": "test", "topic": name, "field": "amount"}
        times = [now - timedelta(seconds=10 * (300 - window)) for window in range(300)]
        store.write(
            Point("lineage_field", tags, {"null_ratio": float(ratio)}, at)
            for at, ratio in zip(times, ratios, strict=True)
        )
    store.close()
    return hops


def told(
    deployment: Deployment, topic: str, at: datetime, phase: Phase = "open", fingerprint: str | None = None
) -> Alert:
    """Publish an alert."""
    fingerprint = fingerprint or hashlib.sha256(topic.encode()).hexdigest()[:32]
    finding = Finding(
        "null-ratio", Severity.CRITICAL, topic, "amount", f"{topic}: amount is null in 53%", fingerprint, {0: 7},
        phase=phase,
    )  # fmt: skip
    made = alert(finding, "anomaly", Place(f"{topic}/{phase}/{at}", "test", at), "http://ui")
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers})
    producer.produce(deployment.topic("anomaly-alerts"), made.value, made.key, headers=list(made.headers))
    assert producer.flush(30) == 0
    return made


def bodies(messages: list[Message]) -> list[dict[str, Any]]:
    found = [json.loads(each.value() or b"") for each in messages]
    for each in found:
        SCHEMA.validate(each)
    return found


def test_one_fault_over_two_hops_is_one_incident_also_when_the_worker_is_killed(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = deployed(cluster, tmp_path, "incidents")
    now = datetime.now(UTC)
    hops = planted(deployment, now)
    first = told(deployment, "scores", now)
    settings = ("--graph-poll-seconds", "1")
    with deployment.agents("one", settings=settings) as worker:
        alerts(deployment, "incidents", lambda found: len(found) >= 1)
        worker.kill()
    told(deployment, "clean", now + timedelta(seconds=1))
    told(deployment, hops[0], now + timedelta(seconds=2))
    with deployment.agents("two", settings=settings):
        messages = alerts(
            deployment, "incidents",
            lambda found: any(
                each["state"] == "root-cause" and len(each["alerts"]) == 3 and "first_bad" in each["cause"]
                for each in bodies(found)
            ),
        )  # fmt: skip
    found = bodies(messages)
    assert {each["id"] for each in found} == {hashlib.sha256(f"incident/{first.event_id}".encode()).hexdigest()[:32]}
    assert (found[0]["state"], found[0]["revision"]) == ("open", 1)
    # Whatever was published twice is the same.
    by_id: dict[str, set[bytes]] = {}
    for message in messages:
        said = headers(message)
        assert said["ce_type"] == "io.stream-lineage.incident.v1"
        by_id.setdefault(said["ce_id"], set()).add(message.value() or b"")
    assert all(len(each) == 1 for each in by_id.values())
    assert len(by_id) == max(each["revision"] for each in found)
    last = found[-1]
    assert {each["topic"] for each in last["alerts"]} == set(hops)
    [cause] = [each for each in last["cause"]["ranking"] if each["named"]]
    assert (cause["node"], cause["path"]) == (hops[0], list(hops))

    [bad] = last["cause"]["first_bad"]
    assert (bad["topic"], bad["partition"], bad["offset"], bad["exact"]) == (hops[0], 0, FIRST_BAD, True)
    assert [each["offset"] for each in last["cause"]["replay"][0]["starts"]] == [FIRST_BAD]

    given = ["--bootstrap-servers", cluster.bootstrap_servers, "--topic-prefix", deployment.prefix, "--cluster", "test"]
    name = last["id"]
    assert run(["incident", "list", "--output", "json", *given]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["id"], listed["broke_first"]) == (name, [hops[0]])
    assert run(["incident", "label", name[:8], "true", "--cause", hops[0], *given]) == 0
    capsys.readouterr()
    assert run(["incident", "show", name[:8], "--output", "json", *given]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["revision"], shown["label"]["verdict"], shown["label"]["cause"]) == (last["revision"], True, hops[0])
    assert run(["incident", "show", name[:8], *given]) == 0
    assert f"First bad record: {hops[0]}[0] offset {FIRST_BAD}" in capsys.readouterr().out
    bundle = tmp_path / "bundle.json"
    sqlite = ["--sqlite-path", str(tmp_path / "metrics.sqlite")]
    assert run(["incident", "export", name, str(bundle), *given, *sqlite]) == 0
    assert run(["incident", "show", "no-such", *given]) == 1
    capsys.readouterr()
    assert run(["explain", str(bundle), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranking"][0]["node"] == hops[0]


def test_an_alert_on_a_pushed_metric_opens_an_incident_which_is_over_and_comes_back(
    cluster: Any, tmp_path: Path
) -> None:
    deployment = deployed(cluster, tmp_path, "pushed")
    now, random = datetime.now(UTC), np.random.default_rng(11)
    producer = Producer({"bootstrap.servers": deployment.bootstrap_servers, "enable.idempotence": True})

    def pushed(begin: int, end: int, value: float) -> None:
        """A point for each minute, so many minutes ago."""
        for minutes in range(begin, end, -1):
            point = PushedPoint("churn", "accuracy", value + random.normal() / 100, now - timedelta(minutes=minutes))
            producer.produce(deployment.topic("metrics"), encode_point(point), message_key(point))
        assert producer.flush(30) == 0

    def states(wanted: set[str]) -> list[dict[str, Any]]:
        """What was told, once one of these states was."""
        return bodies(
            alerts(deployment, "incidents", lambda found: any(each["state"] in wanted for each in bodies(found)))
        )

    admin = AdminClient({"bootstrap.servers": deployment.bootstrap_servers})
    for future in admin.create_topics([NewTopic(deployment.topic("metrics"), num_partitions=1)]).values():
        future.result(30)
    pushed(3_030, 30, 0.9)
    with deployment.agents(settings=("--graph-poll-seconds", "0")):
        pushed(30, 15, 0.4)
        found = states({"root-cause", "escalated"})
        assert found[0]["state"] == "open"
        assert found[0]["breach"]["metric"] == "accuracy"
        assert [each["kind"] for each in found[0]["alerts"]] == ["pushed-metric"]
        problem = found[0]["alerts"][0]["fingerprint"]
        told(deployment, "churn", now - timedelta(minutes=10), "close", problem)
        states({"resolved"})
        told(deployment, "churn", now, "open", problem)
        found = states({"reopened"})
        assert {each["id"] for each in found} == {found[0]["id"]}
        assert next(each for each in found if each["state"] == "reopened")["reopened"] == 1
