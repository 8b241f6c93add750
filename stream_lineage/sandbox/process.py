"""A server process that cannot outlive this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from stream_lineage.errors import SandboxError

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LOG_TAIL_LINES = 20


class ServerProcess:
    """Starts a command under a supervisor (``supervisor.py``) and sends it signals.

    Signals go through the supervisor, which is the server's parent: they can never hit another process that was given
    the same pid. The server's output is appended to ``log_path``. Should this process end without having ended the
    server, the supervisor does, and then deletes ``remove_when_orphaned``. It also holds the file descriptor ``held``,
    and so a lock that goes with it, until the server has ended.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        grace_seconds: float = 5.0,
        held: int | None = None,
        remove_when_orphaned: Path | None = None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        remove = str(remove_when_orphaned) if remove_when_orphaned else ""
        supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), str(grace_seconds), remove]
        with log_path.open("ab") as log:
            self._log_begins = log.tell()
            self._supervisor = subprocess.Popen(
                [*supervisor, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=log_path.parent,
                pass_fds=() if held is None else (held,),
                bufsize=0,
                start_new_session=True,  # a terminal's Ctrl-C is for us; we end the servers in order
            )
        self._commands = cast(IO[bytes], self._supervisor.stdin)
        self._answers = cast(IO[bytes], self._supervisor.stdout)
        answer = self._answers.readline()
        if not answer:
            self._finish()
            raise SandboxError(f"{name} could not be executed\n{self.log_tail()}", hint=f"See {log_path}")
        self.pid = int(answer)

    @property
    def supervisor_pid(self) -> int:
        return self._supervisor.pid

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

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        self._send(b"C")
        self._send(b"T")

    def wait(self, timeout_seconds: float) -> bool:
        """Return when it is gone, killed after ``timeout_seconds``; whether it ended by itself."""
        try:
            self._supervisor.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self._finish()
        return True

    def kill(self) -> None:
        """SIGKILL, return when it is gone."""
        self._send(b"K")
        self._finish()

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        """The last lines that it wrote since it was started."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_begins)
                text = log.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _send(self, letter: bytes) -> None:
        """Returns when it was done, or when there is nobody left to do it to."""
        if self._commands.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            self._commands.write(letter)
            self._answers.read(1)

    def _finish(self) -> None:
        self._supervisor.wait()  # first: a pipe that closes earlier tells it that we are gone
        self._commands.close()
        self._answers.close()
