"""Writing the provenance index: what the topics say and how far they were read, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stream_lineage.errors import DecodeError, ProvenanceError
from stream_lineage.index.alert_rows import AlertRows
from stream_lineage.index.file import explained, open_writer
from stream_lineage.index.gap_rows import GapRows, RemovedEdges
from stream_lineage.index.graph_rows import GraphRows
from stream_lineage.index.incident_rows import IncidentRows
from stream_lineage.index.key_rows import KeyRows
from stream_lineage.index.layout import WHOLE_AT
from stream_lineage.index.names import Names
from stream_lineage.index.span_rows import SpanRows
from stream_lineage.index.strips import EdgeRows
from stream_lineage.otel import span
from stream_lineage.provenance.codec import decode_with_digest
from stream_lineage.provenance.edge_codec import decode_edges
from stream_lineage.provenance.key_codec import decode_keys

Feed = Literal["observations", "edges", "keys", "alerts", "incidents", "graph"]
"""What a topic of ours holds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of one of our topics. ``event_id`` is that of an alert; ``topic``, of edges, that of the records."""

    feed: Feed
    value: bytes
    event_id: str = ""
    topic: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """A partition of one of our topics, in one life of it."""

    topic: str
    number: int
    topic_id: str = ""


class IndexWriter:
    """The one who writes. What cannot be read as what it should be is counted and left out.

    Raises:
        IndexUnusable: the file is damaged, of a later version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_writer(path)
        self._names = Names(self._connection)
        self._spans = SpanRows(self._connection, self._names)
        self._gaps = GapRows(self._connection)
        self._edges = EdgeRows(self._connection, self._names, self._gaps)
        with explained(path):
            self._spans.edges_since = self._gaps.observed_without_edges()
        self._keys = KeyRows(self._connection, self._names)
        self._alerts = AlertRows(self._connection)
        self._incidents = IncidentRows(self._connection)
        self._graph = GraphRows(self._connection)

    def positions(self) -> dict[tuple[str, int], tuple[int, str]]:
        """The next offset of each partition that was read, and the topic id that it had."""
        with explained(self._path):
            rows = self._connection.execute("SELECT topic, number, next_offset, topic_id FROM position").fetchall()
        return {(topic, number): (offset, topic_id) for topic, number, offset, topic_id in rows}

    def write(
        self,
        entries: Iterable[Entry],
        positions: Mapping[Source, int],
        facts: Mapping[str, str] | None = None,
        counts: Mapping[str, int] | None = None,
        removed: RemovedEdges | None = None,
    ) -> int:
        """All of it or nothing; how many entries were left out.

        Args:
            entries: in the order of their offsets, as far as they are of one partition.
            positions: the offset at which each partition is to be read on after these.
            facts: texts to be kept by name.
            counts: what is added to the counters.
            removed: what turned out not to be there any more.

        Raises:
            IndexUnusable: it cannot be written.
        """
        with explained(self._path), span("index.write") as told:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if removed is not None:
                    self._gaps.remove(removed, whole=self._is_whole())
                    self._spans.edges_since = self._gaps.observed_without_edges()
                counted: dict[str, int] = dict(counts or {})
                messages = left_out = 0
                for entry in entries:
                    messages += 1
                    counted[entry.feed] = counted.get(entry.feed, 0) + 1
                    if not self._add(entry, counted):
                        left_out += 1
                        name = f"unreadable.{entry.feed}"
                        counted[name] = counted.get(name, 0) + 1
                        if entry.feed == "edges":
                            self._gaps.add(entry.topic, None, "unreadable", 1)
                self._spans.flush()
                self._edges.flush()
                told.note(messages=messages, left_out=left_out)
                counted["overlaps"] = self._spans.overlaps
                counted["keys.dropped"] = self._keys.dropped
                self._note(positions, facts or {}, counted)
                self._connection.execute("COMMIT")
                self._spans.overlaps = self._keys.dropped = 0
                return left_out
            except BaseException:
                with suppress(sqlite3.Error):
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                for each in (self._names, self._spans, self._edges, self._keys):
                    each.forget()
                with suppress(sqlite3.Error):
                    self._spans.edges_since = self._gaps.observed_without_edges()
                raise

    def close(self) -> None:
        """Leave everything in the one file, as far as nobody reads just now."""
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA optimize")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _add(self, entry: Entry, counted: dict[str, int]) -> bool:
        try:
            if entry.feed == "observations":
                self._spans.add(decode_with_digest(entry.value, profile=False).observation)
            elif entry.feed == "edges":
                batch = decode_edges(entry.value)
                self._edges.add(batch)
                counted["edges.left_out"] = counted.get("edges.left_out", 0) + max(batch.left_out, 0)
            elif entry.feed == "keys":
                keys = decode_keys(entry.value)
                self._keys.add(keys)
                counted["keys.left_out"] = counted.get("keys.left_out", 0) + max(keys.left_out, 0)
            elif entry.feed == "incidents":
                self._incidents.add(entry.value)
            elif entry.feed == "graph":
                self._graph.add(entry.value)
            else:
                self._alerts.add(entry.value, entry.event_id)
        except (DecodeError, ProvenanceError, ValueError, OverflowError):
            return False
        return True

    def _is_whole(self) -> bool:
        row = self._connection.execute("SELECT value FROM fact WHERE name = ?", (WHOLE_AT,)).fetchone()
        return bool(row and row[0])

    def _note(self, positions: Mapping[Source, int], facts: Mapping[str, str], counts: Mapping[str, int]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)",
            [(source.topic, source.number, source.topic_id, offset) for source, offset in positions.items()],
        )
        self._connection.executemany("INSERT OR REPLACE INTO fact VALUES (?, ?)", list(facts.items()))
        self._connection.executemany(
            "INSERT INTO counter VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
            [(name, value) for name, value in counts.items() if value],
        )
