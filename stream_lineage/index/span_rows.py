"""Spans as rows: disjoint, neighbours of one schema merged as they come."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from stream_lineage.index.names import Names
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import SchemaReference
from stream_lineage.model.span import OffsetSpan

_FARTHEST = 2**53
"""Offsets beyond this are nobody's: they come from damaged messages."""


@dataclass(slots=True)
class _Tail:
    """The last span of a partition: most new ones follow right after it."""

    first: int
    last: int
    value: int
    key: int
    dirty: bool = False


class SpanRows:
    """Writes spans inside a transaction that somebody else opens and commits, after ``flush``. ``edges_since``: of what
    was observed before this, in milliseconds, the edges may have been removed, which is noted."""

    def __init__(self, connection: sqlite3.Connection, names: Names) -> None:
        self._connection, self._names = connection, names
        self.edges_since = 0
        self.forget()

    def forget(self) -> None:
        """After a transaction that was rolled back."""
        self._tails: dict[int, _Tail | None] = {}
        self._unrecorded: dict[int, int] = {}
        self.overlaps = 0

    def add(self, observation: Observation) -> None:
        """Write the spans of an observation, and what it says of schemas.

        Raises:
            ValueError: it says what cannot be.
        """
        if any(not _sound(span) for span in observation.spans):
            raise ValueError("an offset is out of range")
        self._learn(observation)
        if observation.kind is ObservationKind.RESOLUTION:
            return
        seen = int(observation.observed_at.timestamp() * 1000)
        note_epoch(self._connection, observation.topic, observation.topic_id, seen)
        value = self._names.reference(observation.value_schema)
        key = self._names.reference(observation.key_schema)
        for span in observation.spans:
            log = self._names.log(observation.topic, observation.topic_id, span.partition)
            self._span(log, span, value, key)
            if seen < self.edges_since:
                self._unrecorded[log] = max(span.last_offset, self._unrecorded.get(log, 0))

    def flush(self) -> None:
        """Write what has only been noted."""
        for log, tail in self._tails.items():
            if tail is not None and tail.dirty:
                self._write_tail(log, tail)
        self._connection.executemany(
            "INSERT INTO unrecorded VALUES (?, ?) ON CONFLICT DO UPDATE SET"
            " last_offset = max(last_offset, excluded.last_offset)",
            list(self._unrecorded.items()),
        )
        self._unrecorded = {}

    def _write_tail(self, log: int, tail: _Tail) -> None:
        self._connection.execute(
            "UPDATE span SET last_offset = ? WHERE log = ? AND first_offset = ?", (tail.last, log, tail.first)
        )
        tail.dirty = False

    def _learn(self, observation: Observation) -> None:
        final = observation.kind is ObservationKind.RESOLUTION
        for role, reference in (("value", observation.value_schema), ("key", observation.key_schema)):
            if reference.unresolved or reference.wire_name is None:
                continue
            self._connection.execute(
                "INSERT INTO resolution VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET reference = excluded.reference, final = excluded.final WHERE excluded.final",
                (observation.topic, role, wire_text(reference), self._names.reference(reference), final),
            )

    def _span(self, log: int, span: OffsetSpan, value: int, key: int) -> None:
        tail = self._tail(log)
        if tail is None or span.first_offset > tail.last:
            if tail and span.first_offset == tail.last + 1 and (tail.value, tail.key) == (value, key):
                tail.last, tail.dirty = span.last_offset, True
            else:
                if tail and tail.dirty:
                    self._write_tail(log, tail)
                self._insert(log, span.first_offset, span.last_offset, value, key)
                self._tails[log] = _Tail(span.first_offset, span.last_offset, value, key)
        else:
            self._among(log, tail, span, value, key)
        self._connection.executemany(
            "INSERT OR REPLACE INTO hole VALUES (?, ?, ?, ?)",
            [(log, gap.first_offset, gap.last_offset, gap.reason.value) for gap in span.missing],
        )

    def _among(self, log: int, tail: _Tail, span: OffsetSpan, value: int, key: int) -> None:
        """A span before the last one, or over others: the newest word holds, and the others are cut."""
        if tail.dirty:
            self._write_tail(log, tail)
        first, last = span.first_offset, span.last_offset
        for row in self._meeting("span", log, first, last):
            self.overlaps += 1
            self._connection.execute("DELETE FROM span WHERE log = ? AND first_offset = ?", (log, row[0]))
            for piece in _left(row[0], row[1], first, last):
                self._insert(log, *piece, row[2], row[3])
        for row in self._meeting("hole", log, first, last):
            self._connection.execute("DELETE FROM hole WHERE log = ? AND first_offset = ?", (log, row[0]))
            for piece in _left(row[0], row[1], first, last):
                self._connection.execute("INSERT INTO hole VALUES (?, ?, ?, ?)", (log, *piece, row[2]))
        for row in (*self._meeting("span", log, first - 1, first - 1), *self._meeting("span", log, last + 1, last + 1)):
            if (row[2], row[3]) == (value, key):
                self._connection.execute("DELETE FROM span WHERE log = ? AND first_offset = ?", (log, row[0]))
                first, last = min(first, row[0]), max(last, row[1])
        self._insert(log, first, last, value, key)
        del self._tails[log]

    def _meeting(self, table: str, log: int, first: int, last: int) -> list[tuple[int, ...]]:
        """Rows that share an offset with a range: they are disjoint, so all but the first begin in it."""
        columns = "first_offset, last_offset, value_schema, key_schema" if table == "span" else "first_offset, last_offset, reason"  # noqa: E501 # fmt: skip
        before = self._connection.execute(
            f"SELECT {columns} FROM {table} WHERE log = ? AND first_offset < ? ORDER BY first_offset DESC LIMIT 1",  # noqa: S608
            (log, first),
        ).fetchall()
        inside = self._connection.execute(
            f"SELECT {columns} FROM {table} WHERE log = ? AND first_offset BETWEEN ? AND ?",  # noqa: S608
            (log, first, last),
        ).fetchall()
        return [row for row in before if row[1] >= first] + inside

    def _insert(self, log: int, first: int, last: int, value: int, key: int) -> None:
        self._connection.execute("INSERT INTO span VALUES (?, ?, ?, ?, ?)", (log, first, last, value, key))

    def _tail(self, log: int) -> _Tail | None:
        if log not in self._tails:
            row = self._connection.execute(
                "SELECT first_offset, last_offset, value_schema, key_schema FROM span WHERE log = ?"
                " ORDER BY first_offset DESC LIMIT 1",
                (log,),
            ).fetchone()
            self._tails[log] = None if row is None else _Tail(*row)
        return self._tails[log]


def note_epoch(connection: sqlite3.Connection, topic: str, topic_id: str | None, seen: int) -> None:
    """Remember when a life of a topic was observed, in milliseconds."""
    connection.execute(
        "INSERT INTO epoch VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)",
        (topic, topic_id or "", seen, seen),
    )


def wire_text(reference: SchemaReference) -> str:
    """What records call a schema, with its kind: an id is no GUID."""
    return f"{type(reference.wire_name).__name__}:{reference.wire_name}"


def _left(first: int, last: int, cut_first: int, cut_last: int) -> Iterable[tuple[int, int]]:
    if first < cut_first:
        yield first, cut_first - 1
    if last > cut_last:
        yield cut_last + 1, last


def _sound(span: OffsetSpan) -> bool:
    bounds = [span.first_offset, span.last_offset]
    gaps = [edge for gap in span.missing for edge in (gap.first_offset, gap.last_offset)]
    ordered = gaps == sorted(gaps) and all(bounds[0] <= edge <= bounds[1] for edge in gaps)
    return span.partition >= 0 and 0 <= bounds[0] <= bounds[1] < _FARTHEST and ordered
