"""A process of the demo whose output is kept in a file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.child import module_environment
from stream_lineage.sandbox.output_process import OutputProcess

_TAIL_LINES = 15


class LoggedProcess:
    """Starts a command. ``on_line`` gets each line that it writes, and returns whether it belongs into the file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: Path,
        *,
        on_line: Callable[[str], bool] = lambda _: True,
        grace_seconds: float = 5.0,
        remove_when_orphaned: Path | None = None,
    ) -> None:
        self.name = name
        self._on_line = on_line
        self._asked = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._log = log_path.open("a", encoding="utf-8", buffering=1)
        self._process = OutputProcess(
            name,
            command,
            self._line,
            # What its user has set for a cluster of their own is not for the demo.
            environment={k: v for k, v in module_environment().items() if not k.startswith("STREAM_LINEAGE_")},
            grace_seconds=grace_seconds,
            remove_when_orphaned=remove_when_orphaned,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises SandboxError, with the last that it wrote, if it has ended."""
        code = self._process.exit_code
        if code is not None:
            self._process.wait(0)
            raise SandboxError("\n".join([f"{self.name} ended with exit code {code}", *self._tail]))

    def ask_to_stop(self) -> None:
        """Ask it to end, once: asked again, some end at once instead of in order."""
        if not self._asked:
            self._asked = True
            self._process.terminate()

    def stop(self, timeout_seconds: float) -> None:
        """Return when it is gone, killed after ``timeout_seconds``."""
        self.ask_to_stop()
        if not self._process.wait(timeout_seconds):
            self._process.kill()
        self._log.close()

    def _line(self, line: str) -> None:
        if self._on_line(line):
            self._tail.append(line)
            if not self._log.closed:
                self._log.write(line + "\n")
