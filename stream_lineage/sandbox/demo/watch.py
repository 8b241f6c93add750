"""What Kafka holds by now: records, what was observed of them, alerts."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec

from stream_lineage.errors import SandboxError
from stream_lineage.model.observation import Observation
from stream_lineage.profile.frequent import item_counts_of
from stream_lineage.provenance.codec import decode_observation
from stream_lineage.provenance.spans import SpanIndex
from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.clients import admin, reader
from stream_lineage.sandbox.demo.incident import Incident
from stream_lineage.sandbox.demo.topics import CLICKS, FEATURES, TOPICS, Topic

OBSERVATIONS = "lineage.observations"
ALERTS = ("lineage.drift-alerts", "lineage.anomaly-alerts")
INCIDENTS = "lineage.incidents"
_READ = (OBSERVATIONS, *ALERTS, INCIDENTS)
_OFFSETS_SECONDS = 1.0
_RATE_SECONDS = 4.0
_CALL_SECONDS = 10.0
_PATIENCE_SECONDS = 20.0
"""How long Kafka may refuse to answer: brokers take a moment until they know of partitions that are new."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """``records`` are in the topic, ``observed`` of them in the provenance log, in ``spans`` merged spans."""

    topic: Topic
    records: int
    per_second: float
    observed: int
    spans: int
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Effects:
    """What the fault does to values, from the profiles: ``null_ages`` is the share of nulls among ``features.age``
    lately, ``event_types`` are those seen in ``clicks``, in the order of their first sight."""

    null_ages: float | None
    event_types: tuple[str, ...]


@dataclass(slots=True)
class _Seen:
    offsets: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))
    observed: int = 0
    observed_at: set[int] = field(default_factory=set)
    versions: dict[int, None] = field(default_factory=dict)


class Watch:
    """A thread that reads the provenance log and the alerts, as any consumer could, and asks for end offsets."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._admin = admin(bootstrap_servers)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._seen = {topic.name: _Seen() for topic in TOPICS}
        self._index = SpanIndex()
        self._alerts: list[Alert] = []
        self._incidents: list[Incident] = []
        self._nulls: deque[tuple[float, int, int]] = deque(maxlen=64)
        self._event_types: dict[str, None] = {}
        self._thread = threading.Thread(target=self._run, name="demo-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_CALL_SECONDS)

    def check(self) -> None:
        """Raises SandboxError if it could not go on."""
        if self._failure is not None:
            raise SandboxError(f"the demo cannot read Kafka any more: {self._failure}") from self._failure

    def alerts(self, since: float = 0.0) -> Sequence[Alert]:
        """Those that arrived since a monotonic time and are not over, in the order of their arrival."""
        with self._lock:
            return tuple(each for each in self._alerts if each.arrived >= since and each.phase != "close")

    def incidents(self) -> Sequence[Incident]:
        """All that was told of incidents, in the order of its arrival."""
        with self._lock:
            return tuple(self._incidents)

    def windows(self, seconds: float) -> int:
        """In how many windows of so many seconds something of each topic was observed."""
        with self._lock:
            return min(len({at // seconds for at in seen.observed_at}) for seen in self._seen.values())

    def topics(self) -> list[TopicState]:
        """In the order of the stream."""
        with self._lock:
            spans: dict[str, int] = {}
            for epoch in self._index.epochs():
                spans[epoch.topic] = spans.get(epoch.topic, 0) + sum(1 for _ in self._index.merged(epoch))
            return [_state(topic, self._seen[topic.name], spans.get(topic.name, 0)) for topic in TOPICS]

    def effects(self) -> Effects:
        with self._lock:
            since = time.monotonic() - _RATE_SECONDS
            lately = [(nulls, slots) for at, nulls, slots in self._nulls if at >= since]
            slots = sum(slots for _, slots in lately)
            ratio = sum(nulls for nulls, _ in lately) / slots if slots else None
            return Effects(ratio, tuple(self._event_types))

    def _run(self) -> None:
        consumer: Consumer | None = None
        try:
            next_offsets, answered = 0.0, time.monotonic()
            while not self._stopping.is_set():
                if time.monotonic() >= next_offsets:
                    next_offsets = time.monotonic() + _OFFSETS_SECONDS
                    try:
                        self._ask_offsets()
                        consumer = consumer or self._consumer()
                        answered = time.monotonic()
                    except KafkaException:
                        if time.monotonic() - answered > _PATIENCE_SECONDS:
                            raise
                if consumer is None:
                    self._stopping.wait(0.1)
                    continue
                for message in consumer.consume(100, 0.1):
                    self._take(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever looks must hear of it
            if not self._stopping.is_set():
                self._failure = error
        finally:
            if consumer is not None:
                consumer.close()

    def _consumer(self) -> Consumer | None:
        """Once our topics are there, which the collector and the agents create."""
        known = self._admin.list_topics(timeout=_CALL_SECONDS).topics
        if not all(name in known for name in _READ):
            return None
        consumer = reader(self._bootstrap_servers)
        consumer.assign([TopicPartition(name, partition, 0) for name in _READ for partition in known[name].partitions])
        return consumer

    def _ask_offsets(self) -> None:
        wanted = {
            TopicPartition(topic.name, partition): OffsetSpec.latest()
            for topic in TOPICS
            for partition in range(topic.partitions)
        }
        answers = self._admin.list_offsets(wanted, request_timeout=_CALL_SECONDS)
        ends: dict[str, int] = {}
        for place, future in answers.items():
            ends[place.topic] = ends.get(place.topic, 0) + future.result(_CALL_SECONDS + 1).offset
        with self._lock:
            for name, end in ends.items():
                self._seen[name].offsets.append((time.monotonic(), end))

    def _take(self, message: Message) -> None:
        if (error := message.error()) is not None:
            if error.fatal():
                raise KafkaException(error)
            return
        if message.topic() == OBSERVATIONS:
            observation = decode_observation(message.value() or b"")
            with self._lock:
                self._observed(observation)
        elif message.topic() == INCIDENTS:
            incident = Incident.from_message(message)
            with self._lock:
                self._incidents.append(incident)
        else:
            alert = Alert.from_message(message)
            with self._lock:
                self._alerts.append(alert)

    def _observed(self, observation: Observation) -> None:
        self._index.add(observation)
        seen = self._seen.get(observation.topic)
        if seen is None:
            return
        seen.observed += observation.records
        seen.observed_at.add(int(observation.observed_at.timestamp()))
        if observation.value_schema.version is not None:
            seen.versions[observation.value_schema.version] = None
        for item in observation.profile.fields if observation.profile is not None else ():
            if observation.topic == FEATURES.name and item.path == "age":
                self._nulls.append((time.monotonic(), item.nulls, item.slots))
            if observation.topic == CLICKS.name and item.path == "event_type" and item.items is not None:
                shown = (name for name in item_counts_of(item.items) if name.startswith("="))
                self._event_types.update(dict.fromkeys(name.removeprefix("=") for name in shown))


def _state(topic: Topic, seen: _Seen, spans: int) -> TopicState:
    if not seen.offsets:
        return TopicState(topic, 0, 0.0, seen.observed, spans, tuple(seen.versions))
    now, records = seen.offsets[-1]
    then, before = next((at, end) for at, end in seen.offsets if at >= now - _RATE_SECONDS)
    rate = (records - before) / (now - then) if now > then else 0.0
    return TopicState(topic, records, rate, seen.observed, spans, tuple(seen.versions))
