"""If this failed, a trend would not show the alerts that were published about its topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alerting import deployed
from confluent_kafka import Producer

from stream_lineage.agents.alerts import Place, alert
from stream_lineage.cli.main import run
from stream_lineage.model.finding import Finding, Phase, Severity
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SqliteStore

pytestmark = pytest.mark.kafka


def test_alerts_about_the_target_are_marked(cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = deployed(cluster, tmp_path, "trend")
    now = datetime.now(UTC)
    store = SqliteStore(tmp_path / "metrics.sqlite")
    for field in ("amount", "country"):
        tags = {"cluster": "test", "topic": "orders", "field": field}
        store.write(Point("lineage_field", tags, {"mean": n}, now - timedelta(minutes=n)) for n in range(1, 60))
    store.close()
    producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})

    def publish(name: str, kind: str, topic: str, field: str | None, minutes: int, phase: Phase | None = None) -> None:
        finding = Finding(kind, Severity.WARNING, topic, field, f"{kind} of {field}", "f" * 32, {0: 1}, phase=phase)
        made = alert(finding, "drift", Place(f"{kind}{minutes}", "test", now - timedelta(minutes=minutes)), "http://ui")
        producer.produce(deployment.topic(name), made.value, made.key, headers=list(made.headers))

    publish("drift-alerts", "schema-drift", "orders", None, 40)
    publish("anomaly-alerts", "mean", "orders", "amount", 20, "open")
    publish("anomaly-alerts", "mean", "orders", "amount", 19, "close")
    publish("anomaly-alerts", "range", "orders", "country", 18, "open")
    publish("anomaly-alerts", "mean", "payments", "amount", 17, "open")
    publish("anomaly-alerts", "mean", "orders", "amount", 300, "open")
    assert producer.flush(30) == 0
    given = ["--bootstrap-servers", cluster.bootstrap_servers, "--topic-prefix", deployment.prefix,
             "--sqlite-path", str(tmp_path / "metrics.sqlite"), "--since", "1h", "--output", "json"]  # fmt: skip
    assert run(["trend", "orders:amount", "mean", *given]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["alerts_read"]
    assert [mark["label"] for mark in document["marks"]] == [
        "warning: schema-drift of None", "warning: mean of amount",
    ]  # fmt: skip
    [first, _] = document["marks"]
    assert abs(datetime.fromisoformat(first["time"]) - (now - timedelta(minutes=40))) < timedelta(seconds=1)


def test_without_kafka_it_is_drawn_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteStore(tmp_path / "metrics.sqlite")
    tags = {"cluster": "test", "topic": "orders", "partition": "0", "schema_version": "1"}
    store.write([Point("lineage_topic", tags, {"records": 5}, datetime.now(UTC) - timedelta(minutes=5))])
    store.close()
    given = ["--bootstrap-servers", "127.0.0.1:1", "--sqlite-path", str(tmp_path / "metrics.sqlite"), "--since", "1h"]
    assert run(["trend", "orders", "records", *given]) == 0
    told = capsys.readouterr()
    assert "records of orders" in told.out
    assert "no alerts are marked" in told.err
