"""Pushes metrics that others measure onto their topic."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from stream_lineage.errors import KafkaUnavailable
from stream_lineage.model.pushed import PushedPoint
from stream_lineage.provenance.pushed import encode_point, message_key
from stream_lineage.provenance.topics import METRICS, ensure_topics
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka

_ANSWER_SECONDS = 30.0


def push(settings: Settings, points: Sequence[PushedPoint]) -> None:
    """Write all points, in order, and wait until the brokers have acknowledged each.

    Raises:
        KafkaUnavailable: the brokers did not take them; says how many they did.
        SettingsError: we may not write the topic.
    """
    ensure_topics(kafka.admin(settings.kafka), settings.kafka)
    topic = settings.kafka.topic(METRICS)
    failed: list[KafkaError] = []
    delivered = 0

    def on_delivery(error: KafkaError | None, _: Any) -> None:
        nonlocal delivered
        if error is not None:
            failed.append(error)
        else:
            delivered += 1

    producer = kafka.producer(settings.kafka, {"compression.type": "lz4"})
    try:
        for point in points:
            deadline = time.monotonic() + _ANSWER_SECONDS
            while True:
                try:
                    producer.produce(topic, encode_point(point), message_key(point), on_delivery=on_delivery)
                    break
                except BufferError:
                    if time.monotonic() > deadline:
                        raise _unanswered(delivered, len(points)) from None
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush(_ANSWER_SECONDS)
    except KafkaException as error:
        raise kafka.translated(error, f"write {topic}") from error
    if failed:
        raise kafka.translated(failed[0], f"write {topic}")
    if delivered < len(points):
        raise _unanswered(delivered, len(points))


def _unanswered(delivered: int, wanted: int) -> KafkaUnavailable:
    return KafkaUnavailable(
        f"{delivered} of {wanted} points were acknowledged within {_ANSWER_SECONDS:g} s",
        hint="Push them again: a point of the same series and time takes the place of the one before.",
    )
