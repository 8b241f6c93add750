"""How long single look-ups of the API take with many clients at once: ``python benchmarks/api.py [--spans 1000000]``.

An index of a million spans and a graph of 10,000 nodes, asked over HTTP on loopback by 50 clients in another process,
each of which asks again as soon as it is answered, or five times a second. Beside what a look-up takes it says how many
were answered in a second: where all ask at once again, each waits for the 49 others. And how much of the processor an
answer took, which says more on a machine that does something else meanwhile, and how much to ask: that is no part of
the answer, but on a machine of two processors it is taken from one of them. ``--processes`` answer at one port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from trace import built
from typing import Any

import psutil
from graph import START, events

from stream_lineage.agents.graph_fold import GraphFold, Written
from stream_lineage.graph.naming import naming
from stream_lineage.model.graph import GraphEvent
from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance
from stream_lineage.serve.tokens import Token, issued, token_from
from stream_lineage.serving.followers import graph_follower, settle
from stream_lineage.serving.index_age import IndexAge
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.lineage import LiveLineage
from stream_lineage.serving.run import Server, listen
from stream_lineage.serving.telemetry import ServeTelemetry
from stream_lineage.settings import load_settings

CLIENTS = 50
EDGES = 100_000
SECONDS = 6.0
LOOKED_AT = 20
KINDS = 20_000
"""Different questions of one kind."""


class Tokens:
    """One, which all processes know."""

    def __init__(self, token: Token) -> None:
        self.tokens = {token.id: token}


class Made:
    """The graph's topic in memory."""

    def __init__(self, made: list[GraphEvent]) -> None:
        self._made = made

    def end(self) -> int:
        return len(self._made)

    def read(self, start: int) -> tuple[list[tuple[int, Written]], int]:
        stop = min(start + 500, len(self._made))
        return [(n, Written(self._made[n], self._made[n].at)) for n in range(start, stop)], stop


def serve(index: Path, port: int, key: bytes, value: bytes) -> None:
    settings = load_settings({"bootstrap_servers": "127.0.0.1:1", "index_path": str(index)}, {})
    names = naming("prod", [("127.0.0.1", 1)])
    fold = GraphFold(Made(events(random.Random(1), EDGES)), names)
    pool = IndexPool(index)
    lineage = LiveLineage(settings, fold, names, pool)
    follower = graph_follower(fold, lambda: None)
    while not fold.catch_up():
        pass
    settle()
    known = token_from(key, value)
    assert known is not None
    assert known[1] is not None
    age = IndexAge(lineage.ends, lineage.index_state, lambda: datetime.now(UTC))
    telemetry = ServeTelemetry(lineage, fold, pool, follower, age, 0.0)
    app = make_app(lineage, telemetry, Entrance(Tokens(known[1])))
    with listen("127.0.0.1", port, shared=True) as listening:
        print(listening.getsockname()[1], flush=True)
        server = Server(app, lineage.close)
        threading.Thread(target=lambda: (sys.stdin.read(), server.end()), daemon=True).start()
        server.run(sockets=[listening])


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it goes over the wire, and what its answer's body has to be."""

    request: bytes
    fits: Callable[[Any], bool]


class Client(asyncio.Protocol):
    """Asks one question after the other on one connection: again at once, or ``pause`` seconds after the last one.

    Of each answer the status and the length are looked at, of one in ``LOOKED_AT`` the body. How long it took is taken
    from the moment in which the request is written to the one in which the last byte has come.
    """

    def __init__(self, questions: Iterator[Question], pause: float, until: float, took: list[float]) -> None:
        self._questions, self._pause, self._until, self._took = questions, pause, until, took
        self._parts: list[bytes] = []
        self._missing = -1
        """Bytes of the answer that are to come; negative while its length is not known."""
        self._answers = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def start(self) -> None:
        asyncio.get_running_loop().call_later(random.random() * self._pause, self._ask)

    def _ask(self) -> None:
        if time.perf_counter() >= self._until:
            self._transport.close()
            return
        self._question = next(self._questions)
        self._parts, self._missing = [], -1
        self._began = time.perf_counter()
        self._transport.write(self._question.request)

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if self._missing >= 0:
            self._missing -= len(data)
        else:
            data = b"".join(self._parts)
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            if not data.startswith(b"HTTP/1.1 200 "):
                raise AssertionError(data)
            at = data.index(b"content-length: ", 0, end) + 16
            self._body = end
            self._missing = end + int(data[at : data.index(b"\r", at)]) - len(data)
        if self._missing > 0:
            return
        now = time.perf_counter()
        self._took.append(now - self._began)
        if self._missing < 0:
            raise AssertionError("more came than was announced")
        self._answers += 1
        if self._answers % LOOKED_AT == 1:
            answer = json.loads(b"".join(self._parts)[self._body :])
            if not self._question.fits(answer):
                raise AssertionError((self._question.request, answer))
        if self._pause:
            asyncio.get_running_loop().call_later(max(0.0, self._began + self._pause - now), self._ask)
        else:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if time.perf_counter() < self._until:
            error = error or ConnectionError("the server has hung up")
        if not self.done.done():
            self.done.set_exception(error) if error is not None else self.done.set_result(None)


async def measured(
    port: int, name: str, questions: Iterator[Question], clients: int, pause: float, seconds: float,
    servers: Sequence[psutil.Process],
) -> None:  # fmt: skip
    loop = asyncio.get_running_loop()
    failed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, what: failed.append(what))
    took: list[float] = []
    until = time.perf_counter() + seconds
    made = [
        await loop.create_connection(lambda: Client(questions, pause, until, took), "127.0.0.1", port)
        for _ in range(clients)
    ]
    before, own = _busy(servers), time.process_time()
    for _, client in made:
        client.start()
    await asyncio.wait_for(asyncio.gather(*(client.done for _, client in made)), seconds + 60)
    if failed:
        raise AssertionError(failed[0])
    busy, own = _busy(servers) - before, time.process_time() - own
    took.sort()
    which = f"{name:<27} {clients:>3} clients{' paced' if pause else '      '}  {len(took) / seconds:6.0f} a second"
    p50, p99, longest = (at * 1000 for at in (statistics.median(took), took[int(len(took) * 0.99)], took[-1]))
    each, asking = (used / len(took) * 1000 for used in (busy, own))
    waited = f"p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  max {longest:6.1f} ms"
    print(f"{which}  {waited}  processor {each:5.2f} ms each, asking {asking:5.2f}", flush=True)


def asked(spans: int, token: str) -> dict[str, Iterator[Question]]:
    """What is asked, by name; what is asked of one kind is made before and comes again."""
    chance = random.Random(2)

    def offset() -> int:
        return chance.randrange(spans // 100 * 10)

    def record() -> tuple[str, Callable[[Any], bool]]:
        number, at = chance.randrange(100), offset()
        expected = {"topic": f"topic-{number}", "partition": number, "offset": at}
        return f"records/topic-{number}/{number}/{at}", lambda found: expected.items() <= found.items()

    def path() -> tuple[str, Callable[[Any], bool]]:
        at = chance.randrange(3000)
        return (
            f"records/scattered-4/0/{at}/upstream",
            lambda found: (
                (found["record"]["offset"], found["count"], found["hops"], len(found["edges"])) == (at, 4, 4, 4)
            ),
        )

    def node() -> tuple[str, Callable[[Any], bool]]:
        number = chance.randrange(10_000)
        return (
            f"graph?focus=node-{number}",
            lambda found: (
                found["start"].endswith(f"/node-{number}") and len(found["nodes"]) <= len(found["edges"]) + 1 > 1
            ),
        )

    def page() -> tuple[str, Callable[[Any], bool]]:
        at = offset() // 100 * 10
        return (
            f"spans/topic-7?limit=10&offset={at}",
            lambda found: len(found["items"]) == 10 and found["items"][0]["first_offset"] == at // 10 * 10,
        )

    def questions(made: Callable[[], tuple[str, Callable[[Any], bool]]]) -> Iterator[Question]:
        head = f"HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        known = [(f"GET /api/v1/{path} {head}".encode(), fits) for path, fits in (made() for _ in range(KINDS))]
        return cycle([Question(*each) for each in known])

    return {
        "a record": questions(record),
        "a record's path, four hops": questions(path),
        "a node and its neighbours": questions(node),
        "a page of spans": questions(page),
    }


def _busy(servers: Sequence[psutil.Process]) -> float:
    """Seconds of the processor."""
    return sum(sum(server.cpu_times()[:2]) for server in servers)


def main() -> None:
    """Print what was measured."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--spans", type=int, default=1_000_000)
    arguments.add_argument("--seconds", type=float, default=SECONDS)
    arguments.add_argument("--processes", type=int, default=1)
    arguments.add_argument("--index", type=Path, help="A file to keep it in: made where there is none.")
    arguments.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.serve is not None:
        path, port, *known = chosen.serve
        serve(Path(path), int(port), *map(bytes.fromhex, known))
        return
    with tempfile.TemporaryDirectory() as directory:
        index = chosen.index or Path(directory) / "index.sqlite"
        if not index.exists():
            built(index, chosen.spans)
        token, text = issued("bench", "reader", START)
        port, servers = 0, []
        for _ in range(chosen.processes):
            known = [token.key.hex(), token.to_bytes().hex()]
            process = subprocess.Popen(
                [sys.executable, __file__, "--serve", str(index), str(port), *known],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert process.stdout is not None
            port = int(process.stdout.readline())
            servers.append(process)
        watched = [psutil.Process(server.pid) for server in servers]
        try:
            for name, questions in asked(chosen.spans, text).items():
                for clients, pause in ((1, 0.0), (CLIENTS, 0.0), (CLIENTS, 0.2)):
                    asyncio.run(measured(port, name, questions, clients, pause, chosen.seconds, watched))
        finally:
            for process in servers:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(20)


if __name__ == "__main__":
    main()
