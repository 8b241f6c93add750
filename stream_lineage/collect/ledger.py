"""The chain heads of the partitions that this collector owns."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_lineage.collect.progress import PartitionId
from stream_lineage.provenance.chain import Head


@dataclass(slots=True)
class Ledger:
    """What the last committed flush left of each partition. Written while no flush is under way, or by the one that has
    just been committed."""

    hashes: dict[PartitionId, bytes] = field(default_factory=dict)
    next_offsets: dict[PartitionId, int] = field(default_factory=dict)
    unresolved: dict[PartitionId, tuple[str, ...]] = field(default_factory=dict)
    topic_ids: dict[PartitionId, str | None] = field(default_factory=dict)

    def take_over(self, partition: PartitionId, head: Head, topic_id: str | None) -> None:
        """Start from a head in this epoch of the topic."""
        self.topic_ids[partition] = topic_id
        self.hashes[partition] = head.hash
        self.unresolved[partition] = head.unresolved
        self.next_offsets[partition] = head.next_offset

    def forget(self, partition: PartitionId) -> None:
        self.hashes.pop(partition, None)
        self.unresolved.pop(partition, None)
        self.next_offsets.pop(partition, None)
        self.topic_ids.pop(partition, None)

    def accept(self, partition: PartitionId, head: Head) -> None:
        """A flush with this head is committed."""
        if partition in self.hashes:
            self.take_over(partition, head, head.topic_id)

    @property
    def waits_for_registry(self) -> bool:
        """Whether schemas are recorded as unresolved."""
        return any(self.unresolved.values())
