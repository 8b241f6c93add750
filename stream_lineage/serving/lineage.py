"""What the API asks, answered from the index, the graph in memory, the store, the registry and Kafka."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.connections import registered_schema
from stream_lineage.errors import IndexUnusable, KafkaUnavailable, NotFound, Overloaded, StreamLineageError
from stream_lineage.explain.replay_document import plan_document
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming
from stream_lineage.incidents import Label, Told, bundle_of_incident, label_of, put_label, replays
from stream_lineage.index.kept import Kept
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.trace import Trace
from stream_lineage.index.walk import Direction
from stream_lineage.indexing import behind, has_read, own_ends
from stream_lineage.logs import get_logger
from stream_lineage.provenance.incident_codec import incident_of
from stream_lineage.provenance.topics import OPENLINEAGE
from stream_lineage.serve.live import LiveAlerts
from stream_lineage.serve.ports import Ends, Sources
from stream_lineage.serving.at_once import AtOnce
from stream_lineage.serving.index_age import IndexState
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.own_ends import OwnEnds
from stream_lineage.settings import Settings
from stream_lineage.tracing import kept
from stream_lineage.trending import marked_trend
from stream_lineage.wire.kafka import admin, producer, translated
from stream_lineage.wire.registered_schema import RegisteredSchema

T = TypeVar("T")
_log = get_logger("stream_lineage.serve")
_PAST = 4
"""Graphs of past times that are kept for the next question."""
_ANSWER_SECONDS = 30.0
_ENDS_SECONDS = 60.0
_LOOK_SECONDS = 0.02
"""Between looks at whether the index has caught up."""


class LiveLineage:
    """``serve.ports.Lineage`` for one cluster."""

    def __init__(self, settings: Settings, fold: GraphFold, naming: Naming, pool: IndexPool) -> None:
        self._settings = settings
        self._fold = fold
        self._naming = naming
        self._pool = pool
        self._alerts = LiveAlerts()
        self._at_once = AtOnce(settings, fold, naming, pool)
        self._past: OrderedDict[tuple[datetime, int], Graph] = OrderedDict()
        self._past_lock = threading.Lock()
        self._producer: Producer | None = None
        self._producer_lock = threading.Lock()
        self._ends = OwnEnds(self._own_ends)
        self._admin: AdminClient | None = None
        self.accepted = 0
        """Events of OpenLineage since the start."""

    @property
    def naming(self) -> Naming:
        return self._naming

    @property
    def room(self) -> None:
        return None

    @property
    def at_once(self) -> Sources:
        return self._at_once

    @property
    def alerts(self) -> LiveAlerts:
        return self._alerts

    def index(self) -> AbstractContextManager[ProvenanceIndex]:
        return self._pool.open()

    def ask(self, question: Callable[[Graph], T], at: datetime | None = None) -> T:
        if at is None:
            return self._fold.ask(question)
        with self._past_lock:
            return question(self._as_of(at))

    def caught_up(self, seconds: float) -> Ends | None:
        deadline = time.monotonic() + seconds
        ends = self._ends.asked(seconds)
        while ends is not None and not self._has_read(ends) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return ends

    def ends(self) -> Ends:
        """Where our own topics end at present.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        found = self._ends.asked(_ENDS_SECONDS)
        if found is None:
            raise KafkaUnavailable("where our own topics end is not known")
        return found

    def index_state(self) -> IndexState:
        """What the index says of itself.

        Raises:
            IndexUnusable, Overloaded: it cannot be asked.
        """
        with self._pool.open() as index:
            whole = index.whole_at()
            return IndexState(index.positions(), None if whole is None else datetime.fromisoformat(whole))

    def doubts(
        self, index: ProvenanceIndex, direction: Direction, begun: datetime, ends: Ends | None = None
    ) -> Sequence[str]:
        return behind(self._settings, index, direction, offline=True, begun=begun, ends=ends)

    def kept(self, found: Trace) -> Kept:
        return kept(self._settings, found)

    def schema(self, subject: str, version: int | None) -> RegisteredSchema:
        return registered_schema(self._settings, subject, version)

    def trend(self, target: str, metric: str, start: datetime, end: datetime, *, alerts: bool) -> Mapping[str, Any]:
        return marked_trend(self._settings, target, metric, start, end, alerts=alerts).document()

    def accept(self, events: Sequence[tuple[bytes, bytes]]) -> None:
        """See ``Lineage``.

        Raises:
            KafkaUnavailable: the brokers did not take all of them.
            SettingsError: we may not write the topic.
        """
        topic = self._settings.kafka.topic(OPENLINEAGE)
        client = self._client()
        failed: list[KafkaError] = []
        left = len(events)

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            nonlocal left
            left -= 1
            if error is not None:
                failed.append(error)

        deadline = time.monotonic() + _ANSWER_SECONDS
        try:
            for key, value in events:
                while True:
                    try:
                        client.produce(topic, value, key, on_delivery=on_delivery)
                        break
                    except BufferError:
                        client.poll(0.1)
                        if time.monotonic() > deadline:
                            raise KafkaUnavailable(f"{topic}: the brokers are too slow") from None
            while left > 0 and time.monotonic() < deadline:
                client.poll(0.02)
        except KafkaException as error:
            raise translated(error, f"write {topic}") from error
        if failed:
            raise translated(failed[0], f"write {topic}")
        if left > 0:
            raise KafkaUnavailable(f"{topic}: {left} events were not acknowledged within {_ANSWER_SECONDS:g} s")
        self.accepted += len(events)

    def incident_label(self, incident_ids: Collection[str]) -> Mapping[str, Any] | None:
        try:
            said = label_of(self._settings, incident_ids)
        except StreamLineageError as error:
            _log.warning("labels of incidents cannot be read", error=error.message)
            return None
        return None if said is None else said.document()

    def label_incident(self, incident: Mapping[str, Any], verdict: bool, cause: str | None) -> Mapping[str, Any]:
        said = Label(verdict, cause, datetime.now(UTC))
        put_label(self._settings, _told(incident), said)
        return said.document()

    def incident_bundle(self, incident: Mapping[str, Any]) -> Mapping[str, Any]:
        return bundle_of_incident(self._settings, _told(incident)).document

    def incident_replay(self, incident: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        return [plan_document(plan) for plan in replays(self._settings, _told(incident).incident)]

    def close(self) -> None:
        self._alerts.close()
        self._pool.close()

    def _client(self) -> Producer:
        with self._producer_lock:
            if self._producer is None:
                self._producer = producer(
                    self._settings.kafka,
                    {"compression.type": "lz4", "linger.ms": 0, "enable.idempotence": "true"},
                )
            return self._producer

    def _own_ends(self) -> Ends:
        """By one thread at a time."""
        if self._admin is None:
            self._admin = admin(self._settings.kafka)
        return own_ends(self._settings, self._admin)

    def _has_read(self, ends: Ends) -> bool:
        try:
            with self._pool.open() as index:
                return has_read(index, ends)
        except (IndexUnusable, Overloaded):
            return True  # whoever asks it next is told

    def _as_of(self, at: datetime) -> Graph:
        key = (at, self._fold.offset)
        found = self._past.get(key)
        if found is None:
            found = self._past[key] = self._fold.ask(lambda graph: _then(graph, at))
            while len(self._past) > _PAST:
                self._past.popitem(last=False)
        self._past.move_to_end(key)
        return found


def _then(graph: Graph, at: datetime) -> Graph:
    if graph.first is None or at < graph.first:
        raise NotFound("nothing was known of the graph at that time")
    return graph.as_of(at)


def _told(incident: Mapping[str, Any]) -> Told:
    body = dict(incident)
    return Told(incident_of(body), body, None)
