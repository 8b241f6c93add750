"""If this failed, new connections would wait for all who ask without a pause, or be let in no more."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import cast

import pytest
import uvloop
from fastapi import FastAPI

from stream_lineage.serving import door
from stream_lineage.serving.door import Door
from stream_lineage.serving.run import Server

SECONDS = 60


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        answers = cast(asyncio.Transport, transport)  # uvloop's are none
        answers.write(b"hello")
        answers.close()


class Short(socket.socket):
    """One that cannot let anybody in at first."""

    failures = 1

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def listening(kind: type[socket.socket] = socket.socket) -> socket.socket:
    made = kind(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.bind(("127.0.0.1", 0))
    made.listen(64)
    return made


async def heard(client: socket.socket) -> bytes:
    reader, writer = await asyncio.open_connection(sock=client)
    said = await asyncio.wait_for(reader.read(), SECONDS)
    writer.close()
    await writer.wait_closed()
    return said


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_all_who_wait_are_let_in_together(run: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []
    enter = Door._enter

    def counted(self: Door) -> None:
        enter(self)
        rounds.append(len(self._entering))

    monkeypatch.setattr(Door, "_enter", counted)

    async def main() -> None:
        with listening() as one:
            clients = [socket.create_connection(one.getsockname()) for _ in range(40)]
            for each in clients:
                each.setblocking(False)
            opened = Door(one, Greeting)
            assert [await heard(each) for each in clients] == [b"hello"] * 40
            opened.close()
            opened.close()
            await opened.wait_closed()
        assert rounds == [40]

    run(main())


def test_who_cannot_be_let_in_now_is_let_in_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_PAUSE_SECONDS", 0.001)

    async def main() -> None:
        with listening(Short) as one:
            opened = Door(one, Greeting)
            client = socket.create_connection(one.getsockname())
            client.setblocking(False)
            assert await heard(client) == b"hello"
            opened.close()
            await opened.wait_closed()

    asyncio.run(main())


def test_who_has_gone_already_is_no_harm() -> None:
    async def main() -> None:
        with listening() as one:
            opened = Door(one, Greeting)
            gone = socket.socket()
            await opened._welcomed(gone)  # not even connected
            opened.close()
            opened._open()  # a pause that ends after the end lets nobody in
            client = socket.create_connection(one.getsockname())
            await asyncio.sleep(0)
            assert not opened._entering
            client.close()
            gone.close()

    asyncio.run(main())


def test_who_came_at_the_last_moment_does_not_hold_up_the_end() -> None:
    async def main() -> None:
        with listening() as one:
            server = Server(FastAPI(), lambda: None)
            server.config.load()
            server.lifespan = server.config.lifespan_class(server.config)
            await server.startup([one])
            client = socket.create_connection(one.getsockname())
            client.setblocking(False)
            cast(Door, server.servers[0])._enter()
            assert not server.server_state.connections  # let in, and not welcomed yet
            await server.shutdown([one])
            assert not server.server_state.connections
            assert await heard(client) == b""

    asyncio.run(main())
