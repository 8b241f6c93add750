"""Where to start reading a partition, and which chain to carry on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.logs import get_logger
from stream_lineage.provenance.chain import GENESIS, Head
from stream_lineage.provenance.heads import EpochPartition
from stream_lineage.wire.kafka import translated

_log = get_logger("stream_lineage.collect")
_ASKED_AT_ONCE = 1_000
"""librdkafka searches what it was asked for each partition of the answer, one after the other."""
_MOST_NAMED = 20
FindLinks = Callable[[Iterable[EpochPartition]], "dict[EpochPartition, Head]"]


@dataclass(frozen=True, slots=True)
class Place:
    """A partition with the offset to read from and the head that its chain stands on. ``committed`` says whether the
    group knows this head."""

    progress: PartitionProgress
    offset: int
    head: Head
    committed: bool


@dataclass(frozen=True, slots=True)
class _Topic:
    """A topic as it was when the collector started. ``known`` says whether the group had committed anything of it."""

    topic_id: str | None
    partitions: int
    known: bool


@dataclass(frozen=True, slots=True)
class Places:
    """Finds the place of partitions that this collector has just got, or must read again.

    The committed offset's metadata says where the chain stands. Without it (offsets expired or set by hand) the last
    link in the log does, so that nothing is left out or counted twice whatever was done to the offsets. A topic with
    another id than the head's is another epoch, which starts at its beginning.

    Where nothing is known of a partition it starts at its beginning or, if so wanted, at its end; but at its beginning
    whatever is wanted where the topic or the partition came after the group had started to collect.
    """

    consumer: Consumer
    facts: ClusterFacts
    find_links: FindLinks
    start_from_end: bool
    timeout_seconds: float = 10.0
    _at_start: dict[str, _Topic] = field(default_factory=dict)
    _starts: dict[EpochPartition, int] = field(default_factory=dict)

    def remember_start(self, topics: Iterable[str]) -> None:
        """Note which of the watched topics are there and known, before this collector joins the group.

        Raises:
            KafkaUnavailable: the brokers did not answer.
        """
        if not self.start_from_end:
            return
        counts = self.facts.topics()
        ids = self.facts.topic_ids(sorted(set(topics) & counts.keys()))
        every = [(topic, partition) for topic in ids for partition in range(counts[topic])]
        offsets, _ = self._committed(every)
        known = {topic for topic, _ in offsets}
        self._at_start.update({name: _Topic(ids[name], counts[name], name in known) for name in ids})

    def find(self, partitions: Iterable[PartitionId]) -> list[Place]:
        """The places of those partitions whose topic exists.

        Raises:
            KafkaUnavailable: the brokers did not answer.
        """
        wanted = list(partitions)
        if not wanted:
            return []
        topic_ids = self.facts.topic_ids(sorted({topic for topic, _ in wanted}))
        asked = [key for key in wanted if key[0] in topic_ids]
        offsets, heads = self._committed(asked)
        logged = self._from_log([key for key in asked if key not in heads], topic_ids)
        places: list[Place] = []
        fresh: list[PartitionId] = []
        reborn = {topic for topic, topic_id, _ in logged if topic_id != topic_ids[topic]}
        for key in asked:
            topic_id = topic_ids[key[0]]
            head = heads.get(key)
            if head is not None and _of_another_epoch(head, topic_id):
                _log.warning("the topic was created again: a new epoch starts", topic=key[0], partition=key[1])
                reborn.add(key[0])
                fresh.append(key)
            elif head is not None:
                places.append(_place(key, topic_id, head, max(offsets[key], head.next_offset), committed=True))
            elif (found := logged.get(_epoch(key, topic_id))) is not None:
                places.append(_place(key, topic_id, found, found.next_offset, committed=False))
            else:
                fresh.append(key)
        for key, start in self._first_offsets(fresh, topic_ids, reborn).items():
            topic_id = topic_ids[key[0]]
            places.append(_place(key, topic_id, Head(GENESIS, start, topic_id), start, committed=False))
        return places

    def _committed(self, keys: list[PartitionId]) -> tuple[dict[PartitionId, int], dict[PartitionId, Head]]:
        """Committed offsets, and the heads in their metadata."""
        offsets: dict[PartitionId, int] = {}
        heads: dict[PartitionId, Head] = {}
        if not keys:
            return offsets, heads
        committed: list[TopicPartition] = []
        try:
            for first in range(0, len(keys), _ASKED_AT_ONCE):
                asked = [TopicPartition(*key) for key in keys[first : first + _ASKED_AT_ONCE]]
                committed += self.consumer.committed(asked, timeout=self.timeout_seconds)
        except KafkaException as error:
            raise translated(error, "read committed offsets") from error
        for found in committed:
            if found.error is not None:
                raise translated(found.error, "read committed offsets")
            key = (found.topic, found.partition)
            if found.offset >= 0:
                offsets[key] = found.offset
                head = Head.from_metadata(found.metadata)
                if head is not None:
                    heads[key] = head
        return offsets, heads

    def _from_log(self, headless: list[PartitionId], topic_ids: Mapping[str, str | None]) -> dict[EpochPartition, Head]:
        """The last links of partitions whose head is not committed; of earlier epochs of their topics too."""
        if not headless:
            return {}
        found = self.find_links([_epoch(key, topic_ids[key[0]]) for key in headless])
        carried_on = [
            f"{topic}[{partition}] from {head.next_offset}"
            for (topic, topic_id, partition), head in found.items()
            if topic_id == topic_ids[topic]
        ]
        if carried_on:
            _log.info(
                "no head is committed: the chain goes on from the last link in the log",
                partitions=len(carried_on),
                names=carried_on[:_MOST_NAMED],
            )
        return found

    def _first_offsets(
        self, fresh: list[PartitionId], topic_ids: Mapping[str, str | None], reborn: set[str]
    ) -> dict[PartitionId, int]:
        """Where partitions start of which nothing is known: the same offset each time, until it is committed."""
        new = [key for key in fresh if _epoch(key, topic_ids[key[0]]) not in self._starts]
        at_end = [key for key in new if self._starts_at_end(key, topic_ids[key[0]], reborn)]
        found = self.facts.log_ends(at_end)
        found |= self.facts.log_starts(set(new) - set(at_end))
        self._starts.update({_epoch(key, topic_ids[key[0]]): offset for key, offset in found.items()})
        starts = {key: self._starts.get(_epoch(key, topic_ids[key[0]])) for key in fresh}
        return {key: start for key, start in starts.items() if start is not None}

    def _starts_at_end(self, key: PartitionId, topic_id: str | None, reborn: set[str]) -> bool:
        topic, partition = key
        before = self._at_start.get(topic)
        return (
            self.start_from_end
            and before is not None
            and not before.known
            and before.topic_id == topic_id
            and partition < before.partitions
            and topic not in reborn
        )


def _epoch(key: PartitionId, topic_id: str | None) -> EpochPartition:
    return (key[0], topic_id, key[1])


def _of_another_epoch(head: Head, topic_id: str | None) -> bool:
    return head.topic_id is not None and topic_id is not None and head.topic_id != topic_id


def _place(key: PartitionId, topic_id: str | None, head: Head, offset: int, *, committed: bool) -> Place:
    progress = PartitionProgress(key[0], key[1], topic_id, head.next_offset, offset)
    return Place(progress, offset, head, committed)
