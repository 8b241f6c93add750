"""Chain heads: the committed ones, and where none is committed, the last link in the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException

from stream_lineage.errors import KafkaUnavailable
from stream_lineage.model.observation import Link, Observation, ObservationKind
from stream_lineage.provenance.chain import GENESIS, Head
from stream_lineage.provenance.log import Progress, read_log
from stream_lineage.provenance.verify import CommittedHead
from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer
    from confluent_kafka.admin import AdminClient

EpochPartition = tuple[str, str | None, int]
"""Topic, topic id, partition."""
_RETRY_SECONDS = 0.2
_ANSWER_SECONDS = 10.0


def committed_heads(admin: AdminClient, group_id: str, *, timeout_seconds: float = 30.0) -> list[CommittedHead]:
    """What the collectors' group has committed, for all partitions. Waits for transactions that are under way.

    Raises:
        KafkaUnavailable: no broker answered, or a transaction stayed open for all this time.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return _committed_heads(admin, group_id, min(timeout_seconds, _ANSWER_SECONDS))
        except KafkaException as error:
            inner = error.args[0]
            if inner.code() == KafkaError.GROUP_ID_NOT_FOUND:
                return []
            if inner.code() != KafkaError.UNSTABLE_OFFSET_COMMIT:
                raise translated(error, f"read the committed offsets of {group_id}") from error
            if time.monotonic() > deadline:
                raise KafkaUnavailable(
                    f"the offsets of {group_id} are not settled: {inner.str()}",
                    hint="a collector that was killed may have left a transaction open; it ends by itself or when the "
                    "collector is started again",
                ) from error
            time.sleep(_RETRY_SECONDS)


def _committed_heads(admin: AdminClient, group_id: str, timeout_seconds: float) -> list[CommittedHead]:
    futures = admin.list_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group_id)], require_stable=True, request_timeout=timeout_seconds
    )
    try:
        result = futures[group_id].result(timeout=timeout_seconds + 1)
    except TimeoutError as error:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from error
    for found in result.topic_partitions:
        if found.error is not None:
            raise KafkaException(found.error)
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
    """The last link of each of these partitions in the log, and of other epochs of their topics, by reading it from
    its beginning.

    Raises:
        NotFound: the log does not exist.
        KafkaUnavailable: no broker answered, or a transaction in the log stayed open.
    """
    wanted = {(name, partition) for name, _, partition in partitions}
    chains: dict[EpochPartition, _Chain] = {}
    reader = make_consumer()
    try:
        for entry in read_log(reader, topic, keys={name for name, _ in wanted}, progress=progress):
            if entry.decoded is None:
                continue
            observation = entry.decoded.observation
            for link in observation.links:
                if (observation.topic, link.partition) in wanted:
                    key = (observation.topic, observation.topic_id, link.partition)
                    chains.setdefault(key, _Chain()).add(link, observation)
    finally:
        reader.close()
    return {key: chain.head(key[1]) for key, chain in chains.items()}


@dataclass(slots=True)
class _Chain:
    """The end of one partition's chain. Its links may come in another order: the log may have got more partitions."""

    hash: bytes = GENESIS
    next_offset: int = 0
    without_spans: dict[bytes, bytes] = field(default_factory=dict)  # previous link -> link
    unresolved: dict[str, None] = field(default_factory=dict)

    def add(self, link: Link, observation: Observation) -> None:
        ends = [span.last_offset + 1 for span in observation.spans if span.partition == link.partition]
        if not ends:
            self.without_spans[link.previous] = link.hash
        elif max(ends) > self.next_offset:
            self.hash, self.next_offset = link.hash, max(ends)
        for role, reference in (("value", observation.value_schema), ("key", observation.key_schema)):
            label = f"{role}:{reference.wire_name}"
            if reference.unresolved:
                self.unresolved[label] = None
            elif observation.kind is ObservationKind.RESOLUTION:
                self.unresolved.pop(label, None)

    def head(self, topic_id: str | None) -> Head:
        end = self.hash
        while end in self.without_spans:
            end = self.without_spans.pop(end)
        return Head(end, self.next_offset, topic_id, tuple(self.unresolved))
