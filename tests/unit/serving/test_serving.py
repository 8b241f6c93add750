"""If this failed, the API would start open to strangers, not end when told to, or leave out alerts that came."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse

from stream_lineage.errors import IndexUnusable, Overloaded, SettingsError
from stream_lineage.index.layout import WHOLE_AT
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.writer import IndexWriter, Source
from stream_lineage.serve.live import LiveAlert, LiveAlerts
from stream_lineage.serve.routes.alerts import alerts
from stream_lineage.serve.threads import Threads
from stream_lineage.serve.tokens import Token, issued
from stream_lineage.serving import run
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.lineage import LiveLineage
from stream_lineage.serving.run import Server, listen, opened
from stream_lineage.settings import load_settings

TOKEN, SAID = issued("ui", "reader", datetime(2026, 3, 1, tzinfo=UTC))


class Followed:
    """Tokens without a Kafka."""

    def __init__(self, _: Any, known: list[Token]) -> None:
        self.tokens = {each.id: each for each in known}

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("listening", "auth", "known", "answer"),
    [
        ("127.0.0.1:8080", "auto", [], "open to this machine"),
        ("[::1]:8080", "auto", [TOKEN], "open to this machine"),
        ("localhost:8080", "auto", [], "open to this machine"),
        ("192.0.2.1:8080", "auto", [], "refuses"),
        ("[::]:8080", "auto", [], "refuses"),
        ("192.0.2.1:8080", "auto", [TOKEN], "tokens"),
        ("192.0.2.1:8080", "token", [], "tokens"),
        ("127.0.0.1:8080", "token", [], "tokens"),
        ("192.0.2.1:8080", "none", [], "open"),
    ],
)
def test_it_opens_to_others_only_where_that_is_said(
    listening: str, auth: str, known: list[Token], answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "read_tokens", lambda _: known)
    monkeypatch.setattr(run, "FollowedTokens", Followed)
    settings = load_settings({"serve_listen": listening, "serve_auth": auth}, {})
    if answer == "refuses":
        with pytest.raises(SettingsError, match="no token yet") as error, opened(settings):
            pass
        assert "token create" in str(error.value.hint)
        return
    with opened(settings) as entrance:
        if answer == "tokens":
            assert entrance.tokens is not None
            assert set(entrance.tokens.tokens) == {each.id for each in known}
        else:
            assert entrance.tokens is None
            assert entrance.local_names_only == (answer == "open to this machine")


def test_an_address_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with (
            pytest.raises(SettingsError, match=f"serve_listen: cannot listen at 127.0.0.1:{port}"),
            listen("127.0.0.1", port),
        ):
            pass


def test_an_address_is_shared_by_those_that_all_say_so() -> None:
    with listen("127.0.0.1", 0, shared=True) as first:
        port = first.getsockname()[1]
        with listen("127.0.0.1", port, shared=True) as second:
            assert second.getsockname() == first.getsockname()
        with pytest.raises(SettingsError), listen("127.0.0.1", port):
            pass


@contextmanager
def served(app: FastAPI, before_end: Any) -> Iterator[tuple[str, Server]]:
    with listen("127.0.0.1", 0) as listening:
        server = Server(app, before_end)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", server
        finally:
            server.end()
            thread.join(30)
        assert not thread.is_alive()


def test_answers_are_sent_at_once() -> None:
    """What the system would hold back for 40 ms, to send it with something else, shows as an option of the socket."""
    seen: list[int] = []
    app = FastAPI()

    @app.get("/")
    async def answer() -> PlainTextResponse:
        return PlainTextResponse("ok")

    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()) as _:
        accepted, _ = listening.accept()
        seen.append(accepted.proto)
        accepted.close()
    assert seen == [socket.IPPROTO_TCP]  # by which asyncio knows that it may set the option
    with served(app, lambda: None) as (url, _):
        assert httpx.get(url).text == "ok"


class Told:
    def __init__(self) -> None:
        self.alerts = LiveAlerts()


def events(text: Iterator[str]) -> Iterator[dict[str, str]]:
    found: dict[str, str] = {}
    for line in text:
        if not line and "data" in found:
            yield found
            found = {}
        name, _, value = line.partition(": ")
        found[name] = value


def test_alerts_come_as_they_are_told_and_again_to_who_comes_back() -> None:
    told, app = Told(), FastAPI()
    app.include_router(alerts(told, Threads()))  # type: ignore[arg-type]
    with served(app, told.alerts.close) as (url, server):
        with httpx.stream("GET", f"{url}/alerts/stream", timeout=30) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            coming = events(answer.iter_lines())
            for number in range(3):
                told.alerts.tell(LiveAlert(f"drift.{number}", b'{"n": %d}' % number))
            got = [next(coming) for _ in range(3)]
        assert [(each["id"], each["event"], each["data"]) for each in got] == [
            (f"drift.{number}", "alert", f'{{"n": {number}}}') for number in range(3)
        ]
        back = {"Last-Event-ID": "drift.0"}
        with httpx.stream("GET", f"{url}/alerts/stream", headers=back, timeout=30) as answer:
            coming = events(answer.iter_lines())
            assert [next(coming)["id"] for _ in range(2)] == ["drift.1", "drift.2"]
            server.end()  # and who listens is let go
            assert list(coming) == []


def test_a_listener_that_is_too_slow_is_let_go() -> None:
    async def slow() -> None:
        told = LiveAlerts()
        joined = told.listen()
        assert joined is not None
        for number in range(1000):
            told.tell(LiveAlert(str(number), b"{}"))
        await asyncio.sleep(0)
        with pytest.raises(EOFError):
            await joined[0].next(5)

    asyncio.run(slow())


def test_readers_of_the_index_are_few_and_used_again(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    pool = IndexPool(path, most=2)
    with pytest.raises(IndexUnusable), pool.open():  # there is none yet
        pass
    IndexWriter(path).close()
    with pool.open() as one, pool.open() as other:
        assert one is not other
        waiting = threading.Thread(target=lambda: pool.open().__enter__(), daemon=True)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()  # no third one
    waiting.join(30)
    assert not waiting.is_alive()
    with pool.open() as again:
        assert again in (one, other)
    pool.close()


def test_whoever_finds_no_reader_is_told_so_and_readiness_waits_for_none(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    pool = IndexPool(path, most=1, wait_seconds=0.01)
    assert not pool.usable()
    IndexWriter(path).close()
    with pool.open():
        with pytest.raises(Overloaded), pool.open():
            pass
        assert pool.usable()
    with pool.open():
        pass
    pool.close()


def test_downstream_is_exact_only_by_an_index_that_was_read_since_the_question_came(tmp_path: Path) -> None:
    path, read_at = tmp_path / "index.sqlite", datetime.now(UTC) - timedelta(seconds=20)
    settings = load_settings({"index_path": str(path)}, {})
    writer = IndexWriter(path)
    writer.write([], {Source(settings.kafka.topic("edges"), 0, "x"): 1}, facts={WHOLE_AT: read_at.isoformat()})
    writer.close()
    nothing: Any = None  # neither the graph nor its names are asked
    lineage = LiveLineage(settings, nothing, nothing, IndexPool(path))
    with ProvenanceIndex(path) as index, index.snapshot():
        assert lineage.doubts(index, "downstream", read_at - timedelta(milliseconds=1)) == []
        assert lineage.doubts(index, "upstream", read_at + timedelta(seconds=10)) == []
        [said] = lineage.doubts(index, "downstream", read_at + timedelta(milliseconds=1))
    assert re.match(re.escape(f"the index is as of {read_at.isoformat()}, ") + r"\d\d+ s ago: ", said)
    lineage.close()
