"""Replay plans: which offsets consumer groups have to go back to, to read again what they read since a fault began.

Pure: whoever asks the brokers is elsewhere. An offset that is committed is the one that is read next, so the offset to
go back to is that of the first bad record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

PartitionId = tuple[str, int]
"""Topic and number of the partition."""


class Means(StrEnum):
    """How the first offset to be read again is known."""

    ALERT = "alert"  # the alert says it
    GIVEN = "given"  # somebody said it
    EDGES = "edges"  # the first record that was made of bad ones
    TIME = "time"  # the first record of that time or later


class Verdict(StrEnum):
    """What becomes of one partition of one group."""

    RESET = "reset"
    NOT_REACHED = "not-reached"  # the group has not read so far: it reads on, and meets these records by itself
    GONE = "gone"  # what the group has read since is no longer in Kafka
    AS_IT_IS = "as-it-is"  # the group stands there already


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the log of a partition begins, and the offset after its last record that can be read."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Start:
    """From which offset on a partition has to be read again.

    ``last`` is that of the last bad record; null where that is not known, or nothing says that it is over.
    ``uncertain``: only widened ranges lead there, so it may lie too early. ``timestamp`` is the record's own, null
    where Kafka no longer has it. ``by_time`` is the first offset that is not older than the first bad record of all.
    """

    topic: str
    partition: int
    offset: int
    means: Means
    bounds: Bounds
    last: int | None = None
    uncertain: bool = False
    timestamp: datetime | None = None
    by_time: int | None = None

    @property
    def lost(self) -> int:
        """Offsets that Kafka no longer has, so that nobody can read them again."""
        return max(0, min(self.bounds.start, self.bounds.end) - self.offset)


@dataclass(frozen=True, slots=True)
class GroupStand:
    """A consumer group as the brokers tell: ``committed`` are the offsets that it reads next."""

    group: str
    state: str
    committed: Mapping[PartitionId, int]

    @property
    def stopped(self) -> bool:
        """Whether it has no members, so that its offsets can be changed."""
        return self.state in ("EMPTY", "DEAD")


@dataclass(frozen=True, slots=True)
class Reset:
    """One partition of one group. ``target`` is null where there is nothing to change.

    ``again`` counts the offsets that it had read and reads again, ``lost`` those that it had read since the first bad
    record and that Kafka no longer has. Where transactions or compaction left offsets without a record, there are
    fewer records than offsets.
    """

    topic: str
    partition: int
    committed: int
    start: Start
    verdict: Verdict
    target: int | None = None
    again: int = 0
    lost: int = 0

    @property
    def forward(self) -> bool:
        """Whether the group would leave out what it has not read."""
        return self.target is not None and self.target > self.committed


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What becomes of one group, by topic and partition."""

    group: str
    state: str
    stopped: bool
    partitions: tuple[Reset, ...]

    @property
    def resets(self) -> tuple[Reset, ...]:
        """Those that change something."""
        return tuple(each for each in self.partitions if each.target is not None)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Somebody, or something, that the plan says nothing of, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do to read again. ``reason`` says for what, ``notes`` whatever a reader has to know."""

    reason: str
    at: datetime
    starts: tuple[Start, ...]
    groups: tuple[GroupPlan, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changing(self) -> tuple[GroupPlan, ...]:
        """The groups of which something changes."""
        return tuple(each for each in self.groups if each.resets)


def replayed(start: Start, committed: int) -> Reset:
    """Where a group that stands at ``committed`` goes back to. Never forward, and never beyond the end of the log."""
    where = (start.topic, start.partition, committed, start)
    if committed <= start.offset:
        return Reset(*where, Verdict.NOT_REACHED)
    target = min(max(start.offset, start.bounds.start), start.bounds.end)
    lost = max(0, min(start.bounds.start, committed) - start.offset)
    if committed <= target:
        return Reset(*where, Verdict.GONE, lost=lost)
    return Reset(*where, Verdict.RESET, target, committed - target, lost)


def put_back(start: Start, committed: int) -> Reset:
    """A group is put to the offset of ``start``, be it forward or back, within what the log has."""
    target = min(max(start.offset, start.bounds.start), start.bounds.end)
    where = (start.topic, start.partition, committed, start)
    if target == committed:
        return Reset(*where, Verdict.AS_IT_IS)
    return Reset(*where, Verdict.RESET, target, max(0, committed - target), max(0, target - start.offset))


def group_plans(stands: Iterable[GroupStand], starts: Sequence[Start]) -> list[GroupPlan]:
    """Of each group that has committed an offset of one of these partitions, what becomes of it."""
    by_partition = {(each.topic, each.partition): each for each in starts}
    found = []
    for stand in stands:
        resets = tuple(
            replayed(by_partition[key], committed)
            for key, committed in sorted(stand.committed.items())
            if key in by_partition
        )
        if resets:
            found.append(GroupPlan(stand.group, stand.state, stand.stopped, resets))
    return sorted(found, key=lambda each: each.group)
