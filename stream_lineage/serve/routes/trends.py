"""Metrics over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query

from stream_lineage.serve.answers import Json
from stream_lineage.serve.documents import TrendDocument
from stream_lineage.serve.ports import Lineage
from stream_lineage.serve.problems import BadBody, documented
from stream_lineage.serve.routes.parameters import Moment
from stream_lineage.serve.threads import Threads

_USUAL = timedelta(days=7)
_LONGEST = timedelta(days=366)


def trends(lineage: Lineage, threads: Threads) -> APIRouter:
    """``/trends``."""
    router = APIRouter(tags=["trends"], responses=documented(HTTPStatus.NOT_FOUND))

    @router.get("/trends", responses={200: {"model": TrendDocument}}, response_class=Json)
    @threads.slowly
    def trend(
        target: Annotated[str, Query(min_length=1, max_length=1000, description="A topic, TOPIC:FIELD, or a node.")],
        metric: Annotated[str, Query(min_length=1, max_length=200)],
        since: Annotated[Moment | None, Query(description="7 days ago where it is not given.")] = None,
        until: Annotated[Moment | None, Query(description="Now where it is not given.")] = None,
        alerts: Annotated[bool, Query(description="Whether alerts are marked.")] = True,
    ) -> Any:
        """A metric in windows, 96 at most, beside what is usual for it."""
        end = until or datetime.now(UTC)
        start = since or end - _USUAL
        if not timedelta(0) < end - start <= _LONGEST:
            raise BadBody("since must be before until, a year at most")
        return Json(lineage.trend(target, metric, start, end, alerts=alerts))

    return router
