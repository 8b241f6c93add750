"""The pipeline as a whole: its four jobs, the release that plants the fault, and what the broker acknowledged."""

from __future__ import annotations

import threading
from pathlib import Path

from stream_lineage.sandbox.child import module_command
from stream_lineage.sandbox.demo.job import JOBS
from stream_lineage.sandbox.demo.logged_process import LoggedProcess
from stream_lineage.sandbox.demo.report import Acknowledged
from stream_lineage.sandbox.demo.scenarios import SCHEMA, Scenario

_STOP_SECONDS = 6.0


class Pipeline:
    """Jobs as processes of their own, whose next releases hold a fault. What they write goes to files in
    ``directory``."""

    def __init__(self, bootstrap_servers: str, registry_url: str, directory: Path, scenario: Scenario = SCHEMA) -> None:
        self._addresses = ["--bootstrap-servers", bootstrap_servers, "--registry-url", registry_url]
        self._directory = directory
        self._scenario = scenario
        self._release = directory / "released"
        self._begin = directory / "begun"
        self._jobs: list[LoggedProcess] = []
        self._lock = threading.Lock()
        self._first_bad: dict[int, int] = {}

    def start(self) -> None:
        """Start every job. Nothing is written before ``begin``. Raises StreamLineageError."""
        scenario = ["--scenario", self._scenario.name]
        for name in JOBS:
            command = [*module_command("stream_lineage.sandbox.demo.job"), name, *self._addresses]
            self._jobs.append(
                LoggedProcess(
                    name,
                    [*command, "--release", str(self._release), "--begin", str(self._begin), *scenario],
                    self._directory / f"{name}.log",
                    on_line=self._line,
                )
            )

    def begin(self) -> None:
        """Let them write."""
        self._begin.touch()

    def release(self) -> None:
        """The new releases are rolled out: the fault."""
        self._release.touch()

    def first_bad(self) -> dict[int, int]:
        """The offset of the first bad record in each partition, as the broker acknowledged it to the producer."""
        with self._lock:
            return dict(self._first_bad)

    def check(self) -> None:
        """Raises SandboxError if a job has ended."""
        for job in self._jobs:
            job.check()

    def stop(self) -> None:
        """End every job; may be called more than once."""
        for job in self._jobs:
            job.ask_to_stop()
        while self._jobs:
            self._jobs.pop().stop(_STOP_SECONDS)

    def _line(self, line: str) -> bool:
        acknowledged = Acknowledged.from_line(line)
        if acknowledged is None:
            return True
        with self._lock:
            self._first_bad[acknowledged.partition] = acknowledged.offset
        return False
