"""Ends a worker that hangs, so that whatever supervises it starts another one.

Stalls of Faust consumers after rebalances are known. The watchdog depends on nothing of Faust: it runs in a thread of
its own and looks with a client of its own whether a committed observation waits where the worker stands.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from confluent_kafka import KafkaException, TopicPartition

from stream_lineage.agents.progress import STALL_SECONDS, Progress
from stream_lineage.logs import get_logger
from stream_lineage.wire.kafka import consumer
from stream_lineage.wire.settings import KafkaSettings

EXIT_STALLED = 75
_log = get_logger("stream_lineage.agents")

Waiting = Callable[[int, int | None], bool]
"""Whether an observation waits at or after an offset of a partition (null: where the group's commit stands)."""


class Watchdog:
    """Looks every quarter of ``stall_seconds``; calls ``stalled`` with a partition that does not advance."""

    def __init__(
        self,
        progress: Progress,
        waiting: Waiting,
        *,
        stall_seconds: float = STALL_SECONDS,
        stalled: Callable[[int], None] | None = None,
    ) -> None:
        self._progress = progress
        self._waiting = waiting
        self._stall_seconds = stall_seconds
        self._stalled = stalled or _exit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def look(self) -> None:
        """Look once."""
        for partition, offset in self._progress.silent(self._stall_seconds).items():
            if self._waiting(partition, offset):
                self._stalled(partition)
                return
            self._progress.touch(partition, offset)

    def _run(self) -> None:
        while not self._stop.wait(self._stall_seconds / 4):
            try:
                self.look()
            except KafkaException as error:
                # Brokers that are away explain the silence.
                _log.warning("watchdog cannot look", error=str(error))


def observation_waits(settings: KafkaSettings, topic: str, group_id: str) -> Waiting:
    """Asks Kafka, with a consumer that joins no group and commits nothing."""

    def waits(partition: int, offset: int | None) -> bool:
        client = consumer(settings, group_id, {"auto.offset.reset": "earliest", "enable.partition.eof": "true"})
        try:
            where = TopicPartition(topic, partition)
            if offset is None:
                [committed] = client.committed([where], timeout=10)
                offset = committed.offset
            if offset < 0:
                offset, _ = client.get_watermark_offsets(where, timeout=10)
            client.assign([TopicPartition(topic, partition, offset)])
            message = client.poll(10)
            return message is not None and message.error() is None
        finally:
            client.close()

    return waits


def _exit(partition: int) -> None:
    _log.error("worker hangs: an observation waits and nothing advances; exiting", partition=partition)
    # The event loop may be what hangs: nothing gentler can be relied on. A crash at any point is harmless.
    os._exit(EXIT_STALLED)
