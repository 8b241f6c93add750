"""Where the watched partitions end, as of now."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_lineage.collect.progress import PartitionId
from stream_lineage.wire.log_offsets import listed_offsets


class EndOffsets:
    """End offsets, each asked for once: the end at the start stays the end. Open transactions lie behind it."""

    def __init__(self, admin: AdminClient, *, timeout_seconds: float = 30.0) -> None:
        self._admin = admin
        self._timeout = timeout_seconds
        self._known: dict[PartitionId, int] = {}

    def of(self, partitions: Iterable[PartitionId]) -> dict[PartitionId, int]:
        """The offset after the last record of each partition that exists.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        wanted = list(partitions)
        new = [key for key in wanted if key not in self._known]
        self._known |= listed_offsets(self._admin, new, OffsetSpec.latest(), timeout_seconds=self._timeout)
        return {key: self._known[key] for key in wanted if key in self._known}
