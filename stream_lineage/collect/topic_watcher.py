"""Looks for new and deleted topics beside the main loop, which must never wait for an answer."""

from __future__ import annotations

import threading

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.watch import TopicFilter
from stream_lineage.errors import StreamLineageError
from stream_lineage.logs import get_logger

_log = get_logger("stream_lineage.collect")
_PARTITION_SECONDS = 0.001


def refresh_seconds(configured: float, partitions: int) -> float:
    """How long to wait until the topics are asked for again: as configured, longer where the answer is large.

    It takes about 42 bytes for a partition (20,000 of them: 840 kB), so that whoever asks causes some 42 kB/s at most.
    """
    return max(configured, partitions * _PARTITION_SECONDS)


class TopicWatcher:
    """A thread that asks every now and then which topics there are."""

    def __init__(self, facts: ClusterFacts, topic_filter: TopicFilter, *, refresh_seconds: float) -> None:
        self._facts = facts
        self._filter = topic_filter
        self._refresh_seconds = refresh_seconds
        self._partitions = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._watched: list[str] = []
        self._thread = threading.Thread(target=self._run, name="collect-topics", daemon=True)

    def start(self) -> list[str]:
        """Ask once, wait for that answer, and go on in the background.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        self._look()
        self._thread.start()
        return self.watched()

    def watched(self) -> list[str]:
        """The topics to watch, as of the last answer."""
        with self._lock:
            return self._watched

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _look(self) -> None:
        counts = self._facts.topics()
        self._partitions = sum(counts.values())
        found = self._filter.watched(counts)
        with self._lock:
            self._watched = found

    def _run(self) -> None:
        while not self._stopping.wait(refresh_seconds(self._refresh_seconds, self._partitions)):
            try:
                self._look()
            except StreamLineageError as error:
                _log.warning("cannot look for topics", error=error.message)
