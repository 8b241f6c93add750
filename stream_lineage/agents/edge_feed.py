"""Reading the record edges of all partitions of ``lineage.edges``, from some time on; in no group."""

from __future__ import annotations

from collections.abc import Callable
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
_BATCH = 500
_READ_SECONDS = 0.2
_ANSWER_SECONDS = 10.0
_PORTIONS = 100
_log = get_logger("stream_lineage.agents")


class EdgeFeed:
    """``start``, then ``read`` again and again."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._open: set[int] = set()
        self._partitions: frozenset[int] = frozenset()

    def start(self, since: datetime | None) -> None:
        """Read from this time on, null: all that there is.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        try:
            found = self._consumer.list_topics(self._topic, timeout=_ANSWER_SECONDS).topics[self._topic]
            at = OFFSET_BEGINNING if since is None else int(since.timestamp() * 1000)
            places = [TopicPartition(self._topic, partition, at) for partition in sorted(found.partitions)]
            if since is not None and places:
                places = self._consumer.offsets_for_times(places, timeout=_ANSWER_SECONDS)
            self._consumer.assign(places)
        except KafkaException as error:
            raise translated(error, f"read {self._topic}") from error
        self._partitions = frozenset(place.partition for place in places)
        self._open = set(self._partitions)

    def read(self, wants: Callable[[BatchHead], bool], sink: Sink) -> bool:
        """Give ``sink`` what has come, with the edges where ``wants`` says so. Whether all that there is was read.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        for _ in range(_PORTIONS):
            try:
                messages = self._consumer.consume(_BATCH, timeout=_READ_SECONDS)
            except KafkaException as error:
                raise translated(error, f"read {self._topic}") from error
            for message in messages:
                failure = message.error()
                if failure is None:
                    self._open.add(message.partition())
                    self._give(message.value() or b"", wants, sink)
                elif failure.code() == KafkaError._PARTITION_EOF:
                    self._open.discard(message.partition())
                else:
                    _log.warning("record edges cannot be read", topic=self._topic, error=failure.str())
            if not self._open or not messages:
                break
        return not self._open

    def _give(self, value: bytes, wants: Callable[[BatchHead], bool], sink: Sink) -> None:
        try:
            batch, sources = decode_head(value)
            head = BatchHead(batch.cluster, batch.topic, batch.observed_at, sources)
            sink(head, decode_edges(value).edges if wants(head) else None)
        except DecodeError as error:
            _log.warning("a batch of record edges is left out", topic=self._topic, reason=error.message)
