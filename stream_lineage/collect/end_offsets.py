"""Where the watched partitions end, as of now."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_lineage.collect.progress import PartitionId
from stream_lineage.wire.kafka import translated


class EndOffsets:
    """End offsets, each asked for once: the end at the start stays the end. Open transactions lie behind it."""

    def __init__(self, admin: AdminClient, *, timeout_seconds: float = 30.0) -> None:
        self._admin = admin
        self._timeout = timeout_seconds
        self._known: dict[PartitionId, int] = {}

    def of(self, partitions: Iterable[PartitionId]) -> dict[PartitionId, int]:
        """The offset after the last record of each partition.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        wanted = list(partitions)
        new = {TopicPartition(*key): OffsetSpec.latest() for key in wanted if key not in self._known}
        if new:
            try:
                futures = self._admin.list_offsets(
                    new, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._timeout
                )
                for where, future in futures.items():
                    self._known[(where.topic, where.partition)] = future.result(timeout=self._timeout + 1).offset
            except KafkaException as error:
                raise translated(error, "ask for end offsets") from error
        return {key: self._known[key] for key in wanted}
