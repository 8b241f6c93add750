"""A span of OpenTelemetry for each request of the API: its method, the route's template and the status, and nothing of
the path itself, which names topics. Whoever asks may continue a trace of theirs by ``traceparent``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_lineage.serve.guard import OPEN_PATHS

_UNTRACED = OPEN_PATHS | {"/metrics"}
"""What machines ask again and again to see how it is."""
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"))
_SERVER_ERROR = 500
_TOLD = (b"traceparent", b"tracestate")


class Templates:
    """Which route's path an address is of. ``paths`` are those of the routes, in the order in which they are tried."""

    def __init__(self, paths: Iterable[str]) -> None:
        compiled = map(compile_path, paths)
        self._known = [(pattern, template) for pattern, template, _ in compiled]

    def of(self, path: str) -> str | None:
        return next((template for pattern, template in self._known if pattern.match(path)), None)


class RequestSpans:
    """Around an app. ``tracer`` is OpenTelemetry's. An answer without end is a span once whoever listens has gone."""

    def __init__(self, app: ASGIApp, tracer: Any, templates: Templates) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._tracer = tracer
        self._templates = templates
        self._server = SpanKind.SERVER
        self._extract = TraceContextTextMapPropagator().extract

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        # A list: where there are two of them, nobody knows which one is meant.
        found: dict[str, Any] = {}
        for name, value in scope["headers"]:
            if name in _TOLD:
                found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        if len(found.get("traceparent", ())) > 1:
            found.clear()
        method, route = scope["method"], self._templates.of(scope["path"])
        attributes = {"http.request.method": method if method in _METHODS else "_OTHER"}
        if route is not None:
            attributes["http.route"] = route
        name = " ".join((method if method in _METHODS else "HTTP", *(() if route is None else (route,))))
        status: int | None = None

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracer.start_as_current_span(
            name, self._extract(found), self._server, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                await self._app(scope, receive, told)
            except Exception as error:
                status = _SERVER_ERROR if status is None else status
                _failed(span, type(error).__name__)
                raise
            finally:
                if status is not None:
                    span.set_attribute("http.response.status_code", status)
                    if status >= _SERVER_ERROR:
                        _failed(span, str(status))


def _failed(span: Any, kind: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR))
    span.set_attribute("error.type", kind)
