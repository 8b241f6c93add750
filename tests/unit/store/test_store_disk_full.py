"""If this failed, a full disk would cost points, start a worker again and again, or look healthy."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from stream_lineage.agents.progress import Progress
from stream_lineage.agents.telemetry import AgentsTelemetry
from stream_lineage.errors import ConnectionFailed
from stream_lineage.serve.endpoint import Endpoint
from stream_lineage.store.influx_api import Answer
from stream_lineage.store.outbox import Outbox
from stream_lineage.store.outbox_store import OutboxStore
from stream_lineage.store.pausing import PausingStore
from stream_lineage.store.ports import MetricStore, Point
from stream_lineage.store.sqlite import SqliteStore
from stream_lineage.testing.stores import MemoryStore

WAIT_SECONDS = 60.0
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
POINTS = [Point("m", {"n": str(n)}, {"text": "x" * 100, "v": n}, NOON) for n in range(2_000)]

Made = tuple[MetricStore, Callable[[bool], None], Callable[[], int]]
"""A store, what fills and empties its disk, and how many points have arrived."""


def embedded(path: Path) -> Made:
    store = SqliteStore(path / "m.sqlite")

    def fill(full: bool) -> None:
        with store._lock:
            [pages] = store._connection.execute("PRAGMA page_count").fetchone()
            store._connection.execute(f"PRAGMA max_page_count = {pages + 1 if full else 1_000_000}").fetchone()

    return PausingStore(store, seconds=0.01), fill, lambda: len(store.range("m", NOON, NOON + timedelta(seconds=1)))


def outbox(path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    box = Outbox(path, max_bytes=1 << 30, max_age_seconds=3600)
    real, state, arrived = box.append, {"full": False}, set[bytes]()

    def append(lines: Iterable[bytes]) -> None:
        if state["full"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(lines)

    def take(body: bytes) -> Answer:
        arrived.update(body.split(b"\n"))
        return Answer(204, "")

    monkeypatch.setattr(box, "append", append)
    monkeypatch.setattr("stream_lineage.store.outbox_store.DISK_SECONDS", 0.01)
    return OutboxStore(MemoryStore(), box, take), lambda full: state.update(full=full), lambda: len(arrived)


@pytest.fixture(params=["sqlite", "outbox"])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    return embedded(tmp_path) if request.param == "sqlite" else outbox(tmp_path, monkeypatch)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_stands_still_says_so_and_goes_on_without_loss(made: Made) -> None:
    store, fill, arrived = made
    telemetry = AgentsTelemetry(store.health)
    progress = Progress(lambda: 0.0)
    telemetry.attach(progress, {})
    progress.assigned([0])
    with Endpoint(("127.0.0.1", 0), telemetry, role="agents", version="1") as endpoint:

        def answer(path: str) -> tuple[int, dict[str, Any]]:
            found = httpx.get(f"http://127.0.0.1:{endpoint.port}{path}", trust_env=False)
            return found.status_code, found.json()["conditions"]

        store.write(POINTS[:1])
        assert answer("/readyz")[0] == 200
        fill(True)
        writing = threading.Thread(target=store.write, args=(POINTS,))
        writing.start()
        until(lambda: not store.health().ready)
        status, conditions = answer("/readyz")
        assert (status, conditions["store"]["holds"]) == (503, False)
        assert "disk" in conditions["store"]["detail"]
        assert store.health().trouble not in conditions["store"]["detail"], "it holds paths and addresses"
        assert answer("/healthz")[0] == 200, "started again it would not have more room"
        assert writing.is_alive()
        fill(False)
        writing.join(WAIT_SECONDS)
        assert not writing.is_alive()
        assert answer("/readyz")[0] == 200
    until(lambda: arrived() == len(POINTS))
    store.close()


def test_closing_ends_the_waiting(made: Made) -> None:
    store, fill, _ = made
    fill(True)
    raised: list[str] = []

    def write() -> None:
        try:
            store.write(POINTS)
        except ConnectionFailed as error:
            raised.append(error.message)

    writing = threading.Thread(target=write)
    writing.start()
    until(lambda: not store.health().ready)
    store.close()
    writing.join(WAIT_SECONDS)
    assert len(raised) == 1
