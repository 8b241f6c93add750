"""A program started for an incident: without a shell, for so long at most, with so much output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from stream_lineage.notify.hook_desk import Done

INHERITED = ("PATH", "HOME", "LANG", "TZ")
"""Of our own environment, which holds our secrets, it has only these."""
KEPT_BYTES = 1000
GRACE_SECONDS = 2.0
"""From asking a program to end until it is made to."""
_OUTPUT_SECONDS = 10.0
"""How long its output is read on when it has ended: what it has started may hold that open."""


def run_command(
    arguments: Sequence[str], env: Mapping[str, str], stdin: bytes, seconds: float, *, keep_output: bool = False
) -> Done:
    """Run it to its end, or until its time is over: then it is ended, with all that it has started."""
    began = time.monotonic()
    whole = {name: os.environ[name] for name in INHERITED if name in os.environ}
    whole.update({name: text.replace("\0", "") for name, text in env.items()})
    with tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(arguments), env=whole, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, cwd="/",
            )  # fmt: skip
        except (OSError, ValueError) as error:
            return Done(ok=False, result=f"it cannot be started: {getattr(error, 'strerror', None) or error}")
    assert process.stdout is not None  # noqa: S101 - a pipe
    output = _Output(process.stdout)
    try:
        code = process.wait(seconds)
        said = f"exit code {code}" if code >= 0 else f"ended by signal {-code}"
    except subprocess.TimeoutExpired:
        _end(process)
        code, said = -1, f"ended after {seconds:g} s"
    said = f"{said}, {output.finished()} bytes of output"
    if keep_output and output.kept:
        said = f"{said}: {output.kept.decode(errors='replace')}"
    return Done(ok=code == 0, result=said, seconds=time.monotonic() - began)


class _Output:
    """Reads all, so that the program never waits for us, and keeps the beginning."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.kept = b""
        self._count = 0
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, name="hook-output", daemon=True)
        self._thread.start()

    def finished(self) -> int:
        """How many bytes there were."""
        self._thread.join(_OUTPUT_SECONDS)
        return self._count

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._pipe:
            while part := self._pipe.read1(65_536):  # type: ignore[attr-defined]
                self._count += len(part)
                self.kept = (self.kept + part)[:KEPT_BYTES]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and all that it has started. Until it is waited for, nobody else has its number."""
    _signal(process.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < until:
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(0.05)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    """To the program and what it has started: it is the leader of a session of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
