"""Which sandboxes run on this machine: one small file for each, in the user's XDG state directory.

The files are notes for ``status`` and ``stop``, not locks: one whose process is gone counts for nothing and is deleted.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from stream_lineage.errors import NotFound, SandboxError
from stream_lineage.sandbox.cluster import Sandbox
from stream_lineage.sandbox.identity import ProcessIdentity

_POLL_SECONDS = 0.05
_KILL_WAIT_SECONDS = 15.0


class RunningSandbox(BaseModel):
    """A sandbox that some process of this user keeps running."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    process: ProcessIdentity
    servers: tuple[ProcessIdentity, ...]
    bootstrap_servers: str
    schema_registry_url: str | None
    directory: Path
    temporary: bool
    brokers: dict[str, int] = {}  # pid by address
    secured: dict[str, dict[str, str]] = {}
    """Ways in that want to be convinced: librdkafka's settings by name."""

    @classmethod
    def of(cls, sandbox: Sandbox) -> Self:
        """The one that this process runs."""
        servers = [*sandbox.brokers, *([sandbox.registry] if sandbox.settings.registry else [])]
        pids = [server.pid for server in servers]
        me = ProcessIdentity.of(os.getpid())
        if me is None:
            raise SandboxError("the system does not tell when this process was started")
        return cls(
            process=me,
            servers=tuple(found for pid in pids if pid is not None and (found := ProcessIdentity.of(pid))),
            bootstrap_servers=sandbox.bootstrap_servers,
            schema_registry_url=sandbox.schema_registry_url,
            directory=sandbox.directory,
            temporary=sandbox.settings.data_dir is None,
            brokers={broker.bootstrap_servers: broker.pid for broker in sandbox.brokers if broker.pid is not None},
            secured={way.name: dict(way.settings) for way in sandbox.security.ways_in()}
            if sandbox.settings.security
            else {},
        )

    def write(self) -> None:
        """Let ``status`` and ``stop`` find it."""
        path = self._path
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        scratch.write_text(self.model_dump_json(indent=1), encoding="utf-8")
        scratch.replace(path)

    def forget(self) -> None:
        """Delete its file."""
        self._path.unlink(missing_ok=True)

    def stop(self, timeout_seconds: float) -> None:
        """End it and return when its servers are gone too; forcibly if it takes too long. Raises SandboxError."""
        for number, wait_seconds in ((signal.SIGTERM, timeout_seconds), (signal.SIGKILL, _KILL_WAIT_SECONDS)):
            if self.process.running:
                os.kill(self.process.pid, number)
            deadline = time.monotonic() + wait_seconds
            while time.monotonic() < deadline:
                if not any(identity.running for identity in (self.process, *self.servers)):
                    self.forget()
                    return
                time.sleep(_POLL_SECONDS)
        raise SandboxError(f"the sandbox with pid {self.process.pid} did not end")

    @property
    def _path(self) -> Path:
        return _notes() / f"{self.process.pid}.json"


def running_sandboxes() -> list[RunningSandbox]:
    """All of this user's, oldest first."""
    found = []
    for path in sorted(_notes().glob("*.json"), key=lambda path: path.name):
        try:
            sandbox = RunningSandbox.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            continue
        if sandbox.process.running:
            found.append(sandbox)
        else:
            sandbox.forget()
    return found


def the_running_sandbox(data_dir: Path | None = None) -> RunningSandbox:
    """The one on ``data_dir``, else the only one. Raises NotFound, or SandboxError if there are several."""
    found = running_sandboxes()
    if data_dir is not None:
        wanted = data_dir.expanduser().absolute()
        found = [sandbox for sandbox in found if sandbox.directory == wanted]
        if not found:
            raise NotFound(f"No sandbox is running on {wanted}.")
    if not found:
        raise NotFound("No sandbox is running.", hint="Start one with `stream-lineage sandbox start`.")
    if len(found) > 1:
        listed = "\n".join(f"  pid {one.process.pid}  {one.bootstrap_servers}  {one.directory}" for one in found)
        raise SandboxError(f"several sandboxes are running:\n{listed}", hint="Choose one with --data-dir.")
    return found[0]


def _notes() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "stream_lineage" / "sandboxes"
