"""A receiver of messages on a local port, which keeps what comes and answers as a script says, also badly."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

Script = Callable[["Received"], bytes | None]
"""What is written back, as it is; null for nothing, ever."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request. Names of headers are in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer. Underscores in the names of headers are dashes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def fine(_: Received) -> bytes:
    """The usual script."""
    return answer(200, b"ok")


class Receiver:
    """Listens on a free port of the loopback from entering to leaving. ``script`` may be replaced at any time."""

    def __init__(self, script: Script = fine, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self._tls = tls
        self._received: list[Received] = []
        self._came = threading.Condition()
        self._closing = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def received(self) -> list[Received]:
        """All that has come."""
        with self._came:
            return list(self._received)

    def wait(self, wanted: Callable[[list[Received]], bool], seconds: float = 60.0) -> list[Received]:
        """Wait until what has come is as wanted.

        Raises:
            AssertionError: it was not in time.
        """
        with self._came:
            if not self._came.wait_for(lambda: wanted(self._received), seconds):
                raise AssertionError(f"{len(self._received)} came: {[each.body[:300] for each in self._received]}")
            return list(self._received)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="receiver", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # wakes the one that accepts
        self._listening.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), name="receiver-one", daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with plain, self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as connection:
                request = _request(connection)
                if request is None:
                    return
                with self._came:
                    self._received.append(request)
                    self._came.notify_all()
                said = self.script(request)
                if said is None:
                    self._closing.wait()
                else:
                    connection.sendall(said)
        except OSError:
            return  # whoever asked has gone


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """The address of a port at which nobody listens, nor comes to."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def _request(connection: socket.socket) -> Received | None:
    parts = _parts(connection)
    head = b""
    for part in parts:
        head += part
        if b"\r\n\r\n" in head:
            break
    else:
        return None
    head, _, body = head.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, *_ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    while len(body) < length:
        more = next(parts, None)
        if more is None:
            return None
        body += more
    return Received(method, path, headers, body)


def _parts(connection: socket.socket) -> Iterator[bytes]:
    while part := connection.recv(65_536):
        yield part
