"""A door in front of the real registry: TLS, and who may pass. The sandbox's registry lets in everybody."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

Admits = Callable[[str], bool]
"""Whether a request with this Authorization header may pass."""


def basic(user: str, password: str) -> Admits:
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return lambda header: header == expected


def bearer(is_good: Callable[[str], bool]) -> Admits:
    return lambda header: header.startswith("Bearer ") and is_good(header.removeprefix("Bearer "))


@dataclass
class Door:
    """What happened at it."""

    url: str
    passed: int = 0
    refused: int = 0
    tokens: set[str] = field(default_factory=set)


@contextmanager
def door(
    registry_url: str,
    identity: tuple[Path, Path],
    *,
    admits: Admits | None = None,
    client_authority: Path | None = None,
) -> Iterator[Door]:
    """Serve HTTPS; pass on what ``admits`` lets through, or who has a certificate of ``client_authority``."""
    behind = httpx.Client(timeout=30)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            self.request.settimeout(10)
            self.request = context.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self) -> None:
            super().finish()
            self.request.close()

        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        do_PUT = do_POST

        def _pass_on(self, body: bytes | None) -> None:
            header = self.headers.get("Authorization", "")
            if admits is not None and not admits(header):
                made.refused += 1
                self._answer(401, "application/json", b'{"error_code": 40101, "message": "who are you?"}')
                return
            made.passed += 1
            made.tokens.add(header)
            kind = self.headers.get("Content-Type", "application/json")
            given = behind.request(self.command, origin + self.path, content=body, headers={"Content-Type": kind})
            self._answer(given.status_code, given.headers.get("Content-Type", ""), given.content)

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A handshake that failed: the client says why."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity)
    if client_authority is not None:
        context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    parts = httpx.URL(registry_url)
    origin = f"{parts.scheme}://{parts.host}:{parts.port}"
    with Server(("127.0.0.1", 0), Handler) as server:
        made = Door(f"https://127.0.0.1:{server.server_port}{parts.path}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
            behind.close()
