"""One call over HTTP to a place that may be called: bounded in time and size, following nothing."""

from __future__ import annotations

import asyncio
import email.utils
import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from stream_lineage.errors import ConnectionFailed
from stream_lineage.notify.address import Policy, Resolve
from stream_lineage.wire.tls import TlsMaterial

MOST_BYTES = 65_536
"""Of an answer. What comes behind is not read."""
_MOST_ADDRESSES = 3
_HEADERS = {"User-Agent": "stream-lineage", "Accept": "application/json", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Reply:
    """``retry_after`` is in seconds, null where nothing was said."""

    status: int
    body: bytes
    retry_after: float | None = None


class NoReply(ConnectionFailed):
    """There was no answer, or no whole one. ``unsent``: nothing can have arrived there."""

    def __init__(self, message: str, *, unsent: bool) -> None:
        super().__init__(message)
        self.unsent = unsent


class Caller:
    """Thread-safe; each call takes ``seconds`` at most, and what the system's resolver takes.

    The name is resolved for each call, and the address that was looked at is the one that is connected to: another
    answer to the same question a moment later changes nothing. No proxy is asked, no redirect followed.
    """

    def __init__(
        self, policy: Policy, *, seconds: float, tls: ssl.SSLContext | None = None, resolve: Resolve | None = None
    ) -> None:
        self._policy = policy
        self._seconds = seconds
        self._tls = tls
        self._resolve = resolve

    def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, most_bytes: int = MOST_BYTES
    ) -> Reply:
        """What the place answers, whatever it is, ``most_bytes`` of it at most.

        Raises:
            AddressRefused: it may not be called.
            NoReply: there was none.
        """
        place = self._policy.place(url)
        for name, value in headers.items():
            if not value.isascii() or not value.isprintable():  # else the client says so with the value, a secret
                raise NoReply(f"the header {name} has characters that a header has not", unsent=True)
        try:
            addresses = self._policy.addresses(place, self._resolve)
        except (OSError, UnicodeError) as error:
            raise NoReply(f"{place.host} cannot be resolved: {getattr(error, 'strerror', None) or error}",
                          unsent=True) from None  # fmt: skip
        request = httpx.Request(
            method, url, headers={**_HEADERS, **headers, "Host": place.authority}, content=body,
            extensions={"timeout": self._timeouts(min(len(addresses), _MOST_ADDRESSES)), "sni_hostname": place.host},
        )  # fmt: skip
        try:
            return asyncio.run(
                asyncio.wait_for(self._called(request, [str(each) for each in addresses], most_bytes), self._seconds)
            )
        except TimeoutError:
            raise NoReply(f"{place.host} did not answer within {self._seconds:g} s", unsent=False) from None

    def _timeouts(self, addresses: int) -> dict[str, float | None]:
        """Of several addresses one that does not answer leaves time for the others."""
        return httpx.Timeout(None, connect=self._seconds / addresses if addresses > 1 else None).as_dict()

    async def _called(self, request: httpx.Request, addresses: list[str], most_bytes: int) -> Reply:
        host = request.url.host
        for at, address in enumerate(addresses[:_MOST_ADDRESSES], 1):
            # The transport itself, not a client, which would log the whole URL: it may be a secret.
            async with httpx.AsyncHTTPTransport(verify=self._tls or True, trust_env=False) as transport:
                request.url = request.url.copy_with(host=address)
                try:
                    response = await transport.handle_async_request(request)
                    return await _read(response, most_bytes)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    if at == min(len(addresses), _MOST_ADDRESSES):
                        raise NoReply(f"{host}: {error}", unsent=True) from None
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    raise NoReply(f"{host}: {str(error) or type(error).__name__}", unsent=False) from None
        raise NoReply(f"{host} has no address", unsent=True)


def caller(policy: Policy, *, seconds: float, ca_location: Path | None, resolve: Resolve | None = None) -> Caller:
    """A caller that believes these authorities, else those of the system.

    Raises:
        SettingsError: they cannot be used.
    """
    tls = TlsMaterial("notify_ca_location", ca_location=ca_location).context()
    return Caller(policy, seconds=seconds, tls=tls, resolve=resolve)


def told_to_wait(text: str | None) -> float | None:
    """The seconds of ``Retry-After``, which is a number or a date; null where it is neither."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


async def _read(response: httpx.Response, most_bytes: int) -> Reply:
    body = bytearray()
    try:
        async for part in response.aiter_raw():
            body += part
            if len(body) >= most_bytes:
                break
    finally:
        await response.aclose()
    made = Reply(response.status_code, bytes(body[:most_bytes]))
    return replace(made, retry_after=told_to_wait(response.headers.get("Retry-After")))
