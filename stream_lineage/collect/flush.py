"""A flush: the records of about a second, as runs of offsets and as pieces to decode."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from stream_lineage.collect.batch import TopicBatch
from stream_lineage.collect.batch_parts import without_stale
from stream_lineage.collect.dead_letters import DeadLetter
from stream_lineage.collect.null_codes import settle_nulls
from stream_lineage.collect.payloads import Payloads
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.collect.record_edges import FlushEdges

_LINK_BYTES = 68  # two hashes and a partition
_RUN_BYTES = 13  # partition, two offsets, count, number of gaps; or a gap with its reason
PIECE_BYTES = _LINK_BYTES + _RUN_BYTES
_PRODUCER_SAMPLES = 64
"""Records of a batch whose producer is looked at: the first of so many runs, and so many besides."""
_MOST_PRODUCERS = 64
_MOST_TAPPED = 50_000
"""Records that are republished in one transaction: it holds back every reader of committed records meanwhile."""


@dataclass(slots=True)
class Run:
    """Records of one partition that follow each other under one pair of schema codes. ``gaps`` are inclusive offset
    ranges without a record; ``first`` may lie in one."""

    first: int
    last: int
    count: int
    value_code: int
    key_code: int
    gaps: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Piece:
    """Records of one group from one batch. ``messages`` are kept where they are to be republished."""

    values: Payloads
    keys: Payloads
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    messages: list[Message] | None = None

    @property
    def byte_count(self) -> int:
        return self.values.byte_count + self.keys.byte_count

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(slots=True)
class TimeStatistics:
    """Kafka timestamps of a group's sampled records."""

    sampled: int = 0
    without: int = 0
    out_of_order: int = 0
    min_timestamp: int | None = None
    max_timestamp: int | None = None
    lag_sum: float = 0.0
    max_lag: int | None = None

    def add(self, timestamps: NDArray[np.int64], now_ms: int) -> None:
        known = timestamps[timestamps >= 0]
        self.sampled += len(timestamps)
        self.without += len(timestamps) - len(known)
        if not len(known):
            return
        low, high = int(known.min()), int(known.max())
        self.min_timestamp = low if self.min_timestamp is None else min(self.min_timestamp, low)
        self.max_timestamp = high if self.max_timestamp is None else max(self.max_timestamp, high)
        self.lag_sum += float(np.sum(now_ms - known.astype(np.float64)))
        self.max_lag = now_ms - low if self.max_lag is None else max(self.max_lag, now_ms - low)


ProducerCounts = dict[bytes, int]
"""Records of a sample, by what their headers call the producer."""
GroupKey = tuple[str, int, int]
"""Topic, value code, key code."""


@dataclass(slots=True)
class Group:
    """What becomes one observation: the records of a topic under one pair of schema codes.

    ``pending`` pieces are the main thread's; it hands them to the pipeline, which keeps them in ``pieces`` until the
    flush is committed, since a worker that dies has to be given them again. The first ``sent`` of those are with the
    worker.
    """

    topic: str
    value_code: int
    key_code: int
    pending: list[Piece] = field(default_factory=list)
    pending_records: int = 0
    pending_bytes: int = 0
    pieces: list[Piece] = field(default_factory=list)
    sent: int = 0
    records: int = 0
    bytes: int = 0
    tombstones: int = 0
    times: TimeStatistics = field(default_factory=TimeStatistics)
    partitions: set[int] = field(default_factory=set)
    run_count: int = 0
    turned: bool = False  # a partition went over to it from other codes
    producers: ProducerCounts = field(default_factory=dict)

    @property
    def coordinate_bytes(self) -> int:
        """About what spans, gaps and links take in the observation."""
        return _LINK_BYTES * len(self.partitions) + _RUN_BYTES * self.run_count

    @property
    def key(self) -> GroupKey:
        return (self.topic, self.value_code, self.key_code)

    def take_pending(self) -> list[Piece]:
        """What the pipeline has not been given yet."""
        taken, self.pending = self.pending, []
        self.pending_records = self.pending_bytes = 0
        return taken


@dataclass(slots=True)
class Flush:
    """What has been read since the last one. Written by the main thread until it is sealed, then by the pipeline."""

    era: int
    started: float
    runs: dict[PartitionId, list[Run]] = field(default_factory=dict)
    groups: dict[GroupKey, Group] = field(default_factory=dict)
    positions: dict[PartitionId, int] = field(default_factory=dict)
    topic_ids: dict[str, str | None] = field(default_factory=dict)
    lost: dict[PartitionId, tuple[int, int]] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)  # that are about no record in it
    records: int = 0
    bytes: int = 0
    run_count: int = 0
    edges: FlushEdges = field(default_factory=lambda: FlushEdges(0))
    tapped: int = 0
    crowded: bool = False  # an observation has too many spans and links for its size, or too much is to be republished
    sealed: float = 0.0
    sealed_at: datetime | None = None
    done: threading.Event = field(default_factory=threading.Event)
    committed: bool = False

    def add(self, batch: TopicBatch, progress: Mapping[PartitionId, PartitionProgress], now_ms: int) -> list[Group]:
        """Take in a batch; the groups that got something new.

        Records of partitions that are not owned and records that a span covers already are left out, so that nothing
        is counted twice whatever the client still had in its queues.
        """
        kept = without_stale(batch, progress)
        if kept is None:
            return []
        batch = kept
        bounds = settle_nulls(batch, progress)
        touched: dict[GroupKey, list[tuple[int, int]]] = {}
        edges = bounds.tolist()
        partitions = batch.partitions[bounds[:-1]].tolist()
        firsts = batch.offsets[bounds[:-1]].tolist()
        lasts = batch.offsets[bounds[1:] - 1].tolist()
        values = batch.value_codes[bounds[:-1]].tolist()
        keys = batch.key_codes[bounds[:-1]].tolist()
        for index in range(len(edges) - 1):
            start, stop = edges[index], edges[index + 1]
            state = progress[(batch.topic, partitions[index])]
            key = (batch.topic, values[index], keys[index])
            group = self.groups.get(key)
            if group is None:
                group = self.groups[key] = Group(*key)
            self._extend(state, group, batch, start, stop, firsts[index], lasts[index])
            if batch.producer_of is not None and index < _PRODUCER_SAMPLES:
                _see_producers(group, batch.producer_of, range(start, stop, 1 + len(batch) // _PRODUCER_SAMPLES))
            touched.setdefault(key, []).append((start, stop))
        changed = []
        for key, segments in touched.items():
            group = self.groups[key]
            self._fill(group, batch, segments, whole=len(touched) == 1)
            changed.append(group)
        self._time(batch, touched, progress, now_ms)
        if batch.descendants:
            places = [each.place for each in batch.descendants]
            partitions, offsets = batch.partitions[places].tolist(), batch.offsets[places].tolist()
            self.edges.see(batch.topic, batch.descendants, partitions, offsets)
            self.crowded = self.crowded or self.edges.full
        return changed

    def _extend(
        self,
        state: PartitionProgress,
        group: Group,
        batch: TopicBatch,
        start: int,
        stop: int,
        first: int,
        last: int,
    ) -> None:
        gaps: list[tuple[int, int]] = []
        expected = state.expected
        if expected is not None and first > expected:
            gaps.append((expected, first - 1))
        if last - first + 1 != stop - start:
            offsets = batch.offsets[start:stop]
            jumps = np.flatnonzero(np.diff(offsets) != 1)
            gaps += [(a + 1, b - 1) for a, b in zip(offsets[jumps].tolist(), offsets[jumps + 1].tolist(), strict=True)]
        runs = self.runs.setdefault(state.key, [])
        begin = first if expected is None else min(first, expected)
        pieces = len(gaps)
        if runs and runs[-1].value_code == group.value_code and runs[-1].key_code == group.key_code:
            run = runs[-1]
            run.last = last
            run.count += stop - start
            run.gaps += gaps
        else:
            runs.append(Run(begin, last, stop - start, group.value_code, group.key_code, gaps))
            pieces += 1
            group.turned = group.turned or state.value_code not in (None, group.value_code)
        self.run_count += pieces
        group.run_count += pieces
        group.partitions.add(state.partition)
        state.expected = last + 1
        state.position = last + 1
        state.value_code = group.value_code
        state.key_code = group.key_code
        self.positions[state.key] = last + 1
        self.topic_ids[state.topic] = state.topic_id
        if state.lost is not None:
            self.lost[state.key] = state.lost

    def _fill(self, group: Group, batch: TopicBatch, segments: list[tuple[int, int]], *, whole: bool) -> None:
        if whole:
            piece = Piece(batch.values, batch.keys, batch.partitions, batch.offsets, batch.messages)
        else:
            piece = Piece(
                batch.values.segments(segments),
                batch.keys.segments(segments),
                np.concatenate([batch.partitions[a:b] for a, b in segments]),
                np.concatenate([batch.offsets[a:b] for a, b in segments]),
                None if batch.messages is None else [m for a, b in segments for m in batch.messages[a:b]],
            )
        group.pending.append(piece)
        count, size = len(piece), piece.byte_count
        if piece.messages is not None:
            self.tapped += count
            self.crowded = self.crowded or self.tapped >= _MOST_TAPPED
        group.records += count
        group.bytes += size
        group.pending_records += count
        group.pending_bytes += size
        group.tombstones += int(np.count_nonzero(piece.values.lengths < 0))
        self.records += count
        self.bytes += size

    def _time(
        self,
        batch: TopicBatch,
        touched: Mapping[GroupKey, list[tuple[int, int]]],
        progress: Mapping[PartitionId, PartitionProgress],
        now_ms: int,
    ) -> None:
        sample = batch.sample
        late = _out_of_order(batch, progress)
        for key, segments in touched.items():
            if len(touched) == 1:
                chosen = np.ones(len(sample), np.bool_)
            else:
                starts = np.array([a for a, _ in segments])
                stops = np.array([b for _, b in segments])
                at = np.searchsorted(starts, sample, side="right") - 1
                chosen = (at >= 0) & (sample < stops[np.maximum(at, 0)])
            times = self.groups[key].times
            times.add(batch.timestamps[chosen], now_ms)
            times.out_of_order += int(np.count_nonzero(late[chosen]))

    def unread(self, state: PartitionProgress, position: int) -> None:
        """Offsets up to ``position`` hold nothing visible: they belong to the span that comes next."""
        self.positions[state.key] = position
        self.topic_ids.setdefault(state.topic, state.topic_id)

    @property
    def empty(self) -> bool:
        return not self.positions and not self.letters

    def drop_payloads(self) -> None:
        """Free the bytes once nobody needs them."""
        for group in self.groups.values():
            group.pieces.clear()
            group.pending.clear()


def _see_producers(group: Group, producer_of: Callable[[int], bytes | None], sample: Iterable[int]) -> None:
    seen = group.producers
    for index in sample:
        name = producer_of(index)
        if name is not None and (name in seen or len(seen) < _MOST_PRODUCERS):
            seen[name] = seen.get(name, 0) + 1


def _out_of_order(batch: TopicBatch, progress: Mapping[PartitionId, PartitionProgress]) -> NDArray[np.bool_]:
    """Which sampled records are older than one that came before in their partition."""
    late = np.zeros(len(batch.sample), np.bool_)
    partitions = batch.partitions[batch.sample]
    for partition in np.unique(partitions).tolist():
        own = np.flatnonzero((partitions == partition) & (batch.timestamps >= 0))
        if not len(own):
            continue
        state = progress[(batch.topic, partition)]
        times = batch.timestamps[own]
        highest = np.maximum.accumulate(times)
        floor = np.concatenate(([times[0] if state.max_timestamp is None else state.max_timestamp], highest[:-1]))
        if state.max_timestamp is not None:
            floor = np.maximum(floor, state.max_timestamp)
        late[own] = times < floor
        state.max_timestamp = int(max(highest[-1], floor[-1]))
    return late
