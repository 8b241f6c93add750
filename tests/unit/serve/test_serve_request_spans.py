"""If this failed, requests would be missing in traces, tell what was asked, or cost something without traces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import MadeLineage, Told
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient

from stream_lineage import otel
from stream_lineage.serve.app import make_app
from stream_lineage.serve.guard import Entrance
from stream_lineage.serve.request_spans import RequestSpans, Templates

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class NoTokens:
    tokens: dict[str, Any] = {}  # noqa: RUF012


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(otel, "_provider", lambda role: provider)
    with otel.tracing("serve", {"OTEL_TRACES_EXPORTER": "otlp"}):
        yield exporter


def requests(exported: InMemorySpanExporter) -> list[ReadableSpan]:
    """Without those of the index, which was written for the test."""
    return [each for each in exported.get_finished_spans() if each.kind is not SpanKind.INTERNAL]


def asking(directory: Path, entrance: Entrance | None = None) -> TestClient:
    app = make_app(MadeLineage(directory), Told(), entrance or Entrance(None))
    return TestClient(app, raise_server_exceptions=False)


def test_a_request_is_a_span_of_its_route_and_continues_the_trace_of_whoever_asks(
    exported: InMemorySpanExporter, tmp_path: Path
) -> None:
    client = asking(tmp_path)
    header = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    assert client.get("/api/v1/schemas/clicks-of-mrs/smith/versions/9?x=4711", headers=header).status_code == 404
    assert client.get("/api/v1/graph").status_code == 200
    assert client.post("/api/v1/graph").status_code == 405
    first, second, third = requests(exported)
    assert first.attributes is not None
    assert first.context is not None
    assert first.parent is not None
    template = str(first.attributes["http.route"])
    assert template == "/api/v1/schemas/{subject}/versions/{version}"
    assert first.name == f"GET {template}"
    assert dict(first.attributes) == {
        "http.request.method": "GET", "http.route": template, "http.response.status_code": 404,
    }  # fmt: skip
    assert first.kind is SpanKind.SERVER
    assert first.status.status_code is StatusCode.UNSET  # whoever asked was wrong, not we
    assert (f"{first.context.trace_id:032x}", f"{first.parent.span_id:016x}") == (TRACE, PARENT)
    assert (second.name, second.parent) == ("GET /api/v1/graph", None)
    assert third.name == "POST /api/v1/graph"
    for text in ("smith", "4711"):
        assert all(text not in each.to_json() for each in (first, second, third))


def test_who_is_refused_has_asked_too_and_unknown_paths_are_told_nowhere(
    exported: InMemorySpanExporter, tmp_path: Path
) -> None:
    assert asking(tmp_path, Entrance(NoTokens())).get("/api/v1/graph").status_code == 401
    (refused,) = requests(exported)
    assert (refused.name, (refused.attributes or {})["http.response.status_code"]) == ("GET /api/v1/graph", 401)
    exported.clear()
    client = TestClient(make_app(MadeLineage(tmp_path), Told(), Entrance(None)))
    assert client.get("/nowhere/4711").status_code == 404
    assert client.request("BREW", "/api/v1/graph").status_code == 405
    unknown, brewed = requests(exported)
    assert unknown.name == "GET"
    assert "http.route" not in (unknown.attributes or {})
    assert (brewed.attributes or {})["http.request.method"] == "_OTHER"
    assert "BREW" not in brewed.to_json()


def test_health_has_no_spans(exported: InMemorySpanExporter, tmp_path: Path) -> None:
    client = asking(tmp_path)
    assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 503, 200]
    assert requests(exported) == []


def test_what_fails_is_an_error_by_its_type(exported: InMemorySpanExporter, tmp_path: Path) -> None:
    lineage = MadeLineage(tmp_path)

    def ask(*_: Any) -> Any:
        raise ZeroDivisionError("4711")

    lineage.ask = ask  # type: ignore[method-assign, assignment]
    client = TestClient(make_app(lineage, Told(), Entrance(None)), raise_server_exceptions=False)
    assert client.get("/api/v1/graph").status_code == 500
    (found,) = requests(exported)
    assert found.status.status_code is StatusCode.ERROR
    assert dict(found.attributes or {})["error.type"] in ("ZeroDivisionError", "500")
    assert dict(found.attributes or {})["http.response.status_code"] == 500
    assert "4711" not in found.to_json()


@pytest.mark.parametrize(
    "headers",
    [[("traceparent", "nonsense")], [("traceparent", f"00-{TRACE}-{PARENT}-01")] * 2, [("tracestate", "a=b")]],
)
def test_a_trace_that_cannot_be_continued_is_begun_anew(
    headers: list[tuple[str, str]], exported: InMemorySpanExporter, tmp_path: Path
) -> None:
    assert asking(tmp_path).get("/api/v1/graph", headers=headers).status_code == 200
    assert [each.parent for each in requests(exported)] == [None]


def test_the_template_is_that_of_the_first_route_that_fits() -> None:
    templates = Templates(["/a/all", "/a/{id}", "/a/{id}/b.c", "/a/{id}/{other}", "/a", "/s/{name:path}/of/{id}"])
    paths = ["/a", "/a/7", "/a/all", "/a/7/b.c", "/a/7/bxc", "/", "/a/", "/s/x/y/of/7"]
    expected = ["/a", "/a/{id}", "/a/all", "/a/{id}/b.c", "/a/{id}/{other}", None, None, "/s/{name}/of/{id}"]
    assert [templates.of(path) for path in paths] == expected


def test_without_traces_nothing_is_around_the_application(tmp_path: Path) -> None:
    app = make_app(MadeLineage(tmp_path), Told(), Entrance(None))
    assert app.user_middleware
    assert str(RequestSpans) not in [str(each.cls) for each in app.user_middleware]
