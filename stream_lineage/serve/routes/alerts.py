"""Alerts: those that were told, and as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from stream_lineage.graph.codec import time_to_json
from stream_lineage.index.pages import IndexedAlert, alert, alerts_before
from stream_lineage.serve.answers import Json, Page, page, place
from stream_lineage.serve.documents import AlertDocument
from stream_lineage.serve.guard import still_let_in
from stream_lineage.serve.live import Listener, LiveAlert, LiveAlerts
from stream_lineage.serve.ports import Lineage
from stream_lineage.serve.problems import documented, problem
from stream_lineage.serve.routes.parameters import Cursor, Limit
from stream_lineage.serve.threads import Threads

HEARTBEAT_SECONDS = 15.0
_TEXT = Query(min_length=1, max_length=300)


def alerts(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/alerts``."""
    router = APIRouter(tags=["alerts"], responses=documented(HTTPStatus.NOT_FOUND))

    @router.get("/alerts", responses={200: {"model": Page[AlertDocument]}}, response_class=Json)
    @threads.quickly
    def listed(
        topic: Annotated[str | None, _TEXT] = None,
        kind: Annotated[str | None, _TEXT] = None,
        severity: Annotated[str | None, Query(pattern="^(info|warning|critical)$")] = None,
        fingerprint: Annotated[str | None, _TEXT] = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Any:
        """Alerts, the one that came last first."""
        before = place(cursor, int)
        with lineage.index() as index:
            found, more = alerts_before(
                index, None if before is None else before[0], limit, topic=topic, kind=kind, severity=severity,
                fingerprint=fingerprint,
            )  # fmt: skip
        return Json(page([_document(each) for each in found], [found[-1].number] if more else None))

    stream_answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events, for ever."}
    }

    @router.get("/alerts/stream", responses=stream_answers, response_class=StreamingResponse)
    async def stream(request: Request, last_event_id: Annotated[str | None, Header(max_length=200)] = None) -> Response:
        """Alerts as they come, as server-sent events: `event: alert`, its body as on its topic. With `Last-Event-ID`
        also those since, as far as the last 500 go; a reader that is too slow is let go and comes back so.
        It ends when the token does."""
        joined = lineage.alerts.listen(last_event_id)
        if joined is None:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many listen already, or the service ends")
        listener, since = joined
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        told = _events(listener, since, lambda: still_let_in(request.scope))
        return _Stream(lineage.alerts, listener, told, media_type="text/event-stream", headers=headers)

    @router.get("/alerts/{event_id}", responses={200: {"model": AlertDocument}}, response_class=Json)
    @threads.quickly
    def single(event_id: Annotated[str, Path(min_length=1, max_length=300)]) -> Any:
        """One alert, by the id of its event (`ce_id`)."""
        with lineage.index() as index:
            return Json(_document(alert(index, event_id)))

    return router


class _Stream(StreamingResponse):
    """Lets its listener go however it ends: who has gone before it begins is told nothing, and ``_events`` does not
    even begin."""

    def __init__(self, told: LiveAlerts, listener: Listener, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._told, self._listener = told, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._told.leave(self._listener)


async def _events(listener: Listener, since: list[LiveAlert], let_in: Callable[[], bool]) -> AsyncIterator[bytes]:
    try:
        yield b"retry: 3000\n\n"
        for each in since:
            if not let_in():
                return
            yield _event(each)
        while True:
            try:
                said = _event(await listener.next(HEARTBEAT_SECONDS))
            except TimeoutError:
                said = b": nothing new\n\n"
            if not let_in():
                return
            yield said
    except EOFError:
        return


def _event(each: LiveAlert) -> bytes:
    lines = b"".join(b"data: " + line + b"\n" for line in each.body.splitlines() or [b""])
    return b"id: " + each.place.encode() + b"\nevent: alert\n" + lines + b"\n"


def _document(each: IndexedAlert) -> dict[str, Any]:
    return {
        "event_id": each.event_id,
        "topic": each.topic,
        "kind": each.kind,
        "severity": each.severity,
        "phase": each.phase,
        "field_path": each.field_path,
        "summary": each.summary,
        "fingerprint": each.fingerprint,
        "observed_at": time_to_json(each.observed_at),
        "first_offsets": {str(number): offset for number, offset in each.first_offsets.items()},
        "last_offsets": {str(number): offset for number, offset in each.last_offsets.items()},
    }
