"""What was observed of a topic in a stretch of time, flush by flush, from the observation log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_lineage.errors import DecodeError
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.provenance.codec import decode_observation
from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer

_BATCH = 500
_ANSWER_SECONDS = 10.0


@dataclass(slots=True)
class Flushes:
    """``observations`` in the order in which they were observed. ``cut``: there are more, beyond the bounds.
    ``whole``: the log has all of the time that was asked for; retention has taken none of it."""

    observations: list[Observation]
    whole: bool
    cut: bool = False


def read_flushes(
    consumer: Consumer, log: str, topic: str, since: datetime, until: datetime, *, most_messages: int, seconds: float
) -> Flushes:
    """What was observed of a topic between two moments, and what is a little older or younger.

    Args:
        consumer: in no group, with ``enable.partition.eof``; this assigns it.
        log: the observation topic.
        topic: the watched topic.
        since: from when on.
        until: messages that are younger are left out.
        most_messages: of all topics; ``cut`` says that there are more.
        seconds: for all of it.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    deadline = time.monotonic() + seconds
    found = Flushes([], True)
    try:
        places = _places(consumer, log, since, found)
        if places:
            consumer.assign(places)
            for observation in _between(consumer, topic.encode(), len(places), until, found, most_messages, deadline):
                if observation.topic == topic and observation.kind is ObservationKind.OBSERVATION:
                    found.observations.append(observation)
    except KafkaException as error:
        raise translated(error, f"read {log}") from error
    found.observations.sort(key=lambda each: each.observed_at)
    return found


def _places(consumer: Consumer, log: str, since: datetime, found: Flushes) -> list[TopicPartition]:
    numbers = consumer.list_topics(log, timeout=_ANSWER_SECONDS).topics[log].partitions
    asked = [TopicPartition(log, number, max(0, int(since.timestamp() * 1000))) for number in numbers]
    places = []
    for place in consumer.offsets_for_times(asked, timeout=_ANSWER_SECONDS) if asked else ():
        if place.offset < 0:
            continue  # nothing is so young
        low, _ = consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS)
        found.whole = found.whole and (place.offset > low or low == 0)
        places.append(TopicPartition(log, place.partition, place.offset))
    return places


def _between(
    consumer: Consumer, key: bytes, open_: int, until: datetime, found: Flushes, most: int, deadline: float
) -> Iterator[Observation]:
    last = int(until.timestamp() * 1000)
    read = 0
    over: set[int] = set()
    while len(over) < open_:
        if time.monotonic() > deadline or read >= most:
            found.cut = True
            return
        for message in consumer.consume(_BATCH, timeout=0.2):
            number, error = message.partition(), message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    over.add(number)
                elif not error.retriable() and error.code() != KafkaError._TRANSPORT:
                    raise translated(error, "read the observation log")
                continue
            if number in over:
                continue
            read += 1
            if message.timestamp()[1] > last:
                over.add(number)
            elif message.key() == key:
                try:
                    yield decode_observation(message.value() or b"")
                except DecodeError:
                    continue
