"""If this failed, runs would not arrive where they are told, or not as whoever takes them wants them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from sdk_broker import Broker, polled, reading

from stream_lineage.graph.from_openlineage import claims_of_event
from stream_lineage.graph.naming import Naming
from stream_lineage.sdk import declare, destinations
from stream_lineage.sdk.destinations import ToFile, ToHttp, ToKafka, Undelivered, choose, destination
from stream_lineage.sdk.run_events import run_event_of
from stream_lineage.sdk.run_sender import Ending
from stream_lineage.sdk.runs import build
from stream_lineage.serve.routes.openlineage import accepted


def events(count: int = 2) -> list[dict[str, Any]]:
    found = []
    for number in range(count):
        run = build(
            f"job-{number}", inputs="orders", outputs="s3://lake/ünder", key=(), column_lineage=(), run_id=None
        )  # fmt: skip
        run.begin()
        found.append(run_event_of(run, Ending.NONE, run.inputs, run.outputs))
    return found


class Door(BaseHTTPRequestHandler):
    """Answers in turn with what it is told to."""

    codes: list[int]
    got: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((dict(self.headers), body))
        self.send_response(self.codes.pop(0) if self.codes else 201)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def door() -> Iterator[tuple[str, type[Door]]]:
    kind = type("OneDoor", (Door,), {"codes": [], "got": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1/lineage", kind
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_http(door: tuple[str, type[Door]]) -> None:
    url, kind = door
    first, second = events()
    assert ToHttp(url, "secret").send([first, second]) == 0
    (headers, body), (_, other) = kind.got
    assert (headers["Authorization"], headers["Content-Type"]) == ("Bearer secret", "application/json")
    assert (json.loads(body), json.loads(other)) == (first, second)
    # And this is what our own API takes, and what the graph makes of it.
    [(key, kept)] = accepted(body)
    assert (key.endswith(b"/job-0"), kept) == (True, body)
    edges = [claim.subject for claim in claims_of_event(json.loads(body), Naming("prod"))]
    assert [each.name for each in edges if hasattr(each, "name")] == ["job-0"]
    assert len(edges) == 3


@pytest.mark.parametrize(("code", "refused"), [(422, 1), (401, 1), (500, None), (429, None), (503, None)])
def test_what_an_answer_means(code: int, refused: int | None, door: tuple[str, type[Door]]) -> None:
    url, kind = door
    kind.codes.append(code)
    if refused is None:
        with pytest.raises(Undelivered, match=str(code)):
            ToHttp(url).send(events(1))
    else:
        assert ToHttp(url).send(events(1)) == refused


def test_a_redirect_is_not_followed(door: tuple[str, type[Door]], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there would be asked for, not sent: nobody would have the event, and whoever is there the token."""
    url, kind = door
    asked: list[str] = []

    def do_POST(self: Door) -> None:
        self.send_response(302)
        self.send_header("Location", url)
        self.end_headers()

    def do_GET(self: Door) -> None:
        asked.append(self.headers["Authorization"])
        self.send_response(200)
        self.end_headers()

    monkeypatch.setattr(kind, "do_POST", do_POST)
    monkeypatch.setattr(kind, "do_GET", do_GET, raising=False)
    with pytest.raises(Undelivered, match="302"):
        ToHttp(url, "secret").send(events(1))
    assert asked == []


def test_nobody_answers() -> None:
    with pytest.raises(Undelivered, match="does not answer"):
        ToHttp("http://127.0.0.1:1/lineage").send(events(1))


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    known = events()
    assert ToFile(path).send(known[:1]) == ToFile(path).send(known[1:]) == 0
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == known
    with pytest.raises(Undelivered, match="cannot be written"):
        ToFile(tmp_path / "none" / "events").send(known)


def test_kafka(broker: Broker) -> None:
    topic = broker.topic("openlineage")
    known = events()
    known[0]["padding"] = "x" * 2_000_000  # more than a broker takes
    assert ToKafka(topic, broker.config()).send(known) == 1
    with reading(Consumer(broker.consumer_config()), topic, partitions=4) as consumer:
        message = polled(consumer)
    assert json.loads(message.value()) == known[1]
    assert message.key().endswith(b"/job-1")
    with pytest.raises(Undelivered, match="is not there"):
        ToKafka("no-such-topic", broker.config()).send(known)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> declare.Declared:
    """What clients have shown of how Kafka is reached: nothing yet."""
    for name in ("LINEAGE_RUNS_TO", "OPENLINEAGE_URL", "OPENLINEAGE_ENDPOINT", "OPENLINEAGE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(destinations, "CHOSEN", destinations.Chosen())
    fresh = declare.Declared()
    monkeypatch.setattr(destinations, "DECLARED", fresh)
    return fresh


def test_what_is_said_first_counts(shown: declare.Declared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert destination() is None
    monkeypatch.setenv("OPENLINEAGE_URL", "http://marquez:5000/")
    first = destination()
    assert isinstance(first, ToHttp)
    assert first._url == "http://marquez:5000/api/v1/lineage"
    assert destination() is first
    shown.connect({"bootstrap.servers": "broker:9092", "group.id": "x"})
    found = destination()
    assert isinstance(found, ToKafka)
    assert (found._topic, found._conf) == ("lineage.openlineage", {"bootstrap.servers": "broker:9092"})
    monkeypatch.setenv("LINEAGE_RUNS_TO", "kafka:events")
    found = destination()
    assert isinstance(found, ToKafka)
    assert found._topic == "events"
    choose(str(tmp_path / "file"), None, None)
    assert isinstance(destination(), ToFile)
    choose("https://other/lineage", "secret", None)
    found = destination()
    assert isinstance(found, ToHttp)
    assert (found._url, found._headers["Authorization"]) == ("https://other/lineage", "Bearer secret")
