"""If this failed, `stream-lineage run` would end observing when a role dies, or leave roles behind when killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from confluent_kafka import Producer

pytestmark = pytest.mark.kafka

SECRET = "correct-horse-battery-staple"
SECONDS = 60.0


class Run:
    """``stream-lineage run`` on topics of one prefix, as a process."""

    def __init__(self, cluster: Any, directory: Path, name: str) -> None:
        self.topic = f"{name}-input"
        self.settings = ["--bootstrap-servers", cluster.bootstrap_servers, "--topic-prefix", f"{name}."]
        self.bootstrap_servers = cluster.bootstrap_servers
        self.log = directory / "run.log"
        secret = directory / "secret"
        secret.write_text(SECRET, encoding="utf-8")
        identity = ["--group-id", name, "--agents-id", f"{name}-agents", "--state-dir", str(directory / "state")]
        hashing = ["--hash-key-file", str(secret), "--include", self.topic]
        command = [sys.executable, "-m", "stream_lineage.cli.main", "run", *self.settings, *identity, *hashing]
        self.group = name
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, "--topic-refresh-seconds", "1"], stderr=log)

    def roles(self) -> dict[str, psutil.Process]:
        """The processes of the roles by their command."""
        found = {}
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                arguments = process.cmdline()
            except psutil.Error:
                continue
            if arguments[1:3] == ["-m", "stream_lineage.cli.main"]:
                found[arguments[3]] = process
        return found

    def produce(self, count: int) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap_servers})
        for number in range(count):
            producer.produce(self.topic, b"%d" % number)
        assert producer.flush(30) == 0

    def observed(self) -> int:
        """As ``stream-lineage verify`` counts."""
        command = [sys.executable, "-m", "stream_lineage.cli.main", "verify", *self.settings, "--group-id", self.group]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        return int(done.stdout.split()[1].replace(",", "")) if done.stdout.startswith("ok: ") else 0


@contextmanager
def started(cluster: Any, directory: Path, name: str) -> Iterator[Run]:
    run = Run(cluster, directory, name)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGTERM)
        run.process.wait()


def wait_for(condition: Callable[[], object], run: Run) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, run.log.read_text(encoding="utf-8")
        time.sleep(0.1)


def test_a_role_that_is_killed_comes_back_and_nothing_is_lost(cluster: Any, tmp_path: Path) -> None:
    with started(cluster, tmp_path, "run-restart") as run:
        run.produce(100)
        wait_for(lambda: run.observed() == 100, run)
        roles = run.roles()
        assert set(roles) == {"collect", "agents"}
        assert not any(SECRET in argument for role in roles.values() for argument in role.cmdline())
        for role in roles.values():
            role.kill()
        run.produce(50)
        wait_for(lambda: run.observed() == 150, run)
        wait_for(lambda: set(run.roles()) == {"collect", "agents"}, run)
        assert {role.pid for role in run.roles().values()}.isdisjoint(role.pid for role in roles.values())
        children = psutil.Process(run.process.pid).children(recursive=True)
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(SECONDS) == 0
        assert not [child for child in children if child.is_running()]
    said = run.log.read_text(encoding="utf-8")
    assert '{"role": "collect", ' in said
    assert '{"role": "agents", ' in said
    assert SECRET not in said


def test_killed_it_leaves_no_role_behind(cluster: Any, tmp_path: Path) -> None:
    with started(cluster, tmp_path, "run-killed") as run:
        run.produce(5)
        wait_for(lambda: run.observed() == 5, run)
        children = psutil.Process(run.process.pid).children(recursive=True)
        assert len(children) >= 4
        run.process.kill()
        wait_for(lambda: not any(alive(child) for child in children), run)


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
