"""If this failed, transformations in applications would not be in the lineage graph."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alerting import Deployment, consumed, deployed, wait_for
from confluent_kafka.admin import AdminClient
from test_openlineage_in import command

pytestmark = pytest.mark.kafka

APPLICATION = """
import sys
import pandas as pd
from stream_lineage.sdk import LineageProducer, run, run_counts, send_runs, transform_lineage

@transform_lineage(inputs=["orders"], outputs=["features"], job="features", key="id",
                   column_lineage={"orders:amount": "features:amount"})
def features(orders):
    return orders.dropna()

@transform_lineage(inputs=["features"], outputs=["never-written"], job="broken")
def broken(features):
    raise ValueError("no")

producer = LineageProducer({"bootstrap.servers": sys.argv[1]})  # which shows how Kafka is reached
with run("nightly"):
    found = features(pd.DataFrame({"id": [1, 2, 3], "amount": [1.0, None, 3.0]}))
    try:
        broken(found)
    except ValueError:
        pass
if not send_runs(wait_seconds=100) or run_counts().sent != 6 or run_counts().failed:
    sys.exit(str(run_counts()))
"""


@pytest.fixture
def deployment(cluster: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Deployment:
    return deployed(cluster, tmp_path, request.node.name)


def application(code: str, *arguments: str, **environment: str) -> None:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("OPENLINEAGE_", "LINEAGE_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**known, "PYTHONPATH": ".", **environment}, check=False,
        timeout=200, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_transformations_are_in_the_graph(deployment: Deployment) -> None:
    job, data = "job:kafka://test/", "dataset:kafka://test/"
    expected = {
        (f"{data}orders", f"{job}features"), (f"{job}features", f"{data}features"), (f"{data}features", f"{job}broken"),
        ("column:kafka://test/orders/amount", "column:kafka://test/features/amount"),
    }  # fmt: skip
    shown: dict[str, Any] = {}

    def edges() -> set[tuple[str, str]]:
        try:
            shown.update(command(deployment, "graph", "show"))
        except AssertionError:  # there is no graph yet
            return set()
        return {(each["from"], each["to"]) for each in shown["edges"]}

    admin, topic = AdminClient({"bootstrap.servers": deployment.bootstrap_servers}), deployment.topic("openlineage")
    with deployment.agents(settings=("--graph-poll-seconds", "1")):
        wait_for(lambda: topic in admin.list_topics(timeout=30).topics, deployment.log, 120)
        application(APPLICATION, deployment.bootstrap_servers, STREAM_LINEAGE_TOPIC_PREFIX=deployment.prefix)
        wait_for(lambda: edges() == expected, lambda: f"{shown}\n{deployment.log()}", 120)
    assert f"{job}nightly" in {each["id"] for each in shown["nodes"]}
    assert {piece["class"] for each in shown["edges"] for piece in each["evidence"]} == {"openlineage"}
    kept: list[Any] = []
    messages = consumed(deployment, "openlineage")
    wait_for(lambda: len(add(kept, next(messages))) == 6, lambda: f"6 events: {kept}")
    [complete] = [each for each in kept if (each["job"]["name"], each["eventType"]) == ("features", "COMPLETE")]
    assert complete["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 2
    parents = {each["run"]["facets"]["parent"]["job"]["name"] for each in kept if "parent" in each["run"]["facets"]}
    assert parents == {"nightly"}


def add(kept: list[Any], message: Any) -> list[Any]:
    if message is not None:
        kept.append(json.loads(message.value()))
    return kept
