"""The newest observations of the whole log, of all its partitions: a sample that costs the same however long it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_lineage.errors import DecodeError
from stream_lineage.model.observation import Observation
from stream_lineage.provenance.codec import decode_observation
from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer

MOST_OBSERVATIONS = 600
MOST_BYTES = 32 * 1024 * 1024
_SECONDS = 10.0
_ANSWER_SECONDS = 10.0
_BATCH = 50


class ObservationTail:
    """``read`` now and then. The consumer is in no group, and says where partitions end."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic

    def read(self) -> Iterator[Observation]:
        """The newest ones of each partition, as many of each.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        until, size = time.monotonic() + _SECONDS, 0
        try:
            open_ = self._assign()
            while open_ and size < MOST_BYTES and time.monotonic() < until:
                for message in self._consumer.consume(_BATCH, timeout=0.2):
                    failure = message.error()
                    if failure is not None:
                        if failure.code() == KafkaError._PARTITION_EOF:
                            open_.discard(message.partition())
                        continue
                    value = message.value() or b""
                    size += len(value)
                    try:
                        yield decode_observation(value)
                    except DecodeError:
                        continue
        except KafkaException as error:
            raise translated(error, f"read {self._topic}") from error
        finally:
            self._consumer.unassign()

    def _assign(self) -> set[int]:
        numbers = self._consumer.list_topics(self._topic, timeout=_ANSWER_SECONDS).topics[self._topic].partitions
        each = max(1, MOST_OBSERVATIONS // max(1, len(numbers)))
        places = []
        for number in numbers:
            where = TopicPartition(self._topic, number)
            low, high = self._consumer.get_watermark_offsets(where, timeout=_ANSWER_SECONDS)
            if high > low:
                places.append(TopicPartition(self._topic, number, max(low, high - each)))
        self._consumer.assign(places)
        return {place.partition for place in places}
