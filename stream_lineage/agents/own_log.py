"""A topic of ours with one partition that one worker reads whole and writes to, record by record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from confluent_kafka import KafkaError, KafkaException

from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.errors import DecodeError, KafkaUnavailable
from stream_lineage.wire.kafka import consumer, producer, translated
from stream_lineage.wire.settings import KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka import Message, Producer

T = TypeVar("T")
_SECONDS = 30.0
READER = {"auto.offset.reset": "earliest", "enable.partition.eof": "true"}


class OwnLog(Generic[T]):
    """``group_id``: what its reader is called, for the sake of ACLs; it joins no group. ``decode`` raises
    ``DecodeError`` for what is none of ours, which is left out."""

    def __init__(self, settings: KafkaSettings, group_id: str, topic: str, decode: Callable[[bytes], T]) -> None:
        self._settings = settings
        self._topic = settings.topic(topic)
        self._group_id = group_id
        self._decode = decode
        self._producer: Producer | None = None
        self._at = 0

    def records(self) -> list[tuple[bytes, T | None]]:
        """All that it holds, with keys, in order. Null: what had this key counts no more.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        self._at = 0
        return self.newer()

    def newer(self) -> list[tuple[bytes, T | None]]:
        """What has come since it was read last, up to what is there now, as ``records``. Raises as that does."""
        reader = consumer(self._settings, self._group_id, READER)
        try:
            feed = OnePartition(reader, self._topic, self._record)
            found: list[tuple[bytes, T | None]] = []
            end = feed.end()
            at = self._at if self._at <= end else 0  # it was made anew: its offsets are others
            while at < end:
                records, at = feed.read(at)
                found += [record for _, record in records]
            self._at = at
            return found
        finally:
            reader.close()

    def write(self, key: bytes, value: bytes | None) -> None:
        """Write one, and wait until it is there.

        Raises:
            KafkaUnavailable: the brokers did not take it.
            SettingsError: we may not write the topic.
        """
        failed: list[KafkaError] = []
        taken = False

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            nonlocal taken
            taken = error is None
            if error is not None:
                failed.append(error)

        try:
            if self._producer is None:
                self._producer = producer(self._settings, {"linger.ms": 0})
            self._producer.produce(self._topic, value, key, on_delivery=on_delivery)
            self._producer.flush(_SECONDS)
        except BufferError as error:
            raise KafkaUnavailable(f"{self._topic} cannot be written: too much waits") from error
        except KafkaException as error:
            raise translated(error, f"write {self._topic}") from error
        if failed:
            raise translated(failed[0], f"write {self._topic}")
        if not taken:
            raise KafkaUnavailable(f"{self._topic}: nothing was acknowledged within {_SECONDS:g} s")

    def _record(self, message: Message) -> tuple[bytes, T | None]:
        key, value = message.key(), message.value()
        if key is None:
            raise DecodeError("it has no key")
        return key, None if value is None else self._decode(value)
