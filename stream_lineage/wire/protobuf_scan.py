"""The scan: finds the values in many Protobuf messages of one type, without a Python statement for each.

Writers nearly always write fields in one order and leave some out. So all messages are read together, always going on
with the lowest tag that any of them has next: where all follow one order, each field is read once, in all messages that
have it. Where this makes too little progress, as with fields in any order, all messages go on by one field at a time,
whatever it is; and the last few are walked one by one. Which way is taken is a matter of speed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.avro_varint import read_unsigned
from stream_lineage.wire.protobuf_run import BAD_GROUP, BAD_LENGTH, BAD_TAG, BAD_VARINT, TRUNCATED, Indexes, Run
from stream_lineage.wire.protobuf_schema import END_GROUP, FIXED32, FIXED64, LENGTH, START_GROUP, VARINT
from stream_lineage.wire.protobuf_slots import UNKNOWN, Slots
from stream_lineage.wire.protobuf_walk import Malformed, Walked, Walker

FEW = 24
"""So few messages are walked one by one, which is then quicker than array arithmetic."""
GRACE = 3_000_000
"""Nanoseconds that may be spent before it matters how much has been read for them."""

_DONE = 1 << 40  # higher than any tag
_STEP_COST, _ROW_COST, _FIELD_COST = 40_000, 2, 300
"""About what it costs, in nanoseconds, to look for a tag, for each message that is looked at, and what a field may."""
_ANY_TENTH_BYTE = 0x7F


@dataclass(frozen=True, slots=True)
class Segments:
    """Messages of one type: ``data[starts[i] : ends[i]]``, each in the record ``owners[i]``.

    A message may come in several segments, which are merged then: ``instances`` has the number of each one's message,
    below ``count``, and -1 where a segment is checked only. Null stands for one segment each, in order.
    """

    starts: Indexes
    ends: Indexes
    owners: Indexes
    count: int
    instances: Indexes | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Values of one slot: the segments that they are in, where they are, and ``extra``: the number itself for a varint,
    else the length. ``once``: no segment comes twice."""

    rows: Indexes
    at: Indexes
    extra: NDArray[np.uint64] | NDArray[np.uint8] | Indexes
    once: bool = True


@dataclass(slots=True)
class Found:
    """What a scan has found: chunks by slot, and of the fields that have none the segments that they are in and their
    tags."""

    chunks: dict[int, list[Chunk]] = field(default_factory=dict)
    unknown: tuple[Indexes, Indexes] | None = None

    def add(self, slot: int, chunk: Chunk) -> None:
        self.chunks.setdefault(slot, []).append(chunk)


def scan(run: Run, walker: Walker, slots: Slots, segments: Segments, depth: int, path: str) -> Found:
    """The values in all segments. Records with a malformed one are marked as bad; what is found there is no use."""
    scanner = _Scanner(run, walker, slots, segments, depth, path)
    scanner.scan()
    return scanner.found


class _Scanner:
    """``_at`` holds the position after the next tag of each message that is not read to its end, ``_tags`` that tag."""

    def __init__(self, run: Run, walker: Walker, slots: Slots, segments: Segments, depth: int, path: str) -> None:
        self.found = Found()
        self._run = run
        self._walker = walker
        self._slots = slots
        self._segments = segments
        self._depth = depth
        self._path = path
        self._mixed: list[tuple[Indexes, Indexes, Indexes, NDArray[np.uint64]]] = []
        self._rows = np.flatnonzero(segments.starts < segments.ends)
        self._ends = segments.ends[self._rows]
        self._from = segments.starts[self._rows]  # where the next tag is
        self._at = self._from
        self._tags = self._from
        self._done = 0

    def scan(self) -> None:
        spent, read = -GRACE, 0
        if len(self._rows) > FEW:
            self._at, self._tags = self._next(self._from, self._ends, self._rows)
        while len(self._rows) > FEW:
            tag = int(self._tags.min())
            if tag == _DONE:
                return self._finish()
            picked = None if tag == int(self._tags.max()) else np.flatnonzero(self._tags == tag)
            slot = self._slots.by_tag.get(tag)
            if slot is None:
                picked = np.flatnonzero((self._slots.of(self._tags) == UNKNOWN) & (self._tags != _DONE))
                self._step(picked)
            else:
                self._read(slot, tag & 7, picked)
            spent += _STEP_COST + _ROW_COST * len(self._rows)
            read += len(self._rows) if picked is None else len(picked)
            self._forget_done()
            if spent > _FIELD_COST * read:
                while len(self._rows) > FEW and not (self._tags == _DONE).all():
                    self._step(np.flatnonzero(self._tags != _DONE))
                    self._forget_done()
                break
        self._walk()
        return self._finish()

    def _next(self, at: Indexes, ends: Indexes, rows: Indexes) -> tuple[Indexes, Indexes]:
        """The positions after the tags at some positions, and the tags; those of messages that are at their end, or
        beyond it, are done."""
        run = self._run
        left = at >= ends
        some_left = bool(left.any())
        if some_left:
            beyond = at > ends
            if beyond.any():
                self._fail(rows[beyond], TRUNCATED)
                at = np.minimum(at, ends)
        first = run.data[at]
        if first.max() < 0x80:
            tags = first.astype(np.int64)
            after = at + 1
        else:
            raw, sizes, _ = read_unsigned(run.data, run.words, at, highest=_ANY_TENTH_BYTE)
            wrong = (sizes > 5) | (raw >> np.uint64(32) != 0)
            tags = raw.view(np.int64)
            after = at + sizes
            if wrong.any():
                self._fail(rows[wrong & ~left], BAD_TAG)
                tags[wrong] = _DONE
            np.minimum(after, ends, out=after)  # a tag that goes beyond the end is followed by a value that does so too
        if some_left:
            tags[left] = _DONE
        if not some_left and first.max() < 0x80:
            return after, tags
        self._done += int(np.count_nonzero(tags == _DONE))
        return after, tags

    def _go(self, picked: Indexes | None, at: Indexes) -> None:
        """Goes on behind the values of some messages."""
        if picked is None:
            self._done = 0
            self._from = at
            self._at, self._tags = self._next(at, self._ends, self._rows)
            return
        rows = self._rows[picked]
        self._from[picked] = at
        self._at[picked], self._tags[picked] = self._next(at, self._ends[picked], rows)

    def _read(self, slot: int, wire_type: int, picked: Indexes | None) -> None:
        """Reads the values of one slot."""
        run = self._run
        if picked is None:
            rows, at, ends = self._rows, self._at, self._ends
        else:
            rows, at, ends = self._rows[picked], self._at[picked], self._ends[picked]
        if wire_type == VARINT:
            first = run.data[at]
            if first.max() < 0x80:
                self.found.add(slot, Chunk(rows, at, first))
                self._go(picked, at + 1)
                return
            raw, sizes, invalid = read_unsigned(run.data, run.words, at, highest=_ANY_TENTH_BYTE)
            if invalid is not None:
                self._fail(rows[invalid], BAD_VARINT)
            self.found.add(slot, Chunk(rows, at, raw))
            self._go(picked, at + sizes)
        elif wire_type == LENGTH:
            start, lengths = self._lengths(rows, at, ends)
            self.found.add(slot, Chunk(rows, start, lengths))
            self._go(picked, start + lengths)
        elif wire_type == START_GROUP:
            number = self._slots.fields[slot].number
            lengths, after = self._groups(rows, at, ends, np.full(len(rows), number))
            self.found.add(slot, Chunk(rows, at, lengths))
            self._go(picked, after)
        else:
            self.found.add(slot, Chunk(rows, at, at))
            self._go(picked, at + (8 if wire_type == FIXED64 else 4))

    def _lengths(self, rows: Indexes, at: Indexes, ends: Indexes) -> tuple[Indexes, Indexes]:
        """Where values begin that have their length before them, and those lengths."""
        run = self._run
        first = run.data[at]
        if first.max() < 0x80:
            lengths = first.astype(np.int64)
            start = at + 1
        else:
            raw, sizes, _ = read_unsigned(run.data, run.words, at, highest=_ANY_TENTH_BYTE)
            wrong = (sizes > 5) | (raw >> np.uint64(31) != 0)
            lengths = raw.view(np.int64)
            if wrong.any():
                self._fail(rows[wrong], BAD_LENGTH)
                lengths[wrong] = 0
            start = at + sizes
        beyond = start + lengths > ends
        if beyond.any():
            self._fail(rows[beyond], TRUNCATED)
            lengths[beyond] = 0
            start = np.minimum(start, ends)
        return start, lengths

    def _groups(self, rows: Indexes, at: Indexes, ends: Indexes, numbers: Indexes) -> tuple[Indexes, Indexes]:
        """The lengths of groups, and where they are over."""
        lengths, after = np.zeros(len(rows), np.int64), ends.copy()
        places = zip(at.tolist(), ends.tolist(), numbers.tolist(), strict=True)
        for index, (start, end, number) in enumerate(places):
            try:
                content, after[index] = self._walker.group(start, end, number, self._depth + 1)
                lengths[index] = content - start
            except Malformed as error:
                self._fail(rows[index : index + 1], error.kind)
        return lengths, after

    def _step(self, picked: Indexes) -> None:
        """Reads one field each of some messages, whichever it is."""
        run = self._run
        rows, at, ends, tags = self._rows[picked], self._at[picked], self._ends[picked], self._tags[picked]
        wire_types = tags & 7
        raw, sizes, invalid = read_unsigned(run.data, run.words, at, highest=_ANY_TENTH_BYTE)
        start, after = at.copy(), at + sizes
        if invalid is not None:
            invalid &= wire_types == VARINT
            self._fail(rows[invalid], BAD_VARINT)
        sized = np.flatnonzero(wire_types == LENGTH)
        if len(sized):
            start[sized], lengths = self._lengths(rows[sized], at[sized], ends[sized])
            raw[sized] = lengths.view(np.uint64)
            after[sized] = start[sized] + lengths
        for wire_type, width in ((FIXED64, 8), (FIXED32, 4)):
            fixed = wire_types == wire_type
            after[fixed] = at[fixed] + width
        groups = np.flatnonzero(wire_types == START_GROUP)
        if len(groups):
            lengths, after[groups] = self._groups(rows[groups], at[groups], ends[groups], tags[groups] >> 3)
            raw[groups] = lengths.view(np.uint64)
        wrong = (wire_types == END_GROUP) | (wire_types > FIXED32) | (tags < 8)
        if wrong.any():
            self._fail(rows[wrong & (wire_types == END_GROUP)], BAD_GROUP)
            self._fail(rows[wrong & (wire_types != END_GROUP)], BAD_TAG)
            after[wrong] = ends[wrong]
            fine = ~wrong
            self._mixed.append((rows[fine], tags[fine], start[fine], raw[fine]))
        else:
            self._mixed.append((rows, tags, start, raw))
        self._go(picked, after)

    def _forget_done(self) -> None:
        """Leaves out the messages that are read to their end, once they are many."""
        if self._done * 2 > len(self._rows):
            kept = np.flatnonzero(self._tags != _DONE)
            self._rows, self._ends, self._from = self._rows[kept], self._ends[kept], self._from[kept]
            self._at, self._tags = self._at[kept], self._tags[kept]
            self._done = 0

    def _walk(self) -> None:
        """Walks through what is left of the messages that are left."""
        walked = Walked()
        places = zip(self._rows.tolist(), self._from.tolist(), self._ends.tolist(), strict=True)
        for row, at, end in places:
            try:
                self._walker.walk(row, at, end, self._depth, walked)
            except Malformed as error:
                self._fail(np.array([row]), error.kind)
        if walked.rows:
            self._mixed.append(
                (
                    np.frombuffer(walked.rows, np.int64),
                    np.frombuffer(walked.tags, np.int64),
                    np.frombuffer(walked.at, np.int64),
                    np.frombuffer(walked.extra, np.uint64),
                )
            )

    def _finish(self) -> None:
        """Sorts what was read in no order by slots."""
        if not self._mixed:
            return
        rows, tags, at, extra = self._mixed[0]
        if len(self._mixed) > 1:
            rows, tags, at, extra = (np.concatenate(parts) for parts in zip(*self._mixed, strict=True))
        self._mixed.clear()
        if not len(tags):
            return
        slots = self._slots.of(tags)
        order = np.argsort(slots, kind="stable")
        present, first = np.unique(slots[order], return_index=True)
        for slot, some in zip(present.tolist(), np.split(order, first[1:]), strict=True):
            if slot == UNKNOWN:
                self.found.unknown = (rows[some], tags[some])
            else:
                self.found.add(slot, Chunk(rows[some], at[some], extra[some], once=False))

    def _fail(self, rows: Indexes, kind: str) -> None:
        if len(rows):
            self._run.fail(self._segments.owners[rows], kind, self._path)
