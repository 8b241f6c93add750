"""A real InfluxDB 2 of one's own, for tests: on a free port of the loopback interface, in a directory that is given."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import httpx

from stream_lineage.sandbox.ports import LOOPBACK, free_port

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0


def find_influxd() -> Path | None:
    """The binary that ``INFLUXD_BIN`` names, or the one on PATH."""
    named = os.environ.get("INFLUXD_BIN") or shutil.which("influxd")
    return Path(named) if named and Path(named).is_file() else None


class Influxd:
    """``start`` it, ``kill`` it, start it again: it keeps its port, its data and ``token``, which may do everything."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.org = "lab"
        self.bucket = "stream_lineage"
        self.token = secrets.token_hex(16)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Returns when it answers.

        Raises:
            RuntimeError: it does not.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        log = self._directory / "influxd.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(self._binary),
                    f"--bolt-path={self._directory / 'meta.bolt'}",
                    f"--sqlite-path={self._directory / 'meta.sqlite'}",
                    f"--engine-path={self._directory / 'engine'}",
                    f"--http-bind-address={LOOPBACK}:{self.port}",
                    "--reporting-disabled",
                    "--log-level=warn",
                ],
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"influxd does not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        if self._request("GET", "/api/v2/setup").json()["allowed"]:
            wanted = {"username": "lab", "password": self.token, "org": self.org, "bucket": self.bucket,
                      "token": self.token}  # fmt: skip
            self._request("POST", "/api/v2/setup", wanted).raise_for_status()

    def make_bucket(self, name: str) -> None:
        """A bucket that keeps everything."""
        orgs = self._request("GET", f"/api/v2/orgs?org={self.org}").json()["orgs"]
        wanted = {"orgID": orgs[0]["id"], "name": name, "retentionRules": []}
        self._request("POST", "/api/v2/buckets", wanted).raise_for_status()

    def kill(self) -> None:
        """As a crash of the machine would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        try:
            return self._request("GET", "/health").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _request(self, method: str, path: str, document: object = None) -> httpx.Response:
        headers = {"Authorization": f"Token {self.token}"}
        with httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30.0) as client:
            return client.request(method, path, json=document)
