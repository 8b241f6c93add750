"""Record edges: which records one record was made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

UNKNOWN_CLUSTER = ""
"""The cluster of a parent that is another one, and that nobody names."""


class EdgeSource(StrEnum):
    """Which headers of the record say where it comes from."""

    LINEAGE = "LINEAGE"  # lineage-parents: the producer said so itself
    STREAMS_BOOTSTRAP = "STREAMS_BOOTSTRAP"  # streams.bootstrap.lineage.topic, .partition, .offset
    LENSES_K2K = "LENSES_K2K"  # k2k_topic, k2k_partition, k2k_offset
    CONNECT_DEAD_LETTER = "CONNECT_DEAD_LETTER"  # __connect.errors.topic, .partition, .offset
    SPRING_DEAD_LETTER = "SPRING_DEAD_LETTER"  # kafka_dlt-original-topic, -partition, -offset


@dataclass(frozen=True, slots=True, order=True)
class ParentRange:
    """Offsets ``[first_offset, last_offset]``, inclusive, of one partition.

    Exact ranges name parents and nothing else. A ``widened`` one covers parents, and offsets beside them that are none:
    both its ends are parents, what lies between may be. ``cluster`` is as the producer calls it, or
    ``UNKNOWN_CLUSTER``; null is the cluster of the record that the edge leads to.
    """

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    widened: bool = False
    cluster: str | None = None

    @property
    def length(self) -> int:
        return self.last_offset - self.first_offset + 1


@dataclass(frozen=True, slots=True)
class RecordEdge:
    """One record, by its partition and offset in the batch's topic, and all that it was made from.

    ``incomplete``: there are parents that are in no range, since the header had no room for all their partitions, or
    could not be read, in which case there is no range at all. ``timestamp`` is the record's own. ``trace_id`` is that
    of W3C, 32 hexadecimal digits.
    """

    partition: int
    offset: int
    parents: tuple[ParentRange, ...]
    source: EdgeSource = EdgeSource.LINEAGE
    incomplete: bool = False
    timestamp: datetime | None = None
    run_id: str | None = None
    trace_id: str | None = None

    @property
    def widened(self) -> bool:
        """Whether some range holds more than the parents."""
        return any(parent.widened for parent in self.parents)

    @property
    def exact(self) -> bool:
        """Whether the ranges are the parents, all of them and no others."""
        return not (self.incomplete or self.widened)


@dataclass(frozen=True, slots=True)
class EdgeBatch:
    """The edges that lead to records of one topic, as far as one collector saw them in one flush.

    Of one partition they come in the order of their offsets. ``topic_id`` tells a topic from one of the same name that
    was there before. ``left_out`` records had edges for which the batch had no room.
    """

    batch_id: str
    cluster: str
    topic: str
    topic_id: str | None
    collector: str
    observed_at: datetime
    edges: tuple[RecordEdge, ...]
    left_out: int = 0
