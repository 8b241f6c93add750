"""The API beside the demo's service: what its messages link to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx

from stream_lineage.notify.links import Links
from stream_lineage.sandbox.child import module_command
from stream_lineage.sandbox.demo.incident import Incident
from stream_lineage.sandbox.demo.logged_process import LoggedProcess
from stream_lineage.sandbox.ports import LOOPBACK

_ANSWER_SECONDS = 5.0
_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Link:
    """An address, and what is there."""

    text: str
    url: str


class Api:
    """``stream-lineage serve`` at a port of the loopback interface. What it keeps and writes is in ``directory``, which
    goes with it should the demo be killed."""

    def __init__(self, port: int, directory: Path) -> None:
        self.address = f"http://{LOOPBACK}:{port}"
        self._listen = f"{LOOPBACK}:{port}"
        self._directory = directory
        self._process: LoggedProcess | None = None

    def start(self, bootstrap_servers: str, registry_url: str, state: Path) -> None:
        """Start it, and do not wait until it answers; ``state`` is the service's directory. Raises
        StreamLineageError."""
        self._directory.mkdir()
        self._process = LoggedProcess(
            "stream-lineage serve",
            self.command(bootstrap_servers, registry_url, state),
            self._directory / "serve.log",
            grace_seconds=_GRACE_SECONDS,
            remove_when_orphaned=self._directory,
        )

    def command(self, bootstrap_servers: str, registry_url: str, state: Path) -> list[str]:
        """It has an index of its own: whoever traces records meanwhile need not wait for it."""
        return [
            *module_command("stream_lineage.cli.main"), "serve", "--bootstrap-servers", bootstrap_servers,
            "--schema-registry-url", registry_url, "--serve-listen", self._listen, "--state-dir", str(state),
            "--index-path", str(self._directory / "index.sqlite"), "--log-format", "console",
        ]  # fmt: skip

    def check(self) -> None:
        """Raises SandboxError if it has ended."""
        if self._process is not None:
            self._process.check()

    def ask_to_stop(self) -> None:
        if self._process is not None:
            self._process.ask_to_stop()

    def stop(self, timeout_seconds: float) -> None:
        """Return when it is gone; may be called without a start."""
        if self._process is not None:
            self._process.stop(timeout_seconds)

    @staticmethod
    def answers(url: str) -> bool:
        """Whether there is something at an address by now."""
        try:
            return httpx.get(url, timeout=_ANSWER_SECONDS, trust_env=False).status_code == HTTPStatus.OK
        except httpx.TransportError:
            return False


def links(address: str, incident: Incident | None, topic: str, first_bad: Mapping[int, int]) -> list[Link]:
    """Where to look with a browser, the incident first if there is one."""
    found = []
    if incident is not None:
        found.append(Link("the incident, as its message links to it", Links(address).of_incident(incident.body)))
    for partition, offset in sorted(first_bad.items())[:1]:
        record = f"{address}/api/v1/records/{topic}/{partition}/{offset}/downstream"
        found.append(Link("what was made of the first bad record", record))
    return [*found, Link("what else can be asked", f"{address}/api/v1/openapi.json")]
