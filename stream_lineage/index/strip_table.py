"""Strips in columns, and how they are found: by outputs or by parents, for any number of ranges at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from stream_lineage.index.ranges import Offsets, Ranges
from stream_lineage.index.reader import Logs
from stream_lineage.index.strips import INCOMPLETE, WIDENED

OUT_LOG, OUT_FIRST, OUT_LAST, PARENT_LOG, PARENT_FIRST, PARENT_LAST = range(6)
WIDTH, FLAGS, SOURCE, RUN, SEEN, FIRST_TIME, LAST_TIME = range(6, 13)
_COLUMNS = (
    "e.out_log, e.out_first, e.out_last, e.parent_log, e.parent_first, e.parent_last, e.width, e.flags, e.source,"
    " e.run, e.seen, e.first_time, e.last_time"
)
_ONE_BY_ONE = 12
"""Up to so many ranges are asked for in a query each: less work than a table of them."""
_TEXTS = ", ".join(
    f"group_concat({column.strip().removeprefix('e.')})" for column in f"first, last, {_COLUMNS}".split(",")
)
_FEW = 64
"""Up to so many rows come one by one."""
_VERY_FEW = 4
"""Up to so many rows are cut one by one."""
_ALIKE = 40
"""From so many ranges of one partition and one length on they are asked for together."""
FROM_FIRST, TO_LAST = 4, 8
"""Flags of a strip that is cut to parents: the first one, the last one is among them."""
UNCLEAR = 16
"""Flag of a strip whose parents may be of another life of their topic than the one that stands there."""
Table = npt.NDArray[np.int64]
"""A row for each strip, columns as above."""
Row = tuple[int, ...]
"""First and last offset of a range, and the strip that it meets."""


class StripIndex:
    """The edges of a file, by range. ``connection`` is one of ``open_reader``, which has a table of ranges wanted."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def leading_to(self, wanted: Mapping[int, Ranges], limit: int) -> Table:
        """Strips by which outputs have parents: each cut to the outputs wanted, so that what two ranges meet comes
        twice, in two pieces. At most ``limit`` of them."""
        found = self._found(wanted, "out", 0, limit)
        return _table(map(_cut_output, found)) if isinstance(found, list) else cut_outputs(*found)

    def leading_from(self, wanted: Mapping[int, Ranges], limit: int) -> Table:
        """Strips by which parents have outputs: each cut to the parents wanted, as far as it can be. At most
        ``limit``."""
        found = self._found(wanted, "parent", 1, limit)
        return _table(map(_cut_parent, found)) if isinstance(found, list) else cut_parents(*found)

    def _found(
        self, wanted: Mapping[int, Ranges], side: str, number: int, limit: int
    ) -> list[Row] | tuple[Table, Offsets, Offsets]:
        """Strips with the ranges that they meet; as rows where there are very few."""
        total = sum(map(len, wanted.values()))
        index = "" if side == "out" else "INDEXED BY edge_by_parent "
        join = (
            f"CROSS JOIN edge e {index}ON e.{side}_log = l.log AND e.{side}_level = l.level"
            f" AND e.{side}_first BETWEEN %s - (1 << l.level) + 1 AND %s"
        )
        if total > _ONE_BY_ONE:
            return self._of_many(wanted, side, number, join, limit)
        query = (
            f"SELECT ?2, ?3, {_COLUMNS} FROM edge_level l {join % ('?2', '?3')}"  # noqa: S608 - names of ours
            f" WHERE l.side = {number} AND l.log = ?1 AND e.{side}_last >= ?2 LIMIT ?4"
        )
        rows: list[Row] = []
        for log, ranges in wanted.items():
            for first, last in ranges:
                rows += self._connection.execute(query, (log, first, last, min(limit, _FEW) - len(rows)))
        if len(rows) == _FEW < limit:
            return self._of_many(wanted, side, number, join, limit)
        return rows if len(rows) <= _VERY_FEW else _wanted(rows)

    def _of_many(
        self, wanted: Mapping[int, Ranges], side: str, number: int, join: str, limit: int
    ) -> tuple[Table, Offsets, Offsets]:
        """Ranges that are alike, most of them single offsets, are handed over as one text, the others as a table. What
        is found comes back as a text for each column: a tuple for each row would cost twice as much as to find it."""
        level = f"CROSS JOIN edge_level l ON l.side = {number} AND l.log = "
        alike = (
            f"SELECT {_TEXTS} FROM (SELECT w.value AS first, w.value + ?3 AS last, {_COLUMNS}"  # noqa: S608 - names of ours
            f" FROM json_each(?1) w {level}?2 {join % ('w.value', 'w.value + ?3')}"
            f" WHERE e.{side}_last >= w.value LIMIT ?4)"
        )
        others = (
            f"SELECT {_TEXTS} FROM (SELECT w.first AS first, w.last AS last, {_COLUMNS}"  # noqa: S608 - names of ours
            f" FROM temp.wanted w {level}w.log {join % ('w.first', 'w.last')}"
            f" WHERE e.{side}_last >= w.first LIMIT ?)"
        )
        found: list[Table] = []
        rest: list[tuple[int, int, int]] = []
        for log, ranges in wanted.items():
            more = ranges.lasts - ranges.firsts
            lengths, counts = np.unique(more, return_counts=True)
            many = lengths[counts >= _ALIKE]
            for length in many.tolist():
                firsts = orjson.dumps(ranges.firsts[more == length], option=orjson.OPT_SERIALIZE_NUMPY).decode()
                left = limit - sum(map(len, found))
                found += _parsed(self._connection.execute(alike, (firsts, log, length, left)).fetchone())
            few = ~np.isin(more, many)
            rest += [(log, *bounds) for bounds in Ranges(ranges.firsts[few], ranges.lasts[few])]
        if rest:
            self._connection.execute("DELETE FROM temp.wanted")
            self._connection.executemany("INSERT INTO temp.wanted VALUES (?, ?, ?)", rest)
            left = limit - sum(map(len, found))
            found += _parsed(self._connection.execute(others, (left,)).fetchone())
        table = np.concatenate(found) if found else np.empty((0, 15), np.int64)
        return table[:, 2:], table[:, 0], table[:, 1]


def _parsed(texts: tuple[str | None, ...]) -> list[Table]:
    """Columns of numbers with commas between them; none where there is no row."""
    if texts[0] is None:
        return []
    return [np.stack([np.fromstring(text or "", np.int64, sep=",") for text in texts], axis=1)]


def _wanted(rows: list[Row]) -> tuple[Table, Offsets, Offsets]:
    table = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * 15).reshape(-1, 15)
    return table[:, 2:], table[:, 0], table[:, 1]


def _table(rows: Iterable[Iterable[int]]) -> Table:
    return np.array([*rows], np.int64).reshape(-1, 13)


def _cut_output(row: Row) -> Row:
    """``cut_outputs`` for one strip."""
    first, last, log, out_first, out_last, parent_log, parent_first, parent_last, width, *more = row
    low, high = max(out_first, first), min(out_last, last)
    if width > 0:
        parent_first += (low - out_first) * width
        parent_last = parent_first + (high - low + 1) * width - 1
    return (log, low, high, parent_log, parent_first, parent_last, width, *more)


def _cut_parent(row: Row) -> Row:
    """``cut_parents`` for one strip."""
    first, last, log, out_first, out_last, parent_log, parent_first, parent_last, width, flags, *more = row
    low, high = max(parent_first, first), min(parent_last, last)
    if width > 0:
        out_first, out_last = out_first + (low - parent_first) // width, out_first + (high - parent_first) // width
    flags |= (FROM_FIRST if low == parent_first else 0) | (TO_LAST if high == parent_last else 0)
    return (log, out_first, out_last, parent_log, low, high, width, flags, *more)


def cut_outputs(strips: Table, firsts: Offsets, lasts: Offsets) -> Table:
    low = np.maximum(strips[:, OUT_FIRST], firsts)
    high = np.minimum(strips[:, OUT_LAST], lasts)
    width = strips[:, WIDTH]
    own = width > 0
    start = strips[:, PARENT_FIRST] + np.where(own, (low - strips[:, OUT_FIRST]) * width, 0)
    end = np.where(own, start + (high - low + 1) * width - 1, strips[:, PARENT_LAST])
    cut = strips.copy()
    cut[:, OUT_FIRST], cut[:, OUT_LAST], cut[:, PARENT_FIRST], cut[:, PARENT_LAST] = low, high, start, end
    return cut


def cut_parents(strips: Table, firsts: Offsets, lasts: Offsets) -> Table:
    low = np.maximum(strips[:, PARENT_FIRST], firsts)
    high = np.minimum(strips[:, PARENT_LAST], lasts)
    width = strips[:, WIDTH]
    own = width > 0
    step = np.maximum(width, 1)
    # Outputs that have any of these parents; of their other parents nothing is said.
    start = strips[:, OUT_FIRST] + np.where(own, (low - strips[:, PARENT_FIRST]) // step, 0)
    end = np.where(own, strips[:, OUT_FIRST] + (high - strips[:, PARENT_FIRST]) // step, strips[:, OUT_LAST])
    cut = strips.copy()
    cut[:, FLAGS] |= np.where(low == strips[:, PARENT_FIRST], FROM_FIRST, 0)
    cut[:, FLAGS] |= np.where(high == strips[:, PARENT_LAST], TO_LAST, 0)
    cut[:, OUT_FIRST], cut[:, OUT_LAST], cut[:, PARENT_FIRST], cut[:, PARENT_LAST] = start, end, low, high
    return cut


def by_log(logs: Offsets, firsts: Offsets, lasts: Offsets) -> dict[int, Ranges]:
    """Ranges put together by partition."""
    if not len(logs):
        return {}
    if len(logs) == 1:
        return {logs.item(): Ranges(firsts.copy(), lasts.copy())}
    order = np.argsort(logs, kind="stable")
    logs, firsts, lasts = logs[order], firsts[order], lasts[order]
    bounds = [0, *(np.flatnonzero(logs[1:] != logs[:-1]) + 1).tolist(), len(logs)]
    return {int(logs[start]): Ranges.of(firsts[start:end], lasts[start:end]) for start, end in pairwise(bounds)}


def widened(strips: Table) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (strips[:, FLAGS] & WIDENED) > 0
    return found


def incomplete(strips: Table) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (strips[:, FLAGS] & INCOMPLETE) > 0
    return found


def unclear(strips: Table) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (strips[:, FLAGS] & UNCLEAR) > 0
    return found


def renamed(strips: Table, logs: Logs) -> Table:
    """Parents' partitions with the life of their topic that is meant, marked where that may be another one."""
    given = strips[:, PARENT_LOG]
    numbers = given.tolist() if len(given) == 1 else np.unique(given).tolist()
    if all(number < 0 or logs.is_named(number) for number in numbers):
        return strips
    out = strips.copy()
    for number in (each for each in numbers if each >= 0):
        at = np.flatnonzero(given == number) if len(numbers) > 1 else slice(None)
        if logs.lives(number) > 1:
            times = strips[at][:, [SEEN, FIRST_TIME, LAST_TIME]].tolist()
            out[at, PARENT_LOG] = [logs.resolved(number, seen) for seen, _, _ in times]
            out[at, FLAGS] |= np.array([0 if logs.is_clear(number, *each) else UNCLEAR for each in times], np.int64)
        else:
            out[at, PARENT_LOG] = logs.resolved(number, int(strips[at][0, SEEN]))
    return out


def stacked(tables: Iterable[Table]) -> Table:
    """All of them as one."""
    given: list[Any] = [table for table in tables if len(table)]
    return np.concatenate(given) if given else np.empty((0, 13), np.int64)
