"""Waiting until a server answers."""

from __future__ import annotations

import time
from collections.abc import Callable

from stream_lineage.errors import SandboxError
from stream_lineage.sandbox.process import ServerProcess

_POLL_SECONDS = 0.1


class StartFailed(SandboxError):
    """The server ended while it started; ``log`` is what it wrote."""

    def __init__(self, message: str, *, log: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.log = log

    @property
    def port_taken(self) -> bool:
        """Whether somebody else took its port first."""
        return "Address already in use" in self.log or "BindException" in self.log


def wait_until_healthy(process: ServerProcess, probe: Callable[[], bool], deadline: float) -> None:
    """Ask ``probe`` until it says yes.

    Raises StartFailed when the process ends, or when ``time.monotonic()`` passes ``deadline``.
    """
    began = time.monotonic()
    while not probe():
        code = process.exit_code
        if code is not None:
            raise _failed(process, f"{process.name} ended with exit code {code} while it started")
        if time.monotonic() > deadline:
            raise _failed(process, f"{process.name} did not answer within {time.monotonic() - began:.0f} s")
        time.sleep(_POLL_SECONDS)


def _failed(process: ServerProcess, what: str) -> StartFailed:
    tail = process.log_tail()
    return StartFailed(
        f"{what}\n{tail}".rstrip(), log=process.log_tail(lines=2_000), hint=f"Its log is kept at {process.log_path}"
    )
