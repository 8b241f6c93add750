"""Coarser copies in the embedded store, which writers make themselves: of windows that are over, soon after.

A window is copied again when something was written to it since, however late, as long as its points are all there: that
it is to be copied is written down together with the points, and struck off when it is copied.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from stream_lineage.errors import ConnectionFailed
from stream_lineage.store.ports import Aggregation, Bucket
from stream_lineage.store.sqlite_summary import of_copies, of_points
from stream_lineage.store.tiers import COPIED, Tier, turning_point
from stream_lineage.store.windows import microseconds, moment

COPY_SCHEMA = """
CREATE TABLE copy (
    window INTEGER NOT NULL,
    series INTEGER NOT NULL REFERENCES series (id),
    time INTEGER NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (window, series, time)
) WITHOUT ROWID
"""
DUE_SCHEMA = """
CREATE TABLE due (
    window INTEGER NOT NULL,
    time INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    PRIMARY KEY (window, time)
) WITHOUT ROWID
"""
"""Windows to be copied. ``mark`` is another one after each write, so that a window is not struck off to which something
was written while it was copied, by whichever process."""
_DUE = (
    "INSERT INTO due (window, time, mark) VALUES (?, ?, random())"
    " ON CONFLICT (window, time) DO UPDATE SET mark = excluded.mark"
)
_MEASUREMENTS = frozenset(map(json.dumps, COPIED))
_AT_ONCE = 500
"""Windows that are written in one transaction: others write in between."""
_DAY = 86_400_000_000

Exclusive = Callable[[str], AbstractContextManager[sqlite3.Connection]]
"""The connection, for one thread at a time, and what it is wanted for."""


class SqliteCopies:
    """``ended`` says that there is no more time for it: the store is closed."""

    def __init__(self, exclusive: Exclusive, tiers: Sequence[Tier], ended: Callable[[], bool]) -> None:
        self._exclusive = exclusive
        self._tiers = tiers
        self._ended = ended

    def prepare(self, connection: sqlite3.Connection, version: int) -> None:
        """Make the tables that a file of an earlier version lacks, in the transaction that is open."""
        if version <= 1:
            connection.execute(COPY_SCHEMA)
        if version <= 2:
            connection.execute(DUE_SCHEMA)
            for tier in self._tiers:
                self._catch_up(connection, tier)

    def written(self, connection: sqlite3.Connection, points: Iterable[tuple[str, int]]) -> None:
        """Points of these measurements and times, in microseconds, are written in the transaction that is open."""
        times = {at for measurement, at in points if measurement in COPIED}
        for tier in self._tiers:
            starts = {at // _width(tier) * _width(tier) for at in times}
            connection.executemany(_DUE, [(tier.window_seconds, start) for start in sorted(starts)])

    def keep_up(self, now: datetime, retention: timedelta) -> None:
        """Copy what is over and was written since the last time, and delete copies that are older than they are kept.

        Raises:
            ConnectionFailed: the file cannot be read or written. What was not copied is copied next time.
        """
        for tier in self._tiers:
            self._copy_due(tier, retention, now)
            oldest = microseconds(now - timedelta(seconds=tier.retention_seconds))
            with self._exclusive("read") as connection:
                known = [id_ for (id_,) in connection.execute("SELECT id FROM series").fetchall()]
            for start in range(0, len(known), _AT_ONCE):
                rows = [(tier.window_seconds, id_, oldest) for id_ in known[start : start + _AT_ONCE]]
                self._write("DELETE FROM copy WHERE window = ? AND series = ? AND time < ?", rows)

    def copy_due(self, now: datetime, retention: timedelta) -> None:
        """Copy what is over and was written since. Raises as ``keep_up`` does."""
        for tier in self._tiers:
            self._copy_due(tier, retention, now)

    def copy(self, tier: Tier, first: int, last: int) -> None:
        """Copy the windows of a time, in microseconds, whose ends are aligned. What was copied before is replaced where
        there are points.

        Raises:
            ConnectionFailed: the file cannot be read or written.
        """
        with self._exclusive("read") as connection:
            rows = connection.execute("SELECT id, measurement FROM series").fetchall()
        made: list[tuple[int, int, int, str]] = []
        for series in [id_ for id_, measurement in rows if measurement in _MEASUREMENTS]:
            for day in range(first, last, _DAY):  # a day at a time: others write in between
                if self._ended():
                    raise ConnectionFailed("the metric store is closed")
                with self._exclusive("read") as connection:
                    points = connection.execute(
                        "SELECT time, fields FROM point WHERE series = ? AND time >= ? AND time < ?",
                        (series, day, min(day + _DAY, last)),
                    ).fetchall()
                windows = of_points(points, tier.window_seconds)
                made += [(tier.window_seconds, series, at, json.dumps(fields)) for at, fields in windows]
            if len(made) >= _AT_ONCE:
                self._put(made)
                made = []
        self._put(made)

    def windows(
        self,
        tier: Tier,
        series: Iterable[tuple[int, Mapping[str, str]]],
        field: str,
        time: tuple[datetime, datetime],
        window_seconds: float,
        aggregation: Aggregation,
    ) -> Iterator[Bucket]:
        """Aggregates of copies that begin in a half-open time."""
        bounds = tuple(map(microseconds, time))
        for id_, tags in series:
            with self._exclusive("read") as connection:
                rows = connection.execute(
                    "SELECT time, fields FROM copy WHERE window = ? AND series = ? AND time >= ? AND time < ?",
                    (tier.window_seconds, id_, *bounds),
                ).fetchall()
            for at, summary in of_copies(rows, field, window_seconds):
                yield Bucket(dict(tags), moment(at), summary.told(aggregation))

    def _catch_up(self, connection: sqlite3.Connection, tier: Tier) -> None:
        """What an earlier version may have left uncopied: of each series, what came after its last copy."""
        width = _width(tier)
        for (series,) in connection.execute("SELECT id FROM series").fetchall():
            [last] = connection.execute(
                "SELECT max(time) FROM copy WHERE window = ? AND series = ?", (tier.window_seconds, series)
            ).fetchone()
            points = "FROM point WHERE series = ?" + (" AND time >= ?" if last is not None else "")
            since = (series,) if last is None else (series, last - tier.late_seconds * 1_000_000)
            rows = connection.execute(f"SELECT DISTINCT time / {width} * {width} {points}", since).fetchall()
            connection.executemany(_DUE, [(tier.window_seconds, start) for (start,) in rows])

    def _copy_due(self, tier: Tier, retention: timedelta, now: datetime) -> None:
        """Windows next to each other at once; those that are not over yet, next time."""
        width = _width(tier)
        whole = microseconds(turning_point(tier.window_seconds, retention, now))
        with self._exclusive("read") as connection:
            over = connection.execute(
                "SELECT time, mark FROM due WHERE window = ? AND time <= ? ORDER BY time",
                (tier.window_seconds, microseconds(now) - width),
            ).fetchall()
        due = [(at, mark) for at, mark in over if at >= whole]
        self._strike_off(tier, over[: len(over) - len(due)])  # of these, points were deleted
        while due:
            run = 1
            while run < len(due) and due[run][0] == due[run - 1][0] + width:
                run += 1
            self.copy(tier, due[0][0], due[run - 1][0] + width)
            self._strike_off(tier, due[:run])
            del due[:run]

    def _strike_off(self, tier: Tier, windows: Sequence[tuple[int, int]]) -> None:
        rows = [(tier.window_seconds, at, mark) for at, mark in windows]
        if rows:
            self._write("DELETE FROM due WHERE window = ? AND time = ? AND mark = ?", rows)

    def _put(self, made: Sequence[tuple[int, int, int, str]]) -> None:
        self._write("INSERT OR REPLACE INTO copy (window, series, time, fields) VALUES (?, ?, ?, ?)", made)

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._exclusive("write to") as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, rows)
            connection.execute("COMMIT")


def _width(tier: Tier) -> int:
    return tier.window_seconds * 1_000_000
