"""If this failed, probes would keep restarting a healthy service, or never notice one that does not work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest
from collecting import Lab, eventually
from evidence import Record, send
from patience import patient

from stream_lineage.sandbox.ports import free_port, is_free

pytestmark = pytest.mark.kafka


def ports() -> list[int]:
    """Three free ones in a row."""
    first = free_port()
    while not all(is_free(first + place) for place in (1, 2)):
        first = free_port()
    return [first, first + 1, first + 2]


def test_all_roles_answer_for_themselves_and_follow_what_happens(lab: Lab) -> None:
    topic = lab.topic("clicks", partitions=2)
    own, collector, agents = ports()
    command = [
        sys.executable, "-m", "stream_lineage.cli.main", "run", *lab.flags(), "--group-id", lab.group,
        "--include", rf"{lab.name}\.(?!lineage).*", "--agents-id", f"{lab.name}-agents",
        "--state-dir", str(lab.directory / "state"),
        "--observation-partitions", "2", "--telemetry-listen", f"127.0.0.1:{own}",
    ]  # fmt: skip

    def said() -> str:
        return (lab.directory / "run.log").read_text()[-4000:]

    def ready(port: int) -> int | None:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=20).status_code
        except httpx.TransportError:
            return None

    def value(port: int, metric: str) -> float:
        found = re.search(rf"^{re.escape(metric)} (\S+)$", httpx.get(f"http://127.0.0.1:{port}/metrics").text, re.M)
        return float(found[1]) if found else -1.0

    def reads(port: int, metric: str, expected: float) -> Callable[[], bool]:
        return lambda: value(port, metric) == expected

    with (lab.directory / "run.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=lab.environment)
        try:
            eventually(lambda: [ready(port) for port in (own, collector, agents)] == [200] * 3, 40, said)
            send(lab, topic, [Record(b'{"n": 1}', partition=number % 2) for number in range(30)])
            eventually(reads(collector, "stream_lineage_collector_records_total", 30.0), 20, said)
            assert value(collector, 'stream_lineage_collector_decoded_total{decoder="json"}') == 30
            assert value(collector, "stream_lineage_collector_partitions") == 2
            eventually(lambda: value(agents, "stream_lineage_agents_observations_total") >= 1, 20, said)

            # A role that dies is missed, and started again.
            pid = httpx.get(f"http://127.0.0.1:{own}/readyz").json()["conditions"]["agents"]["detail"].split()[1]
            os.kill(int(pid), signal.SIGKILL)
            eventually(reads(own, 'stream_lineage_role_starts_total{role="agents"}', 2.0), 20, said)
            eventually(lambda: ready(agents) == 200, 40, said)
            assert httpx.get(f"http://127.0.0.1:{own}/healthz").json()["status"] == "ok"
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(patient(30))
    assert code == 0, said()
    assert is_free(own)
