"""Incidents wired into the worker: read, judged, explained beside the pipeline, told through it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stream_lineage.agents.home import Home
from stream_lineage.agents.incident_cause import CauseFound, IncidentCause
from stream_lineage.agents.incident_life import AlertRead, alert_read
from stream_lineage.agents.incident_watch import CHANNELS, IncidentWatch, Portion
from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.agents.pipeline import Outlet, Pipeline
from stream_lineage.detect.detector import Channel
from stream_lineage.errors import StreamLineageError
from stream_lineage.explain.located import unlocated
from stream_lineage.explain.spots import Spot
from stream_lineage.logs import get_logger, trail
from stream_lineage.otel import span
from stream_lineage.provenance.topics import ANOMALY_ALERTS, DRIFT_ALERTS
from stream_lineage.wire.kafka import consumer
from stream_lineage.wire.settings import KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka import Message

CHECK_SECONDS = 1.0
GRAPH_SECONDS = 60.0
"""How long the graph is waited for at the start."""
_TOPICS: Mapping[Channel, str] = {"drift": DRIFT_ALERTS, "anomaly": ANOMALY_ALERTS}
_log = get_logger("stream_lineage.agents")
Locate = Callable[[Sequence[Spot]], dict[str, Any]]
Feeds = Mapping[Channel, OnePartition[AlertRead]]


def alert_feeds(settings: KafkaSettings, agents_id: str) -> Feeds:
    """Read the alerts, in no group."""
    config = {"auto.offset.reset": "earliest"}
    return {
        channel: OnePartition(consumer(settings, agents_id, config), settings.topic(name), _alert)
        for channel, name in _TOPICS.items()
    }


def wire_incidents(
    app: Any,
    home: Home,
    pipeline: Pipeline[Any],
    outlet: Outlet,
    watch: IncidentWatch,
    cause: IncidentCause,
    feeds: Feeds,
    *,
    graphed: bool,
    locate: Locate | None = None,
) -> None:
    """The worker that has the first partition of the observation log does it: no incident is opened twice.
    ``graphed``: somebody reads the graph. ``locate`` looks for the first bad records, and takes its time.
    """
    dropped = False
    asking: asyncio.Task[None] | None = None
    looking: asyncio.Task[None] | None = None
    sought: dict[str, CauseFound] = {}
    patience = time.monotonic() + (GRAPH_SECONDS if graphed else 0.0)

    def here() -> bool:
        return home.settled and not dropped

    def read() -> list[Portion]:
        found = []
        for channel in CHANNELS:
            alerts, through = feeds[channel].read(watch.place(channel, outlet.rows))
            found.append(Portion(channel, tuple(alerts), through))
        return found

    async def explain() -> None:
        incident = watch.due()
        if incident is None:
            return
        try:
            with span("agents.explain", alerts=len(incident.members)):
                found = await asyncio.to_thread(cause.of, incident)
        except StreamLineageError as error:
            _log.warning("an incident cannot be explained now", incident=incident.id, error=error.message)
            found = CauseFound(_failed(error.message))
        except Exception as error:  # noqa: BLE001 - people are told what is known, and detection goes on
            _log.error("an incident cannot be explained", incident=incident.id, error=trail(error))
            found = CauseFound(_failed(type(error).__name__))
        await pipeline.aside(
            lambda kept: watch.explained(incident.id, found.document, found.related, kept) if here() else []
        )
        if locate is not None and watch.unplaced(incident.id):
            sought[incident.id] = found

    async def place(name: str, found: CauseFound, locate: Locate) -> None:
        try:
            beyond = await asyncio.to_thread(locate, found.spots)
        except StreamLineageError as error:
            _log.warning("the first bad records cannot be looked for", incident=name, error=error.message)
            beyond = unlocated(f"The first bad records could not be looked for: {error.message}.")
        except Exception as error:  # noqa: BLE001 - the cause is told, and detection goes on
            _log.error("the first bad records cannot be looked for", incident=name, error=trail(error))
            beyond = unlocated(f"The first bad records could not be looked for: {type(error).__name__}.")
        await pipeline.aside(lambda kept: watch.placed(name, found.document, beyond, kept) if here() else [])

    async def look() -> None:
        nonlocal dropped, asking, looking
        if not home.settled:
            return
        if not cause.ready and time.monotonic() < patience:
            return  # what belongs together is told by the graph
        if dropped:
            dropped = False
            watch.drop()
            sought.clear()
        try:
            portions = await asyncio.to_thread(read)
        except StreamLineageError as error:
            _log.warning("alerts cannot be read", error=error.message)
            return
        try:
            await pipeline.aside(lambda kept: watch.judge(portions, cause.standing, kept) if here() else [])
            if asking is not None and asking.done():
                asking.result()
                asking = None
            if asking is None and watch.due() is not None:
                asking = asyncio.create_task(explain())
            if looking is not None and looking.done():
                looking.result()
                looking = None
            if looking is None and sought and locate is not None:
                name = next(iter(sought))
                found = sought.pop(name)
                if watch.unplaced(name):  # it may be over by now, or they were found meanwhile
                    looking = asyncio.create_task(place(name, found, locate))
        except Exception as error:
            _log.exception("incidents cannot be kept")
            await app.crash(error)
            raise

    def lost() -> None:
        nonlocal dropped
        dropped = True

    app.timer(CHECK_SECONDS)(look)
    home.when_lost(lost)


def _alert(message: Message) -> AlertRead:
    headers = dict(message.headers() or [])
    return alert_read(message.value() or b"", bytes(headers.get("ce_id") or b"").decode(errors="replace"))


def _failed(why: str) -> dict[str, Any]:
    return {
        "verdict": "inconclusive", "sentence": f"What broke first could not be looked for: {why}", "ranking": [],
        "rejected": [], "affected": [], "affected_count": 0, "settle": [], "notes": [], "causes": [],
    }  # fmt: skip
