"""What tells people of incidents and does what hooks say, made from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from stream_lineage.agents.beside import Beside
from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.agents.home import Home
from stream_lineage.agents.hooking import Hooking
from stream_lineage.agents.notifying import Notifying, heard
from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.agents.own_log import READER, OwnLog
from stream_lineage.agents.settings import AgentsSettings
from stream_lineage.errors import NotFound
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.lookup import find
from stream_lineage.model.telemetry import Metric
from stream_lineage.notify.delivery import delivery_from
from stream_lineage.notify.desk import Desk
from stream_lineage.notify.hook_connect import ANYWHERE
from stream_lineage.notify.hook_desk import HookDesk
from stream_lineage.notify.hook_record import action_from
from stream_lineage.notify.hook_rules import read_hooks
from stream_lineage.notify.hook_run import HookRunner
from stream_lineage.notify.post import Caller, caller
from stream_lineage.notify.senders import senders
from stream_lineage.notify.sending import Heard
from stream_lineage.notify.settings import NotifySettings
from stream_lineage.notify.targets import read_notifications
from stream_lineage.notify.telemetry import hook_metrics, notify_metrics
from stream_lineage.provenance.topics import ACTIONS, DELIVERIES, INCIDENTS
from stream_lineage.wire.kafka import consumer
from stream_lineage.wire.settings import KafkaSettings

TURN_SECONDS = 0.3
GRAPH_SECONDS = 60.0
"""How long the graph is waited for, by which owners are known."""


class IncidentSide:
    """All of it: threads that nobody waits for, and what they say of themselves."""

    def __init__(self, notifying: Notifying | None, hooking: Hooking | None) -> None:
        self._notifying = notifying
        self._hooking = hooking
        turns = {"notify": notifying, "hooks": hooking}
        self._threads = [Beside(name, each.turn, TURN_SECONDS) for name, each in turns.items() if each is not None]

    def start(self) -> None:
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        for each in self._threads:
            each.stop()

    def metrics(self) -> Sequence[Metric]:
        """All metrics, also where nobody is told."""
        told = notify_metrics({}, {}) if self._notifying is None else self._notifying.metrics()
        return [*told, *(hook_metrics({}) if self._hooking is None else self._hooking.metrics())]


def incident_side(
    kafka: KafkaSettings, agents: AgentsSettings, notify: NotifySettings, home: Home, fold: GraphFold, *, graphed: bool
) -> IncidentSide:
    """``graphed``: somebody reads the graph, by which owners are known.

    Raises:
        SettingsError: a file of targets or hooks cannot be used.
    """
    targets, hooks = read_notifications(notify.notifications), read_hooks(notify.hooks)
    links, owners = notify.links(agents.public_url), owners_of(fold)
    calls = caller(notify.policy, seconds=notify.notify_timeout_seconds, ca_location=notify.notify_ca_location)
    patience = time.monotonic() + GRAPH_SECONDS
    since = datetime.now(UTC)

    def ready() -> bool:
        return not graphed or fold.whole or time.monotonic() > patience

    def incidents() -> OnePartition[Heard]:
        return OnePartition(consumer(kafka, agents.agents_id, READER), kafka.topic(INCIDENTS), heard)

    notifying = hooking = None
    if targets.targets:
        notifying = Notifying(
            lambda: Desk(targets, owners, timedelta(days=notify.notify_give_up_days), since),
            senders(targets, calls, links),
            incidents(),
            OwnLog(kafka, agents.agents_id, DELIVERIES, delivery_from),
            here=lambda: home.settled,
            ready=ready,
        )
    if hooks.hooks:
        runner = HookRunner(
            calls,
            Caller(ANYWHERE, seconds=agents.connect_timeout_seconds),
            agents.connect_urls,
            agents.connect_credentials,
            links,
        )
        hooking = Hooking(
            lambda: HookDesk(hooks, owners),
            runner.run,
            incidents(),
            OwnLog(kafka, agents.agents_id, ACTIONS, action_from),
            here=lambda: home.settled,
            ready=ready,
        )
    return IncidentSide(notifying, hooking)


def owners_of(fold: GraphFold) -> Callable[[Iterable[str]], tuple[str, ...]]:
    """Who is said to own nodes of the graph, by their ids."""
    return lambda nodes: fold.ask(lambda graph: owners_in(graph, nodes))


def owners_in(graph: Graph, nodes: Iterable[str]) -> tuple[str, ...]:
    """Who is said to own these nodes, by their ids."""
    found: dict[str, None] = {}
    for name in nodes:
        try:
            said = graph.attribute(find(graph, name), "owner") or ""
        except NotFound:
            continue
        found.update(dict.fromkeys(each.strip() for each in said.split(",") if each.strip()))
    return tuple(found)
