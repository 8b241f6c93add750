"""Where values of key fields stand, in the index: blocks of hashes with their offsets, in the order in which they came.

A block is one field's, in one partition. To find a value all blocks of its field are looked through, which takes a
hundredth of a second for a million records: hashes have no order that would keep new ones together on disk, so a tree
of them would be written all over for each flush. What is beyond the bound goes with the oldest blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream_lineage.index.names import Names
from stream_lineage.model.key_batch import KeyBatch, KeyRun
from stream_lineage.provenance.key_codec import (
    HASH_BYTES,
    STEP_BYTES,
    pack_hashes,
    pack_steps,
    pieces,
    unpack_hashes,
    unpack_offsets,
)

if TYPE_CHECKING:
    from stream_lineage.index.reader import Log, ProvenanceIndex

MOST_BYTES = 1024**3
"""Of all blocks: some hundred million records."""
_SMALL = 4_096
"""A block with less is filled up by what comes next."""
_EVERY = 64
"""Batches after which the bound is looked at."""


class KeyRows:
    """The one who writes. ``forget`` after a transaction that was rolled back."""

    def __init__(self, connection: sqlite3.Connection, names: Names, *, most_bytes: int = MOST_BYTES) -> None:
        self._connection = connection
        self._names = names
        self._most_bytes = most_bytes
        self.forget()

    def forget(self) -> None:
        self._fields: dict[tuple[str, str, bytes], int] = {}
        self._batches = 0
        self.dropped = 0
        """Records that had to make room since the last ``forget``."""

    def add(self, batch: KeyBatch) -> None:
        """Take in a batch."""
        field = self._field(batch.topic, batch.path, batch.check)
        for run in pieces(batch.runs):
            self._append(field, self._names.log(batch.topic, batch.topic_id, run.partition), run)
        self._batches += 1
        if self._batches % _EVERY == 0:
            self.bound()

    def bound(self) -> None:
        """Drop the oldest blocks until the others fit."""
        [(held,)] = self._connection.execute("SELECT COALESCE(SUM(count), 0) FROM key_block").fetchall()
        most = self._most_bytes // (HASH_BYTES + STEP_BYTES)
        while held > most:
            oldest = "SELECT id, count FROM key_block ORDER BY id LIMIT 1"
            [(number, count)] = self._connection.execute(oldest).fetchall()
            self._connection.execute("DELETE FROM key_block WHERE id = ?", (number,))
            held -= count
            self.dropped += count

    def _append(self, field: int, log: int, run: KeyRun) -> None:
        row = self._connection.execute(
            "SELECT id, first_offset, steps, hashes, count FROM key_block WHERE field = ? AND log = ? "
            "ORDER BY id DESC LIMIT 1",
            (field, log),
        ).fetchone()
        if row is not None and row[4] < _SMALL:
            known = unpack_offsets(row[1], row[2])
            together = np.concatenate([known, run.offsets])
            if int(together[-1] - together[0]) < 1 << (8 * STEP_BYTES) and int(run.offsets[0]) > int(known[-1]):
                hashes = row[3] + pack_hashes(run.hashes)
                self._connection.execute(
                    "UPDATE key_block SET steps = ?, hashes = ?, count = ? WHERE id = ?",
                    (pack_steps(together), hashes, len(together), row[0]),
                )
                return
        values = field, log, int(run.offsets[0]), pack_steps(run.offsets), pack_hashes(run.hashes), len(run)
        self._connection.execute(
            "INSERT INTO key_block (field, log, first_offset, steps, hashes, count) VALUES (?, ?, ?, ?, ?, ?)", values
        )

    def _field(self, topic: str, path: str, check: bytes) -> int:
        key = (topic, path, check)
        if key not in self._fields:
            self._connection.execute("INSERT OR IGNORE INTO key_field (topic, path, hash_check) VALUES (?, ?, ?)", key)
            [(number,)] = self._connection.execute(
                "SELECT id FROM key_field WHERE topic = ? AND path = ? AND hash_check = ?", key
            ).fetchall()
            self._fields[key] = number
        return self._fields[key]


@dataclass(frozen=True, slots=True)
class KeyHit:
    """A record that has the value."""

    log: Log
    offset: int


@dataclass(frozen=True, slots=True)
class KeysFound:
    """``hits``, newest last. ``indexed``: whether the index knows the field at all under this key of the hashes;
    ``other_key``: whether it knows it under another one."""

    hits: tuple[KeyHit, ...]
    indexed: bool
    other_key: bool


def find_keys(index: ProvenanceIndex, topic: str, path: str, check: bytes, wanted: Collection[int]) -> KeysFound:
    """The records of a topic that have one of these hashes in a field."""
    fields = index.rows("SELECT id, hash_check FROM key_field WHERE topic = ? AND path = ?", (topic, path))
    own = [number for number, known in fields if known == check]
    hashes = np.array(sorted(wanted), np.uint64)
    hits: dict[tuple[int, int], None] = {}
    for number in own:
        for log, first, steps, block in _blocks(index, number):
            at = np.flatnonzero(np.isin(unpack_hashes(block), hashes))
            if len(at):
                hits.update(((log, int(offset)), None) for offset in unpack_offsets(first, steps)[at])
    named = index.logs
    found = tuple(KeyHit(named[log], offset) for log, offset in sorted(hits))
    return KeysFound(found, bool(own), len(fields) > len(own))


def _blocks(index: ProvenanceIndex, field: int) -> Iterator[tuple[int, int, bytes, bytes]]:
    """One after the other: all of them together may be large."""
    with index.explained():
        yield from index.connection.execute(
            "SELECT log, first_offset, steps, hashes FROM key_block WHERE field = ? ORDER BY id", (field,)
        )
