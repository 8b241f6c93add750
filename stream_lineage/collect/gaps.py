"""Why offsets are missing. Kafka does not say: it is inferred from what it does say, else it is unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from stream_lineage.model.span import MissingRange, MissingReason, joined_ranges

_POLICY_SECONDS = 60.0
CleanupPolicy = Callable[[str], str | None]
"""The ``cleanup.policy`` of a topic, or null when it cannot be learnt."""
Probe = Callable[[str, int, int, int], "set[int] | None"]
"""Offsets in ``[first, last]`` of a partition that a read_uncommitted reader sees, or null when it ran out of time."""


@dataclass(slots=True)
class _Policy:
    compacts: bool | None
    until: float


@dataclass(slots=True)
class _Evidence:
    """Whether a partition is known to hold transactions: then a lone missing offset may be a control record."""

    transactions: bool = False


@dataclass(slots=True)
class GapClassifier:
    """Reasons for gaps.

    - Deleted below the log's start before they were read: ``retention``.
    - In a topic that is not compacted nothing but transactions leaves gaps: ``transaction``.
    - In a compacted topic a reader that also sees aborted records is asked. What it sees was aborted, and the offset
      right after that is the control record: ``transaction``. The rest was ``compacted``, but a single offset may
      also be a control record where transactions are known to occur: ``unknown``.
    """

    policy: CleanupPolicy
    probe: Probe
    _policies: dict[str, _Policy] = field(default_factory=dict)
    _evidence: dict[tuple[str, int], _Evidence] = field(default_factory=dict)

    def classify(
        self, topic: str, partition: int, gaps: Iterable[tuple[int, int]], lost: tuple[int, int] | None
    ) -> tuple[MissingRange, ...]:
        """Inclusive offset ranges as missing ranges, cut where reasons differ. ``lost`` are the offsets, from the first
        up to and without the second, that were deleted before they could be read."""
        out: list[MissingRange] = []
        inner: list[tuple[int, int]] = []
        lost_from, log_start = lost or (0, 0)
        for first, last in gaps:
            start, stop = max(first, lost_from), min(last, log_start - 1)
            if start > stop:
                inner.append((first, last))
                continue
            out.append(MissingRange(start, stop, MissingReason.RETENTION))
            if first < start:
                inner.append((first, start - 1))
            if stop < last:
                inner.append((stop + 1, last))
        if inner:
            compacts = self._compacts(topic)
            if compacts:
                out += self._in_compacted(topic, partition, inner)
            else:
                reason = MissingReason.UNKNOWN if compacts is None else MissingReason.TRANSACTION
                out += [MissingRange(first, last, reason) for first, last in inner]
        return joined_ranges(out)

    def _compacts(self, topic: str) -> bool | None:
        known = self._policies.get(topic)
        if known is None or time.monotonic() > known.until:
            policy = self.policy(topic)
            compacts = None if policy is None else "compact" in policy
            known = self._policies[topic] = _Policy(compacts, time.monotonic() + _POLICY_SECONDS)
        return known.compacts

    def _in_compacted(self, topic: str, partition: int, gaps: list[tuple[int, int]]) -> list[MissingRange]:
        visible = self.probe(topic, partition, gaps[0][0], gaps[-1][1])
        if visible is None:
            return [MissingRange(first, last, MissingReason.UNKNOWN) for first, last in gaps]
        evidence = self._evidence.setdefault((topic, partition), _Evidence())
        out: list[MissingRange] = []
        for first, last in gaps:
            aborted = sorted(offset for offset in visible if first <= offset <= last)
            evidence.transactions = evidence.transactions or bool(aborted)
            markers = {offset + 1 for offset in aborted if offset + 1 <= last and offset + 1 not in visible}
            explained = markers.union(aborted)
            out += [MissingRange(offset, offset, MissingReason.TRANSACTION) for offset in sorted(explained)]
            for start, stop in _remaining(first, last, explained):
                lone = start == stop and evidence.transactions
                out.append(MissingRange(start, stop, MissingReason.UNKNOWN if lone else MissingReason.COMPACTED))
        return out


def _remaining(first: int, last: int, taken: set[int]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    start = first
    for offset in sorted(taken):
        if offset > start:
            out.append((start, offset - 1))
        start = offset + 1
    if start <= last:
        out.append((start, last))
    return out
