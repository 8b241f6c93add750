"""The graph, kept up to date by the worker that has the first partition of the observation log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from stream_lineage.agents.faust_app import FaustOutlet
from stream_lineage.agents.graph_alerts import GraphAlerts
from stream_lineage.agents.graph_evidence import GraphEvidence
from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.agents.home import Home
from stream_lineage.agents.looks import Looks
from stream_lineage.agents.openlineage_watch import OpenLineageWatch
from stream_lineage.agents.pipeline import Pipeline
from stream_lineage.errors import StreamLineageError
from stream_lineage.logs import get_logger

GRAPH_CHECK_SECONDS = 5.0
OPENLINEAGE_CHECK_SECONDS = 2.0
_log = get_logger("stream_lineage.agents")


def wire_graph(
    app: Any,
    looks: Looks,
    home: Home,
    pipeline: Pipeline[Any],
    outlet: FaustOutlet,
    fold: GraphFold,
    evidence: GraphEvidence,
    told: GraphAlerts,
    topics_of: Callable[[], list[str]],
    watches: Callable[[str], bool],
    seconds: float,
) -> None:
    """All workers know the graph; one looks for evidence each so many seconds, of the topics that there are."""
    due = 0.0

    async def judge(read: bool) -> None:
        nonlocal due
        if not read or not home.settled:
            return
        through = fold.offset
        await pipeline.aside(lambda rows: told.judge(through, rows) if home.held else [])
        if time.monotonic() < due:
            return
        try:
            topics = await asyncio.to_thread(topics_of)
            await evidence.look(fold.graph, topics, [topic for topic in topics if watches(topic)])
        except StreamLineageError as error:
            looks.trouble("evidence for the lineage graph cannot be read", error)
            return
        due = time.monotonic() + (seconds if evidence.whole else 0.0)
        events = await asyncio.to_thread(evidence.events, fold.graph, topics)
        if home.held and events:
            await outlet.chart(events)
            _log.info("lineage graph brought up to date", events=len(events))

    async def ended(*_: Any, **__: Any) -> None:
        await evidence.close()

    looks.reading(
        min(seconds, GRAPH_CHECK_SECONDS),
        lambda: asyncio.to_thread(fold.catch_up, told.event),
        judge,
        unread="the lineage graph cannot be read",
        fails="the lineage graph cannot be brought up to date",
    )
    home.when_lost(evidence.drop)
    app.on_before_shutdown.connect(ended, weak=False)


def wire_openlineage(looks: Looks, home: Home, outlet: FaustOutlet, fold: GraphFold, watch: OpenLineageWatch) -> None:
    """Events of OpenLineage into the graph."""

    async def look() -> None:
        try:
            events = await asyncio.to_thread(watch.look, fold.ask)
        except Exception as error:  # noqa: BLE001 - nothing that others send may end the agents
            looks.trouble("events of OpenLineage cannot be read", error)
            return
        if not home.held:
            watch.drop()
            return
        if events:
            await outlet.chart(events)
            _log.info("OpenLineage's events brought into the lineage graph", events=len(events))
        watch.written()

    looks.every(
        OPENLINEAGE_CHECK_SECONDS,
        look,
        fails="OpenLineage's events cannot be brought into the lineage graph",
        when=lambda: home.settled and fold.whole,
    )
    home.when_lost(watch.drop)
