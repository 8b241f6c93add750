"""If this failed, a Kafka Connect that is slow, rebalances or is none would stop the agents, or empty the graph."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pydantic import ValidationError

from stream_lineage.agents import connect_poll
from stream_lineage.agents.connect_poll import Connectors, ConnectPoll
from stream_lineage.agents.graph_watch import GraphWatch
from stream_lineage.agents.settings import AgentsSettings
from stream_lineage.graph.from_connect import Connector
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming

SECRET = "jdbc-password"
LISTED = {
    "sink/1": {"info": {"type": "sink", "config": {"topics": "orders", "connection.password": SECRET}}},
    "files": {"info": {"type": "source", "config": {"file": "/in.csv", "tasks.max": "1"}}},
    "broken": {"info": {"type": "unknown", "config": {}}},
    "odd": 7,
}
ANSWERS: dict[str, tuple[int, Any]] = {
    "/connectors?expand=info": (200, LISTED),
    "/connectors/sink%2F1/topics": (200, {"sink/1": {"topics": ["orders", 7]}}),
    "/connectors/files/topics": (200, {"files": {"topics": []}}),
}


class Worker:
    """A Connect worker that answers as it is told; ``asked`` are paths and Authorization headers."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = dict(ANSWERS)
        self.before: Callable[[], object] = lambda: None
        self.once: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str | None]] = []
        worker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                worker.asked.append((self.path, self.headers.get("Authorization")))
                worker.before()
                status, body = worker.once.pop(0) if worker.once else worker.answers.get(self.path, (404, {}))
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                with suppress(OSError):  # whoever asked has gone
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def ask(*urls: str, seconds: float = 5, auth: tuple[str, str] | None = None) -> Connectors | None:
    return asyncio.run(ConnectPoll(urls, auth, seconds=seconds).ask())


WHOLE = Connectors(frozenset(LISTED), (
    Connector("files", "source", {"file": "/in.csv"}, frozenset()),
    Connector("sink/1", "sink", {"topics": "orders"}, frozenset({"orders"})),
))  # fmt: skip


def test_connectors_with_what_may_be_known_of_them(worker: Worker) -> None:
    found = ask(worker.url, auth=("me", "pass"))
    assert found == WHOLE
    assert SECRET not in str(found)
    assert {header for _, header in worker.asked} == {"Basic " + base64.b64encode(b"me:pass").decode()}


def test_a_worker_that_rebalances_is_asked_again_and_says_nothing_if_it_goes_on(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_poll, "_AGAIN_SECONDS", 0.01)
    worker.once = [(409, {"message": "rebalance"})]
    assert ask(worker.url) == WHOLE
    worker.answers["/connectors?expand=info"] = (409, {"message": "rebalance"})
    assert ask(worker.url) is None


@pytest.mark.parametrize("bad", [(500, {}), (200, b"<html>"), (200, []), (302, {}), (401, {}), (200, b'{"a": ' * 9)])
def test_what_is_no_answer_says_nothing_and_another_worker_is_asked(worker: Worker, bad: tuple[int, Any]) -> None:
    worker.once = [bad]
    assert ask(worker.url) is None
    assert "/elsewhere" not in [path for path, _ in worker.asked]
    worker.once = [bad]
    assert ask("http://127.0.0.1:1", worker.url, worker.url) == WHOLE


def test_a_connector_that_is_deleted_meanwhile_or_not_tracked_is_idle(worker: Worker) -> None:
    worker.answers["/connectors/files/topics"] = (404, {})
    worker.answers["/connectors/sink%2F1/topics"] = (403, {})
    found = ask(worker.url)
    assert found is not None
    assert [each.topics for each in found.found] == [frozenset(), frozenset()]


def test_a_worker_that_hangs_or_never_ends_is_left(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_poll, "MAX_ANSWER_BYTES", 1_000)
    worker.once = [(200, b" " * 100_000)]
    assert ask(worker.url) is None
    worker.before = lambda: time.sleep(0.3)
    assert ask(worker.url, seconds=0.05) is None


@pytest.mark.parametrize("bad", ["connect:8083", "http://me:pass@connect", "ftp://x", "http://x?y=1", "http://a,b"])
def test_addresses_that_are_none_are_refused(bad: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AgentsSettings(connect_url=bad)
    assert "pass@" not in str(caught.value)


def test_what_is_idle_keeps_its_edges_and_what_is_gone_loses_them() -> None:
    watch, graph = GraphWatch([], naming("test", [])), Graph()

    def look(*connectors: Connector, also: Sequence[str] = ()) -> set[str]:
        watch.connectors([*also, *(each.name for each in connectors)], connectors)
        for event in watch.events(graph, []):
            graph.take(event)
        return {f"{view.edge.source.label} {view.edge.target.label}" for view in graph.edges()}

    busy = Connector("files", "source", {"file": "/in.csv"}, frozenset({"lines", "more"}))
    less = Connector("files", "source", {"file": "/in.csv"}, frozenset({"lines"}))
    idle = Connector("files", "source", {"file": "/in.csv"}, frozenset())
    all_ = {"/in.csv connect-files", "connect-files lines", "connect-files more"}
    assert look(busy) == all_
    assert look(idle) == all_
    watch.drop()  # another worker, which knows the graph only
    assert look(idle) == all_
    assert look(less) == all_ - {"connect-files more"}
    # It failed to start, or is one of too many: nothing is known of it, and it is there.
    assert [len(look(also=["files"])) for _ in range(5)] == [2] * 5
    assert [len(look()) for _ in range(3)] == [2, 2, 0]
