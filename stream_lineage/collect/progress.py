"""How far each owned partition has been read, and what its chain stands on."""

from __future__ import annotations

from dataclasses import dataclass

PartitionId = tuple[str, int]


@dataclass(slots=True)
class PartitionProgress:
    """One owned partition.

    ``expected`` is the next offset that no span covers yet. ``position`` is where the next read starts: it lies beyond
    ``expected`` when offsets that hold no visible record follow. ``lost`` is set when a read found that the log starts
    later than where we stood: the offsets from there up to the log's start, which is not among them.
    ``value_code`` and ``key_code`` are the last ones seen: a null takes the schema of its neighbours.
    """

    topic: str
    partition: int
    topic_id: str | None
    expected: int | None
    position: int | None
    value_code: int | None = None
    key_code: int | None = None
    max_timestamp: int | None = None
    lost: tuple[int, int] | None = None
    end_offset: int | None = None
    at_end: bool = False

    @property
    def key(self) -> PartitionId:
        return (self.topic, self.partition)
