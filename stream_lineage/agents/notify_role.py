"""What tells people of incidents, made from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from stream_lineage.agents.delivery_log import DeliveryLog
from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.agents.home import Home
from stream_lineage.agents.notifying import Notifying, heard
from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.errors import NotFound
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.lookup import find
from stream_lineage.notify.desk import Desk
from stream_lineage.notify.post import caller
from stream_lineage.notify.senders import senders
from stream_lineage.notify.settings import NotifySettings
from stream_lineage.notify.targets import Notifications, read_notifications
from stream_lineage.provenance.topics import INCIDENTS
from stream_lineage.wire.kafka import consumer
from stream_lineage.wire.settings import KafkaSettings

GRAPH_SECONDS = 60.0
"""How long the graph is waited for, by which owners are known."""


def notifying(
    kafka: KafkaSettings,
    agents_id: str,
    settings: NotifySettings,
    public_url: str,
    home: Home,
    fold: GraphFold,
    *,
    graphed: bool,
) -> Notifying | None:
    """Null where nobody is to be told. ``graphed``: somebody reads the graph.

    Raises:
        SettingsError: the file of targets cannot be used.
    """
    wanted = read_notifications(settings.notifications)
    if not wanted.targets:
        return None
    calls = caller(settings.policy, seconds=settings.notify_timeout_seconds, ca_location=settings.notify_ca_location)
    patience = time.monotonic() + GRAPH_SECONDS
    return Notifying(
        desk_of(wanted, settings, owners_of(fold), datetime.now(UTC)),
        senders(wanted, calls, settings.links(public_url)),
        OnePartition(
            consumer(kafka, agents_id, {"auto.offset.reset": "earliest", "enable.partition.eof": "true"}),
            kafka.topic(INCIDENTS),
            heard,
        ),
        DeliveryLog(kafka, agents_id),
        here=lambda: home.settled,
        ready=lambda: not graphed or fold.whole or time.monotonic() > patience,
    )


def desk_of(
    wanted: Notifications, settings: NotifySettings, owners: Callable[[Iterable[str]], tuple[str, ...]], since: datetime
) -> Callable[[], Desk]:
    """Makes desks that know nothing yet."""
    return lambda: Desk(wanted, owners, timedelta(days=settings.notify_give_up_days), since)


def owners_of(fold: GraphFold) -> Callable[[Iterable[str]], tuple[str, ...]]:
    """Who is said to own nodes of the graph, by their ids."""

    def asked(graph: Graph, nodes: Iterable[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for name in nodes:
            try:
                said = graph.attribute(find(graph, name), "owner") or ""
            except NotFound:
                continue
            found.update(dict.fromkeys(each.strip() for each in said.split(",") if each.strip()))
        return tuple(found)

    return lambda nodes: fold.ask(lambda graph: asked(graph, nodes))
