"""The changelog of the agents' table, read from its beginning to its end.

Not with Faust's consumer: what that has fetched when a rebalance follows another one is dropped with the queues that
are cleared then, and the recovery waits for it for ever (seen in faust-streaming 0.15.3 when a worker was killed).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from stream_lineage.errors import KafkaUnavailable
from stream_lineage.wire.kafka import consumer, translated
from stream_lineage.wire.settings import KafkaSettings

Row = tuple[bytes, bytes | None]
"""Key and value of a changelog record; null deletes the row."""

_BATCH = 1_000
_POLL_SECONDS = 0.2
SILENCE_SECONDS = 60.0


class Changelog:
    """Reads rows of some partitions up to where they end now, in a thread of its own if the caller likes."""

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        group_id: str,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = topic
        self._settings = settings
        self._group_id = group_id  # allowed to us; joined by nobody here
        self._silence_seconds = silence_seconds
        self._clock = clock

    def rows(self, partitions: Collection[int], stop: threading.Event) -> Iterator[Row]:
        """In the order of each partition. Ends at the end of all partitions, or soon after ``stop`` is set.

        Raises:
            KafkaUnavailable: nothing came for ``silence_seconds``, or the topic is not there.
            SettingsError: we may not read it.
        """
        client = consumer(self._settings, self._group_id, {"enable.partition.eof": "true"})
        try:
            client.assign([TopicPartition(self.topic, partition, OFFSET_BEGINNING) for partition in partitions])
            yield from self._until_the_end(client, set(partitions), stop)
        finally:
            client.close()

    def _until_the_end(self, client: Consumer, unread: set[int], stop: threading.Event) -> Iterator[Row]:
        heard = self._clock()
        while unread and not stop.is_set():
            for message in client.consume(_BATCH, _POLL_SECONDS):
                if (error := message.error()) is None:
                    if (key := message.key()) is not None:
                        yield key, message.value()
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition() or 0)
                elif not error.retriable():
                    raise translated(KafkaException(error), f"read the changelog {self.topic}")
                else:
                    continue
                heard = self._clock()
            if self._clock() - heard > self._silence_seconds:
                raise KafkaUnavailable(
                    f"{self.topic} could not be read to its end: nothing came for {self._silence_seconds:.0f} s"
                )
