"""Asking Kafka Connect's REST API which connectors there are and which topics they use.

Every call ends in time, every answer is small. While Connect rebalances it answers 409, and it has forgotten the topics
of what was started again: neither means that anything is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from stream_lineage.graph.from_connect import CONFIG, Connector
from stream_lineage.logs import get_logger

MAX_ANSWER_BYTES = 10_000_000
MAX_CONNECTORS = 1_000
"""Connectors that are looked at. Of others nothing is known but that they are there."""
SAID_AGAIN_SECONDS = 3600.0
_AT_ONCE = 10
_AGAIN_SECONDS = 1.0
_REBALANCING = 409
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "stream-lineage"}
_log = get_logger("stream_lineage.agents")


@dataclass(frozen=True, slots=True)
class Connectors:
    """``listed`` are the names of all that there are, ``found`` what is known of those that say it."""

    listed: frozenset[str]
    found: tuple[Connector, ...]


class ConnectPoll:
    """``ask`` now and then. ``urls`` are workers of one Connect cluster, asked in turn until one answers;
    ``seconds`` is how long one call may take, and a sixth of what all of them together may."""

    def __init__(
        self,
        urls: Sequence[str],
        auth: tuple[str, str] | None,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = urls
        self._auth = auth
        self._seconds = seconds
        self._clock = clock
        self._said = -SAID_AGAIN_SECONDS

    async def ask(self) -> Connectors | None:
        """All connectors; null where no worker gives a usable answer, as while they rebalance."""
        why = "no worker is configured"
        for url in self._urls:
            try:
                return await asyncio.wait_for(self._asked(url), 6 * self._seconds)
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, _NoAnswer) as error:
                why = f"{url}: {str(error) or type(error).__name__}"
        now = self._clock()
        if now - self._said >= SAID_AGAIN_SECONDS:
            self._said = now
            _log.warning("Kafka Connect cannot be asked for its connectors", reason=why)
        return None

    async def _asked(self, url: str) -> Connectors:
        async with httpx.AsyncClient(
            base_url=url, auth=self._auth, timeout=self._seconds, headers=_HEADERS, follow_redirects=False
        ) as client:
            listed = await self._get(client, "/connectors?expand=info")
            names = sorted(listed)[:MAX_CONNECTORS]
            gate = asyncio.Semaphore(_AT_ONCE)
            found = await asyncio.gather(*(self._connector(client, name, listed[name], gate) for name in names))
        return Connectors(frozenset(listed), tuple(each for each in found if each is not None))

    async def _connector(
        self, client: httpx.AsyncClient, name: str, listed: Any, gate: asyncio.Semaphore
    ) -> Connector | None:
        info = _mapping(_mapping(listed).get("info"))
        kind = info.get("type")
        if kind not in ("source", "sink"):
            return None  # of one that has failed to start it does not say
        config = {key: text for key, text in _mapping(info.get("config")).items() if key in CONFIG}
        async with gate:
            answer = await self._get(client, f"/connectors/{quote(name, safe='')}/topics", absent_is_none=True)
        topics = _mapping(answer.get(name)).get("topics")
        used = frozenset(each for each in topics if isinstance(each, str)) if isinstance(topics, list) else frozenset()
        return Connector(name, kind, {key: text for key, text in config.items() if isinstance(text, str)}, used)

    async def _get(self, client: httpx.AsyncClient, path: str, *, absent_is_none: bool = False) -> Mapping[str, Any]:
        for last in (False, True):
            status, body = await _bounded(client, path)
            if status == _REBALANCING and not last:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            break
        if absent_is_none and status in (403, 404):
            return {}  # it was deleted meanwhile, or the tracking of topics is switched off
        if status != 200:
            raise _NoAnswer("it rebalances" if status == _REBALANCING else f"it answered with status {status}")
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise _NoAnswer("it answered with something that is not Kafka Connect's")
        return document


class _NoAnswer(Exception):
    """A worker answered, and not with what was asked for."""


async def _bounded(client: httpx.AsyncClient, path: str) -> tuple[int, bytes]:
    async with client.stream("GET", path) as response:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise _NoAnswer(f"it answered with more than {MAX_ANSWER_BYTES} bytes")
        return response.status_code, bytes(body)


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}
