"""Reading chosen records from Kafka again, many at once: for each partition one, then the next one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_lineage.provenance.lookup import StoredRecord, stored_record
from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_NOT_THERE = frozenset(
    {
        KafkaError._PARTITION_EOF,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
    }
)
Coordinates = tuple[str, int, int]
"""Topic, partition, offset."""


def reread(
    consumer: Consumer,
    wanted: Iterable[Coordinates],
    key_hash: Callable[[bytes], str],
    *,
    timeout_seconds: float = 10.0,
) -> dict[Coordinates, StoredRecord]:
    """What Kafka still knows of these records; those that are gone are left out, and so is what did not come in time.

    Args:
        consumer: with ``enable.partition.eof``; this assigns it.
        wanted: records that may be there: those that retention has removed cost time.
        key_hash: makes the hash that stands for a key.
        timeout_seconds: for all of them.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    waiting: dict[tuple[str, int], list[int]] = {}
    for topic, partition, offset in sorted(set(wanted), reverse=True):
        waiting.setdefault((topic, partition), []).append(offset)
    found: dict[Coordinates, StoredRecord] = {}
    deadline = time.monotonic() + timeout_seconds
    try:
        while waiting and time.monotonic() < deadline:
            turn = {key: offsets.pop() for key, offsets in waiting.items()}
            waiting = {key: offsets for key, offsets in waiting.items() if offsets}
            consumer.assign([TopicPartition(*key, offset) for key, offset in turn.items()])
            while turn and time.monotonic() < deadline:
                message = consumer.poll(0.2)
                if message is None:
                    continue
                key = (message.topic(), message.partition())
                error = message.error()
                if error is not None:
                    if error.code() in _NOT_THERE:
                        turn.pop(key, None)
                    elif not error.retriable() and error.code() != KafkaError._TRANSPORT:
                        raise translated(error, f"read {key[0]}")
                    continue
                expected = turn.pop(key, None)
                if expected is not None and message.offset() == expected:
                    found[(*key, expected)] = stored_record(message, key_hash)
    except KafkaException as error:
        raise translated(error, "read records again") from error
    return found
