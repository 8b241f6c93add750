"""Partitions from which nothing comes although they hold more: damage that the Kafka client says nothing about.

librdkafka takes a batch whose lengths do not fit for one that was cut off, and asks for it again, for ever (seen in
2.12). It tells nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.errors import StreamLineageError

STANDS_STILL = "the broker holds more, but nothing that the Kafka client takes for a record comes of it"
STILL_SECONDS = 20.0
"""How long a partition stands still before it is looked at."""
_LOOK_SECONDS = 2.0
_ASK_SECONDS = 10.0
_MOST_ASKED = 200
"""Suspects that are looked at in turn, so many at a time: the client searches its list of topics for each."""
_HELD_UP_SECONDS = 3 * _LOOK_SECONDS
"""Whoever has not been here for so long has not read either: nobody stands still who was not asked to move."""

LogEnds = Callable[[Iterable[PartitionId]], Mapping[PartitionId, int]]


class Standstill:
    """Watches positions. ``log_ends`` asks the brokers where partitions end for a reader of committed records."""

    def __init__(self, consumer: Consumer, log_ends: LogEnds, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._log_ends = log_ends
        self._clock = clock
        self._since: dict[PartitionId, tuple[int, float]] = {}
        self._look_at = 0.0
        self._ask_at = 0.0
        self._turn = 0
        self._here_at = clock()

    def found(self, owned: Mapping[PartitionId, PartitionProgress], *, busy: bool) -> list[PartitionId]:
        """Partitions that stand still. ``busy``: more is read than we keep up with, so that each may have to wait."""
        now = self._clock()
        if busy or now - self._here_at > _HELD_UP_SECONDS:
            self._since.clear()
        self._here_at = now
        if busy or now < self._look_at:
            return []
        self._look_at = now + _LOOK_SECONDS
        suspects: list[PartitionId] = []
        since: dict[PartitionId, tuple[int, float]] = {}
        for key, state in owned.items():
            position = state.position or 0
            known = self._since.get(key)
            since[key] = known if known is not None and known[0] == position else (position, now)
            if now - since[key][1] >= STILL_SECONDS:
                suspects.append(key)
        self._since = since
        if not suspects or now < self._ask_at:
            return []
        behind = [key for key in self._next(suspects) if self._may_hold_more(key, since[key][0])]
        if not behind:
            return []
        self._ask_at = now + _ASK_SECONDS
        try:
            ends = self._log_ends(behind)
        except StreamLineageError:
            return []  # with no broker there is no news of any partition
        return [key for key in behind if ends.get(key, 0) > since[key][0]]

    def _next(self, suspects: list[PartitionId]) -> list[PartitionId]:
        """Those whose turn it is."""
        if len(suspects) <= _MOST_ASKED:
            return suspects
        first = self._turn % len(suspects)
        self._turn = first + _MOST_ASKED
        return suspects[first : first + _MOST_ASKED]

    def _may_hold_more(self, key: PartitionId, position: int) -> bool:
        """By what the last fetch has told, which costs no request. An open transaction may be all that is there."""
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
        except KafkaException:
            return True
        return bool(high < 0 or high > position)
