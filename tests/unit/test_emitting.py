"""If this failed, events that are sent to others would be lost without a word, or written only in part."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from stream_lineage.emitting import sender
from stream_lineage.errors import ConnectionFailed, SettingsError
from stream_lineage.settings import load_settings

EVENTS = [{"job": {"namespace": "n", "name": name}, "x": 1.5} for name in ("a", "b", "c")]
SETTINGS = load_settings({"bootstrap_servers": "127.0.0.1:1"}, {})


class Marquez(HTTPServer):
    """Takes events, as many as it is told to."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.takes = 100
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Marquez

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        full = len(self.server.got) >= self.server.takes
        if not full:
            self.server.got.append((self.path, self.headers["Authorization"], body))
        self.send_response(503 if full else 201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def marquez() -> Iterator[Marquez]:
    with Marquez() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_over_http_each_event_with_the_token(marquez: Marquez) -> None:
    url = f"http://127.0.0.1:{marquez.server_port}/api/v1/lineage"
    sender(url, SETTINGS, "secret")(EVENTS)
    assert marquez.got == [("/api/v1/lineage", "Bearer secret", event) for event in EVENTS]


def test_what_is_refused_is_said_and_where(marquez: Marquez) -> None:
    marquez.takes = 1
    url = f"http://127.0.0.1:{marquez.server_port}/api/v1/lineage"
    with pytest.raises(ConnectionFailed, match=r"answered 503 to event 1 of 3") as error:
        sender(url, SETTINGS, "secret")(EVENTS)
    assert "secret" not in str(error.value) + str(error.value.hint)


def test_nobody_there() -> None:
    with pytest.raises(ConnectionFailed, match="does not answer"):
        sender("http://127.0.0.1:1/", SETTINGS)(EVENTS)


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
def test_into_a_file_one_event_a_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")
    sender(str(path), SETTINGS)(EVENTS)
    body = path.read_bytes()
    text = gzip.decompress(body) if name.endswith("gz") else body
    assert [json.loads(line) for line in text.splitlines()] == EVENTS
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        sender(str(tmp_path / "nowhere" / "events"), SETTINGS)(EVENTS)
    with pytest.raises(SettingsError, match="names no topic"):
        sender("kafka:", SETTINGS)
