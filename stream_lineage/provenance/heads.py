"""Chain heads: the committed ones, and where none is committed, the last link in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException

from stream_lineage.provenance.chain import Head
from stream_lineage.provenance.log import Progress, read_log
from stream_lineage.provenance.verify import CommittedHead
from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer
    from confluent_kafka.admin import AdminClient

EpochPartition = tuple[str, str | None, int]
"""Topic, topic id, partition."""


def committed_heads(admin: AdminClient, group_id: str, *, timeout_seconds: float = 30.0) -> list[CommittedHead]:
    """What the collectors' group has committed, for all partitions.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    try:
        futures = admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group_id)], require_stable=True, request_timeout=timeout_seconds
        )
        result = futures[group_id].result(timeout=timeout_seconds + 1)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return []
        raise translated(error, f"read the committed offsets of {group_id}") from error
    return [
        CommittedHead(found.topic, found.partition, found.offset, Head.from_metadata(found.metadata))
        for found in result.topic_partitions
        if found.offset >= 0
    ]


def last_links(
    make_consumer: Callable[[], Consumer],
    topic: str,
    partitions: Iterable[EpochPartition],
    *,
    progress: Progress | None = None,
) -> dict[EpochPartition, Head]:
    """The last link of each of these partitions in the log, by reading it from its beginning.

    Raises:
        NotFound: the log does not exist.
        KafkaUnavailable: no broker answered.
    """
    wanted = set(partitions)
    found: dict[EpochPartition, Head] = {}
    reader = make_consumer()
    try:
        for entry in read_log(reader, topic, keys={name for name, _, _ in wanted}, progress=progress):
            if entry.decoded is None:
                continue
            observation = entry.decoded.observation
            ends: dict[int, int] = {}
            for span in observation.spans:
                ends[span.partition] = max(span.last_offset + 1, ends.get(span.partition, 0))
            for link in observation.links:
                key = (observation.topic, observation.topic_id, link.partition)
                if key not in wanted:
                    continue
                before = found.get(key)
                next_offset = max(ends.get(link.partition, 0), 0 if before is None else before.next_offset)
                found[key] = Head(link.hash, next_offset, observation.topic_id)
    finally:
        reader.close()
    return found
