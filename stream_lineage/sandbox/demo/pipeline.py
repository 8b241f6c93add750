"""The pipeline as a whole: its four jobs, the release that plants the fault, and what the broker acknowledged."""

from __future__ import annotations

import threading
from pathlib import Path

from stream_lineage.sandbox.child import module_command
from stream_lineage.sandbox.demo.job import JOBS
from stream_lineage.sandbox.demo.logged_process import LoggedProcess
from stream_lineage.sandbox.demo.report import Acknowledged

_STOP_SECONDS = 6.0


class Pipeline:
    """Jobs as processes of their own. What they write goes to files in ``directory``."""

    def __init__(self, bootstrap_servers: str, registry_url: str, directory: Path) -> None:
        self._addresses = ["--bootstrap-servers", bootstrap_servers, "--registry-url", registry_url]
        self._directory = directory
        self._release = directory / "released"
        self._jobs: list[LoggedProcess] = []
        self._lock = threading.Lock()
        self._first: dict[int, dict[int, int]] = {}

    def start(self) -> None:
        """Start every job. Raises StreamLineageError."""
        for name in JOBS:
            command = [*module_command("stream_lineage.sandbox.demo.job"), name, *self._addresses]
            self._jobs.append(
                LoggedProcess(
                    name,
                    [*command, "--release", str(self._release)],
                    self._directory / f"{name}.log",
                    on_line=self._line,
                )
            )

    def release(self) -> None:
        """The CRM's and the web tracker's new releases are rolled out: the fault."""
        self._release.touch()

    def first_acknowledged(self) -> list[dict[int, int]]:
        """For each schema of ``customers``, in the order in which they came: the offset of the first record in each
        partition, as the broker acknowledged it to the producer."""
        with self._lock:
            return [dict(offsets) for offsets in self._first.values()]

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
            self._first.setdefault(acknowledged.schema_id, {})[acknowledged.partition] = acknowledged.offset
        return False
