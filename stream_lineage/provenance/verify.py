"""Proving the provenance log: no gap, no overlap, no broken link."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from stream_lineage.model.observation import Observation
from stream_lineage.model.span import OffsetSpan
from stream_lineage.provenance.chain import GENESIS, Head, next_hash
from stream_lineage.provenance.log import LogEntry
from stream_lineage.provenance.spans import SpanIndex, TopicEpoch

PartitionKey = tuple[TopicEpoch, int]


@dataclass(frozen=True, slots=True)
class CommittedHead:
    """What the collectors' group has committed for a partition of a watched topic."""

    topic: str
    partition: int
    offset: int
    head: Head | None


@dataclass(slots=True)
class Verification:
    """The outcome. ``gaps``, ``overlaps`` and ``broken_links`` hold one row for each finding; ``notes`` says what could
    not be proven although nothing is wrong."""

    records: int = 0
    spans: int = 0
    gaps: list[dict[str, Any]] = field(default_factory=list)
    overlaps: list[dict[str, Any]] = field(default_factory=list)
    broken_links: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    heads: dict[PartitionKey, bytes] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not (self.gaps or self.overlaps or self.broken_links)


@dataclass(slots=True)
class _Flush:
    """What carries one link of one partition: the spans, and the observations that hold them."""

    previous: bytes
    hash: bytes
    spans: list[OffsetSpan] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    entries: list[LogEntry] = field(default_factory=list)


def verify(
    entries: Iterable[LogEntry],
    heads: Iterable[CommittedHead],
    *,
    checkpoint: Mapping[PartitionKey, bytes] | None = None,
    log_starts: Callable[[], Mapping[int, int]] | None = None,
) -> Verification:
    """Check every link, and that the spans of each partition follow each other without gap or overlap.

    Args:
        entries: the log in the order of each of its partitions.
        heads: read before the log was, so that the log is never behind them.
        checkpoint: hashes of links that must be in the log unless retention has passed them, by partition.
        log_starts: asked after the log was read: the first offset that each of its partitions still holds. Without it
            the beginning of every chain may have gone by retention, but nothing else.
    """
    outcome = Verification()
    index = SpanIndex()
    flushes: dict[PartitionKey, dict[bytes, _Flush]] = defaultdict(dict)
    seen: set[str] = set()
    for entry in entries:
        if entry.decoded is None or not entry.intact:
            outcome.broken_links.append(_broken(entry, entry.error or "its content is not what was written"))
            if entry.decoded is None:
                continue
        observation = entry.decoded.observation
        if observation.observation_id in seen:
            outcome.overlaps.append(_row(entry, observation, reason="this observation is in the log twice"))
            continue
        seen.add(observation.observation_id)
        index.add(observation)
        outcome.records += sum(span.count for span in observation.spans)
        _collect(flushes, entry, observation, outcome)
    outcome.spans = sum(1 for epoch in index.epochs() for _ in index.merged(epoch))
    retention = _Retention(None if log_starts is None else log_starts())
    for key, by_hash in flushes.items():
        _check_partition(key, by_hash, retention, outcome)
    _check_heads(flushes, heads, retention, outcome)
    _check_checkpoint(flushes, checkpoint or {}, outcome)
    return outcome


@dataclass(frozen=True, slots=True)
class _Retention:
    """What retention may have taken from the beginning of the log."""

    starts: Mapping[int, int] | None

    def may_have_taken_links(self) -> bool:
        return self.starts is None or any(start > 0 for start in self.starts.values())

    def has_taken_links(self) -> bool:
        return self.starts is not None and self.may_have_taken_links()

    def may_have_cut(self, flush: _Flush) -> bool:
        """Whether the first observations of a flush may have gone, and others of it not."""
        return self.starts is not None and any(self.starts.get(entry.partition, 0) > 0 for entry in flush.entries)


def _collect(
    flushes: dict[PartitionKey, dict[bytes, _Flush]], entry: LogEntry, observation: Observation, outcome: Verification
) -> None:
    assert entry.decoded is not None  # noqa: S101  (the caller skips what cannot be read)
    epoch = TopicEpoch(observation.topic, observation.topic_id)
    linked = set()
    for link in observation.links:
        linked.add(link.partition)
        flush = flushes[(epoch, link.partition)].setdefault(link.hash, _Flush(link.previous, link.hash))
        flush.spans += [span for span in observation.spans if span.partition == link.partition]
        flush.digests.append(entry.decoded.digest)
        flush.entries.append(entry)
        if flush.previous != link.previous:
            outcome.broken_links.append(_broken(entry, "two observations of one flush name different links before it"))
    for partition in {span.partition for span in observation.spans} - linked:
        outcome.broken_links.append(_broken(entry, f"its spans of partition {partition} are under no link"))


def _check_partition(
    key: PartitionKey, by_hash: dict[bytes, _Flush], retention: _Retention, outcome: Verification
) -> None:
    epoch, partition = key
    for flush in by_hash.values():
        if next_hash(flush.previous, flush.spans, flush.digests) == flush.hash:
            continue
        if flush.previous not in by_hash and flush.previous != GENESIS and retention.may_have_cut(flush):
            outcome.notes.append(f"retention has cut the oldest flush of {epoch.topic}[{partition}]: it is not proven")
        else:
            _blame(flush, outcome)
    followers: dict[bytes, list[_Flush]] = defaultdict(list)
    for flush in by_hash.values():
        followers[flush.previous].append(flush)
    starts = [flush for flush in by_hash.values() if flush.previous not in by_hash]
    for previous, after in followers.items():
        for extra in after[1:] if previous in by_hash or previous == GENESIS else ():
            outcome.broken_links.append(_broken(extra.entries[0], "the chain forks: two flushes follow the same link"))
    ordered: list[_Flush] = []
    for start in sorted(starts, key=_first_offset):
        if ordered or (start.previous != GENESIS and not retention.may_have_taken_links()):
            outcome.broken_links.append(
                _broken(start.entries[0], f"the link before it is missing from the log (partition {partition})")
            )
        at: _Flush | None = start
        walked: set[bytes] = set()
        while at is not None and at.hash not in walked:
            walked.add(at.hash)
            ordered.append(at)
            at = next(iter(followers.get(at.hash, ())), None)
    spans = sorted((span for flush in ordered for span in flush.spans), key=lambda span: span.first_offset)
    for before, after_span in pairwise(spans):
        where = {"topic": epoch.topic, "topic_id": epoch.topic_id, "partition": partition}
        if after_span.first_offset > before.last_offset + 1:
            outcome.gaps.append(
                where | {"first_offset": before.last_offset + 1, "last_offset": after_span.first_offset - 1}
            )
        elif after_span.first_offset <= before.last_offset:
            outcome.overlaps.append(
                where | {"first_offset": after_span.first_offset, "last_offset": before.last_offset}
            )
    if ordered:
        outcome.heads[key] = ordered[-1].hash


def _blame(flush: _Flush, outcome: Verification) -> None:
    """Name what does not fit its link; an observation already known to be edited explains it."""
    blamed = {(row["log_partition"], row["log_offset"]) for row in outcome.broken_links if "log_offset" in row}
    if any((entry.partition, entry.offset) in blamed for entry in flush.entries):
        return
    for entry in flush.entries:
        outcome.broken_links.append(_broken(entry, "what it holds does not give the hash of its link"))


def _check_heads(
    flushes: Mapping[PartitionKey, Mapping[bytes, _Flush]],
    heads: Iterable[CommittedHead],
    retention: _Retention,
    outcome: Verification,
) -> None:
    proven = set()
    gone = set()
    for committed in heads:
        if committed.head is None:
            continue
        key = (TopicEpoch(committed.topic, committed.head.topic_id), committed.partition)
        proven.add(key)
        if committed.head.hash == GENESIS:
            continue
        if key not in flushes and retention.has_taken_links():
            gone.add(committed.topic)
            continue
        if committed.head.hash not in flushes.get(key, {}):
            outcome.broken_links.append(
                {
                    "topic": committed.topic,
                    "topic_id": committed.head.topic_id,
                    "partition": committed.partition,
                    "reason": "the tail is missing: the committed head is not in the log",
                    "hash": committed.head.hash.hex(),
                    "offset": committed.offset,
                }
            )
            continue
        last = max((span.last_offset for flush in flushes[key].values() for span in flush.spans), default=-1)
        if last + 1 < committed.head.next_offset:
            outcome.gaps.append(
                {
                    "topic": committed.topic,
                    "topic_id": committed.head.topic_id,
                    "partition": committed.partition,
                    "first_offset": last + 1,
                    "last_offset": committed.head.next_offset - 1,
                }
            )
    if gone:
        outcome.notes.append(
            "the log holds nothing any more, as after retention, of some partitions of " + ", ".join(sorted(gone)[:20])
        )
    unproven = sorted({key[0].topic for key in flushes if key not in proven})
    if unproven:
        outcome.notes.append(
            "no committed head: the end of the log is not proven for earlier epochs or expired offsets of "
            + ", ".join(unproven[:20])
        )


def _check_checkpoint(
    flushes: Mapping[PartitionKey, Mapping[bytes, _Flush]],
    checkpoint: Mapping[PartitionKey, bytes],
    outcome: Verification,
) -> None:
    for (epoch, partition), expected in checkpoint.items():
        by_hash = flushes.get((epoch, partition), {})
        if expected in by_hash or any(flush.previous == expected for flush in by_hash.values()):
            continue
        outcome.broken_links.append(
            {
                "topic": epoch.topic,
                "topic_id": epoch.topic_id,
                "partition": partition,
                "reason": "the link of the checkpoint is not in the log",
                "hash": expected.hex(),
            }
        )


def _first_offset(flush: _Flush) -> int:
    return min((span.first_offset for span in flush.spans), default=-1)


def _row(entry: LogEntry, observation: Observation | None, *, reason: str) -> dict[str, Any]:
    row: dict[str, Any] = {"reason": reason, "log_partition": entry.partition, "log_offset": entry.offset}
    if observation is not None:
        row |= {
            "topic": observation.topic,
            "topic_id": observation.topic_id,
            "observation_id": observation.observation_id,
            "partitions": sorted({span.partition for span in observation.spans}),
        }
    else:
        row["topic"] = entry.key.decode("utf-8", "replace") if entry.key else None
    return row


def _broken(entry: LogEntry, reason: str) -> dict[str, Any]:
    return _row(entry, entry.decoded.observation if entry.decoded else None, reason=reason)
