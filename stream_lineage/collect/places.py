"""Where to start reading a partition, and which chain to carry on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.logs import get_logger
from stream_lineage.provenance.chain import Head
from stream_lineage.provenance.heads import EpochPartition
from stream_lineage.wire.kafka import translated

_log = get_logger("stream_lineage.collect")
FindLinks = Callable[[Iterable[EpochPartition]], "dict[EpochPartition, Head]"]


@dataclass(frozen=True, slots=True)
class Place:
    """A partition with the offset to read from (which may be logical) and the head that its chain stands on."""

    progress: PartitionProgress
    offset: int
    head: Head | None


@dataclass(frozen=True, slots=True)
class Places:
    """Finds the place of partitions that this collector has just got, or must read again.

    The committed offset's metadata says where the chain stands. Without it (offsets expired or set by hand) the last
    link in the log does, so that nothing is left out or counted twice whatever was done to the offsets. A topic with
    another id than the head's is another epoch, which starts at its beginning.
    """

    consumer: Consumer
    facts: ClusterFacts
    find_links: FindLinks
    start_from_end: bool
    timeout_seconds: float = 10.0

    def find(self, partitions: Iterable[PartitionId]) -> list[Place]:
        """The places of those partitions whose topic exists.

        Raises:
            KafkaUnavailable: the brokers did not answer.
        """
        wanted = list(partitions)
        if not wanted:
            return []
        topic_ids = self.facts.topic_ids(sorted({topic for topic, _ in wanted}))
        asked = [TopicPartition(topic, partition) for topic, partition in wanted if topic in topic_ids]
        try:
            committed = self.consumer.committed(asked, timeout=self.timeout_seconds)
        except KafkaException as error:
            raise translated(error, "read committed offsets") from error
        offsets: dict[PartitionId, int] = {}
        heads: dict[PartitionId, Head] = {}  # from the metadata of the committed offset
        for found in committed:
            if found.error is not None:
                raise translated(found.error, "read committed offsets")
            key = (found.topic, found.partition)
            if found.offset >= 0:
                offsets[key] = found.offset
                head = Head.from_metadata(found.metadata)
                if head is not None:
                    heads[key] = head
        headless = [(tp.topic, tp.partition) for tp in asked if (tp.topic, tp.partition) not in heads]
        logged = self._from_log(headless, topic_ids)
        known_topics = {topic for topic, _ in offsets}
        places = []
        for tp in asked:
            key, topic_id = (tp.topic, tp.partition), topic_ids[tp.topic]
            head = heads.get(key)
            if head is not None:
                places.append(_carried_on(key, topic_id, head, max(offsets[key], head.next_offset)))
            elif key in logged:
                places.append(_carried_on(key, topic_id, logged[key], logged[key].next_offset))
            else:
                # A partition added to a topic that we know starts at its beginning, whatever the setting says.
                from_end = self.start_from_end and tp.topic not in known_topics
                places.append(_afresh(key, topic_id, OFFSET_END if from_end else OFFSET_BEGINNING))
        return places

    def _from_log(self, headless: list[PartitionId], topic_ids: dict[str, str | None]) -> dict[PartitionId, Head]:
        if not headless:
            return {}
        found = {}
        for (topic, _, partition), head in self.find_links(
            [(topic, topic_ids[topic], partition) for topic, partition in headless]
        ).items():
            found[(topic, partition)] = head
            _log.info(
                "no head is committed: the chain goes on from the last link in the log",
                topic=topic,
                partition=partition,
                next_offset=head.next_offset,
            )
        return found


def _afresh(key: PartitionId, topic_id: str | None, offset: int) -> Place:
    return Place(PartitionProgress(key[0], key[1], topic_id, None, None), offset, None)


def _carried_on(key: PartitionId, topic_id: str | None, head: Head, offset: int) -> Place:
    if head.topic_id is not None and topic_id is not None and head.topic_id != topic_id:
        _log.warning("the topic was created again: a new epoch starts", topic=key[0], partition=key[1])
        return _afresh(key, topic_id, OFFSET_BEGINNING)
    return Place(PartitionProgress(key[0], key[1], topic_id, head.next_offset, offset), offset, head)
