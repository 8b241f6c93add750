"""If this failed, a slow Kafka would hold the index for everybody, or a revoked token would go on hearing alerts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from asking import NOW, MadeLineage, Told
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from stream_lineage.errors import Overloaded
from stream_lineage.index.kept import Kept
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.trace import Trace
from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance
from stream_lineage.serve.live import LiveAlert
from stream_lineage.serve.routes import alerts
from stream_lineage.serve.threads import PATIENT, SLOW
from stream_lineage.serve.tokens import issued

SECONDS = 60.0


class Watched(MadeLineage):
    """Knows how many hold its index, and how many did when Kafka was asked."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.held, self.held_then, self.full = 0, -1, False

    @contextmanager
    def index(self) -> Iterator[ProvenanceIndex]:
        if self.full:
            raise Overloaded("too many ask the index at once")
        self.held += 1
        try:
            with super().index() as index:
                yield index
        finally:
            self.held -= 1

    def kept(self, found: Trace) -> Kept:
        self.held_then = self.held
        return super().kept(found)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(tmp_path_factory.mktemp("held"))


def test_nobody_holds_the_index_while_kafka_is_asked(lineage: Watched) -> None:
    client = TestClient(make_app(lineage, Told(), Entrance(None)))
    path = "/api/v1/records/scored/0/7/upstream"
    answer = client.get(path, params={"read": True}).json()
    assert lineage.held_then == 0
    assert answer["count"] > 0
    assert "Kafka was not asked: there is no Kafka here" in answer["notes"]
    lineage.full = True
    try:
        refused = client.get(path)
    finally:
        lineage.full = False
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("heartbeat", [True, False])
def test_a_stream_of_alerts_ends_with_its_token(
    lineage: Watched, monkeypatch: pytest.MonkeyPatch, heartbeat: bool
) -> None:
    token, said = issued("r", "reader", NOW)

    class Known:
        tokens = {token.id: token}  # noqa: RUF012

    known = Known()
    monkeypatch.setattr(alerts, "HEARTBEAT_SECONDS", 0.01 if heartbeat else 60.0)
    app = make_app(lineage, Told(), Entrance(known))
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/api/v1/alerts/stream", "raw_path": b"/api/v1/alerts/stream", "query_string": b"", "root_path": "",
        "headers": [(b"authorization", f"Bearer {said}".encode())], "server": ("127.0.0.1", 1), "client": ("::1", 2),
    }  # fmt: skip
    bodies: list[bytes] = []

    async def asked() -> None:
        first = asyncio.Event()

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                bodies.append(message["body"])
                if b"first" in bodies[-1]:
                    first.set()

        answering = asyncio.create_task(app(scope, receive, send))
        while not lineage.alerts.listeners:
            await asyncio.sleep(0.001)
        lineage.alerts.tell(LiveAlert("drift.1", b"first"))
        await asyncio.wait_for(first.wait(), 60)
        known.tokens.clear()
        if not heartbeat:
            lineage.alerts.tell(LiveAlert("drift.2", b"second"))
        await asyncio.wait_for(answering, 60)

    asyncio.run(asked())
    assert not any(b"second" in each for each in bodies)
    assert lineage.alerts.listeners == 0


def test_who_has_gone_before_a_stream_begins_takes_no_place(lineage: Watched) -> None:
    """Else a hundred of them would keep everybody else out until the next start."""
    app = make_app(lineage, Told(), Entrance(None))
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/api/v1/alerts/stream", "raw_path": b"/api/v1/alerts/stream", "query_string": b"",
        "root_path": "", "headers": [], "server": ("127.0.0.1", 1), "client": ("::1", 2),
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    asyncio.run(app(scope, receive, send))
    assert lineage.alerts.listeners == 0


def test_who_waits_for_the_index_keeps_nobody_else(lineage: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """More wait than there are threads that ask Kafka; one who asks Kafka for something else is answered meanwhile."""
    go, asked = threading.Event(), threading.Semaphore(0)

    def caught_up(_: float) -> None:
        asked.release()
        assert go.wait(SECONDS)

    monkeypatch.setattr(lineage, "caught_up", caught_up)
    with TestClient(make_app(lineage, Told(), Entrance(None))) as client, ThreadPoolExecutor(SLOW + PATIENT) as many:
        path = "/api/v1/records/clicks/0/14"
        waiting = [many.submit(client.get, f"{path}/downstream?wait=10000") for _ in range(SLOW + PATIENT - 1)]
        for _ in range(PATIENT):
            assert asked.acquire(timeout=SECONDS)
        try:
            other = many.submit(client.get, f"{path}/upstream?read=true").result(SECONDS)
        finally:
            go.set()
        assert other.status_code == 200
        assert {each.result(SECONDS).status_code for each in waiting} == {200}
