"""How long single look-ups of the API take with many clients at once: ``python benchmarks/api.py [--spans 1000000]``.

An index of a million spans and a graph of 10,000 nodes, asked over HTTP on loopback by 50 clients in another process,
each of which asks again as soon as it is answered, or five times a second. Beside what a look-up takes it says how many
were answered in a second: where all ask at once again, each waits for the 49 others. And how much of the processor an
answer took, which says more on a machine that does something else meanwhile. ``--processes`` answer at one port.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from trace import built

import psutil
from graph import START, events

from stream_lineage.agents.graph_fold import GraphFold, Written
from stream_lineage.graph.naming import naming
from stream_lineage.model.graph import GraphEvent
from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance
from stream_lineage.serve.tokens import Token, issued, token_from
from stream_lineage.serving.followers import graph_follower
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.lineage import LiveLineage
from stream_lineage.serving.run import Server, listen
from stream_lineage.serving.telemetry import ServeTelemetry
from stream_lineage.settings import load_settings

CLIENTS = 50
EDGES = 100_000
SECONDS = 6.0


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
    known = token_from(key, value)
    assert known is not None
    assert known[1] is not None
    app = make_app(lineage, ServeTelemetry(lineage, fold, pool, follower), Entrance(Tokens(known[1])))
    with listen("127.0.0.1", port, shared=True) as listening:
        print(listening.getsockname()[1], flush=True)
        server = Server(app, lineage.close)
        threading.Thread(target=lambda: (sys.stdin.read(), server.end()), daemon=True).start()
        server.run(sockets=[listening])


async def client(port: int, token: str, path: Callable[[], str], until: float, pause: float, took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(random.random() * pause)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(f"GET {path()} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        took.append(time.perf_counter() - began)
        if pause:
            await asyncio.sleep(max(0.0, pause - took[-1]))
    writer.close()


async def measured(
    port: int, token: str, name: str, path: Callable[[], str], clients: int, pause: float, seconds: float,
    servers: Sequence[psutil.Process],
) -> None:  # fmt: skip
    took: list[float] = []
    before = _busy(servers)
    until = time.perf_counter() + seconds
    await asyncio.gather(*(client(port, token, path, until, pause, took) for _ in range(clients)))
    took.sort()
    p50, p99 = statistics.median(took) * 1000, took[int(len(took) * 0.99)] * 1000
    print(
        f"{name:<34} {clients:>3} clients  median {p50:6.1f} ms  p99 {p99:6.1f} ms  {len(took) / seconds:7.0f} a second"
        f"  processor {(_busy(servers) - before) / len(took) * 1000:5.2f} ms each",
        flush=True,
    )


def _busy(servers: Sequence[psutil.Process]) -> float:
    """Seconds of the processor."""
    return sum(sum(server.cpu_times()[:2]) for server in servers)


def main() -> None:
    """Print what was measured."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--spans", type=int, default=1_000_000)
    arguments.add_argument("--seconds", type=float, default=SECONDS)
    arguments.add_argument("--processes", type=int, default=1)
    arguments.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.serve is not None:
        path, port, *known = chosen.serve
        serve(Path(path), int(port), *map(bytes.fromhex, known))
        return
    with tempfile.TemporaryDirectory() as directory:
        index = Path(directory) / "index.sqlite"
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
        chance = random.Random(2)

        def offset() -> int:
            return chance.randrange(chosen.spans // 100 * 10)

        asked: list[tuple[str, Callable[[], str]]] = [
            (
                "a record",
                lambda: f"/api/v1/records/topic-{(n := chance.randrange(100))}/{n}/{offset()}",
            ),
            ("a record's path, four hops", lambda: f"/api/v1/records/scattered-4/0/{chance.randrange(3000)}/upstream"),
            ("a node and its neighbours", lambda: f"/api/v1/graph?focus=node-{chance.randrange(10_000)}"),
            ("a page of spans", lambda: f"/api/v1/spans/topic-7?limit=10&offset={offset()}"),
        ]
        watched = [psutil.Process(server.pid) for server in servers]
        try:
            for name, path in asked:
                for clients, pause in ((1, 0.0), (CLIENTS, 0.0), (CLIENTS, 0.2)):
                    asyncio.run(measured(port, text, name, path, clients, pause, chosen.seconds, watched))
        finally:
            for process in servers:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(20)


if __name__ == "__main__":
    main()
