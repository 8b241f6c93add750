"""The record at an offset, or the next one that is there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException, TopicPartition

from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_NOTHING = frozenset(
    {
        KafkaError._PARTITION_EOF,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
    }
)


@dataclass(frozen=True, slots=True)
class NextRecord:
    """``timestamp`` is null where the record has none, or one beyond the calendar."""

    offset: int
    timestamp: datetime | None


def next_records(
    consumer: Consumer, wanted: Mapping[tuple[str, int], int], *, timeout_seconds: float = 10.0
) -> dict[tuple[str, int], NextRecord]:
    """By topic and partition, the first record from that offset on; left out where there is none, or not in time.

    Args:
        consumer: with ``enable.partition.eof``; this assigns it.
        wanted: offsets that the log still has.
        timeout_seconds: for all of them.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    waiting = dict(wanted)
    found: dict[tuple[str, int], NextRecord] = {}
    deadline = time.monotonic() + timeout_seconds
    try:
        if waiting:
            consumer.assign([TopicPartition(*key, offset) for key, offset in waiting.items()])
        while waiting and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is None:
                continue
            key = (message.topic(), message.partition())
            error = message.error()
            if error is None:
                if waiting.pop(key, None) is not None:
                    found[key] = NextRecord(message.offset(), _moment(*message.timestamp()))
                    consumer.incremental_unassign([TopicPartition(*key)])
            elif error.code() in _NOTHING:
                waiting.pop(key, None)
            elif not error.retriable() and error.code() != KafkaError._TRANSPORT:
                raise translated(error, f"read {key[0]}")
    except KafkaException as error:
        raise translated(error, "read the first records") from error
    return found


def _moment(kind: int, milliseconds: int) -> datetime | None:
    if kind == TIMESTAMP_NOT_AVAILABLE or milliseconds < 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
