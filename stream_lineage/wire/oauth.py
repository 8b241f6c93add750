"""Tokens by OAuth's client credentials (RFC 6749, 4.4), kept until it is time for the next.

librdkafka fetches its own; this is for those of our clients that cannot: the agents' and the registry's.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from stream_lineage.errors import ConnectionFailed
from stream_lineage.wire.tls import TlsMaterial

_FRESH_SHARE = 0.8
"""A token is replaced after this share of its life, as librdkafka does."""
_UNSAID_SECONDS = 60.0
"""What a token is taken to live for whose issuer does not say."""
_LARGEST_ANSWER = 1_000_000
_SHOWN_CHARACTERS = 200
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Who asks for tokens, and where. ``settings`` says in errors which settings these are."""

    endpoint: str
    client_id: str
    client_secret: str = field(repr=False)
    settings: str
    scope: str | None = None
    tls: TlsMaterial = field(default_factory=lambda: TlsMaterial("the token endpoint"))


class TokenSource:
    """Gives a token that is still good for a while. Thread-safe, for any event loop.

    Raises:
        SettingsError: the endpoint's authorities cannot be used.
    """

    def __init__(
        self, credentials: ClientCredentials, *, timeout_seconds: float = 10.0, clock: Callable[[], float] | None = None
    ) -> None:
        self._credentials = credentials
        self._timeout = timeout_seconds
        self._clock = clock or time.monotonic
        self._lock = threading.Lock()
        self._token = ""
        self._fresh_until = float("-inf")
        self._verify = credentials.tls.context() if credentials.endpoint.startswith("https") else True

    def token(self) -> str:
        """Blocks while one is fetched.

        Raises:
            ConnectionFailed: the endpoint did not answer, or gave none; says which, and what it said.
        """
        with self._lock:
            if self._clock() >= self._fresh_until:
                asked_at = self._clock()
                self._token, lifetime = self._fetch()
                self._fresh_until = asked_at + lifetime * _FRESH_SHARE
            return self._token

    async def fresh(self) -> str:
        """The same, without blocking the event loop."""
        if self._clock() < self._fresh_until:
            return self._token
        return await asyncio.to_thread(self.token)

    def forget(self) -> None:
        """Fetch another one next time: this one was refused."""
        with self._lock:
            self._fresh_until = float("-inf")

    def _fetch(self) -> tuple[str, float]:
        asked = self._credentials
        form = {"grant_type": "client_credentials"} | ({"scope": asked.scope} if asked.scope else {})
        try:
            own = httpx.URL(asked.endpoint).host in _LOOPBACK  # no proxy to this machine
            with httpx.Client(verify=self._verify, timeout=self._timeout, trust_env=not own) as client:
                answer = client.post(asked.endpoint, data=form, auth=(asked.client_id, asked.client_secret))
        except httpx.TimeoutException:
            raise self._failed(f"did not answer within {self._timeout:g} s", "Check that it runs.") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            hint = "Check its address"
            if "certificate" in str(error).lower():
                hint = "Check the authority that its certificate must be signed by, and its host name"
            raise self._failed(f"cannot be reached: {error}", f"{hint}: {asked.settings}.") from None
        document = _document(answer.content)
        if answer.status_code in (400, 401, 403):
            said = " ".join(str(document[key]) for key in ("error", "error_description") if document.get(key))
            said = said.replace(asked.client_secret, "...")[:_SHOWN_CHARACTERS]
            raise self._failed(
                f"refused client {asked.client_id} ({answer.status_code}{f': {said}' if said else ''})",
                f"Check client id, secret and scope: {asked.settings}.",
            )
        token = document.get("access_token")
        if answer.status_code != httpx.codes.OK or not isinstance(token, str) or not token:
            raise self._failed(
                f"answered {answer.status_code} without an access_token", f"Check its address: {asked.settings}."
            )
        return token, _seconds(document.get("expires_in"))

    def _failed(self, what: str, hint: str) -> ConnectionFailed:
        return ConnectionFailed(f"token endpoint {self._credentials.endpoint} {what}", hint=hint)


def _document(content: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(content) if len(content) <= _LARGEST_ANSWER else None
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _seconds(said: object) -> float:
    try:
        return max(0.0, float(said))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return _UNSAID_SECONDS
