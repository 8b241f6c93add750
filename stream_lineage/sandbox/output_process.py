"""A process that cannot outlive this one, and whose output comes back line by line."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from stream_lineage.errors import StreamLineageError

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_LONGEST_LINE = 65_536
_LAST_OUTPUT_SECONDS = 1.0


class OutputProcess:
    """Runs a command under a supervisor (``supervisor.py``), in a session of its own: a terminal's Ctrl-C is for us.

    ``on_line`` gets each line that it writes, to standard output or standard error, from a thread of its own. Should
    this process end without having ended the command, however it ends, the supervisor terminates it, kills it after
    ``grace_seconds``, and then deletes ``remove_when_orphaned``.

    Raises:
        StreamLineageError: the command cannot be executed.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        on_line: Callable[[str], None],
        *,
        environment: Mapping[str, str] | None = None,
        grace_seconds: float = 5.0,
        remove_when_orphaned: Path | None = None,
    ) -> None:
        self.name = name
        remove = str(remove_when_orphaned) if remove_when_orphaned else ""
        supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(os.getpid()), str(grace_seconds), remove]
        self._supervisor = subprocess.Popen(
            [*supervisor, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
        self._commands = cast(IO[bytes], self._supervisor.stdin)
        self._answers = cast(IO[bytes], self._supervisor.stdout)
        self._reader = threading.Thread(target=self._read, args=(on_line,), name=f"{name}-output", daemon=True)
        self._reader.start()
        answer = self._answers.readline()
        if not answer:
            self._finish()
            raise StreamLineageError(f"{name} could not be executed")
        self.pid = int(answer)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 plus the signal's number when a signal ended it."""
        code = self._supervisor.poll()
        return None if code is None else 128 - code if code < 0 else code

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        self._send(b"C")
        self._send(b"T")

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it has ended within ``timeout_seconds``; then all of its output has been passed on."""
        try:
            self._supervisor.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        self._finish()
        return True

    def kill(self) -> None:
        """SIGKILL, return when it is gone."""
        self._send(b"K")
        self._finish()

    def _send(self, letter: bytes) -> None:
        """Returns when it was done, or when there is nobody left to do it to."""
        with contextlib.suppress(OSError, ValueError):
            self._commands.write(letter)
            self._answers.read(1)

    def _finish(self) -> None:
        self._commands.close()  # were it still running, this ends it
        self._supervisor.wait()
        # A grandchild that somebody else must end may hold the pipe open for longer.
        self._reader.join(_LAST_OUTPUT_SECONDS)
        self._answers.close()

    def _read(self, on_line: Callable[[str], None]) -> None:
        with os.fdopen(os.dup(cast(IO[bytes], self._supervisor.stderr).fileno()), "rb") as output:
            cast(IO[bytes], self._supervisor.stderr).close()
            while line := output.readline(_LONGEST_LINE):
                on_line(line.decode("utf-8", errors="replace").rstrip("\r\n"))
