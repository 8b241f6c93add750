"""If this failed, the pipeline that docker-compose.yml runs beside the service would not run, or have no fault."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from patience import deadline_in

from stream_lineage.sandbox.demo.topics import CUSTOMERS, create_topics

pytestmark = pytest.mark.kafka


def test_the_fault_comes_and_it_ends_when_it_is_told_to(cluster: Any) -> None:
    create_topics(cluster.bootstrap_servers)  # as if it was started a second time
    program = [sys.executable, "-m", "stream_lineage.sandbox.demo.beside", "--bootstrap-servers"]
    program += [cluster.bootstrap_servers, "--registry-url", cluster.schema_registry_url, "--seconds", "0.5"]
    with subprocess.Popen(program) as running:
        try:
            until = deadline_in(30)
            versions: list[int] = []
            while len(versions) < 2:
                assert running.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
                answer = httpx.get(
                    f"{cluster.schema_registry_url}/subjects/{CUSTOMERS.subject}/versions", trust_env=False
                )
                versions = answer.json() if answer.is_success else []
        finally:
            running.send_signal(signal.SIGTERM)
        assert running.wait(deadline_in(30) - time.monotonic()) == 0
