"""``/metrics``, ``/healthz`` and ``/readyz`` of a role, answered beside its work."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self

import orjson

from stream_lineage.errors import SettingsError
from stream_lineage.logs import get_logger
from stream_lineage.model.telemetry import Condition, Telemetry
from stream_lineage.serve.exposition import Exposition
from stream_lineage.serve.settings import TelemetrySettings

_log = get_logger("stream_lineage.serve")
_PATIENCE_SECONDS = 5.0
"""How long a caller may take with its request, and to take its answer."""
_AT_ONCE = 16
"""Callers that are served at the same time; others wait in the system's queue, which is no harm to the role."""


class Endpoint:
    """Answers in threads of its own, from entering to leaving.

    Raises:
        SettingsError: on entering, where the address cannot be listened at.
    """

    def __init__(self, address: tuple[str, int], telemetry: Telemetry, *, role: str, version: str) -> None:
        self._address = address
        self._telemetry = telemetry
        self._exposition = Exposition(telemetry, role=role, version=version)
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened at."""
        return self._address[1] if self._server is None else int(self._server.server_address[1])

    def __enter__(self) -> Self:
        host, port = self._address
        try:
            self._server = _Server(host, port, self._telemetry, self._exposition)
        except OSError as error:
            raise SettingsError(
                f"telemetry_listen: cannot listen at {host}:{port}: {(error.strerror or str(error)).lower()}",
                hint="Another process listens there, or it is no address of this machine: choose another one.",
            ) from None
        threading.Thread(target=self._server.serve_forever, args=(0.2,), name="telemetry", daemon=True).start()
        _log.info("telemetry", host=host, port=self.port, paths=["/metrics", "/healthz", "/readyz"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextmanager
def answering(settings: TelemetrySettings, telemetry: Telemetry, role: str) -> Iterator[None]:
    """Answer for a role where the settings say so.

    Raises:
        SettingsError: the address cannot be listened at.
    """
    if settings.address is None:
        yield
        return
    with Endpoint(settings.address, telemetry, role=role, version=version("stream-lineage")):
        yield


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, telemetry: Telemetry, exposition: Exposition) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.telemetry = telemetry
        self.exposition = exposition
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks a name server for our name
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(timeout=_PATIENCE_SECONDS):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a telemetry request was not answered")  # whoever asked has gone


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "stream-lineage"
    sys_version = ""
    timeout = _PATIENCE_SECONDS

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            text, media_type = self.server.exposition.text(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, text, media_type)
        elif path == "/healthz":
            self._conditions(self.server.telemetry.alive())
        elif path == "/readyz":
            self._conditions(self.server.telemetry.ready())
        else:
            known = {"status": 404, "title": "Not found", "detail": "There are /metrics, /healthz and /readyz."}
            self._answer(HTTPStatus.NOT_FOUND, orjson.dumps(known), "application/problem+json")

    do_HEAD = do_GET

    def _conditions(self, conditions: Sequence[Condition]) -> None:
        fine = all(condition.holds for condition in conditions)
        document = {
            "status": "ok" if fine else "failing",
            "conditions": {each.name: {"holds": each.holds, "detail": each.detail} for each in conditions},
        }
        status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, orjson.dumps(document), "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
