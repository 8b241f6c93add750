"""Coarser copies in the embedded store, which writers make themselves: of windows that are over, soon after.

A window is copied again when something was written to it since, however late, as long as its points are all there.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from stream_lineage.errors import ConnectionFailed
from stream_lineage.store.ports import Aggregation, Bucket
from stream_lineage.store.sqlite_summary import of_copies, of_points
from stream_lineage.store.tiers import COPIED, Tier, turning_point
from stream_lineage.store.windows import microseconds, moment

SCHEMA = """
CREATE TABLE copy (
    window INTEGER NOT NULL,
    series INTEGER NOT NULL REFERENCES series (id),
    time INTEGER NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (window, series, time)
) WITHOUT ROWID
"""
_MEASUREMENTS = frozenset(map(json.dumps, COPIED))
_AT_ONCE = 500
"""Windows that are written in one transaction: others write in between."""
_DAY = 86_400_000_000

Exclusive = Callable[[str], AbstractContextManager[sqlite3.Connection]]
"""The connection, for one thread at a time, and what it is wanted for."""


class SqliteCopies:
    """``ended`` says that the store is being closed."""

    def __init__(self, exclusive: Exclusive, tiers: Sequence[Tier], ended: Callable[[], bool]) -> None:
        self._exclusive = exclusive
        self._tiers = tiers
        self._ended = ended
        self._lock = threading.Lock()
        self._touched: dict[Tier, set[int]] = {tier: set() for tier in tiers}
        self._resumed: set[Tier] = set()

    def written(self, times: Iterable[int]) -> None:
        """Points of these times, in microseconds, were written."""
        times = list(times)
        with self._lock:
            for tier, touched in self._touched.items():
                width = _width(tier)
                touched.update(at // width * width for at in times)

    def keep_up(self, now: datetime, retention: timedelta) -> None:
        """Copy what is over and was written since the last time, and delete copies that are older than they are kept.

        Raises:
            ConnectionFailed: the file cannot be read or written. What was not copied is copied next time.
        """
        for tier in self._tiers:
            whole = microseconds(turning_point(tier.window_seconds, retention, now))
            if tier not in self._resumed:
                self._resume(tier, whole, now)
            self._copy_touched(tier, whole, microseconds(now))
            oldest = microseconds(now - timedelta(seconds=tier.retention_seconds))
            with self._exclusive("read") as connection:
                known = [id_ for (id_,) in connection.execute("SELECT id FROM series").fetchall()]
            for start in range(0, len(known), _AT_ONCE):
                rows = [(tier.window_seconds, id_, oldest) for id_ in known[start : start + _AT_ONCE]]
                self._write("DELETE FROM copy WHERE window = ? AND series = ? AND time < ?", rows)

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

    def _resume(self, tier: Tier, whole: int, now: datetime) -> None:
        """What another process has left uncopied: all since the last copy, or the first point."""
        with self._exclusive("read") as connection:
            known = [id_ for (id_,) in connection.execute("SELECT id FROM series").fetchall()]
            last, first = [], []
            for id_ in known:
                last += connection.execute(
                    "SELECT max(time) FROM copy WHERE window = ? AND series = ?", (tier.window_seconds, id_)
                ).fetchone()
                first += connection.execute("SELECT min(time) FROM point WHERE series = ?", (id_,)).fetchone()
        copied = [at for at in last if at is not None]
        points = [at for at in first if at is not None]
        if copied or points:
            since = max(copied) - tier.late_seconds * 1_000_000 if copied else min(points)
            self.written(range(max(since, whole), microseconds(now), _width(tier)))
        self._resumed.add(tier)

    def _copy_touched(self, tier: Tier, whole: int, now: int) -> None:
        """Windows next to each other at once; those that are not over yet, next time."""
        width = _width(tier)
        with self._lock:
            over = sorted(at for at in self._touched[tier] if at + width <= now)
            self._touched[tier].difference_update(over)
        due = [at for at in over if at >= whole]  # of others, points were deleted
        try:
            while due:
                run = 1
                while run < len(due) and due[run] == due[run - 1] + width:
                    run += 1
                self.copy(tier, due[0], due[run - 1] + width)
                del due[:run]
        finally:
            with self._lock:
                self._touched[tier].update(due)

    def _put(self, made: Sequence[tuple[int, int, int, str]]) -> None:
        self._write("INSERT OR REPLACE INTO copy (window, series, time, fields) VALUES (?, ?, ?, ?)", made)

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        with self._exclusive("write to") as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(statement, rows)
            connection.execute("COMMIT")


def _width(tier: Tier) -> int:
    return tier.window_seconds * 1_000_000
