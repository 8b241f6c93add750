"""OpenTelemetry traces of what the service does: of flushes, windows and writes to a store, never of single records.

Off unless the standard variables ask for them: ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``
or ``OTEL_TRACES_EXPORTER=otlp``, and neither ``OTEL_TRACES_EXPORTER=none`` nor ``OTEL_SDK_DISABLED=true``. While they
are off nothing of OpenTelemetry is imported. Spans hold numbers, no names and no text of an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from stream_lineage.logs import get_logger

_FLUSH_MS = 3_000
_log = get_logger("stream_lineage.otel")
_tracer: Any = None


class Span:
    """What a block of work is told of while it runs."""

    def __init__(self, inner: Any = None) -> None:
        self._inner = inner

    def note(self, **numbers: float) -> None:
        """Attributes that are known only now."""
        if self._inner is not None:
            self._inner.set_attributes(_named(numbers))


_NONE = Span()


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces by OTLP."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return "otlp" in exporter.split(",")
    return any(environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("ENDPOINT", "TRACES_ENDPOINT"))


@contextmanager
def tracing(role: str, environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Send traces of a role while the context lasts, if that is wanted and the extra ``otel`` is installed."""
    global _tracer  # noqa: PLW0603 - the process has one, as it has one configuration of logs
    provider = _provider(role) if wanted(environ) else None
    if provider is None:
        yield
        return
    _tracer = provider.get_tracer("stream_lineage")
    try:
        yield
    finally:
        _tracer = None
        provider.force_flush(_FLUSH_MS)
        provider.shutdown()


@contextmanager
def span(name: str, *, since: float | None = None, **numbers: float) -> Iterator[Span]:
    """A block of work. ``since`` is the monotonic time at which it began, where that was before."""
    if _tracer is None:
        yield _NONE
        return
    with _tracer.start_as_current_span(
        name, start_time=None if since is None else _epoch_ns(since), attributes=_named(numbers),
        record_exception=False, set_status_on_exception=False,
    ) as inner:  # fmt: skip
        try:
            yield Span(inner)
        except Exception as error:
            from opentelemetry.trace import Status, StatusCode

            inner.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def tracer() -> Any:
    """What makes spans of requests, whose names and attributes are those that OpenTelemetry has for them; null while
    traces are off."""
    return _tracer


def passed(name: str, since: float, until: float, **numbers: float) -> None:
    """A piece of work that is over, from one monotonic time to another."""
    if _tracer is not None:
        start = _epoch_ns(since)
        made = _tracer.start_span(name, start_time=start, attributes=_named(numbers))
        made.end(start + round((until - since) * 1e9))


def _provider(role: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning("no traces: they are asked for, but the extra is not installed", mend="stream-lineage[otel]")
        return None
    resource = Resource.create({"service.version": version("stream-lineage"), "stream_lineage.role": role})
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "stream-lineage"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _log.info("traces are sent by OTLP over HTTP")
    return provider


def _named(numbers: Mapping[str, float]) -> dict[str, float]:
    return {f"stream_lineage.{name}": value for name, value in numbers.items()}


def _epoch_ns(monotonic: float) -> int:
    return time.time_ns() - round((time.monotonic() - monotonic) * 1e9)
