"""If this failed, the demo would not show its fault found as it was planted, or would leave stray processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream_lineage.sandbox.artifacts import cache_directory

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.usefixtures("sandbox_artifacts")]

SECONDS = 150.0
PARTITION = re.compile(r"partition (\d) +(\d+) +acknowledged to the producer at (\d+) +(the same|DIFFERENT)")


class Demo:
    """The demo as a process, in a home directory of its own."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.scratch = directory / "tmp"
        self.scratch.mkdir()
        self._home = directory / "home"
        self._home.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
            "HOME": str(self._home),
            "TMPDIR": str(self.scratch),
            "STREAM_LINEAGE_CACHE_DIR": str(cache_directory()),
            # A cluster of somebody's own, which the demo must not touch.
            "STREAM_LINEAGE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "STREAM_LINEAGE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        }
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stream_lineage.cli.main", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            text=True,
        )

    def read_until(self, text: str) -> None:
        """Read what it says up to a line with this text."""
        while text not in (line := self._readline()):
            assert line, f"it ended before it said {text!r}:\n{self.told}"

    def read_all(self) -> None:
        while self._readline():
            pass

    def _readline(self) -> str:
        line = cast(Any, self.process.stdout).readline()
        self.lines.append(line.rstrip("\n"))
        return str(line)

    @property
    def told(self) -> str:
        return "\n".join(self.lines)

    def processes(self) -> list[psutil.Process]:
        """All that run in its home directory, however they were started."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("HOME") == str(self._home)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def left(self) -> list[str]:
        """Processes and files."""
        files = [*self.scratch.iterdir(), *self._home.iterdir()]
        return [*map(str, self.processes()), *map(str, files)]


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator[Demo]:
    started = Demo(directory, *arguments)
    try:
        yield started
    finally:
        left = started.processes()
        for process in left:
            process.kill()
        started.process.wait()
        cast(Any, started.process.stdout).close()


def wait_until_nothing_is_left(running: Demo) -> None:
    deadline = time.monotonic() + 40
    while left := running.left():
        assert time.monotonic() < deadline, (left, running.told)
        time.sleep(0.1)


def test_it_finds_the_planted_fault_and_ends_by_itself(tmp_path: Path) -> None:
    with demo(tmp_path, "--exit", "--seconds", "3") as running:
        running.read_all()
        assert running.process.wait(SECONDS) == 0, running.told
        said = PARTITION.findall(running.told)
        assert [partition for partition, *_ in said] == ["0", "1", "2"]
        assert all(alert == acknowledged and same == "the same" for _, alert, acknowledged, same in said)
        assert all(int(alert) > 0 for _, alert, *_ in said)  # there were good records before
        assert re.search(r"age  type-changed: int -> string", running.told)
        assert "Found: the first bad offset of every partition" in running.told
        wait_until_nothing_is_left(running)


def test_what_it_says_is_so_and_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path, "--seconds", "3") as running:
        running.read_until("Downstream the stream goes on")
        first_bad = {int(partition): int(offset) for partition, offset, *_ in PARTITION.findall(running.told)}
        commands = [shlex.split(line) for line in running.lines if " -m stream_lineage.cli.main " in line]
        assert [command[3] for command in commands] == ["record", "record", "spans", "verify"]
        bad, good, spans, verified = (answer(running, command) for command in commands)
        assert (bad["schema"]["version"], good["schema"]["version"]) == (2, 1)
        assert bad["offset"] == first_bad[bad["partition"]] == good["offset"] + 1
        assert {
            span["partition"]: span["first_offset"] for span in spans if span["schema"]["version"] == 2
        } == first_bad
        assert verified["ok"]
        assert wire_types(running, first_bad) == {partition: ("int", "string") for partition in first_bad}
        running.process.send_signal(signal.SIGINT)
        running.read_all()
        assert running.process.wait(SECONDS) == 0, running.told
        assert "Ended; nothing is left behind." in running.told
        wait_until_nothing_is_left(running)


def test_killed_it_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.read_until("All is well")
        assert len(running.processes()) > 10
        running.process.kill()
        wait_until_nothing_is_left(running)


def answer(running: Demo, command: list[str]) -> Any:
    """What a command that it printed says, typed by somebody with no settings of their own."""
    environment = {name: value for name, value in running.environment.items() if "STREAM_LINEAGE_" not in name}
    done = subprocess.run([*command, "--output", "json"], capture_output=True, env=environment, check=False, timeout=60)
    assert done.returncode == 0, (command, done.stdout, done.stderr, running.told)
    return json.loads(done.stdout)


def wire_types(running: Demo, first_bad: dict[int, int]) -> dict[int, tuple[str, str]]:
    """The type of ``age`` in the records before and at the first bad offsets, by nothing but the bytes in Kafka."""
    addresses = re.findall(r"answers at (\S+)", running.told)
    consumer = Consumer({"bootstrap.servers": addresses[0], "group.id": "test", "enable.auto.commit": False})
    found = {}
    try:
        for partition, offset in first_bad.items():
            consumer.assign([TopicPartition("customers", partition, offset - 1)])
            records: list[Any] = []
            deadline = time.monotonic() + 30
            while len(records) < 2 and time.monotonic() < deadline:
                records += consumer.consume(2 - len(records), 1.0)
            assert [record.offset() for record in records] == [offset - 1, offset]
            types = [age_type(addresses[1], int.from_bytes(record.value()[1:5], "big")) for record in records]
            found[partition] = (types[0], types[1])
    finally:
        consumer.close()
    return found


def age_type(registry: str, schema_id: int) -> str:
    schema = json.loads(httpx.get(f"{registry}/schemas/ids/{schema_id}").json()["schema"])
    return str(next(field["type"] for field in schema["fields"] if field["name"] == "age"))
