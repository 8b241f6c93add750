"""The one transaction that observations and offsets of a flush are committed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from stream_lineage.collect.bounded_call import within
from stream_lineage.errors import Fenced, KafkaUnavailable
from stream_lineage.logs import get_logger
from stream_lineage.wire.kafka import translated

_log = get_logger("stream_lineage.collect")
_POLL_EVERY = 256
_MEMBERSHIP_SECONDS = 60.0
_SLACK_SECONDS = 1.0
_PORTION_BYTES = 600_000
"""Below the 1 MB that brokers take as one message unless configured otherwise."""
_OFFSET_BYTES = 320
"""Beside its topic's name and its metadata: the name of the group, of 249 bytes at most, and numbers."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message for a topic that we write. Partition and timestamp (milliseconds) are chosen by the client if null."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None
    is_copy: bool = False
    """One of many: whether it arrived is told by the commit alone."""


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """Where reading a partition goes on, with the chain head as metadata."""

    topic: str
    partition: int
    offset: int
    metadata: str


@dataclass(slots=True)
class Transactions:
    """Commits messages and offsets together, or nothing.

    The producer is made anew after a fatal error, which aborts whatever the old one left open. So it is when a call
    does not return: librdkafka may wait for a coordinator that has moved away for ever, whatever time it was given
    (its issues 5456 and 5511). ``commit`` raises when nothing was written for certain or when that cannot be known:
    what is committed is then to be asked of the group.
    """

    make_producer: Callable[[], Producer]
    consumer: Consumer
    timeout_seconds: float
    _producer: Producer | None = None
    _failed: list[tuple[KafkaError, str]] = field(default_factory=list)

    def prepare(self) -> None:
        """Make sure that a producer is there and that no transaction of our past is open.

        Raises:
            KafkaUnavailable: the coordinator did not answer in time.
            SettingsError: we may not use this transactional id.
        """
        if self._producer is not None:
            return
        producer = self.make_producer()
        try:
            producer.init_transactions(self.timeout_seconds * 3)
        except KafkaException as error:
            raise translated(error, "start transactions") from error
        self._producer = producer

    def commit(self, messages: Iterable[OutgoingMessage], offsets: Iterable[CommittedOffset]) -> None:
        """Write and commit.

        Raises:
            Fenced: another member owns these partitions now.
            KafkaUnavailable: the brokers did not answer in time, or aborted.
        """
        self.prepare()
        producer = self._producer
        assert producer is not None  # noqa: S101  (prepare has just made it)
        membership = self._membership()
        self._failed = []
        try:
            producer.begin_transaction()
            for number, message in enumerate(messages):
                self._produce(producer, message)
                if number % _POLL_EVERY == 0:
                    producer.poll(0)
            for positions in portions(offsets):
                self._send(partial(producer.send_offsets_to_transaction, positions, membership))
            if self._failed:
                raise KafkaException(self._failed[0][0])
            self._retried(producer.commit_transaction)
        except TimeoutError as error:
            self._producer = None
            raise KafkaUnavailable(
                f"could not commit a flush: no answer within {self.timeout_seconds:g} s",
                hint="A coordinator may have moved to another broker.",
            ) from error
        except KafkaException as error:
            where = f" (writing to {self._failed[0][1]})" if self._failed else ""
            self._roll_back(producer, error.args[0])
            failure = translated(error, f"commit a flush{where}")
            if isinstance(failure, Fenced):
                raise failure from error
            raise KafkaUnavailable(failure.message, hint=failure.hint) from error

    def close(self) -> None:
        """Let go of the producer; an open transaction is aborted."""
        self._producer = None

    def _produce(self, producer: Producer, message: OutgoingMessage) -> None:
        failed = self._failed

        def delivered(error: KafkaError | None, message: Any) -> None:
            if error is not None:
                failed.append((error, str(message.topic())))

        deadline = time.monotonic() + self.timeout_seconds
        chosen: dict[str, int] = {}
        if message.partition is not None:
            chosen["partition"] = message.partition
        if message.timestamp_ms is not None:
            chosen["timestamp"] = message.timestamp_ms
        while True:
            try:
                producer.produce(
                    message.topic,
                    value=message.value,
                    key=message.key,
                    headers=list(message.headers),
                    on_delivery=None if message.is_copy else delivered,
                    **chosen,
                )
            except BufferError:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._UNKNOWN_PARTITION or time.monotonic() > deadline:
                    raise
                producer.list_topics(message.topic, self.timeout_seconds)  # the topic has grown since we looked
                time.sleep(0.05)
            else:
                return

    def _membership(self) -> Any:
        """As what the consumer is in its group now.

        Asked before the transaction is open: the consumer answers when it has done what it was told before, and with
        20,000 new partitions that has been seen to take 14 s.
        """
        answers: list[Any] = []
        try:
            within(_MEMBERSHIP_SECONDS, lambda: answers.append(self.consumer.consumer_group_metadata()))
        except TimeoutError as error:
            raise KafkaUnavailable("could not commit a flush: the consumer does not say what it is") from error
        return answers[0]

    def _send(self, send: Callable[[float], Any]) -> None:
        """Send offsets. Where a message fails meanwhile, librdkafka says that its own state is wrong; asked again, it
        says what has failed, and nothing is sent twice."""
        try:
            self._retried(send)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._STATE:
                raise
            self._retried(send)

    def _retried(self, call: Callable[[float], Any]) -> None:
        """Calls of the transaction may be repeated as they are while the error is retriable."""
        deadline = time.monotonic() + self.timeout_seconds
        while True:
            try:
                left = max(deadline - time.monotonic(), 0.5)
                within(left + _SLACK_SECONDS, partial(call, left))
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _roll_back(self, producer: Producer, error: KafkaError) -> None:
        """Abort. Where even that is not possible, the next producer does it with ``init_transactions``."""
        if not error.fatal():
            try:
                producer.abort_transaction(self.timeout_seconds)
                return
            except KafkaException as failure:
                _log.warning("a transaction could not be aborted", error=failure.args[0].str())
        self._producer = None


def portions(offsets: Iterable[CommittedOffset]) -> Iterator[list[TopicPartition]]:
    """Offsets in portions that a broker takes: it writes each as one batch, and that as one message of its own."""
    portion: list[TopicPartition] = []
    size = 0
    for offset in offsets:
        more = len(offset.topic) + len(offset.metadata) + _OFFSET_BYTES
        if portion and size + more > _PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(TopicPartition(offset.topic, offset.partition, offset.offset, offset.metadata))
        size += more
    if portion:
        yield portion
