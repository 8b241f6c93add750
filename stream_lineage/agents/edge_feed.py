"""Reading the record edges of all partitions of ``lineage.edges``, from some time on; in no group."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from stream_lineage.errors import DecodeError
from stream_lineage.graph.from_headers import BatchHead
from stream_lineage.logs import get_logger
from stream_lineage.model.record_edge import RecordEdge
from stream_lineage.provenance.edge_codec import decode_edges, decode_head
from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer

Sink = Callable[[BatchHead, tuple[RecordEdge, ...] | None], object]
PARTITIONS_SECONDS = 300.0
"""How often it is looked whether the topic has more partitions."""
_BATCH = 500
_READ_SECONDS = 0.2
_ANSWER_SECONDS = 10.0
_PORTIONS = 100
_log = get_logger("stream_lineage.agents")


class EdgeFeed:
    """``start``, then ``read`` again and again."""

    def __init__(self, consumer: Consumer, topic: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._topic = topic
        self._clock = clock
        self._next: dict[int, int] = {}  # by partition, where it goes on
        self._looked = 0.0

    def start(self, since: datetime | None) -> None:
        """Read from this time on, null: all that there is.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        try:
            found = self._partitions()
            at = OFFSET_BEGINNING if since is None else int(since.timestamp() * 1000)
            places = [TopicPartition(self._topic, partition, at) for partition in found]
            if since is not None and places:
                places = self._consumer.offsets_for_times(places, timeout=_ANSWER_SECONDS)
            self._consumer.assign(places)
        except KafkaException as error:
            raise translated(error, f"read {self._topic}") from error
        self._next = {place.partition: place.offset for place in places}
        self._looked = self._clock()

    def read(self, wants: Callable[[BatchHead], bool], sink: Sink) -> bool:
        """Give ``sink`` what has come, with the edges where ``wants`` says so. Whether all was read that there was when
        it began.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        ends = self._ends()
        for _ in range(_PORTIONS):
            try:
                messages = self._consumer.consume(_BATCH, timeout=_READ_SECONDS)
            except KafkaException as error:
                raise translated(error, f"read {self._topic}") from error
            for message in messages:
                failure = message.error()
                if failure is None:
                    self._next[message.partition()] = message.offset() + 1
                    self._give(message.value() or b"", wants, sink)
                elif failure.code() == KafkaError._PARTITION_EOF:
                    self._next[message.partition()] = message.offset()  # behind the marks of transactions
                else:
                    _log.warning("record edges cannot be read", topic=self._topic, error=failure.str())
            if not messages or self._at(ends):
                break
        return self._at(ends)

    def _at(self, ends: Mapping[int, int]) -> bool:
        return all(self._next[partition] >= end for partition, end in ends.items())

    def _ends(self) -> dict[int, int]:
        """Where the partitions end, of which there may be more by now. Nothing that came is no sign of an end: it may
        be Kafka that was away."""
        try:
            if self._clock() - self._looked >= PARTITIONS_SECONDS:
                self._looked = self._clock()
                if more := [each for each in self._partitions() if each not in self._next]:
                    self._next |= dict.fromkeys(more, OFFSET_BEGINNING)
                    self._consumer.assign([TopicPartition(self._topic, *place) for place in self._next.items()])
            return {
                partition: self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, partition), timeout=_ANSWER_SECONDS
                )[1]
                for partition in self._next
            }
        except KafkaException as error:
            raise translated(error, f"read {self._topic}") from error

    def _partitions(self) -> list[int]:
        return sorted(self._consumer.list_topics(self._topic, timeout=_ANSWER_SECONDS).topics[self._topic].partitions)

    def _give(self, value: bytes, wants: Callable[[BatchHead], bool], sink: Sink) -> None:
        try:
            batch, sources = decode_head(value)
            head = BatchHead(batch.cluster, batch.topic, batch.observed_at, sources)
            sink(head, decode_edges(value).edges if wants(head) else None)
        except DecodeError as error:
            _log.warning("a batch of record edges is left out", topic=self._topic, reason=error.message)
