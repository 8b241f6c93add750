"""If this failed, agents that are told to write to InfluxDB would write elsewhere, or lose what it was away for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alerting import NOW, Deployment, alerts, body, deployed, produce, wait_for
from pydantic import SecretStr

from stream_lineage.model.observation import Observation
from stream_lineage.store.open import open_store
from stream_lineage.store.settings import StoreSettings
from stream_lineage.testing.influxd import Influxd
from stream_lineage.testing.observations import avro_reference, observation, span

pytestmark = [pytest.mark.kafka, pytest.mark.influx]


@dataclass
class InfluxDeployment(Deployment):
    """Agents that write to an InfluxDB."""

    influx_url: str = ""
    token: Path = Path()
    more: tuple[str, ...] = ()

    def command(self) -> list[str]:
        return [
            *super().command(), "--influx-url", self.influx_url, "--influx-org", "lab",
            "--influx-token-file", str(self.token), "--outbox-path", str(self.directory / "outbox"), *self.more,
        ]  # fmt: skip


@pytest.fixture
def server(influxd_binary: Path, tmp_path: Path) -> Iterator[Influxd]:
    found = Influxd(influxd_binary, tmp_path / "influx")
    try:
        found.start()
        yield found
    finally:
        found.stop()


def made(cluster: Any, server: Influxd, path: Path, name: str, *more: str) -> InfluxDeployment:
    plain = deployed(cluster, path, name)
    token = path / "token"
    token.write_text(server.token)
    return InfluxDeployment(
        plain.bootstrap_servers, plain.registry_url, plain.prefix, path, server.url, token, tuple(more)
    )


def flushes(topic: str, count: int, first: int = 0) -> list[Observation]:
    return [
        observation(
            avro_reference(1, subject=f"{topic}-value"), span(0, n * 10, n * 10 + 9), topic=topic,
            at=NOW - timedelta(seconds=600 - 10 * n),
        )
        for n in range(first, first + count)
    ]  # fmt: skip


def records(server: Influxd) -> dict[str, int]:
    """What is in InfluxDB, by topic."""
    settings = StoreSettings(influx_url=server.url, influx_org=server.org, influx_token=SecretStr(server.token))
    found: dict[str, int] = {}
    with closing(open_store(settings)) as store:
        for point in store.range("lineage_topic", NOW - timedelta(hours=1), NOW + timedelta(hours=1)):
            topic = point.tags["topic"]
            found[topic] = found.get(topic, 0) + round(float(point.fields.get("records", 0)))
    return found


def test_what_influxdb_was_away_for_is_there_in_the_end(cluster: Any, server: Influxd, tmp_path: Path) -> None:
    deployment = made(cluster, server, tmp_path, "away")
    with deployment.agents() as process:
        produce(deployment, flushes("clicks", 5))
        wait_for(lambda: records(server) == {"clicks": 50}, deployment.log)
        server.kill()
        produce(deployment, flushes("clicks", 20, first=5))
        wait_for(lambda: "wait on the disk" in deployment.log(), deployment.log)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with deployment.agents() as process:
        produce(deployment, flushes("orders", 10))
        server.start()
        wait_for(lambda: records(server) == {"clicks": 250, "orders": 100}, deployment.log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not (tmp_path / "metrics.sqlite").exists()
    assert server.token not in deployment.log()


def test_too_many_series_are_told(cluster: Any, server: Influxd, tmp_path: Path) -> None:
    deployment = made(cluster, server, tmp_path, "series", "--max-series", "100")
    with deployment.agents():
        produce(deployment, [each for n in range(80) for each in flushes(f"topic-{n}", 1)])
        [told] = alerts(deployment, "anomaly-alerts", lambda seen: len(seen) == 1)
        assert (body(told)["kind"], body(told)["topic"]) == ("series-cap", "__other__")
        wait_for(lambda: sum(records(server).values()) == 800, deployment.log)
        assert records(server)["__other__"] > 0
