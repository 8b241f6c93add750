"""Consumer groups as they were seen at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionRead:
    """``committed`` is the offset that the group reads next, ``end`` the one that the next record will have."""

    committed: int
    end: int

    @property
    def lag(self) -> int:
        """Offsets in between, never below 0."""
        return max(0, self.end - self.committed)


@dataclass(frozen=True, slots=True)
class GroupLook:
    """What a group had committed of one topic at ``at``, seconds since the epoch. Partitions of which it never
    committed anything are left out. ``empty``: it has no members."""

    group: str
    topic: str
    at: float
    empty: bool
    partitions: Mapping[int, PartitionRead]
