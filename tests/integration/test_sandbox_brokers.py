"""If this failed, nobody could see on their own machine what becomes of lineage when a broker dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from patience import deadline_in

from stream_lineage.sandbox.child import module_command, module_environment

pytestmark = [pytest.mark.kafka, pytest.mark.usefixtures("sandbox_artifacts")]


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = deadline_in(seconds)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_three_brokers_live_on_without_one_and_come_again(tmp_path: Path) -> None:
    environment = module_environment(XDG_STATE_HOME=str(tmp_path / "state"), TMPDIR=str(tmp_path))
    data = ("--data-dir", str(tmp_path / "data"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*module_command("stream_lineage.cli.main"), "sandbox", *arguments],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def started(*arguments: str) -> dict[str, Any]:
        answer = run("start", "--no-registry", "--detach", "--output", "json", *data, *arguments)
        assert answer.returncode == 0, answer.stderr
        report: dict[str, Any] = json.loads(answer.stdout)
        return report

    try:
        report = started("--brokers", "3")
        addresses = [broker["address"] for broker in report["brokers"]]
        assert report["bootstrap_servers"] == ",".join(addresses)
        admin = AdminClient({"bootstrap.servers": report["bootstrap_servers"]})
        admin.create_topics([NewTopic("orders", 3)])["orders"].result(30)

        def everywhere() -> bool:
            asked = [AdminClient({"bootstrap.servers": address}) for address in addresses]
            return all(len(one.list_topics("orders", timeout=10).topics["orders"].partitions) == 3 for one in asked)

        eventually(everywhere)  # brokers hear of a topic one after the other
        resource = ConfigResource(ConfigResource.Type.TOPIC, "orders")
        assert admin.describe_configs([resource])[resource].result(30)["min.insync.replicas"].value == "2"

        def in_sync() -> set[int]:
            partitions = admin.list_topics("orders", timeout=10).topics["orders"].partitions
            assert all(len(partition.replicas) == 3 for partition in partitions.values())
            return {len(partition.isrs) for partition in partitions.values()}

        eventually(lambda: in_sync() == {3})
        killed = report["brokers"][1]["pid"]
        os.kill(killed, signal.SIGKILL)
        producer = Producer({"bootstrap.servers": report["bootstrap_servers"], "acks": "all"})
        errors: list[Any] = []
        for number in range(30):
            producer.produce("orders", b"x", partition=number % 3, on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(60) == 0
        assert errors == [None] * 30
        eventually(lambda: in_sync() == {3})
        now = json.loads(run("status", "--output", "json", *data).stdout)["brokers"]
        assert [broker["address"] for broker in now] == addresses
        assert now[1]["pid"] != killed
        assert all(psutil.pid_exists(broker["pid"]) for broker in now)

        assert run("stop", *data).returncode == 0
        assert not any(psutil.pid_exists(broker["pid"]) for broker in now)
        refused = run("start", "--no-registry", *data)
        assert refused.returncode == 1
        assert "--brokers 3" in refused.stderr
        again = AdminClient({"bootstrap.servers": started("--brokers", "3")["bootstrap_servers"]})
        assert len(again.list_topics("orders", timeout=10).topics["orders"].partitions) == 3
    finally:
        run("stop", *data)
