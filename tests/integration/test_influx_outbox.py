"""If this failed, metrics would have holes wherever InfluxDB or the network was away for a while."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr

from stream_lineage.store.open import open_outbox_store
from stream_lineage.store.outbox_store import OutboxStore
from stream_lineage.store.ports import Point
from stream_lineage.store.settings import StoreSettings
from stream_lineage.testing.influxd import Influxd

pytestmark = pytest.mark.influx
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAIT_SECONDS = 180.0


@pytest.fixture
def server(influxd_binary: Path, tmp_path: Path) -> Iterator[Influxd]:
    """One that may be killed."""
    found = Influxd(influxd_binary, tmp_path / "influx")
    try:
        found.start()
        yield found
    finally:
        found.stop()


def opened(server: Influxd, path: Path, url: str | None = None) -> OutboxStore:
    settings = StoreSettings(
        influx_url=url or server.url,
        influx_org=server.org,
        influx_token=SecretStr(server.token),
        influx_timeout_seconds=5,
        outbox_path=path / "outbox",
    )
    store = open_outbox_store(settings).inside
    assert isinstance(store, OutboxStore)
    return store


def window(number: int, series: int) -> list[Point]:
    at = START + timedelta(seconds=10 * number)
    return [Point("lineage_field", {"field": f"f{n}"}, {"n": number, "ratio": 0.5}, at) for n in range(series)]


def missing(store: OutboxStore, windows: int, series: int) -> int:
    """Points that were written and are not there."""
    found = store.range("lineage_field", START, START + timedelta(seconds=10 * windows))
    assert len(found) == len({(point.tags["field"], point.time) for point in found})
    return windows * series - len(found)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_and_started_again_no_point_is_lost_and_memory_is_flat(server: Influxd, tmp_path: Path) -> None:
    store = opened(server, tmp_path)
    process = psutil.Process()
    for number in range(3):
        store.write(window(number, 200))
    assert store.drained(WAIT_SECONDS)
    server.kill()
    before = process.memory_info().rss
    for number in range(3, 150):
        store.write(window(number, 200))
    until(lambda: store.health().trouble != "")
    health = store.health()
    assert health.ready
    assert health.waiting >= 200 * 140
    assert "InfluxDB" in health.trouble
    assert process.memory_info().rss - before < 20_000_000
    server.start()
    store.write(window(150, 200))
    # What comes now is there although the backlog is not.
    until(lambda: len(store.range("lineage_field", START + timedelta(seconds=1500), START + timedelta(days=1))) == 200)
    assert store.drained(WAIT_SECONDS)
    assert missing(store, 151, 200) == 0
    found = store.health()
    assert (found.trouble, found.refused, found.dropped, found.damaged, found.waiting) == ("", 0, 0, 0, 0)
    store.close()


def test_a_process_that_is_started_again_sends_what_another_one_left(server: Influxd, tmp_path: Path) -> None:
    server.kill()
    store = opened(server, tmp_path)
    for number in range(5):
        store.write(window(number, 10))
    store.close()
    server.start()
    store = opened(server, tmp_path)
    assert store.drained(WAIT_SECONDS)
    assert missing(store, 5, 10) == 0
    store.close()


def test_a_point_that_influxdb_refuses_takes_no_other_with_it(server: Influxd, tmp_path: Path) -> None:
    store = opened(server, tmp_path)
    store.write(window(0, 5))
    assert store.drained(WAIT_SECONDS)
    conflict = Point("lineage_field", {"field": "f9"}, {"ratio": "a text"}, START)
    store.write([*window(1, 5), conflict, *window(2, 5)])
    assert store.drained(WAIT_SECONDS)
    assert missing(store, 3, 5) == 0
    assert store.health().refused == 1
    store.close()
    [kept] = tmp_path.rglob("refused.lines")
    assert [line.split(" ")[0] for line in kept.read_text().splitlines()] == ["lineage_field,field=f9"]


class Proxy:
    """Between us and InfluxDB: of the writes, some are broken off before, half way or after, some are told to wait."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._kinds = itertools.cycle(["none", "reset", "late", "none", "busy", "half"])
        self.faulty = True
        self.faults: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._started.wait(WAIT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._ended.wait()
        server.close()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request for each connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            kind = "none"
            if self.faulty and b"/api/v2/write" in head:
                kind = next(self._kinds)
                self.faults.append(kind)
            if kind == "reset":
                return
            if kind == "busy":
                writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 0.2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                return
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._target)
            with contextlib.closing(ours):
                ours.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                ours.write(body[: len(body) // 2] if kind == "half" else body)
                if kind == "half":
                    return
                answer = await theirs.read()
            if kind == "late":  # it is written, and nobody is told
                return
            writer.write(answer)
            await writer.drain()


def test_whatever_the_network_does_each_point_is_there_once(server: Influxd, tmp_path: Path) -> None:
    with Proxy(server.port) as proxy:
        store = opened(server, tmp_path, proxy.url)
        for number in range(15):
            seen = len(proxy.faults)
            store.write(window(number, 20))
            until(lambda: len(proxy.faults) > seen)  # noqa: B023
        assert set(proxy.faults) == {"none", "reset", "late", "busy", "half"}
        proxy.faulty = False
        assert store.drained(WAIT_SECONDS)
        store.close()
    direct = opened(server, tmp_path)
    assert missing(direct, 15, 20) == 0
    assert direct.health().refused == 0
    direct.close()
