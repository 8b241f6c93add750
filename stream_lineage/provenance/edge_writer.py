"""Batches of record edges, written one edge after the other, as bytes from the start.

What ``edge_codec`` writes of a whole batch this gathers in a tenth of the room: the collector holds the edges of half a
million records. It is Avro, ``schemas/edge.avsc``, written by hand; a test reads it with ``edge_codec``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from stream_lineage.errors import DecodeError
from stream_lineage.model.record_edge import EdgeSource, ParentRange
from stream_lineage.provenance.edge_codec import LAST_MILLISECOND, framing
from stream_lineage.wire.lineage_headers import decode_parents, varint

CHUNK_BYTES = 384 * 1024
"""A message begins anew after this. With the largest edge behind it, it stays below what brokers take (1 MB)."""
LARGEST_EDGE = 384 * 1024
"""Bytes, by an estimate from above."""
_SOURCE_BYTES = 10
"""Beside the names."""
_FIELD_BYTES = 5
"""On average: an offset and a length take ten at most, the others one each as a rule."""
_TRUE, _FALSE, _NULL, _SOME = b"\x01", b"\x00", b"\x00", b"\x02"
_MINUS_ONE = b"\x01"
_END = b"\x00"
_EXACT = b"\x00\x00"
_OFFSET_BYTES = 8
"""And one more: offsets have 63 bits."""
_MOST_SINGLES = 4096
_TOPICS_AT = 6
"""Where a ``lineage-parents`` header says how many topics it names."""
_LONGEST_SINGLE = 600
"""Bytes of a header with one parent: two names of 249 bytes, a few numbers."""
_SOURCES = {source: varint(place * 2) for place, source in enumerate(EdgeSource)}
_MILLISECONDS = 1000


@dataclass(slots=True)
class _Chunk:
    sources: dict[tuple[str | None, str, int], bytes] = field(default_factory=dict)
    runs: dict[str, bytes] = field(default_factory=dict)
    edges: list[bytes] = field(default_factory=list)
    singles: dict[bytes, bytes] = field(default_factory=dict)
    """Places of sources, by what a header with a single parent of theirs starts with."""
    bytes: int = 0
    """Of edges, sources and runs as they are written, or some more: also what the keys of ``singles`` hold."""


@dataclass(frozen=True, slots=True)
class BatchHead:
    """What is the same for all edges of a batch, but for the batch's id."""

    cluster: str
    topic: str
    topic_id: str | None
    collector: str
    observed_at: datetime


class EdgeWriter:
    """The edges that lead to records of one topic.

    Args:
        copied_from: name of the cluster that the records were copied from with their headers, empty if nobody knows it:
            a parent without a cluster is of that one. Null: the records were written where they are.
    """

    def __init__(self, copied_from: str | None = None) -> None:
        self._copied_from = copied_from
        self._chunks: list[_Chunk] = []
        self._before = 0
        self._chunk = self._begin()
        self.edges = 0
        self.left_out = 0
        self._timestamp = (-1, _MINUS_ONE)

    @property
    def size(self) -> int:
        """Bytes that the messages take at most, but for what each starts with."""
        return self._before + self._chunk.bytes

    def _begin(self) -> _Chunk:
        if self._chunks:
            self._before += self._chunks[-1].bytes
        self._chunk = _Chunk()
        self._chunks.append(self._chunk)
        return self._chunk

    def add(
        self,
        partition: int,
        offset: int,
        timestamp: int,
        parents: Iterable[ParentRange],
        *,
        source: EdgeSource = EdgeSource.LINEAGE,
        incomplete: bool = False,
        run_id: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        """Add an edge. ``timestamp`` in milliseconds since the epoch, negative for none. Parents that take more than
        ``LARGEST_EDGE`` are not listed: the edge is incomplete then."""
        chunk = self._room()
        ranges = _ranges(chunk, parents, self._copied_from)
        if ranges is None:
            ranges, incomplete = [], True
        tail = b"".join((varint(len(ranges) // 2), *ranges, _END)) if ranges else _END
        kind = _SOURCES[source] + (_TRUE if incomplete else _FALSE)
        self._put(chunk, partition, offset, timestamp, kind, run_id, trace_id, tail)

    def add_single(
        self,
        partition: int,
        offset: int,
        timestamp: int,
        header: bytes,
        check: int,
        run_id: str | None,
        trace_id: str | None,
    ) -> bool:
        """Add the edge that a ``lineage-parents`` header of the usual kind stands for: one parent, exact, written for
        the topic of this ``check``. Whether it is one: nothing is added otherwise.

        Such headers are the same up to the parent's offset, and that is all that is read of them.
        """
        at = len(header) - 2
        if not _TOPICS_AT < at < _LONGEST_SINGLE or header[_TOPICS_AT] != 1 or header[-1] or header[at] > 127:
            return False
        number, end = 0, at
        while header[at - 1] > 127 and end - at < _OFFSET_BYTES:
            at -= 1
        if header[at - 1] != 1:  # one range
            return False
        for byte in header[end : at - 1 : -1]:
            number = number << 7 | byte & 127
        chunk = self._room()
        start = header[:at]
        place = chunk.singles.get(start)
        if place is None:
            place = _learned(chunk, start, check, self._copied_from)
            if place is None:
                return False
        tail = b"".join((b"\x02", place, varint(number * 2), b"\x00\x00\x00"))
        self._put(chunk, partition, offset, timestamp, _EXACT, run_id, trace_id, tail)
        return True

    def _room(self) -> _Chunk:
        return self._chunk if self._chunk.bytes <= CHUNK_BYTES else self._begin()

    def _put(
        self,
        chunk: _Chunk,
        partition: int,
        offset: int,
        timestamp: int,
        kind: bytes,
        run_id: str | None,
        trace_id: str | None,
        tail: bytes,
    ) -> None:
        run = _MINUS_ONE
        if run_id is not None:
            known = chunk.runs.get(run_id)
            if known is None:
                known = chunk.runs[run_id] = varint(len(chunk.runs) * 2)
                chunk.bytes += len(run_id.encode()) + 2
            run = known
        if timestamp != self._timestamp[0]:
            encoded = varint(timestamp * 2) if 0 <= timestamp <= LAST_MILLISECOND else _MINUS_ONE
            self._timestamp = (timestamp, encoded)
        trace = _NULL if trace_id is None else b"\x20" + bytes.fromhex(trace_id)
        edge = b"".join((varint(partition * 2), varint(offset * 2), self._timestamp[1], kind, run, trace, tail))
        chunk.edges.append(edge)
        chunk.bytes += len(edge)
        self.edges += 1

    def messages(self, head: BatchHead, batch_ids: Iterator[str], *, schema_id: int | None = None) -> Iterator[bytes]:
        """The values of the messages that hold all of it, each under an id of its own."""
        for number, chunk in enumerate(self._chunks):
            left_out = self.left_out if number == len(self._chunks) - 1 else 0
            if chunk.edges or left_out:
                yield b"".join(self._parts(chunk, head, next(batch_ids), schema_id, left_out))

    def _parts(
        self, chunk: _Chunk, head: BatchHead, batch_id: str, schema_id: int | None, left_out: int
    ) -> Iterator[bytes]:
        yield framing(schema_id)
        yield _text(batch_id)
        yield _text(head.cluster)
        yield _text(head.topic)
        yield _NULL if head.topic_id is None else _SOME + _text(head.topic_id)
        yield _text(head.collector)
        yield varint(round(head.observed_at.timestamp() * _MILLISECONDS) * 2)
        yield from _array(
            (_NULL if cluster in (None, head.cluster) else _SOME + _text(cluster or ""))
            + _text(topic)
            + varint(partition * 2)
            for cluster, topic, partition in chunk.sources
        )
        yield from _array(map(_text, chunk.runs))
        yield from _array(chunk.edges)
        yield varint(left_out * 2)


def _learned(chunk: _Chunk, start: bytes, check: int, copied_from: str | None) -> bytes | None:
    """The place of the source that headers which start so name a single parent in; null: they do not."""
    try:
        read = decode_parents(start + b"\x00\x00")
    except DecodeError:
        return None
    if len(read.parents) != 1 or read.incomplete or read.check != check:
        return None
    written = _ranges(chunk, read.parents, copied_from)
    if written is None:
        return None
    if len(chunk.singles) >= _MOST_SINGLES:
        chunk.singles.clear()
    chunk.singles[start] = written[0]
    chunk.bytes += len(start)
    return written[0]


def _ranges(chunk: _Chunk, parents: Iterable[ParentRange], copied_from: str | None) -> list[bytes] | None:
    """Ranges as they are written, their partitions in the chunk's table; null, and no change, where they are too much.

    A header names a topic once, the table once for each partition: a small header may take a large table.
    """
    known, before, size = chunk.sources, len(chunk.sources), 0
    out: list[bytes] = []
    for parent in parents:
        cluster = copied_from if parent.cluster is None else parent.cluster
        key = (cluster, parent.topic, parent.partition)
        place = known.get(key)
        if place is None:
            place = known[key] = varint(len(known) * 2)
            size += len(parent.topic.encode()) + len((cluster or "").encode()) + _SOURCE_BYTES
        out += (
            place,
            varint(parent.first_offset * 2),
            varint((parent.last_offset - parent.first_offset) * 2),
            _TRUE if parent.widened else _FALSE,
        )
        if size + len(out) * _FIELD_BYTES > LARGEST_EDGE:
            for key in list(known)[before:]:
                del known[key]
            return None
    chunk.bytes += size
    return out


def _array(items: Iterable[bytes]) -> Iterator[bytes]:
    found = list(items)
    if found:
        yield varint(len(found) * 2)
        yield from found
    yield _END


def _text(text: str) -> bytes:
    encoded = text.encode()
    return varint(len(encoded) * 2) + encoded
