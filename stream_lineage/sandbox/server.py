"""What broker and registry have in common: a process with a port, a log, and a way to ask whether it answers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.health import wait_until_healthy
from stream_lineage.sandbox.java_program import JavaProgram
from stream_lineage.sandbox.process import ServerProcess
from stream_lineage.sandbox.settings import SandboxSettings
from stream_lineage.sandbox.tree import remove_tree

_SIGNALLED = 128
"""Exit codes above stand for a signal's number."""


class Server(ABC):
    """A server to start, stop, kill and pause; each start is on the same port and the same directory.

    ``held`` is the descriptor of a lock on the directory. It stays held until the server has ended, also if this
    process is killed.
    """

    name: str

    def __init__(
        self, settings: SandboxSettings, program: JavaProgram, directory: Path, port: int, held: int | None = None
    ) -> None:
        self.settings = settings
        self.program = program
        self.directory = directory
        self.log_path = directory / "server.log"
        self.scratch = directory / "scratch"  # emptied at each start
        self.recorded_classes = self.scratch / "classes.jsa"
        self.port = port
        self._held = held
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int | None:
        """Of the Java process; None while it is not running."""
        return self._process.pid if self._process is not None and self._process.running else None

    @property
    def killed(self) -> bool:
        """Whether a signal ended it that did not come from here."""
        return self._process is not None and (self._process.exit_code or 0) > _SIGNALLED

    def start(self) -> None:
        """Start and wait until it answers. Raises SandboxError."""
        deadline = time.monotonic() + self.settings.start_timeout_seconds
        self.launch()
        self.wait(deadline)

    def launch(self) -> None:
        """Start, and do not wait. Raises SandboxError."""
        if self.pid is not None:
            raise SandboxError(f"{self.name} is already running")
        self.kill()  # what may be left of one that ended by itself
        remove_tree(self.scratch)
        self.scratch.mkdir(parents=True)
        self.prepare()
        self._process = ServerProcess(
            self.name,
            self.command(),
            log_path=self.log_path,
            held=self._held,
            remove_when_orphaned=self.directory if self.settings.data_dir is None else None,
        )

    def wait(self, deadline: float) -> None:
        """Wait until it answers, at most until ``time.monotonic()`` is ``deadline``. Raises SandboxError."""
        if self._process is None:
            raise SandboxError(f"{self.name} is not running")
        wait_until_healthy(self._process, self.answers, deadline)

    def stop(self, timeout_seconds: float | None = None) -> None:
        """An orderly end; killed if that takes too long."""
        self.begin_stop()
        if self._process is not None:
            if self._process.wait(self.settings.stop_timeout_seconds if timeout_seconds is None else timeout_seconds):
                self.program.keep_archive(self.recorded_classes)
            self._process = None

    def begin_stop(self) -> None:
        """Ask it to end, and do not wait: ``stop`` does."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL: its data is left as after a crash."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: the system still accepts connections for it, nothing answers."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._process.resume()

    def check(self) -> None:
        """Raises SandboxError if it was started, was not stopped, and ended all the same."""
        if self._process is not None and self._process.exit_code is not None:
            raise SandboxError(
                f"{self.name} ended with exit code {self._process.exit_code}\n{self._process.log_tail()}".rstrip(),
                hint=f"Its log is kept at {self.log_path}",
            )

    @abstractmethod
    def prepare(self) -> None:
        """Write what the command reads; ``directory`` and ``scratch`` are there."""

    @abstractmethod
    def command(self) -> list[str]:
        """What to execute."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work now; returns within seconds."""
