"""Reading a topic of ours that has one partition, from where the caller has got to; in no group."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from stream_lineage.errors import DecodeError
from stream_lineage.logs import get_logger
from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

T = TypeVar("T")
_BATCH = 500
"""Messages of one portion at most."""
_AT_ONCE = 20
_LARGE_BYTES = 8_000_000
"""A portion that has so many is not added to: messages of a megabyte each are read by the dozen."""
_READ_SECONDS = 0.2
_ANSWER_SECONDS = 10.0
_log = get_logger("stream_lineage.agents")


class OnePartition(Generic[T]):
    """``decode`` raises ``DecodeError`` for what is none of ours, which is then left out."""

    def __init__(self, consumer: Consumer, topic: str, decode: Callable[[Message], T]) -> None:
        self._consumer = consumer
        self._topic = topic
        self._decode = decode
        self._next: int | None = None

    def end(self) -> int:
        """The offset that the next message will have.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        try:
            return int(self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=_ANSWER_SECONDS)[1])
        except KafkaException as error:
            raise translated(error, f"read {self._topic}") from error

    def read(self, start: int) -> tuple[list[tuple[int, T]], int]:
        """What comes from here on, a portion of it, with its offsets, and where to go on.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        try:
            if self._next != start:
                where = TopicPartition(self._topic, 0, start or OFFSET_BEGINNING)
                self._consumer.assign([where])
                self._next = start
            messages = self._portion()
        except KafkaException as error:
            self._next = None
            raise translated(error, f"read {self._topic}") from error
        found: list[tuple[int, T]] = []
        for message in messages:
            failure = message.error()
            if failure is not None:
                if failure.code() == KafkaError._PARTITION_EOF:
                    self._next = max(start, int(message.offset()))  # behind what compaction has removed
                else:
                    _log.warning("our topic cannot be read", topic=self._topic, error=failure.str())
                continue
            offset = int(message.offset())
            self._next = offset + 1
            try:
                found.append((offset, self._decode(message)))
            except DecodeError as error:
                _log.warning("a message is left out", topic=self._topic, offset=offset, reason=error.message)
        return found, self._next

    def _portion(self) -> list[Message]:
        found: list[Message] = self._consumer.consume(_AT_ONCE, timeout=_READ_SECONDS)
        size = _bytes(found)
        while 0 < len(found) <= _BATCH - _AT_ONCE and size < _LARGE_BYTES:
            more = self._consumer.consume(_AT_ONCE, timeout=0)
            if not more:
                break
            found += more
            size += _bytes(more)
        return found


def _bytes(messages: list[Message]) -> int:
    return sum(len(message.value() or b"") for message in messages if message.error() is None)


def first_offset(consumer: Consumer, topic: str, since: datetime) -> int:
    """Of the first message of the topic's one partition that is not older than this; its end where all are.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    try:
        at = TopicPartition(topic, 0, max(0, int(since.timestamp() * 1000)))
        [found] = consumer.offsets_for_times([at], timeout=_ANSWER_SECONDS)
        if found.offset >= 0:
            return int(found.offset)
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=_ANSWER_SECONDS)[1])
    except KafkaException as error:
        raise translated(error, f"read {topic}") from error
