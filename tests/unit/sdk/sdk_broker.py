"""A broker inside of librdkafka, and clients of it, for tests of what wraps the clients."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

SECONDS = 60
_PARTITIONS = 4
_names = itertools.count()


class Broker:
    """Its topics have four partitions."""

    def __init__(self) -> None:
        self._keeper = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused"})
        (broker,) = self._keeper.list_topics(timeout=SECONDS).brokers.values()
        self.address = f"{broker.host}:{broker.port}"

    def topic(self, name: str, records: int = 0) -> str:
        """A fresh topic with values ``0``, ``1`` and so on in its partition 0."""
        full = f"{name}-{next(_names)}"
        for number in range(records):
            self._keeper.produce(full, str(number).encode(), partition=0)
        self._keeper.list_topics(full, timeout=SECONDS)
        assert self._keeper.flush(SECONDS) == 0
        return full

    def put(self, topic: str, headers: list[tuple[str, bytes | None]]) -> None:
        self._keeper.produce(topic, b"with headers", partition=0, headers=headers)
        assert self._keeper.flush(SECONDS) == 0

    def config(self, **more: Any) -> dict[str, Any]:
        return {"bootstrap.servers": self.address, **{name.replace("_", "."): value for name, value in more.items()}}

    def consumer_config(self, **more: Any) -> dict[str, Any]:
        return self.config(group_id="g", auto_offset_reset="earliest", enable_auto_commit=False, **more)

    def read(self, topic: str, count: int) -> list[Message]:
        """So many records, in order where they are in one partition."""
        with reading(Consumer(self.consumer_config()), topic, partitions=_PARTITIONS) as consumer:
            return [polled(consumer) for _ in range(count)]


@contextmanager
def reading(consumer: Any, topic: str, *, partitions: int = 1) -> Iterator[Any]:
    """The consumer, which reads the first partitions of a topic from their beginning."""
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    try:
        yield consumer
    finally:
        consumer.close()


def polled(consumer: Any) -> Message:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            return message
    raise AssertionError("no message came")
