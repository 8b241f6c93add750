"""The registry's HTTP: every call ends in time, every answer is small and JSON, a dead registry is left alone.

The calls run on an event loop in a thread of their own, where a deadline holds for the whole of a call: name lookup,
connection, and a server that sends one byte a second.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr

from stream_lineage.errors import ConnectionFailed, RegistryUnavailable
from stream_lineage.logs import MASK, get_logger
from stream_lineage.wire.handshake import tls_failure
from stream_lineage.wire.oauth import ClientCredentials, TokenSource
from stream_lineage.wire.settings import RegistrySettings
from stream_lineage.wire.tls import TlsMaterial
from stream_lineage.wire.tls_trouble import REGISTRY, tls_trouble

MAX_ANSWER_BYTES = 10_000_000
_SLACK_SECONDS = 1.0
_KNOCK_SECONDS = 1.0
_SHOWN_CHARACTERS = 200
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
UNSPECIFIC = "Check schema_registry_url and its credentials; `stream-lineage doctor` tells more."
_CREDENTIALS = (
    "Check schema_registry_basic_auth, schema_registry_bearer_token or schema_registry_client_id and its secret, "
    "whichever this registry wants."
)
_HEADERS = {
    "Accept": "application/vnd.schemaregistry.v1+json, application/json",
    "Content-Type": "application/vnd.schemaregistry.v1+json",
    # A compressed answer could unpack to any size.
    "Accept-Encoding": "identity",
    "User-Agent": "stream-lineage",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with status 200 or 4xx other than 401 and 429. ``document`` is null when a 404 or 405 holds no JSON."""

    status: int
    document: Any

    @property
    def error_code(self) -> int | None:
        """Confluent's error code, of which the first three digits are the status: 40403 is an unknown schema id."""
        code = self.document.get("error_code") if isinstance(self.document, dict) else None
        return code if isinstance(code, int) else None

    @property
    def message(self) -> str:
        text = self.document.get("message") if isinstance(self.document, dict) else None
        return str(text)[:_SHOWN_CHARACTERS] if text else ""


class RegistryHttp:
    """Asks the first of several endpoints that answers. Thread-safe.

    An endpoint that fails is left alone for ``registry_retry_seconds``; then one call tries it again.

    Raises:
        SettingsError: a certificate file cannot be read.
    """

    def __init__(self, settings: RegistrySettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._left_alone_until: dict[str, float] = {}
        self._why: dict[str, RegistryUnavailable] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._client: httpx.AsyncClient | None = None  # opened, used and closed on the loop only
        self._tokens = _tokens(settings)
        self._tls = _tls(settings) if any(url.startswith("https") for url in settings.urls) else None
        self._log = get_logger("stream_lineage.registry")

    def get(self, path: str) -> Answer:
        """Ask for ``path``, which starts with a slash.

        Raises:
            RegistryUnavailable: no endpoint gave a usable answer.
        """
        return self._call("GET", path, None)

    def post(self, path: str, document: Any) -> Answer:
        """Send a JSON document. Raises as ``get`` does."""
        return self._call("POST", path, document)

    def close(self) -> None:
        """Close connections and end the thread. Calls from then on raise RegistryUnavailable."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join(_SLACK_SECONDS)

    def _call(self, method: str, path: str, document: Any) -> Answer:
        if not self._settings.urls:
            raise RegistryUnavailable("no schema registry is configured", hint="Set schema_registry_url.")
        failures: list[RegistryUnavailable] = []
        for url in self._settings.urls:
            if not self._may_try(url):
                failures.append(self._why[url])
                continue
            try:
                answer = self._ask(method, url + path, document)
            except RegistryUnavailable as error:
                self._failed(url, error)
                failures.append(error)
            else:
                self._answered(url)
                return answer
        raise RegistryUnavailable(
            "; ".join(failure.message for failure in failures),
            hint=next((failure.hint for failure in failures if failure.hint), UNSPECIFIC),
        )

    def _may_try(self, url: str) -> bool:
        with self._lock:
            until = self._left_alone_until.get(url)
            if until is None:
                return True
            now = self._clock()
            if now < until:
                return False
            self._left_alone_until[url] = (
                now + self._settings.registry_retry_seconds
            )  # this caller is the one that tries
            return True

    def _failed(self, url: str, why: RegistryUnavailable) -> None:
        with self._lock:
            first = url not in self._left_alone_until
            self._left_alone_until[url] = self._clock() + self._settings.registry_retry_seconds
            self._why[url] = why
        if first:
            self._log.warning("schema registry unavailable", url=url, error=why.message, mend=why.hint)

    def _answered(self, url: str) -> None:
        with self._lock:
            again = self._left_alone_until.pop(url, None) is not None
            self._why.pop(url, None)
        if again:
            self._log.info("schema registry answers again", url=url)

    def _ask(self, method: str, url: str, document: Any) -> Answer:
        timeout = self._settings.registry_timeout_seconds
        loop = self._running_loop()
        call = asyncio.run_coroutine_threadsafe(self._within(timeout, method, url, document), loop)
        try:
            status, content_type, body = call.result(timeout + _SLACK_SECONDS)
        except (TimeoutError, httpx.TimeoutException):
            call.cancel()
            raise _unavailable(url, f"did not answer within {timeout:g} s") from None
        except concurrent.futures.CancelledError:
            raise _unavailable(url, "was not waited for: the client is closed") from None
        except ConnectionFailed as error:
            raise RegistryUnavailable(error.message, hint=error.hint) from None  # the token endpoint says which it is
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._unreachable(url, error) from None
        return _understood(url, status, content_type, body)

    def _unreachable(self, url: str, error: Exception) -> RegistryUnavailable:
        said = _innermost(error) or str(error) or type(error).__name__
        at = httpx.URL(url) if self._tls is not None and isinstance(error, httpx.NetworkError) else None
        if at is not None and self._tls is not None and at.scheme == "https" and "SSL" not in said:
            # A server that dislikes our certificate may just hang up on us.
            said = tls_failure(at.host, at.port or 443, self._tls, timeout_seconds=_KNOCK_SECONDS) or said
        trouble = tls_trouble(said, REGISTRY) if url.startswith("https") else None
        if trouble is not None:
            return _unavailable(url, trouble.what, hint=trouble.mend)
        if isinstance(error, httpx.ConnectError):
            return _unavailable(url, f"cannot be reached: {said}")
        hint = "Check schema_registry_url: is it https that is spoken there?" if url.startswith("http:") else None
        if isinstance(error, httpx.RemoteProtocolError):
            return _unavailable(url, f"broke off its answer: {said}", hint=hint)
        return _unavailable(url, f"failed: {said}", hint=hint if isinstance(error, httpx.NetworkError) else None)

    async def _within(self, seconds: float, method: str, url: str, document: Any) -> tuple[int, str, bytes]:
        async with asyncio.timeout(seconds):
            if self._tokens is None:
                return await self._exchange(method, url, document, {})
            found = await self._exchange(method, url, document, _bearer(await self._tokens.fresh()))
            if found[0] == httpx.codes.UNAUTHORIZED:  # revoked, or its clock is not ours
                self._tokens.forget()
                found = await self._exchange(method, url, document, _bearer(await self._tokens.fresh()))
            return found

    async def _exchange(
        self, method: str, url: str, document: Any, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        client = self._open_client()
        body = bytearray()
        content = None if document is None else json.dumps(document)
        async with client.stream(method, url, content=content, headers=headers) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise httpx.DecodingError("it sent a compressed answer, which was not asked for")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise httpx.DecodingError(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
            return response.status_code, response.headers.get("content-type", ""), bytes(body)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                if self._closed:
                    raise RegistryUnavailable("the schema registry's client is closed")
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._run, args=(self._loop,), name="schema-registry", daemon=True
                )
                self._thread.start()
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(self._end())
            loop.close()

    async def _end(self) -> None:
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _open_client(self) -> httpx.AsyncClient:
        if self._client is None:
            headers, auth = dict(_HEADERS), None
            if (basic := self._settings.schema_registry_basic_auth) is not None:
                user, _, password = basic.get_secret_value().partition(":")
                auth = httpx.BasicAuth(user, password)
            if (token := self._settings.schema_registry_bearer_token) is not None:
                headers |= _bearer(token.get_secret_value())
            self._client = httpx.AsyncClient(
                headers=headers,
                auth=auth,
                verify=True if self._tls is None else self._tls,
                timeout=self._settings.registry_timeout_seconds,
                trust_env=not all(
                    httpx.URL(url).host in _LOOPBACK for url in self._settings.urls
                ),  # no proxy to itself
            )
        return self._client


def _tls(settings: RegistrySettings) -> ssl.SSLContext:
    return TlsMaterial(
        "schema_registry_*",
        ca_location=settings.schema_registry_ca_location,
        ca_pem=settings.schema_registry_ca_pem,
        certificate_location=settings.schema_registry_certificate_location,
        certificate_pem=settings.schema_registry_certificate_pem,
        key_location=settings.schema_registry_key_location,
        key_pem=_clear(settings.schema_registry_key_pem),
        key_password=_clear(settings.schema_registry_key_password),
    ).context()


def _tokens(settings: RegistrySettings) -> TokenSource | None:
    url, secret = settings.schema_registry_token_url, _clear(settings.schema_registry_client_secret)
    if url is None or settings.schema_registry_client_id is None or secret is None:
        return None
    tls = TlsMaterial("schema_registry_token_*", ca_location=settings.schema_registry_token_ca_location)
    credentials = ClientCredentials(
        url,
        settings.schema_registry_client_id,
        secret,
        "schema_registry_token_url, schema_registry_client_id, schema_registry_client_secret, "
        "schema_registry_token_ca_location",
        settings.schema_registry_token_scope,
        tls,
    )
    return TokenSource(credentials, timeout_seconds=settings.registry_timeout_seconds)


def _clear(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _understood(url: str, status: int, content_type: str, body: bytes) -> Answer:
    """The answer as JSON.

    Raises:
        RegistryUnavailable: it is none that a registry gives: an error of the server, a login page, half a document.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    answer = Answer(status, document)
    if status in (401, 407):
        raise _unavailable(url, f"refused our credentials ({status})", hint=_CREDENTIALS)
    if status == 429 or status >= 500 or not (status == 200 or 400 <= status < 500):
        said = f": {answer.message}" if answer.message else ""
        raise _unavailable(url, f"answered {status}{said}")
    if document is None and status not in (404, 405):  # a path that an old registry lacks
        form = content_type.partition(";")[0] or "something unnamed"
        raise _unavailable(url, f"answered {status} with {form} that is not JSON: is this a schema registry?")
    return answer


def _innermost(error: BaseException) -> str:
    """What OpenSSL said, which the layers above it may have left out."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, ssl.SSLError):
            return str(at)
        at = at.__cause__ or at.__context__
    return ""


def _unavailable(url: str, what: str, *, hint: str | None = None) -> RegistryUnavailable:
    return RegistryUnavailable(f"schema registry {_shown(url)} {what}", hint=hint)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _shown(url: str) -> str:
    parsed = httpx.URL(url)
    return str(parsed.copy_with(userinfo=MASK.encode())) if parsed.userinfo else url
