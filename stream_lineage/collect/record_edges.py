"""The edges of a flush: what the headers of its records say about where these come from.

Who writes headers may write anything. What cannot be read becomes an edge without parents that says so; nothing is
guessed. What edges take is bounded: a flush comes early once they have taken their share, and what is beyond four times
that in one batch is left out and counted. What it takes to read a header counts apart, as the bytes of usual edges that
are written in that time, whatever comes of it: so a flush is bounded in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from confluent_kafka import Message

from stream_lineage.errors import DecodeError
from stream_lineage.model.record_edge import EdgeSource, ParentRange
from stream_lineage.provenance.edge_writer import EdgeWriter
from stream_lineage.wire.lineage_headers import (
    LARGEST_HEADER,
    LONGEST_RUN,
    PARENTS_HEADER,
    RUN_HEADER,
    TRACEPARENT_HEADER,
    decode_parents,
    run_id,
    trace_id,
)
from stream_lineage.wire.origin_headers import ORIGIN_TOPIC_HEADERS, origin_in

Headers = Sequence[tuple[str, bytes | None]]
LINEAGE_HEADERS = ORIGIN_TOPIC_HEADERS | {PARENTS_HEADER}
"""A record without any of these has no edge."""
_OVERSHOOT = 4
_WORK_OVERSHOOT = 16
"""A range counts about four times as much work as it takes bytes, so usual headers meet the other bound first."""
_MOST_RUNS = 1_000
MOST_RANGES = 8_192
"""Of one record: twice what our own clients write. The edge of a record with more is incomplete."""
_RANGE_WORK = 24
"""Bytes that a range counts as which is read."""
_UNREADABLE_WORK = _RANGE_WORK // 2
"""Bytes that a byte of a header counts as which is read in vain: a range takes two at least."""


class Descendant(NamedTuple):
    """A record that has such headers. ``place`` is where it stands in the batch."""

    place: int
    headers: Headers
    message: Message


@dataclass(slots=True)
class EdgeCounts:
    """``edges`` that were made, those of them whose header was ``unreadable``, headers that were ``copied`` from a
    record of another topic, and records that were ``left_out``."""

    edges: int = 0
    unreadable: int = 0
    copied: int = 0
    left_out: int = 0

    def add(self, other: EdgeCounts) -> None:
        self.edges += other.edges
        self.unreadable += other.unreadable
        self.copied += other.copied
        self.left_out += other.left_out


class FlushEdges:
    """The edges of a flush.

    Args:
        most_bytes: what they may take; with 0 none are made.
        copied_from: which cluster the records of a topic were copied from; see ``EdgeWriter``.
    """

    def __init__(self, most_bytes: int, copied_from: Callable[[str], str | None] | None = None) -> None:
        self._most_bytes = most_bytes
        self._copied_from = copied_from
        self.by_topic: dict[str, EdgeWriter] = {}
        self.counts = EdgeCounts()
        self.bytes = 0
        self.work = 0
        self._runs: dict[bytes, str | None] = {}

    @property
    def full(self) -> bool:
        """Whether the flush should come early."""
        return self.bytes + self.work >= self._most_bytes > 0

    def see(
        self, topic: str, descendants: Sequence[Descendant], partitions: Sequence[int], offsets: Sequence[int]
    ) -> None:
        """Make the edges of some records of a topic; ``partitions`` and ``offsets`` are theirs, in order."""
        if not self._most_bytes or not descendants:
            return
        writer = self.by_topic.get(topic)
        if writer is None:
            writer = EdgeWriter(None if self._copied_from is None else self._copied_from(topic))
            self.by_topic[topic] = writer
        counts, check, before = self.counts, crc32(topic.encode()), writer.size
        most, most_work = _OVERSHOOT * self._most_bytes, _WORK_OVERSHOOT * self._most_bytes
        for (_, headers, message), partition, offset in zip(descendants, partitions, offsets, strict=True):
            if self.bytes + writer.size - before > most or self.work > most_work:
                writer.left_out += 1
                counts.left_out += 1
                continue
            last = dict(headers)
            run = last.get(RUN_HEADER)
            trace = last.get(TRACEPARENT_HEADER)
            ids = None if run is None else self._run_id(run), None if trace is None else trace_id(trace)
            own = last.get(PARENTS_HEADER)
            when = message.timestamp()[1]
            if own is not None and writer.add_single(partition, offset, when, own, check, *ids):
                counts.edges += 1
            else:
                self._edge(writer, check, headers, last, (partition, offset, when), ids)
        self.bytes += writer.size - before

    def _run_id(self, value: bytes) -> str | None:
        if len(value) > LONGEST_RUN:
            return None
        if value not in self._runs:
            if len(self._runs) >= _MOST_RUNS:
                self._runs.clear()
            self._runs[value] = run_id(value)
        return self._runs[value]

    def _edge(
        self,
        writer: EdgeWriter,
        check: int,
        headers: Headers,
        last: Mapping[str, bytes | None],
        place: tuple[int, int, int],
        ids: tuple[str | None, str | None],
    ) -> None:
        counts = self.counts
        source, incomplete, known = EdgeSource.LINEAGE, False, False
        parents: tuple[ParentRange, ...] = ()
        if PARENTS_HEADER in last:
            value = last[PARENTS_HEADER] or b""
            try:
                read = decode_parents(value, most_ranges=MOST_RANGES)
                self.work += max(len(value), _RANGE_WORK * len(read.parents))
                known = read.check == check
                if known:
                    parents, incomplete = read.parents, read.incomplete
                else:
                    counts.copied += 1
            except DecodeError:
                self.work += _UNREADABLE_WORK * min(len(value), LARGEST_HEADER)
                counts.unreadable += 1
                known = incomplete = True
        if not known:
            origin = origin_in(headers)
            if origin is not None:
                source, parents = origin[0], (origin[1],)
            elif PARENTS_HEADER in last:
                incomplete = True  # a copied header: made from something, and nobody says from what
            else:
                return
        counts.edges += 1
        writer.add(*place, parents, source=source, incomplete=incomplete, run_id=ids[0], trace_id=ids[1])


def descendants_in(messages: Sequence[Message], headers: Sequence[Headers | None]) -> list[Descendant]:
    """Those of the messages that say where they come from."""
    return [
        Descendant(index, own, messages[index])
        for index, own in enumerate(headers)
        if own and not LINEAGE_HEADERS.isdisjoint([name for name, _ in own])
    ]
