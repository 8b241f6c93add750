"""If this failed, a join that starts to drop on a real Kafka would raise no alert, or others after a crash."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alerting import NOW, Deployment, alerts, body, deployed, headers, produce
from confluent_kafka import Message

from stream_lineage.model.observation import Observation
from stream_lineage.testing.observations import avro_reference, observation, span

pytestmark = pytest.mark.kafka

WINDOW = 10
HALF_AN_HOUR = 180
DROPS = range(HALF_AN_HOUR, HALF_AN_HOUR + 90)
END = HALF_AN_HOUR + 180


@pytest.fixture
def deployment(cluster: Any, tmp_path: Any, request: pytest.FixtureRequest) -> Deployment:
    return deployed(cluster, tmp_path, request.node.name)


def flow(orders: str, enriched: str, windows: range) -> Iterator[tuple[int, Observation]]:
    """Half an hour of a job that lets nine tenths through, then a quarter in which it drops half of that; with the
    partition of the log that each is for, so that each topic has a worker of its own."""
    chance = random.Random(3)
    start = NOW.timestamp() // 60 * 60 - END * WINDOW + 3 * WINDOW  # it begins within a minute, whatever the time
    first = {orders: 0, enriched: 0}
    for n in range(windows.stop):
        rows = 400 + chance.randrange(-40, 41)
        out = round(rows * (0.45 if n in DROPS else 0.9) + chance.randrange(-5, 6))
        for partition, (topic, count) in enumerate(((orders, rows), (enriched, out))):
            first[topic] += count
            if n not in windows:
                continue
            at = NOW + timedelta(seconds=start + n * WINDOW + 5 - NOW.timestamp())
            yield partition, observation(
                avro_reference(1), span(0, first[topic] - count, first[topic] - 1), topic=topic, at=at,
                observation_id=f"{topic}/{n}",
            )  # fmt: skip


def put(deployment: Deployment, found: Iterator[tuple[int, Observation]]) -> None:
    by_partition: dict[int, list[Observation]] = {}
    for partition, each in found:
        by_partition.setdefault(partition, []).append(each)
    for partition, observations in by_partition.items():
        produce(deployment, observations, partition=partition)


def of_edges(found: list[Message]) -> list[tuple[str, str | None]]:
    by_id = {headers(message)["ce_id"]: body(message) for message in found}
    return [(each["kind"], each["phase"]) for each in by_id.values() if each["kind"].startswith("edge-")]


@pytest.mark.parametrize("killed", [False, True])
def test_a_join_that_drops_is_told_once_whoever_has_its_topics(
    deployment: Deployment, tmp_path: Path, killed: bool
) -> None:
    orders, enriched = f"{deployment.prefix}orders", f"{deployment.prefix}enriched"
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"jobs: [{{name: enrich, inputs: [{orders}], outputs: [{enriched}]}}]\n", encoding="utf-8")
    told = HALF_AN_HOUR + 48
    settings = ["--alert-rules", str(rules)]
    with deployment.agents("second", settings=settings):
        with deployment.agents("first", settings=settings) as process:
            put(deployment, flow(orders, enriched, range(told)))
            alerts(deployment, "anomaly-alerts", lambda seen: ("edge-drop", "open") in of_edges(seen), 120)
            if killed:
                process.send_signal(signal.SIGKILL)
                process.wait()
        put(deployment, flow(orders, enriched, range(told, END)))
        found = alerts(deployment, "anomaly-alerts", lambda seen: ("edge-drop", "close") in of_edges(seen), 120)

    assert of_edges(found) == [("edge-drop", "open"), ("edge-drop", "close")]
    [opened] = [each for each in map(body, found) if (each["kind"], each["phase"]) == ("edge-drop", "open")][:1]
    assert (opened["job"], opened["topic"], opened["severity"]) == ("enrich", enriched, "critical")
    before, after = (float(opened["changes"][0][name].split()[0]) for name in ("old", "new"))
    assert before == pytest.approx(0.9, rel=0.03)
    assert after == pytest.approx(0.45, rel=0.1)
    dropping = [each for _, each in flow(orders, enriched, range(END)) if each.topic == enriched][DROPS.start]
    assert abs(opened["first_offsets"]["0"] - dropping.spans[0].first_offset) <= 6 * 400  # the minute in which it is
