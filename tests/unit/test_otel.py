"""If this failed, traces would not arrive, tell values, or cost something where nobody asked for them."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stream_lineage import otel
from stream_lineage.otel import passed, span, wanted
from stream_lineage.store.capped import CappedStore
from stream_lineage.store.series_cap import SeriesCap
from stream_lineage.testing.stores import MemoryStore


class Receiver:
    """Takes traces by OTLP over HTTP, as a collector of OpenTelemetry does."""

    def __init__(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.paths: list[str] = []
        self.resource: dict[str, str] = {}
        self.spans: dict[str, Any] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.paths.append(self.path)
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    outer.resource = {each.key: each.value.string_value for each in group.resource.attributes}
                    outer.spans |= {each.name: each for scope in group.scope_spans for each in scope.spans}
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=partial(self._server.serve_forever, poll_interval=0.05))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    found = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    monkeypatch.setenv("NO_PROXY", "*")
    yield found
    found.close()


def numbers(one: Any) -> dict[str, float]:
    return {
        each.key.removeprefix("stream_lineage."): each.value.int_value or each.value.double_value
        for each in one.attributes
    }


def test_what_is_done_arrives_as_one_trace(receiver: Receiver) -> None:
    before, began = time.time_ns(), time.monotonic() - 5
    with otel.tracing("collect"):
        with span("collect.flush", since=began, records=7) as traced:
            passed("collect.consume", began, began + 2)
            with pytest.raises(ValueError, match="4711"), span("collect.decode"):
                raise ValueError("4711 is a value of somebody's")
            traced.note(observations=2)
        store = CappedStore(MemoryStore(), SeriesCap(10, "w"))
        store.write([])
    assert receiver.paths == ["/v1/traces"]
    assert receiver.resource["service.name"] == "stream-lineage"
    assert receiver.resource["stream_lineage.role"] == "collect"
    flush, consume, decode = (receiver.spans[f"collect.{name}"] for name in ("flush", "consume", "decode"))
    assert numbers(flush) == {"records": 7, "observations": 2}
    assert {consume.parent_span_id, decode.parent_span_id} == {flush.span_id}
    assert {consume.trace_id, decode.trace_id} == {flush.trace_id}
    assert flush.start_time_unix_nano == pytest.approx(before - 5e9, abs=1e9)
    assert consume.end_time_unix_nano - consume.start_time_unix_nano == 2_000_000_000
    assert (decode.status.code, decode.status.message) == (2, "ValueError")
    assert b"4711" not in b"".join(each.SerializeToString() for each in receiver.spans.values())
    assert numbers(receiver.spans["store.write"]) == {"points": 0}
    with span("after") as traced:
        traced.note(n=1)
    passed("after", 0, 1)
    assert otel._tracer is None


def test_the_document_names_the_spans_that_there_are() -> None:
    package = Path(otel.__file__).parent
    made = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r'\b(?:span|passed)\(\s*"([a-z.]+)"', path.read_text(encoding="utf-8"))
    }
    text = (package.parent / "docs" / "telemetry.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| \w+ \| `([a-z]+\.[a-z]+)` \|", text, re.MULTILINE))
    assert made == told
    assert len(made) > 5


def test_names_of_the_environment_win(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "lineage-of-the-shop")
    with otel.tracing("agents"), span("agents.windows"):
        pass
    assert receiver.resource["service.name"] == "lineage-of-the-shop"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, False),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, False),
    ],
)
def test_the_standard_variables_say_whether(given: dict[str, str], expected: bool) -> None:
    assert wanted(given) is expected


def test_nothing_is_imported_unless_asked_and_it_works_without_the_extra() -> None:
    program = (
        "import sys; from stream_lineage.cli import collect, agents; from stream_lineage.otel import tracing, span;"
        "import stream_lineage.collect.pipeline, stream_lineage.agents.pipeline, stream_lineage.store.sender;"
        "\nwith tracing('collect', {}), span('a', n=1): pass"
        "\nassert not [name for name in sys.modules if name.startswith('opentelemetry')]"
        "\nsys.modules['opentelemetry'] = None"
        "\nwith tracing('collect', {'OTEL_TRACES_EXPORTER': 'otlp'}), span('a', n=1): print('worked')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "worked\n"
    assert "the extra is not installed" in done.stderr


def test_a_collector_that_is_away_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with otel.tracing("collect"):
        for _ in range(5_000):
            with span("a", n=1):
                pass
    assert otel._tracer is None
