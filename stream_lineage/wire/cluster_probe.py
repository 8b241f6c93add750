"""What a cluster says of itself and of what we may do there, without writing anything to it."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import NewTopic, OffsetSpec

from stream_lineage.errors import KafkaUnavailable, StreamLineageError
from stream_lineage.wire import kafka
from stream_lineage.wire.refusal import refusal
from stream_lineage.wire.settings import KafkaSettings

T = TypeVar("T")

_SLACK_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
_SUSPICIOUS_SECONDS = 1.5
"""A broker that has hung up on us for so long is asked what it has against us."""
_COORDINATOR = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
_TELLING = (*kafka.UNAUTHENTICATED, KafkaError._SSL, KafkaError._RESOLVE, KafkaError._TRANSPORT)
"""Codes from the most to the least telling: of a refused login librdkafka reports also that no broker is left."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """``brokers`` are the advertised addresses; ``operations`` what we may do with the cluster (None: not said)."""

    cluster_id: str | None
    controller: int | None
    brokers: tuple[tuple[str, int], ...]
    operations: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic that somebody means to create."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


class ClusterProbe:
    """Asks one cluster. Every question ends within ``timeout_seconds`` and a little.

    Raises:
        SettingsError: librdkafka does not know a setting, or not with this value.
    """

    def __init__(self, settings: KafkaSettings, *, timeout_seconds: float = 10.0) -> None:
        self._timeout = timeout_seconds
        self._settings = settings
        self._heard: list[KafkaError] = []
        self._admin = kafka.admin(settings, on_error=self._heard.append)

    def describe(self) -> Cluster:
        """Raises KafkaRefused when somebody answers and does not let us in, else KafkaUnavailable."""
        # The first question of a client is the one that fails where nobody answers: errors come in while it waits.
        future = self._admin.describe_cluster(include_authorized_operations=True, request_timeout=self._timeout)
        deadline = time.monotonic() + self._timeout
        suspicious_at = time.monotonic() + _SUSPICIOUS_SECONDS
        only_one = len(self._settings.addresses) == 1  # of several, another one may let us in
        while not future.done() and time.monotonic() < deadline and not (only_one and self._refused()):
            self._admin.poll(0.05)
            if self._heard and time.monotonic() > suspicious_at:  # they may be on their way up, or not understand us
                suspicious_at = deadline
                if (found := refusal(self._heard, self._settings)) is not None:
                    raise found
        if not future.done():
            if (found := refusal(self._heard, self._settings)) is not None:
                raise found
            raise self._most_telling(KafkaError(KafkaError._TIMED_OUT, "no broker answered"), "reach the cluster")
        answer = self._answer(future, "describe the cluster")
        return Cluster(
            answer.cluster_id,
            answer.controller.id if answer.controller is not None else None,
            tuple((node.host, node.port) for node in answer.nodes),
            _operations(answer.authorized_operations),
        )

    def topics(self) -> dict[str, int]:
        """Partitions of each topic that we may see."""
        try:
            found = self._admin.list_topics(timeout=self._timeout)
        except KafkaException as error:
            raise kafka.translated(error, "list topics") from None
        return {name: len(topic.partitions) for name, topic in found.topics.items() if topic.error is None}

    def topic_operations(self, names: Iterable[str]) -> dict[str, frozenset[str] | StreamLineageError | None]:
        """What we may do with each topic, or why that is not known."""
        names = list(names)
        if not names:
            return {}
        futures = self._admin.describe_topics(
            TopicCollection(names), include_authorized_operations=True, request_timeout=self._timeout
        )
        found: dict[str, frozenset[str] | StreamLineageError | None] = {}
        for name, future in futures.items():
            try:
                answer = self._answer(future, f"describe topic {name}")
                found[name] = _operations(answer.authorized_operations)
            except StreamLineageError as error:
                found[name] = error
        return found

    def group(self, name: str) -> tuple[str, int, frozenset[str] | None]:
        """State and members of a consumer group, and what we may do with it. A group that is not there is ``dead``."""
        deadline = time.monotonic() + self._timeout
        while True:
            futures = self._admin.describe_consumer_groups(
                [name], include_authorized_operations=True, request_timeout=self._timeout
            )
            try:
                found = self._answer(futures[name], f"describe consumer group {name}")
                break
            except _TryAgain as error:  # a coordinator takes its time after a broker's start
                if time.monotonic() > deadline:
                    raise KafkaUnavailable(error.message, hint=error.hint) from None
                self._admin.poll(_PAUSE_SECONDS)
        state = found.state.name if isinstance(found.state, ConsumerGroupState) else str(found.state)
        return state.lower(), len(found.members), _operations(found.authorized_operations)

    def would_create(self, topics: Iterable[WantedTopic]) -> dict[str, StreamLineageError | None]:
        """A rehearsal: for each topic None when the cluster would create it, else why not."""
        wanted = [
            NewTopic(topic.name, topic.partitions, topic.replication_factor, config=dict(topic.config))
            for topic in topics
        ]
        if not wanted:
            return {}
        futures = self._admin.create_topics(wanted, validate_only=True, request_timeout=self._timeout)
        found: dict[str, StreamLineageError | None] = {}
        for name, future in futures.items():
            try:
                self._answer(future, f"create topic {name}")
                found[name] = None
            except StreamLineageError as error:
                found[name] = error
        return found

    def may_transact(self, transactional_id: str) -> StreamLineageError | None:
        """None when transactions may be made under this id, else why not. It must be nobody else's.

        Nothing is written but the id itself, which the cluster forgets after a week.
        """
        try:
            client = kafka.producer(self._settings, {"transactional.id": transactional_id}, on_error=self._heard.append)
            client.init_transactions(self._timeout)
        except KafkaException as error:
            return kafka.translated(error, f"start transactions as {transactional_id}")
        except StreamLineageError as error:
            return error
        return None

    def newest_timestamp(self, partitions: Mapping[str, int]) -> tuple[datetime, str] | None:
        """The newest record timestamp in these topics, with the topic it is in; None where there are no records."""
        asked = {
            TopicPartition(topic, partition): OffsetSpec.max_timestamp()
            for topic, count in partitions.items()
            for partition in range(count)
        }
        if not asked:
            return None
        newest: tuple[int, str] | None = None
        for place, future in self._admin.list_offsets(asked, request_timeout=self._timeout).items():
            answer = self._answer(future, f"ask for offsets of {place.topic}")
            if answer.timestamp >= 0 and (newest is None or answer.timestamp > newest[0]):
                newest = (answer.timestamp, place.topic)
        if newest is None:
            return None
        try:
            return datetime.fromtimestamp(newest[0] / 1000, UTC), newest[1]
        except (ValueError, OverflowError, OSError):
            return datetime.max.replace(tzinfo=UTC), newest[1]

    def _refused(self) -> bool:
        return any(
            error.code() in (*kafka.UNAUTHENTICATED, KafkaError._SSL)
            or kafka.refused_at_the_door(error.str())
            or " alert " in error.str()
            for error in self._heard
        )

    def _answer(self, future: concurrent.futures.Future[T], what: str) -> T:
        try:
            return future.result(self._timeout + _SLACK_SECONDS)
        except KafkaException as error:
            inner = error.args[0]
            if isinstance(inner, KafkaError) and inner.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT):
                raise self._most_telling(inner, what) from None
            found = kafka.translated(error, what)
            if isinstance(inner, KafkaError) and inner.code() in _COORDINATOR:
                raise _TryAgain(found.message, hint=found.hint) from None
            raise found from None
        except TimeoutError:
            raise KafkaUnavailable(f"could not {what}: no answer within {self._timeout:g} s") from None

    def _most_telling(self, error: KafkaError, what: str) -> StreamLineageError:
        for heard in self._heard:
            if kafka.refused_at_the_door(heard.str()):
                return kafka.translated(heard, what)
        for code in _TELLING:
            for heard in self._heard:
                if heard.code() == code:
                    return kafka.translated(heard, what)
        return kafka.translated(error, what)


class _TryAgain(KafkaUnavailable):
    """The answer is on its way."""


def _operations(given: Collection[Any] | None) -> frozenset[str] | None:
    return None if given is None else frozenset(operation.name for operation in given)
