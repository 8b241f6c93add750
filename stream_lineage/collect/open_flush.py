"""The flush that is being filled: what goes in, and when it is written. The main thread's alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Message

from stream_lineage.collect.batch import topic_batches
from stream_lineage.collect.batch_parts import slices
from stream_lineage.collect.dead_letters import DeadLetter
from stream_lineage.collect.flush import PIECE_BYTES, Flush, Group, GroupKey
from stream_lineage.collect.ledger import Ledger
from stream_lineage.collect.pipeline import Pipeline
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.collect.record_edges import FlushEdges
from stream_lineage.collect.schema_key import SchemaCodes

BEHIND_SECONDS = 240.0
"""How long reading may stand still for the pipeline: below max.poll.interval.ms (300 s)."""
_FEED_RECORDS = 32_768
_FEED_BYTES = 1024 * 1024
_NEW_SCHEMA_SECONDS = 0.2
"""After so long a flush is written in which a schema is new, or is back."""
_AWAY_SECONDS = 10.0
"""A schema that was not there for so long is back when it comes again."""
_BACK_EVERY_SECONDS = 2.0
"""Flushes that come early since a schema is back are so far apart: there may be thousands of topics that mix them."""
_MAX_GROUPS = 512
_QUIET_COORDINATE_SHARE = 0.36
"""Of the size that the observation of a quiet topic stays below: half is for the profile, some for the rest."""
_COORDINATE_SHARE = 0.005
"""Spans and links may take this share of the observed bytes; with the profile an observation stays below 2%."""
_LARGEST_COORDINATES = 256 * 1024
"""Bytes, however large a flush may be: with the profile an observation stays below what brokers take (1 MB)."""


@dataclass(frozen=True, slots=True)
class FlushBounds:
    """When a flush is written: after ``seconds``, or earlier when one of the others is reached."""

    seconds: float
    records: int
    bytes: int
    spans: int
    edge_bytes: int = 0


class OpenFlush:
    """Gathers records and hands flushes over to the pipeline. ``stopping`` ends waits for the pipeline."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        ledger: Ledger,
        codes: SchemaCodes,
        bounds: FlushBounds,
        stopping: threading.Event,
        producer_headers: Sequence[str] = (),
        copied_from: Callable[[str], str | None] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._codes = codes
        self._bounds = bounds
        self._stopping = stopping
        self._producer_headers = producer_headers
        self._copied_from = copied_from
        self._flush = Flush(0, time.monotonic(), edges=FlushEdges(bounds.edge_bytes, copied_from))
        self._due_early: float | None = None
        self._seen: dict[GroupKey, float] = {}
        self._back_at = -_BACK_EVERY_SECONDS
        self.average_bytes = 100.0
        self._quiet_bytes = int(pipeline.observation_bytes * _QUIET_COORDINATE_SHARE)
        # A batch is taken in slices, so that a flush exceeds its bounds by a quarter at most.
        self._slice_pieces = max(1, min(bounds.spans, self._quiet_bytes // PIECE_BYTES) // 4)

    @property
    def seconds_left(self) -> float | None:
        """Until it is due; null while there is nothing in it."""
        return None if self._flush.empty else self._due_at() - time.monotonic()

    def record(self, messages: list[Message], owned: Mapping[PartitionId, PartitionProgress]) -> None:
        """Take records of owned partitions, in the order in which they were read."""
        now_ms = int(time.time() * 1000)
        if self._flush.empty:
            self._flush.started = time.monotonic()
        size = 0
        for whole in topic_batches(messages, self._codes, self._pipeline.keeps, self._producer_headers):
            size += whole.values.byte_count + whole.keys.byte_count + whole.header_bytes
            for batch in slices(whole, self._slice_pieces):
                for group in self._flush.add(batch, owned, now_ms):
                    self._look_at(group)
                if self._flush.crowded:
                    self.write_when_due()
        self.average_bytes = max(16.0, 0.9 * self.average_bytes + 0.1 * size / len(messages))

    def unread(self, progress: PartitionProgress, offset: int) -> None:
        """Note that reading a partition goes on at this offset, though no record led there."""
        self._flush.unread(progress, offset)

    def report(self, letter: DeadLetter) -> None:
        """Write a dead letter that is about no record."""
        if self._flush.empty:
            self._flush.started = time.monotonic()
        self._flush.letters.append(letter)

    def write_when_due(self) -> None:
        """Hand it over if its time has come and the pipeline can take it."""
        flush, bounds = self._flush, self._bounds
        if flush.empty:
            if not self._pipeline.backlog and self._ledger.waits_for_registry and self._pipeline.has_resolutions():
                self._seal()
            return
        full = (
            flush.crowded
            or flush.records >= bounds.records
            or flush.bytes >= bounds.bytes
            or flush.run_count >= bounds.spans
            or len(flush.groups) >= _MAX_GROUPS
        )
        if not full and time.monotonic() < self._due_at():
            return
        if self._pipeline.backlog:
            if not full:
                return  # it grows until the one before is through
            # Two flushes at most are in memory; the pipeline has been fed with this one and does not wait for it.
            self._pipeline.drain(BEHIND_SECONDS, unless=self._stopping)
        self._seal()

    def settle(self, seconds: float) -> bool:
        """Have everything that was read committed; whether it was."""
        if not self._flush.empty and self._pipeline.failure is None:
            self._seal()
        return self._pipeline.drain(seconds) and self._pipeline.failure is None

    def discard(self) -> None:
        """Drop what is not committed. What is being committed at this moment is waited for."""
        self._pipeline.era += 1
        self._pipeline.drain(BEHIND_SECONDS, unless=self._stopping)
        self._pipeline.failure = None
        self._renew()

    def give_up(self) -> None:
        """Drop what is not committed, without waiting for anything."""
        self._pipeline.era += 1
        self._renew()

    def _renew(self) -> None:
        self._flush = Flush(
            self._pipeline.era, time.monotonic(), edges=FlushEdges(self._bounds.edge_bytes, self._copied_from)
        )
        self._due_early = None

    def _seal(self) -> None:
        flush = self._flush
        self._renew()
        self._pipeline.seal(flush)

    def _due_at(self) -> float:
        due = self._flush.started + self._bounds.seconds
        return due if self._due_early is None else min(due, self._due_early)

    def _look_at(self, group: Group) -> None:
        """A group of the present flush has got something new."""
        now = time.monotonic()
        seen, self._seen[group.key] = self._seen.get(group.key), now
        if seen is None:
            self._due_early = now + _NEW_SCHEMA_SECONDS
        elif group.turned and now - seen > _AWAY_SECONDS and now - self._back_at > _BACK_EVERY_SECONDS:
            self._due_early = now + _NEW_SCHEMA_SECONDS
            self._back_at = now
        if group.pending_records >= _FEED_RECORDS or group.pending_bytes >= _FEED_BYTES:
            self._pipeline.feed(self._flush, group)
        if group.coordinate_bytes > max(self._quiet_bytes, min(group.bytes * _COORDINATE_SHARE, _LARGEST_COORDINATES)):
            self._flush.crowded = True
