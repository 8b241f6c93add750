"""``lineage.deliveries``, read and written by the worker that tells of incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException

from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.errors import DecodeError, KafkaUnavailable
from stream_lineage.notify.delivery import Delivery, delivery_from
from stream_lineage.provenance.topics import DELIVERIES
from stream_lineage.wire.kafka import consumer, producer, translated
from stream_lineage.wire.settings import KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka import Message, Producer

_SECONDS = 30.0
_READER = {"auto.offset.reset": "earliest", "enable.partition.eof": "true"}


class DeliveryLog:
    """``group_id``: what its reader is called, for the sake of ACLs; it joins no group."""

    def __init__(self, settings: KafkaSettings, group_id: str) -> None:
        self._settings = settings
        self._topic = settings.topic(DELIVERIES)
        self._group_id = group_id
        self._producer: Producer | None = None

    def all(self) -> list[Delivery]:
        """The newest of each pair.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        reader = consumer(self._settings, self._group_id, _READER)
        try:
            feed = OnePartition(reader, self._topic, _record)
            found: dict[bytes, Delivery] = {}
            end, at = feed.end(), 0
            while at < end:
                records, at = feed.read(at)
                for _, (key, delivery) in records:
                    if delivery is None:
                        found.pop(key, None)
                    else:
                        found[key] = delivery
            return list(found.values())
        finally:
            reader.close()

    def write(self, key: bytes, delivery: Delivery | None) -> None:
        """Keep one, or nothing any more.

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
            value = None if delivery is None else delivery.to_bytes()
            self._producer.produce(self._topic, value, key, on_delivery=on_delivery)
            self._producer.flush(_SECONDS)
        except (KafkaException, BufferError) as error:
            if isinstance(error, BufferError):
                raise KafkaUnavailable(f"{self._topic} cannot be written: too much waits") from error
            raise translated(error, f"write {self._topic}") from error
        if failed:
            raise translated(failed[0], f"write {self._topic}")
        if not taken:
            raise KafkaUnavailable(f"{self._topic}: nothing was acknowledged within {_SECONDS:g} s")


def _record(message: Message) -> tuple[bytes, Delivery | None]:
    key, value = message.key(), message.value()
    if key is None:
        raise DecodeError("no delivery: it has no key")
    return key, None if value is None else delivery_from(value)
