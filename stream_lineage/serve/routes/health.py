"""``/metrics``, ``/healthz`` and ``/readyz``."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from stream_lineage.model.telemetry import Condition, Telemetry
from stream_lineage.serve.answers import Json
from stream_lineage.serve.documents import Health
from stream_lineage.serve.exposition import Exposition
from stream_lineage.serve.problems import MEDIA_TYPE


def health(telemetry: Telemetry, exposition: Exposition) -> APIRouter:
    """At the root of the service."""
    router = APIRouter(tags=["health"])
    answers: dict[int | str, dict[str, Any]] = {
        200: {"model": Health},
        503: {"model": Health, "description": "It does not hold."},
    }

    @router.get("/healthz", responses=answers, response_class=Json)
    async def alive() -> Any:
        """Whether the process need not be started again."""
        return _said(telemetry.alive())

    @router.get("/readyz", responses=answers, response_class=Json)
    def ready() -> Any:
        """Whether it does its work."""
        return _said(telemetry.ready())

    refused = {"description": "Refused.", "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    exposed: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "Metrics.",
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            },
        },
        401: refused,
        403: refused,
    }

    @router.get("/metrics", responses=exposed, response_class=Response)
    async def metrics(request: Request) -> Response:
        """Metrics in Prometheus' text format, or in OpenMetrics' for whoever asks for it."""
        text, media_type = exposition.text(request.headers.get("accept", ""))
        return Response(text, media_type=media_type)

    return router


def _said(conditions: Sequence[Condition]) -> Json:
    fine = all(condition.holds for condition in conditions)
    document = {
        "status": "ok" if fine else "failing",
        "conditions": {each.name: {"holds": each.holds, "detail": each.detail} for each in conditions},
    }
    return Json(document, HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE, {"Cache-Control": "no-store"})
