"""Letting connections in: all that wait, whenever any does.

uvloop lets one in in each round of its loop. Where many ask without a pause a round takes as long as all their answers,
and the fiftieth who comes would wait for fifty rounds.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from stream_lineage.logs import get_logger

_AT_ONCE = 256
_PAUSE_SECONDS = 1.0
"""Where the system has no more of what a connection needs."""
_log = get_logger("stream_lineage.serve")


class Door:
    """For one socket that listens, in the running event loop; what uvicorn wants of a server. ``welcome`` makes a
    protocol for whoever comes in."""

    def __init__(self, listening: socket.socket, welcome: Callable[[], asyncio.BaseProtocol]) -> None:
        self._listening, self._welcome = listening, welcome
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._closed = False
        listening.setblocking(False)
        self._open()

    def close(self) -> None:
        """Lets nobody in any more."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        """Until who had been let in has been welcomed."""
        await asyncio.gather(*self._entering)

    def _open(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listening, self._enter)

    def _enter(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _log.warning("nobody is let in for a while", reason=error.strerror, seconds=_PAUSE_SECONDS)
                self._loop.remove_reader(self._listening)
                self._loop.call_later(_PAUSE_SECONDS, self._open)
                return
            task = self._loop.create_task(self._welcomed(connection))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    async def _welcomed(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._welcome, connection)
        except OSError:
            connection.close()  # who has gone already
