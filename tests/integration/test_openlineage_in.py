"""If this failed, what OpenLineage's own clients send would be refused, lost, or not be in the lineage graph."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from alerting import Deployment, consumed, deployed, wait_for
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    DatasetEvent,
    InputDataset,
    Job,
    JobEvent,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
    StaticDataset,
)
from openlineage.client.facet_v2 import column_lineage_dataset, ownership_dataset
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport
from openlineage.client.transport.kafka import KafkaConfig, KafkaTransport

pytestmark = pytest.mark.kafka


@pytest.fixture
def deployment(cluster: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Deployment:
    return deployed(cluster, tmp_path, request.node.name)


def flags(deployment: Deployment) -> list[str]:
    return [
        "--bootstrap-servers",
        deployment.bootstrap_servers,
        "--topic-prefix",
        deployment.prefix,
        "--cluster",
        "test",
    ]


def command(deployment: Deployment, *arguments: str) -> Any:
    line = [sys.executable, "-m", "stream_lineage.cli.main", *arguments, *flags(deployment), "--output", "json"]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, "PYTHONPATH": "."}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def serving(deployment: Deployment) -> Iterator[str]:
    """The API, which wants tokens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [
        sys.executable, "-m", "stream_lineage.cli.main", "serve", *flags(deployment), "--serve-auth", "token",
        "--serve-listen", f"127.0.0.1:{port}", "--state-dir", str(deployment.directory / "api"),
        "--cluster-aliases", "kafka-internal:9093",
    ]  # fmt: skip
    with (deployment.directory / "serve.log").open("ab") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": "."})
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(url), lambda: deployment.log("serve"))
            yield url
            process.terminate()
            assert process.wait(30) == 0
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def test_what_clients_send_is_in_the_graph(deployment: Deployment) -> None:
    made = command(deployment, "token", "create", "--name", "airflow", "--role", "operator")["token"]
    now = datetime.now(UTC).isoformat()
    run, job = Run(str(uuid4())), Job("airflow", "dag.score")
    columns = column_lineage_dataset.ColumnLineageDatasetFacet(
        {
            "score": column_lineage_dataset.Fields(
                [column_lineage_dataset.InputField("kafka://test", "orders", "amount")]
            )
        }
    )
    owner = ownership_dataset.OwnershipDatasetFacet([ownership_dataset.Owner("team-shop")])
    start = RunEvent(
        eventTime=now,
        producer="https://airflow",
        run=run,
        job=job,
        eventType=RunState.START,
        inputs=[InputDataset("SASL_SSL://kafka-internal:9093", "orders", facets={"ownership": owner})],
    )
    complete = RunEvent(
        eventTime=now,
        producer="https://airflow",
        run=run,
        job=job,
        eventType=RunState.COMPLETE,
        outputs=[OutputDataset("kafka://test", "scores", facets={"columnLineage": columns})],
    )
    by_kafka = JobEvent(
        eventTime=now,
        producer="https://flink",
        job=Job("flink", "copy"),
        inputs=[InputDataset("kafka://test", "scores")],
        outputs=[OutputDataset("postgres://db:5432", "shop.scores")],
    )
    dataset = DatasetEvent(
        eventTime=now, producer="https://dbt", dataset=StaticDataset("postgres://db:5432", "shop.other")
    )
    polled = ("--graph-poll-seconds", "1", "--cluster-aliases", "kafka-internal:9093")
    with serving(deployment) as url, deployment.agents(settings=polled):
        auth = ApiKeyTokenProvider({"apiKey": made})
        sender = OpenLineageClient(transport=HttpTransport(HttpConfig(url, auth=auth)))
        for event in (start, complete):
            sender.emit(event)
        packed = HttpTransport(HttpConfig(url, auth=auth, compression=HttpCompression.GZIP))
        OpenLineageClient(transport=packed).emit(dataset)
        config = {"bootstrap.servers": deployment.bootstrap_servers}
        kafka = KafkaTransport(KafkaConfig(config, deployment.topic("openlineage")))
        OpenLineageClient(transport=kafka).emit(by_kafka)
        assert kafka.close()
        raw = {"job": {"namespace": "old", "name": "job"}, "x_unknown": {"kept": [1, 2.50]}, "eventTime": now}
        reply = httpx.post(
            f"{url}/api/v1/lineage", json=[raw, raw], headers={"Authorization": f"Bearer {made}"}, timeout=30
        )
        assert (reply.status_code, reply.json()) == (201, {"accepted": 2})

        def graph() -> Any:
            found = httpx.get(f"{url}/api/v1/graph", headers={"Authorization": f"Bearer {made}"}, timeout=30).json()
            return {(each["from"], each["to"]) for each in found["edges"]}

        ours, table = "dataset:kafka://test/", "dataset:postgres://db:5432/shop.scores"
        expected = {
            (f"{ours}orders", "job:airflow/dag.score"), ("job:airflow/dag.score", f"{ours}scores"),
            (f"{ours}scores", "job:flink/copy"), ("job:flink/copy", table),
            ("column:kafka://test/orders/amount", "column:kafka://test/scores/score"),
        }  # fmt: skip
        wait_for(lambda: graph() >= expected, lambda: f"{graph()}\n{deployment.log()}\n{deployment.log('serve')}", 120)
        assert graph() == expected
        shown = command(deployment, "graph", "show")
        assert {(each["from"], each["to"]) for each in shown["edges"]} == expected
        assert {piece["class"] for each in shown["edges"] for piece in each["evidence"]} == {"openlineage"}
        nodes = {each["id"]: each for each in shown["nodes"]}
        assert "job:old/job" in nodes
        assert "dataset:postgres://db:5432/shop.other" in nodes
        assert nodes[f"{ours}orders"]["evidence"][0]["detail"] == {"owner": "team-shop"}
    kept: list[Any] = []
    messages = consumed(deployment, "openlineage")
    wait_for(lambda: len(add(kept, next(messages))) == 6, lambda: f"6 events: {kept}")
    assert [each["x_unknown"] for each in kept if "x_unknown" in each] == [{"kept": [1, 2.5]}] * 2


def add(kept: list[Any], message: Any) -> list[Any]:
    if message is not None:
        kept.append(json.loads(message.value()))
    return kept
