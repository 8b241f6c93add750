"""A few records written, and known to be."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Message

from stream_lineage.errors import KafkaUnavailable
from stream_lineage.wire import kafka
from stream_lineage.wire.settings import KafkaSettings

ANSWER_SECONDS = 30.0
"""After so long without an answer the rest counts as not taken."""


def write(
    settings: KafkaSettings, topic: str, records: Iterable[tuple[bytes, bytes | None]], *, hint: str | None = None
) -> None:
    """Write keys with their values, in order, and wait until the brokers have acknowledged each. A null deletes.

    Raises:
        KafkaUnavailable: the brokers did not take all; says how many, with ``hint``.
        SettingsError: we may not write the topic.
    """
    failed: list[KafkaError] = []
    wanted = delivered = 0

    def on_delivery(error: KafkaError | None, _: Message) -> None:
        nonlocal delivered
        if error is not None:
            failed.append(error)
        else:
            delivered += 1

    producer = kafka.producer(settings, {"compression.type": "lz4", "linger.ms": 0})
    try:
        for key, value in records:
            wanted += 1
            deadline = time.monotonic() + ANSWER_SECONDS
            while True:
                try:
                    producer.produce(topic, value, key, on_delivery=on_delivery)
                    break
                except BufferError:
                    if time.monotonic() > deadline:
                        raise _unanswered(topic, delivered, hint) from None
                    producer.poll(0.1)
            producer.poll(0)
        producer.flush(ANSWER_SECONDS)
    except KafkaException as error:
        raise kafka.translated(error, f"write {topic}") from error
    if failed:
        raise kafka.translated(failed[0], f"write {topic}")
    if delivered < wanted:
        raise _unanswered(topic, delivered, hint)


def _unanswered(topic: str, delivered: int, hint: str | None) -> KafkaUnavailable:
    return KafkaUnavailable(f"{topic}: {delivered} records were acknowledged within {ANSWER_SECONDS:g} s", hint=hint)
