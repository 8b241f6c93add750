"""A server process that cannot outlive this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stream_lineage.errors import SandboxError

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LOG_TAIL_LINES = 20


class ServerProcess:
    """Starts a command under a supervisor (``supervisor.py``) and sends it signals.

    Signals go through the supervisor, which is the server's parent: they can never hit another process that was given the
    same pid. The server's output is appended to ``log_path``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        grace_seconds: float = 5.0,
        remove_when_orphaned: Path | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._grace_seconds = grace_seconds
        remove = str(remove_when_orphaned) if remove_when_orphaned else ""
        supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), str(grace_seconds), remove]
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [*supervisor, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C is for us; we end the servers in order
                env=dict(environment) if environment is not None else None,
            )
        assert self._supervisor.stdout is not None
        with self._supervisor.stdout as report:
            answer = report.readline()
        if not answer:
            self._finish()
            raise SandboxError(f"{name} could not be executed: {self.log_tail()}")
        self.pid = int(answer)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 plus the signal's number when a signal ended it."""
        return self._supervisor.poll()

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._send(b"S")

    def resume(self) -> None:
        """SIGCONT."""
        self._send(b"C")

    def terminate(self, timeout_seconds: float) -> None:
        """Ask it to end, kill it when it has not after ``timeout_seconds``, return when it is gone."""
        self._send(b"CT")
        try:
            self._supervisor.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._send(b"K")
        self._finish()

    def kill(self) -> None:
        """SIGKILL, return when it is gone."""
        self._send(b"K")
        self._finish()

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        """The last lines that it wrote."""
        try:
            text = self.log_path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _send(self, letters: bytes) -> None:
        assert self._supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended: nothing to signal
            self._supervisor.stdin.write(letters)
            self._supervisor.stdin.flush()

    def _finish(self) -> None:
        assert self._supervisor.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._supervisor.stdin.close()  # were it still running, this ends it
        self._supervisor.wait()
