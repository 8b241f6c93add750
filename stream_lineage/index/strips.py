"""Record edges as strips: what many records in a row have in common, as one row.

A strip leads from outputs ``[out_first, out_last]`` of one partition to parents ``[parent_first, parent_last]`` of
another. With ``width`` 0 every output has all these parents; else each has ``width`` of them for itself, one after the
other: output ``out_first + i`` has ``parent_first + i * width`` and the ``width - 1`` that follow. So a job that turns
each record into one is a row per partition, tumbling windows over one partition are, and what has no such order is a
row for each record and range.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from stream_lineage.index.gap_rows import GapRows
from stream_lineage.index.names import NONE, Names
from stream_lineage.index.span_rows import note_epoch
from stream_lineage.model.record_edge import EdgeBatch, EdgeSource, RecordEdge

WIDENED = 1
INCOMPLETE = 2
ANOTHER_CLUSTER = "?"
"""Stands for a cluster that is another one than ours, and that nobody names."""
SOURCES: tuple[EdgeSource | None, ...] = (
    None,
    EdgeSource.LINEAGE,
    EdgeSource.STREAMS_BOOTSTRAP,
    EdgeSource.LENSES_K2K,
    EdgeSource.CONNECT_DEAD_LETTER,
    EdgeSource.SPRING_DEAD_LETTER,
)
"""By the number that stands for each in the index."""
_FARTHEST = 2**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = (
    "out_log, out_level, out_first, out_last, parent_log, parent_level, parent_first, parent_last, width, flags,"
    " source, run, seen, first_time, last_time"
)
_Key = tuple[int, int, int, int, int]
_End = tuple[_Key, int, int]


def level(first: int, last: int) -> int:
    """The least number to whose power of two the range is no longer than."""
    return (last - first).bit_length()


@dataclass(slots=True)
class Strip:
    """One row. ``id`` null: it is not in the file yet; ``stored_level`` is where it stands there."""

    out_log: int
    out_first: int
    out_last: int
    parent_log: int
    parent_first: int
    parent_last: int
    width: int
    flags: int
    source: int
    run: int
    seen: int
    first_time: int
    last_time: int
    id: int | None = None
    stored_level: int = 0

    @property
    def key(self) -> _Key:
        return (self.out_log, self.parent_log, self.flags, self.source, self.run)

    @property
    def end(self) -> _End:
        return (self.key, self.out_last, self.parent_last)

    def follow(self, other: Strip) -> bool:
        """Take in the strip of the next output, if one says both."""
        if other.out_first != self.out_last + 1 or other.flags & WIDENED:
            return False
        single = self.out_first == self.out_last
        if self.parent_first == other.parent_first and self.parent_last == other.parent_last:
            # The same offsets at another time may be those of another life of the topic.
            if (not single and self.width) or self.seen != other.seen:
                return False
            self.width = 0
        elif self.width == other.width and self.parent_last + 1 == other.parent_first:
            self.parent_last = other.parent_last
        else:
            return False
        self.out_last = other.out_last
        if other.first_time >= 0:
            self.first_time = other.first_time if self.first_time < 0 else min(self.first_time, other.first_time)
            self.last_time = max(self.last_time, other.last_time)
        return True

    def row(self) -> tuple[int, ...]:
        outputs, parents = level(self.out_first, self.out_last), level(self.parent_first, self.parent_last)
        return (
            *(self.out_log, outputs, self.out_first, self.out_last),
            *(self.parent_log, parents, self.parent_first, self.parent_last),
            *(self.width, self.flags, self.source, self.run, self.seen, self.first_time, self.last_time),
        )


class EdgeRows:
    """Writes edges inside a transaction that somebody else opens and commits, after ``flush``."""

    def __init__(self, connection: sqlite3.Connection, names: Names, gaps: GapRows) -> None:
        self._connection, self._names, self._gaps = connection, names, gaps
        self.forget()

    def forget(self) -> None:
        """After a transaction that was rolled back."""
        self._fresh: list[Strip] = []
        self._grown: dict[int, Strip] = {}
        self._ends: dict[_End, Strip] = {}
        self._latest: dict[int, int] = {}
        self._levels: set[tuple[int, int, int]] = set()

    def add(self, batch: EdgeBatch) -> None:
        """Write the edges of a batch.

        Raises:
            ValueError: it says what cannot be.
        """
        if any(not _sound(edge) for edge in batch.edges):
            raise ValueError("an offset is out of range")
        seen = int(batch.observed_at.timestamp() * 1000)
        note_epoch(self._connection, batch.topic, batch.topic_id, seen)
        if batch.left_out > 0:
            self._gaps.add(batch.topic, batch.topic_id, "no-room", batch.left_out, seen)
        for edge in batch.edges:
            out_log = self._names.log(batch.topic, batch.topic_id, edge.partition)
            if out_log not in self._latest:
                self._remember(out_log, edge.offset - 1)
            self._latest[out_log] = edge.offset
            for strip in self._strips(batch, edge, out_log, seen):
                self._put(strip)

    def flush(self) -> None:
        """Write what has only been noted."""
        self._note_levels([*self._fresh, *self._grown.values()])
        self._connection.executemany(
            "DELETE FROM edge WHERE out_log = ? AND out_level = ? AND out_first = ? AND id = ?",
            [(strip.out_log, strip.stored_level, strip.out_first, strip.id) for strip in self._grown.values()],
        )
        highest = self._highest()
        for number, strip in enumerate(self._fresh, highest + 1):
            strip.id = number
        changed = [*self._fresh, *self._grown.values()]
        self._connection.executemany(
            f"INSERT INTO edge ({_COLUMNS}, id) VALUES ({', '.join('?' * 16)})",  # noqa: S608 - names of ours
            [(*strip.row(), strip.id) for strip in changed],
        )
        for strip in changed:
            strip.stored_level = level(strip.out_first, strip.out_last)
        self._connection.execute(
            "INSERT INTO counter VALUES ('edge.ids', ?1) ON CONFLICT DO UPDATE SET value = ?1",
            (highest + len(self._fresh),),
        )
        self._fresh, self._grown = [], {}
        # Only what ends at the last output of its partition can still grow.
        latest = self._latest
        self._ends = {end: strip for end, strip in self._ends.items() if end[1] == latest[strip.out_log]}

    def _highest(self) -> int:
        row = self._connection.execute("SELECT value FROM counter WHERE name = 'edge.ids'").fetchone()
        return 0 if row is None else int(row[0])

    def _strips(self, batch: EdgeBatch, edge: RecordEdge, out_log: int, seen: int) -> Iterator[Strip]:
        source = SOURCES.index(edge.source) if edge.source in SOURCES else 0
        run = self._names.run(edge.run_id)
        time = -1 if edge.timestamp is None else (edge.timestamp - _EPOCH) // timedelta(milliseconds=1)
        # Headers of other systems do not say of which record they were written, and are copied on: what they name is an
        # ancestor, not all there is.
        incomplete = INCOMPLETE if edge.incomplete or edge.source is not EdgeSource.LINEAGE else 0
        if not edge.parents:
            yield Strip(
                out_log, edge.offset, edge.offset, NONE, 0, 0, 0, incomplete, source, run, seen, time, time
            )  # fmt: skip
        for parent in edge.parents:
            cluster = "" if parent.cluster in (None, batch.cluster) else parent.cluster or ANOTHER_CLUSTER
            log = self._names.log(parent.topic, None, parent.partition, cluster)
            flags = incomplete | (WIDENED if parent.widened else 0)
            yield Strip(
                out_log, edge.offset, edge.offset, log, parent.first_offset, parent.last_offset, parent.length, flags,
                source, run, seen, time, time,
            )  # fmt: skip

    def _put(self, strip: Strip) -> None:
        before = (strip.key, strip.out_first - 1)
        for parent_last in (strip.parent_first - 1, strip.parent_last):
            known = self._ends.get((*before, parent_last))
            if known is None:
                continue
            end = known.end
            if known.follow(strip):
                del self._ends[end]
                self._ends[known.end] = known
                if known.id is not None:
                    self._grown[known.id] = known
                return
        self._fresh.append(strip)
        self._ends[strip.end] = strip

    def _remember(self, out_log: int, offset: int) -> None:
        """Strips in the file that the next output may continue."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS}, e.id FROM edge_level l CROSS JOIN edge e"  # noqa: S608 - names of ours
            " ON e.out_log = l.log AND e.out_level = l.level AND e.out_first BETWEEN ? - (1 << l.level) + 1 AND ?"
            " WHERE l.side = 0 AND l.log = ? AND e.out_last = ?",
            (offset, offset, out_log, offset),
        ).fetchall()
        for row in rows:
            strip = Strip(row[0], *row[2:5], *row[6:])
            strip.stored_level = row[1]
            self._ends[strip.end] = strip

    def _note_levels(self, strips: list[Strip]) -> None:
        wanted = {(0, strip.out_log, level(strip.out_first, strip.out_last)) for strip in strips}
        wanted |= {(1, strip.parent_log, level(strip.parent_first, strip.parent_last)) for strip in strips}
        new = wanted - self._levels
        self._connection.executemany("INSERT OR IGNORE INTO edge_level VALUES (?, ?, ?)", list(new))
        self._levels |= new


def _sound(edge: RecordEdge) -> bool:
    if edge.partition < 0 or not 0 <= edge.offset < _FARTHEST:
        return False
    return all(
        parent.partition >= 0 and 0 <= parent.first_offset <= parent.last_offset < _FARTHEST for parent in edge.parents
    )
