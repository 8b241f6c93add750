"""A token endpoint on the loopback interface: OAuth's client credentials in, short-lived signed tokens out."""

from __future__ import annotations

import base64
import binascii
import json
import ssl
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from stream_lineage.sandbox.ports import LOOPBACK, free_port

PATH = "/token"
_KEY_ID = "sandbox"
_LARGEST_REQUEST = 65_536


@dataclass(frozen=True, slots=True)
class Issued:
    """One token that was given out. ``at`` and ``expires_at`` are seconds since 1970."""

    client_id: str
    at: float
    expires_at: float


class TokenServer:
    """Issues JWTs (RS256) to ``clients``, whose secrets are by id; ``keys`` is the JWKS document that they verify with.

    ``lifetime_seconds`` and ``age_seconds`` (so much earlier is each token said to be issued) may be changed while it
    runs. It speaks TLS when given a certificate and a key file.
    """

    def __init__(
        self,
        clients: Mapping[str, str],
        *,
        audience: str,
        lifetime_seconds: float = 300.0,
        tls: tuple[Path, Path] | None = None,
        port: int | None = None,
    ) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa

        self.clients = dict(clients)
        self.audience = audience
        self.lifetime_seconds = lifetime_seconds
        self.age_seconds = 0.0
        self.issued: list[Issued] = []
        self.refused = 0
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self._server = _Server((LOOPBACK, port or free_port()), _Handler)
        self._server.tokens = self
        scheme = "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.context = context
            scheme = "https"
        self.url = f"{scheme}://{LOOPBACK}:{self._server.server_port}{PATH}"
        self.issuer = self.url.removesuffix(PATH)
        self._thread = threading.Thread(target=self._server.serve_forever, name="tokens", daemon=True)

    @property
    def keys(self) -> dict[str, Any]:
        """What verifies the tokens."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID, "n": _number(numbers.n)}
        return {"keys": [{**key, "e": _number(numbers.e)}]}

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def token(self, client_id: str) -> str:
        """A token for somebody who has been let in."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        now = time.time() - self.age_seconds
        claims = {
            "iss": self.issuer, "sub": client_id, "aud": self.audience, "jti": str(uuid.uuid4()),
            "iat": int(now), "exp": int(now + self.lifetime_seconds), "scope": "kafka",
        }  # fmt: skip
        head = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        self.issued.append(Issued(client_id, now, now + self.lifetime_seconds))
        return f"{signed}.{_encoded(signature)}"

    def answer(self, authorization: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and document for a request of a token."""
        client_id, secret = _basic(authorization) or (form.get("client_id", ""), form.get("client_secret", ""))
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        if not client_id or self.clients.get(client_id) != secret:
            self.refused += 1
            return 401, {"error": "invalid_client", "error_description": f"no such client or secret: {client_id}"}
        return 200, {
            "access_token": self.token(client_id),
            "token_type": "Bearer",
            "expires_in": int(self.lifetime_seconds),
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    tokens: TokenServer
    context: ssl.SSLContext | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that do not trust us break off; that is theirs to report."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server: _Server

    def setup(self) -> None:
        if self.server.context is not None:  # here and not in the listener: a handshake must not hold up the others
            self.request.settimeout(self.timeout)
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()  # the server knows the bare socket only, which TLS has taken over

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), _LARGEST_REQUEST)
        form = {
            name: values[0] for name, values in parse_qs(self.rfile.read(length).decode("utf-8", "replace")).items()
        }
        status, document = (
            self.server.tokens.answer(self.headers.get("Authorization", ""), form)
            if self.path == PATH
            else (404, {"error": "not_found"})
        )
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: whoever asks is told."""


def _basic(authorization: str) -> tuple[str, str] | None:
    """User and password of a Basic header."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _number(value: int) -> str:
    return _encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))
