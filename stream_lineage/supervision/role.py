"""One role: a process that is kept running."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from stream_lineage.errors import StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.sandbox.output_process import OutputProcess
from stream_lineage.supervision.restarts import Restarts

_log = get_logger("stream_lineage.run")
_REMEMBERED_LINES = 20
_GRACE_SECONDS = 5.0


class RoleFailed(StreamLineageError):
    """A role cannot be started, or not be kept running."""


class Role:
    """``watch`` is to be called every now and then; between ``start`` and ``stop`` it keeps the process running.

    ``stop_seconds`` is how long the process may take to end when asked to, before it is killed.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        on_line: Callable[[str, str], None],
        *,
        environment: Mapping[str, str],
        stop_seconds: float,
        restarts: Restarts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._command = command
        self._on_line = on_line
        self._environment = environment
        self._stop_seconds = stop_seconds
        self._restarts = restarts or Restarts()
        self._clock = clock
        self._process: OutputProcess | None = None
        self._started = 0.0
        self._start_at: float | None = None
        self.starts = 0
        """How often the process was started."""
        self._lines: deque[str] = deque(maxlen=_REMEMBERED_LINES)

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return self._process.pid if self._process is not None and self._process.running else None

    def start(self) -> None:
        """Start the process.

        Raises:
            StreamLineageError: it cannot be executed.
        """
        self._lines.clear()
        self._start_at = None
        self._started = self._clock()
        self.starts += 1
        self._process = OutputProcess(
            self.name,
            self._command,
            self._line,
            environment=self._environment,
            grace_seconds=self._stop_seconds + _GRACE_SECONDS,
        )
        _log.info("role started", role=self.name, pid=self._process.pid)

    def watch(self) -> None:
        """Start the process again if it has ended and it is time to.

        Raises:
            RoleFailed: it cannot work; the message holds what it said.
        """
        if self._start_at is not None:
            if self._clock() >= self._start_at:
                self.start()
            return
        if self._process is None or (code := self._process.exit_code) is None:
            return
        self._process.wait(0)
        self._process = None
        uptime = self._clock() - self._started
        delay = self._restarts.after(code, uptime)
        if delay is None:
            raise self._failed(code)
        _log.warning(
            "role ended, starting it again", role=self.name, exit_code=code, uptime_seconds=round(uptime), wait=delay
        )
        self._start_at = self._clock() + delay

    def ask_to_stop(self) -> None:
        """Ask the process to end, and do not wait."""
        self._start_at = None
        if self._process is not None:
            self._process.terminate()

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Return when the process has ended; it is killed when its time is over or when ``hurry`` says so."""
        self.ask_to_stop()
        if self._process is None:
            return
        deadline = self._clock() + self._stop_seconds
        while not self._process.wait(0.1):
            late = self._clock() >= deadline
            if late or hurry():
                _log.warning("role killed", role=self.name, reason="it took too long to end" if late else "asked twice")
                self._process.kill()
                break
        self._process = None

    def _line(self, line: str) -> None:
        self._lines.append(line)
        self._on_line(self.name, line)

    def _failed(self, code: int) -> RoleFailed:
        lines = list(self._lines)
        start = next((at for at, line in enumerate(lines) if line.startswith("error: ")), None)
        if start is None:
            said = "\n".join(lines)
            return RoleFailed(f"{self.name} ended with exit code {code}\n{said}".rstrip())
        error = [line for line in lines[start:] if not line.startswith("hint: ")]
        hints = [line.removeprefix("hint: ") for line in lines[start:] if line.startswith("hint: ")]
        said = "\n".join(error).removeprefix("error: ")
        return RoleFailed(f"{self.name} cannot be started: {said}", hint=hints[0] if hints else None)
