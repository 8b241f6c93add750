"""The tap: each record of chosen topics once more, in ``<topic>.traced``, with its provenance as a header.

Key, value, timestamp, headers and partition are untouched: but for headers whose names are no text, which no client of
librdkafka can write, and the timestamp 0, for which it writes the present time; the provenance header says both. The
copies are written in the transaction of the flush that observes the records: who reads committed records has each of
them once, in the order of its partition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from confluent_kafka import Message

from stream_lineage.collect.flush import Flush, GroupKey
from stream_lineage.collect.recorder import GroupSchemas
from stream_lineage.collect.traced_topics import TracedTopics
from stream_lineage.collect.transaction import OutgoingMessage
from stream_lineage.collect.watch import compiled
from stream_lineage.provenance.stamp import PROVENANCE_HEADER, Stamp
from stream_lineage.wire.record_headers import readable_headers, unreadable


class Tap:
    """Which topics are tapped, and what is written for a flush. ``patterns`` are read as those of ``include``."""

    def __init__(
        self,
        patterns: Sequence[str],
        suffix: str,
        *,
        cluster: str,
        key_hash: Callable[[bytes], str],
        topics: Callable[[Callable[[str], str]], TracedTopics],
    ) -> None:
        self._patterns: list[re.Pattern[str]] = [compiled(pattern) for pattern in patterns]
        self._suffix = suffix
        self._cluster = cluster
        self._key_hash = key_hash
        self._topics = topics(self.target)
        self._known: dict[str, bool] = {}

    def taps(self, topic: str) -> bool:
        """Whether the records of a topic are to be republished. What the tap itself writes never is."""
        known = self._known.get(topic)
        if known is None:
            known = not topic.endswith(self._suffix) and any(pattern.match(topic) for pattern in self._patterns)
            self._known[topic] = known
        return known

    def target(self, topic: str) -> str:
        """Where the records of a topic go."""
        return topic + self._suffix

    def prepare(self, topics: Mapping[str, int]) -> None:
        """Create the traced topics of those of these topics that are tapped. ``topics`` says how many partitions each
        has.

        Raises:
            KafkaUnavailable, SettingsError: see ``TracedTopics.ensure``.
        """
        self._topics.ensure({topic: count for topic, count in topics.items() if self.taps(topic)})

    def messages(self, flush: Flush, schemas: Mapping[GroupKey, GroupSchemas]) -> Iterator[OutgoingMessage]:
        """The copies of a flush's tapped records, each partition in offset order. Their topics are made ready first."""
        records: list[tuple[str, int, int, Message, Stamp]] = []
        needed: dict[str, int] = {}
        for key, group in flush.groups.items():
            if not self.taps(group.topic):
                continue
            known = schemas[key]
            stamp = Stamp(
                self._cluster,
                group.topic,
                flush.topic_ids.get(group.topic),
                (known.value, known.key),
                self._key_hash,
            )
            for piece in group.pieces:
                assert piece.messages is not None  # noqa: S101  (kept for every topic that is tapped)
                partitions, offsets = piece.partitions.tolist(), piece.offsets.tolist()
                records += (
                    (group.topic, partition, offset, message, stamp)
                    for partition, offset, message in zip(partitions, offsets, piece.messages, strict=True)
                )
                needed[group.topic] = max(needed.get(group.topic, 0), int(piece.partitions.max()) + 1)
        self._topics.ensure(needed)
        records.sort(key=lambda record: record[:3])
        return (self._copy(*record) for record in records)

    def failed(self) -> None:
        """A flush with copies was not committed: look at the traced topics again before the next one."""
        self._topics.forget()

    def _copy(self, topic: str, partition: int, offset: int, message: Message, stamp: Stamp) -> OutgoingMessage:
        kind, milliseconds = message.timestamp()
        readable = readable_headers(message) or []
        left_out = unreadable(message, readable)
        value = stamp.of(message, partition, offset, headers_left_out=left_out)
        return OutgoingMessage(
            self.target(topic),
            message.key(),
            message.value(),
            (*readable, (PROVENANCE_HEADER, value)),
            partition=partition,
            timestamp_ms=milliseconds if kind else None,
            is_copy=True,
        )
