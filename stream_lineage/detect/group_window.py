"""The last few looks at what a consumer group has committed of a topic, and what they say together.

Nothing is held against a fixed threshold: what a group does over a window of looks is, in the manner of Burrow's
evaluator (``core/internal/evaluator/caching.go``). How long a group may pause is what it has shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from stream_lineage.model.group import GroupLook, PartitionRead

LOOKS = 10
"""Looks that are judged together. Larger: told later, and less often of what passes by itself."""
BEHIND = 2
"""Offsets that a group must at least be behind. The mark that ends a transaction takes one that nobody can read, and
many clients never commit past it."""
_GAP_WINDOWS = 2.0


class Reading(StrEnum):
    """What a group does with a partition or a topic."""

    UNKNOWN = "unknown"
    """There are not enough looks yet."""
    FINE = "fine"
    HELD = "held"
    """It reads nothing, and nothing new waits: no reason to tell, none to say that it is over."""
    LAGGING = "lagging"
    """It commits, and its lag has grown in every step."""
    STALLED = "stalled"
    """It has members, and what it has committed does not move although there is lag."""
    STOPPED = "stopped"
    """It has no members, commits nothing, and its lag grows."""


@dataclass(frozen=True, slots=True)
class Rewound:
    """A group has committed an offset before the one that it had committed."""

    partition: int
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Judged:
    """Of a topic: the gravest that any of its ``partitions`` does, which are those that do it."""

    reading: Reading
    partitions: tuple[int, ...]


class GroupWindow:
    """``add`` looks in the order of their times. ``seconds``: how far they are apart, about."""

    __slots__ = ("_empty", "_moved", "_rows", "_seconds", "at")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rows: dict[int, deque[tuple[float, PartitionRead]]] = {}
        self._moved: dict[int, float] = {}
        self._empty = False
        self.at = 0.0

    def add(self, look: GroupLook) -> tuple[list[Rewound], list[float]]:
        """Take in a look: the partitions that were rewound, and how long pauses lasted that are over, in seconds."""
        if look.at - self.at > _GAP_WINDOWS * LOOKS * self._seconds:
            self._rows, self._moved = {}, {}
        self.at, self._empty = look.at, look.empty
        for partition in self._rows.keys() - look.partitions.keys():
            del self._rows[partition], self._moved[partition]
        rewound: list[Rewound] = []
        pauses: list[float] = []
        for partition, read in sorted(look.partitions.items()):
            rows = self._rows.setdefault(partition, deque(maxlen=LOOKS))
            last = rows[-1][1] if rows else None
            if last is not None and read.end < last.end:
                rows.clear()  # the topic was made anew
                last = None
            elif last is not None and read.committed < last.committed:
                rewound.append(Rewound(partition, last.committed, read.committed))
                rows.clear()
                last = None
            rows.append((look.at, read))
            if last is None or read.committed != last.committed or read.lag < BEHIND:
                pause = look.at - self._moved.get(partition, look.at)
                if last is not None and last.lag >= BEHIND and pause > 0.5 * self.span:
                    pauses.append(pause)
                self._moved[partition] = look.at
        return rewound, pauses

    @property
    def span(self) -> float:
        """How long a window is, in seconds."""
        return (LOOKS - 1) * self._seconds

    def judge(self, patience: float) -> Judged:
        """What the looks say; ``patience``: seconds that a pause may last, if longer than the window."""
        found: dict[Reading, list[int]] = {}
        for partition, rows in self._rows.items():
            long = self.at - self._moved[partition] >= patience
            found.setdefault(_reading([read for _, read in rows], self._empty, long=long), []).append(partition)
        if Reading.STALLED not in found and Reading.STOPPED not in found and self._falls_behind_as_a_whole():
            grown = [p for p, rows in self._rows.items() if rows[-1][1].lag > rows[0][1].lag]
            found.setdefault(Reading.LAGGING, grown)
        for reading in (Reading.STOPPED, Reading.STALLED, Reading.LAGGING, Reading.UNKNOWN, Reading.HELD):
            if reading in found:
                return Judged(reading, tuple(sorted(found[reading])))
        return Judged(Reading.FINE, ())

    @property
    def recovers(self) -> bool:
        """Whether the lag is no larger than at the beginning of a whole window."""
        rows = [rows for rows in self._rows.values() if len(rows) == LOOKS]
        return bool(rows) and sum(r[-1][1].lag for r in rows) <= sum(r[0][1].lag for r in rows)

    @property
    def partitions(self) -> dict[int, PartitionRead]:
        """As they were at the last look."""
        return {partition: rows[-1][1] for partition, rows in self._rows.items()}

    @property
    def advances(self) -> bool:
        """Whether anything was committed within the window."""
        return any(rows[-1][1].committed > rows[0][1].committed for rows in self._rows.values())

    def paused(self, partitions: Iterable[int]) -> float:
        """For how long nothing has moved in any of these partitions, in seconds, as far as is known."""
        return min((self.at - self._moved[each] for each in partitions if each in self._moved), default=0.0)

    def lag_seconds(self, partition: int) -> float | None:
        """How long ago the log ended where the group is now. Beyond the window it is estimated from how fast the log
        has grown in it; null where that says nothing."""
        rows = self._rows[partition]
        now, last = rows[-1]
        if last.lag == 0:
            return 0.0
        after, end = now, last.end
        for at, read in reversed(rows):
            if read.end <= last.committed:
                grown = end - read.end
                return now - (at + (after - at) * ((last.committed - read.end) / grown if grown else 1.0))
            after, end = at, read.end
        first_at, first = rows[0]
        grown = last.end - first.end
        if grown <= 0:
            return None
        return now - first_at + (first.end - last.committed) * (now - first_at) / grown

    def _falls_behind_as_a_whole(self) -> bool:
        whole = [rows for rows in self._rows.values() if len(rows) == LOOKS]
        if len(whole) < 2:
            return False
        sums = [
            PartitionRead(sum(rows[i][1].committed for rows in whole), sum(rows[i][1].end for rows in whole))
            for i in range(LOOKS)
        ]
        return _falls_behind(sums)


def _reading(reads: Sequence[PartitionRead], empty: bool, *, long: bool) -> Reading:
    last = reads[-1]
    if last.lag < BEHIND or any(read.lag == 0 for read in reads):
        return Reading.FINE
    if len(reads) < LOOKS:
        return Reading.UNKNOWN
    if any(read.lag < BEHIND for read in reads):
        return Reading.FINE
    if reads[0].committed == last.committed:
        if not long or (empty and last.end <= reads[0].end):
            return Reading.HELD
        return Reading.STOPPED if empty else Reading.STALLED
    return Reading.LAGGING if _falls_behind(reads) else Reading.FINE


def _falls_behind(reads: Sequence[PartitionRead]) -> bool:
    """It commits all the time; the lag grows in every step, has doubled at least, and is more than comes between two
    commits."""
    lags = [read.lag for read in reads]
    return (
        all(after > before for before, after in pairwise(lags))
        and reads[-1].committed > reads[len(reads) // 2].committed > reads[0].committed
        and lags[-1] >= 2 * lags[0]
        and lags[-1] > reads[-1].end - reads[-3].end
    )
