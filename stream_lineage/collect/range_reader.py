"""Reading ranges of offsets of one topic, once, as a consumer that is in no group and commits nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_lineage.collect.range_bounds import Ranges
from stream_lineage.errors import KafkaUnavailable, NotFound
from stream_lineage.wire.kafka import translated

Progress = Callable[[int, int], None]
"""Called with the offsets passed so far and how many there are."""
_BATCH = 5_000
_POLL_SECONDS = 0.2


class RangeReader:
    """One pass over the ranges. The consumer reads committed records, reports the ends of partitions
    (``enable.partition.eof``) and offsets that are not there (``auto.offset.reset`` is ``error``)."""

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        ranges: Ranges,
        *,
        silence_seconds: float = 30.0,
        progress: Progress | None = None,
    ) -> None:
        self.topic = topic
        self.ranges = ranges
        self._consumer = consumer
        self._silence_seconds = silence_seconds
        self._progress = progress
        self._left = dict(ranges)

    def batches(self) -> Iterator[list[Message]]:
        """The records, in offset order within each partition.

        Raises:
            KafkaUnavailable: no broker answered for ``silence_seconds``.
            NotFound: records were deleted while they were read.
        """
        try:
            self._consumer.assign([TopicPartition(self.topic, n, first) for n, (first, _) in self.ranges.items()])
            heard = time.monotonic()
            while self._left:
                messages = self._consumer.consume(_BATCH, timeout=_POLL_SECONDS)
                if messages:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self._silence_seconds:
                    raise KafkaUnavailable(
                        f"nothing came for {self._silence_seconds:.0f} s while {self.topic} was read",
                        hint="check the brokers' health with `stream-lineage doctor`",
                    )
                inside = self._inside(messages)
                if inside:
                    yield inside
                self._tell()
        except KafkaException as error:
            raise translated(error, f"read {self.topic}") from error

    def _inside(self, messages: list[Message]) -> list[Message]:
        found: list[Message] = []
        over: list[int] = []
        for message in messages:
            partition, offset, error = message.partition(), message.offset(), message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._mind(error, partition)
                continue
            wanted = self._left.get(partition)
            if wanted is None:
                continue
            stop = wanted[1]
            if error is None and offset < stop:
                found.append(message)
                self._left[partition] = (offset + 1, stop)
            if offset + (error is None) >= stop:
                del self._left[partition]
                over.append(partition)
        if over and self._left:
            self._consumer.incremental_unassign([TopicPartition(self.topic, partition) for partition in over])
        return found

    def _mind(self, error: KafkaError, partition: int | None) -> None:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise NotFound(
                f"records of {self.topic}[{partition}] were deleted while they were read",
                hint="Choose a range that retention does not reach yet.",
            )
        if not error.retriable() and error.code() not in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            raise translated(error, f"read {self.topic}")

    def _tell(self) -> None:
        if self._progress is not None:
            total = sum(stop - first for first, stop in self.ranges.values())
            left = sum(stop - first for first, stop in self._left.values())
            self._progress(total - left, total)
