"""Asking the provenance index: spans, schema references, alerts, how it stands."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from stream_lineage.errors import IndexUnusable
from stream_lineage.index.file import explained, open_reader
from stream_lineage.index.layout import MIGRATIONS, WHOLE_AT
from stream_lineage.index.names import reference_of
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.span_rows import wire_text
from stream_lineage.model.schema import SchemaReference
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan, joined_ranges
from stream_lineage.provenance.spans import IndexedSpan, TopicEpoch

SpanRow = tuple[int, int, SchemaReference, SchemaReference]
"""First and last offset, value and key schema."""
_HOLES_EACH = 8
_CLEARLY_MS = 60_000
"""What is so long after another thing is after it whatever clocks and flushes do."""


@dataclass(frozen=True, slots=True)
class Log:
    """A partition of one life of a topic. ``cluster`` null is the one that the index is of; ``topic_id`` null is not
    known."""

    topic: str
    topic_id: str | None
    partition: int
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How an index stands. ``positions`` are the next offsets by topic and partition."""

    path: Path
    bytes: int
    schema_version: int
    rows: dict[str, int]
    positions: dict[tuple[str, int], int]
    facts: dict[str, str]
    counts: dict[str, int]


class ProvenanceIndex:
    """An index that is only read, by one thread at a time; open one for each thread. Close it after use.

    Raises:
        NotFound: there is none.
        IndexUnusable: it is damaged, or of another version. Every method may say so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_reader(path)
        self._version = -1
        self._depth = 0

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything that is asked within it is answered by one state of the index, whatever is written meanwhile. Who
        keeps an index open for long asks in a snapshot each time: names are looked up anew where there are new ones."""
        return _Snapshot(self)

    def _begin(self) -> None:
        if self._depth == 0:
            with self.explained():
                self.connection.execute("BEGIN")
                self.connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # fixed from here
                [version] = self.connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                self._version = version
                for name in ("logs", "_references", "_resolved", "_of_state"):
                    self.__dict__.pop(name, None)
        self._depth += 1

    def _end(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            with suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")

    def close(self) -> None:
        self.connection.close()

    def __enter__(self) -> ProvenanceIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a query gives."""
        with self.explained():
            return self.connection.execute(query, values).fetchall()

    def explained(self) -> AbstractContextManager[None]:
        """Tells SQLite's errors as ours."""
        return explained(self.path)

    # Names

    @cached_property
    def logs(self) -> Logs:
        """Every partition that is named anywhere, as of now."""
        return Logs(
            self.rows("SELECT id, cluster, topic, topic_id, number FROM log"),
            self.rows("SELECT topic, topic_id, first_seen, last_seen FROM epoch ORDER BY first_seen, topic_id"),
        )

    def reference(self, number: int) -> SchemaReference:
        """A schema reference by its number in the index, as it was written."""
        known = self._references.get(number)
        if known is None:
            rows = self.rows("SELECT document FROM reference WHERE id = ?", (number,))
            if not rows:
                raise IndexUnusable(f"the provenance index {self.path} is damaged: no schema reference {number}")
            known = self._references[number] = reference_of(rows[0][0])
        return known

    def completed(self, topic: str, role: str, reference: SchemaReference) -> SchemaReference:
        """The reference itself, or the answer that came later for an unresolved one."""
        if not reference.unresolved:
            return reference
        key = (topic, role, wire_text(reference))
        if key not in self._resolved:
            rows = self.rows("SELECT reference FROM resolution WHERE topic = ? AND role = ? AND wire_name = ?", key)
            self._resolved[key] = self.reference(rows[0][0]) if rows else reference
        return self._resolved[key]

    def run(self, number: int) -> str | None:
        """A run id by its number in the index."""
        rows = self.rows("SELECT name FROM run WHERE id = ?", (number,)) if number else []
        return str(rows[0][0]) if rows else None

    @cached_property
    def _references(self) -> dict[int, SchemaReference]:
        return {}

    @cached_property
    def _resolved(self) -> dict[tuple[str, str, str], SchemaReference]:
        return {}

    # Spans

    def epochs(self, topic: str | None = None) -> list[TopicEpoch]:
        """The lives of a topic, or of all topics, in the order in which they were first observed."""
        rows = self.rows(
            "SELECT topic, topic_id FROM epoch WHERE ?1 IS NULL OR topic = ?1 ORDER BY first_seen, topic, topic_id",
            (topic,),
        )
        return [TopicEpoch(name, topic_id or None) for name, topic_id in rows]

    def spans(self, epoch: TopicEpoch) -> Iterator[IndexedSpan]:
        """The merged spans of a topic epoch by partition and offset, unresolved references completed."""
        for log, number in self.rows(
            "SELECT id, number FROM log WHERE cluster = '' AND topic = ? AND topic_id = ? ORDER BY number",
            (epoch.topic, epoch.topic_id or ""),
        ):
            rows = self.rows(
                "SELECT first_offset, last_offset, value_schema, key_schema FROM span WHERE log = ?"
                " ORDER BY first_offset",
                (log,),
            )
            holes = self.rows(
                "SELECT first_offset, last_offset, reason FROM hole WHERE log = ? ORDER BY first_offset", (log,)
            )
            yield from merged([self._schemas(epoch.topic, row) for row in rows], holes, number)

    def span_at(self, log: int, topic: str, offset: int) -> tuple[SchemaReference, SchemaReference] | None:
        """Value and key schema of the record at an offset; null where the index has no span."""
        row = self.rows(
            "SELECT first_offset, last_offset, value_schema, key_schema FROM span WHERE log = ? AND first_offset <= ?"
            " ORDER BY first_offset DESC LIMIT 1",
            (log, offset),
        )
        if not row or row[0][1] < offset:
            return None
        _, _, value, key = self._schemas(topic, row[0])
        return value, key

    def hole_at(self, log: int, offset: int) -> MissingRange | None:
        """The missing range that an offset lies in, if it holds no record."""
        row = self.rows(
            "SELECT first_offset, last_offset, reason FROM hole WHERE log = ? AND first_offset <= ?"
            " ORDER BY first_offset DESC LIMIT 1",
            (log, offset),
        )
        return None if not row or row[0][1] < offset else _missing(row[0])

    def holes_in(self, log: int, wanted: Ranges) -> Ranges:
        """Those of the offsets that hold no record."""
        first, last = int(wanted.firsts[0]), int(wanted.lasts[-1])
        most = _HOLES_EACH * len(wanted)
        rows = self.rows(
            "SELECT first_offset, last_offset FROM hole WHERE log = ?1 AND first_offset <= ?3 AND first_offset >="
            " coalesce((SELECT max(first_offset) FROM hole WHERE log = ?1 AND first_offset <= ?2), ?2) LIMIT ?4",
            (log, first, last, most),
        )
        if len(rows) == most:
            # Far more holes than ranges, which is what transactions make: looked up for each range.
            rows = [
                row
                for low, high in wanted
                for row in self.rows(
                    "SELECT first_offset, last_offset FROM hole WHERE log = ?1 AND first_offset <= ?3 AND first_offset"
                    " >= coalesce((SELECT max(first_offset) FROM hole WHERE log = ?1 AND first_offset <= ?2), ?2)",
                    (log, low, high),
                )
            ]
        return wanted & Ranges.of([row[0] for row in rows], [row[1] for row in rows]) if rows else Ranges.empty()

    def schemas_of(self, log: int, topic: str, wanted: Ranges) -> list[tuple[Ranges, SchemaReference, SchemaReference]]:
        """Offsets by the schemas that they were written with, in the order of their first. What lies in no span is left
        out."""
        first, last = int(wanted.firsts[0]), int(wanted.lasts[-1])
        rows = self.rows(
            "SELECT first_offset, last_offset, value_schema, key_schema FROM span WHERE log = ?1 AND first_offset <= ?3"
            " AND first_offset >= coalesce("
            "(SELECT max(first_offset) FROM span WHERE log = ?1 AND first_offset <= ?2), ?2)",
            (log, first, last),
        )
        by_pair: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for row in rows:
            by_pair.setdefault(row[2:], []).append(row[:2])
        found: dict[tuple[SchemaReference, SchemaReference], Ranges] = {}
        for (value, key), bounds in by_pair.items():
            part = wanted & Ranges.of([each[0] for each in bounds], [each[1] for each in bounds])
            if part:
                pair = self._schemas(topic, (0, 0, value, key))[2:]
                found[pair] = found[pair] | part if pair in found else part
        return sorted(((part, *pair) for pair, part in found.items()), key=lambda each: int(each[0].firsts[0]))

    def _schemas(self, topic: str, row: tuple[int, int, int, int]) -> tuple[int, int, SchemaReference, SchemaReference]:
        first, last, value, key = row
        return (
            first,
            last,
            self.completed(topic, "value", self.reference(value)),
            self.completed(topic, "key", self.reference(key)),
        )

    # As a whole

    def unchanging(self, query: str) -> list[Any]:
        """What a query without values gives: within a snapshot it is not asked again until something was written. What
        it answers is few rows."""
        if self._depth == 0:
            return self.rows(query)
        known = self._of_state.get(query)
        if known is None:
            known = self._of_state[query] = self.rows(query)
        return known

    @cached_property
    def _of_state(self) -> dict[str, list[Any]]:
        return {}

    def positions(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition of our own topics that was read."""
        return {(row[0], row[1]): row[2] for row in self.unchanging("SELECT topic, number, next_offset FROM position")}

    def whole_at(self) -> str | None:
        """The moment up to which all of our topics were read; null where one of them was read further than another."""
        rows = self.unchanging(f"SELECT value FROM fact WHERE name = '{WHOLE_AT}'")  # noqa: S608 - a name of ours
        return str(rows[0][0]) or None if rows else None

    def status(self) -> Status:
        """How it stands. Counts every row."""
        tables = (
            "log", "epoch", "reference", "span", "hole", "edge", "run", "alert", "key_block", "incident",
            "graph_subject", "graph_evidence",
        )  # fmt: skip
        [version] = self.rows("PRAGMA user_version")[0]
        with self.explained():
            size = sum(
                each.stat().st_size
                for suffix in ("", "-wal")
                if (each := self.path.with_name(self.path.name + suffix)).exists()
            )
        return Status(
            self.path,
            size,
            version,
            {table: self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables},  # noqa: S608
            self.positions(),
            dict(self.rows("SELECT name, value FROM fact")),
            dict(self.rows("SELECT name, value FROM counter WHERE name <> 'edge.ids'")),
        )

    @property
    def newest_version(self) -> int:
        """The schema version that this program writes."""
        return len(MIGRATIONS)


class _Snapshot(AbstractContextManager[None]):
    def __init__(self, index: ProvenanceIndex) -> None:
        self._index = index

    def __enter__(self) -> None:
        self._index._begin()

    def __exit__(self, *_: object) -> None:
        self._index._end()


class Logs:
    """Partitions by number and by name, and which life of a topic is meant where nobody says so."""

    def __init__(
        self, rows: Sequence[tuple[int, str, str, str, int]], epochs: Sequence[tuple[str, str, int, int]]
    ) -> None:
        self._by_id = {
            id_: Log(topic, topic_id or None, number, cluster or None) for id_, cluster, topic, topic_id, number in rows
        }
        self._by_log = {log: id_ for id_, log in self._by_id.items()}
        self._resolved: dict[int, int] = {}
        self._epochs: dict[str, list[tuple[int, int, str | None]]] = {}
        for topic, topic_id, first, last in epochs:
            self._epochs.setdefault(topic, []).append((first, last, topic_id or None))

    def __getitem__(self, number: int) -> Log:
        return self._by_id[number]

    def __len__(self) -> int:
        return len(self._by_id)

    def number(self, log: Log) -> int | None:
        """The number of a partition in the index."""
        return self._by_log.get(log)

    def current(self, topic: str, partition: int) -> int | None:
        """A partition of the newest life of a topic that has it."""
        for _, _, topic_id in reversed(self._epochs.get(topic, [])):
            if (found := self._by_log.get(Log(topic, topic_id, partition))) is not None:
                return found
        return self._by_log.get(Log(topic, None, partition))

    def lives_of(self, topic: str) -> list[str | None]:
        """The lives that a topic is known to have had, the newest last."""
        return [topic_id for *_, topic_id in self._epochs.get(topic, [])]

    def lives(self, number: int) -> int:
        """How many lives the topic of a partition is known to have had."""
        log = self._by_id[number]
        return len(self._epochs.get(log.topic, ())) if log.cluster is None else 0

    def is_named(self, number: int) -> bool:
        """Whether the life of its topic is named, or there is none to be named."""
        log = self._by_id[number]
        return log.topic_id is not None or log.cluster is not None or log.topic not in self._epochs

    def resolved(self, number: int, seen: int) -> int:
        """The partition that is meant by one of which no life is named, at a time in milliseconds: that of the life
        which was current then. The same number where a life is named or none is known."""
        known = self._resolved.get(number)
        if known is not None:
            return known
        log = self._by_id[number]
        found = number
        if not self.is_named(number):
            found = self._by_log.get(Log(log.topic, self.life_at(log.topic, seen), log.partition), number)
        if self.lives(number) < 2:  # whenever that is
            self._resolved[number] = found
        return found

    def life_at(self, topic: str, seen: int) -> str | None:
        """The topic id that was current at a time in milliseconds; null where none is known."""
        epochs = self._epochs.get(topic)
        return epochs[_current(epochs, seen)][2] if epochs else None

    def is_clear(self, number: int, seen: int, first_time: int, last_time: int) -> bool:
        """Whether the parents that stand in this partition can be of no other life of its topic than ``resolved`` says.

        Headers do not name the life, and a life is known from its first observation on only, so that both the outputs
        (by their timestamps) and their observation have to lie well within the time in which this life was observed.

        Args:
            number: the partition, as in the edge.
            seen: when the edge was observed, in milliseconds as the others.
            first_time, last_time: lowest and highest timestamp of the outputs; negative for none.
        """
        log = self._by_id[number]
        epochs = self._epochs.get(log.topic, [])
        if log.topic_id is not None or log.cluster is not None or len(epochs) < 2:
            return True
        if first_time < 0:
            return False
        at = _current(epochs, seen)
        first, last, _ = epochs[at]
        begun = at == 0 or min(seen, first_time) >= first + _CLEARLY_MS
        return begun and (at == len(epochs) - 1 or max(seen, last_time) <= last - _CLEARLY_MS)

    def unnamed(self, number: int) -> int | None:
        """The partition without a named life under which the children of this one's records may stand."""
        log = self._by_id[number]
        return None if log.topic_id is None else self._by_log.get(Log(log.topic, None, log.partition, log.cluster))


def _current(epochs: Sequence[tuple[int, int, str | None]], seen: int) -> int:
    return max(bisect_right([first for first, _, _ in epochs], seen) - 1, 0)


def moment(milliseconds: int) -> datetime:
    """Milliseconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _missing(row: tuple[int, int, str]) -> MissingRange:
    return MissingRange(row[0], row[1], MissingReason(row[2]))


def merged(rows: Sequence[SpanRow], holes: Sequence[tuple[int, int, str]], number: int) -> Iterator[IndexedSpan]:
    """Spans of a partition with what is missing in them, neighbours of one schema together."""
    at = 0
    for first, last, value, key in _joined(rows):
        start = at
        while at < len(holes) and holes[at][0] <= last:
            at += 1
        missing = joined_ranges(map(_missing, holes[start:at]))
        count = last - first + 1 - sum(gap.length for gap in missing)
        yield IndexedSpan(OffsetSpan(number, first, last, count, missing), value, key)


def _joined(rows: Sequence[SpanRow]) -> Iterator[SpanRow]:
    """Neighbours that have become of one schema, since a reference was completed."""
    together: SpanRow | None = None
    for row in rows:
        if together and together[1] + 1 == row[0] and together[2:] == row[2:]:
            together = (together[0], *row[1:])
        else:
            if together:
                yield together
            together = row
    if together:
        yield together
