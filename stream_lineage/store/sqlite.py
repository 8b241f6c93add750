"""The embedded metric store: one SQLite file, readable by other processes while it is written."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stream_lineage.errors import ConnectionFailed, SettingsError
from stream_lineage.logs import get_logger, trail
from stream_lineage.store.health import Health
from stream_lineage.store.pausing import DiskFull
from stream_lineage.store.ports import Aggregation, Bucket, Point
from stream_lineage.store.sqlite_copies import SqliteCopies
from stream_lineage.store.tiers import Tier, tier_for, turning_point
from stream_lineage.store.windows import (
    aggregated,
    checked_window,
    finite_fields,
    microseconds,
    moment,
    series_order,
)

SCHEMA_VERSION = 3
BUSY_SECONDS = 10.0
"""How long a write waits for another process that writes."""
UPKEEP_SECONDS = 300.0
"""How often points are copied, and deleted when they are old."""
CLOSE_SECONDS = 5.0
"""How long ``close`` copies what is over; the rest is left to the next process."""
_FORGET_AT_ONCE = 500
"""Series out of which old points are deleted in one transaction: others write in between."""
_NEVER = 2**63 - 1

_log = get_logger("stream_lineage.store")

_SCHEMA = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    measurement TEXT NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (measurement, tags)
);
CREATE TABLE point (
    series INTEGER NOT NULL REFERENCES series (id),
    time INTEGER NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (series, time)
) WITHOUT ROWID;
"""


class SqliteStore:
    """Points as rows of (series, time in microseconds, fields as JSON). Safe to use from several threads.

    The file is in write-ahead mode, and a crash of the machine may cost the last writes but not the file: what it holds
    is rebuilt from Kafka anyway. With a ``retention`` those who write also, now and then and in a thread of its own,
    copy what is over into ``tiers`` and delete what is older. Aggregates of what is older than the retention come from
    the tiers, where the windows that are asked for are made of theirs.

    Raises:
        ConnectionFailed: the file cannot be made, opened or read.
        SettingsError: a later version of stream_lineage wrote the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention: timedelta | None = None,
        tiers: Sequence[Tier] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._retention = retention
        self._tiers = tiers
        self._clock = clock
        self._kept_up = -UPKEEP_SECONDS
        self._upkeep: threading.Thread | None = None
        self._closing = threading.Event()
        self._close_by = math.inf
        self._wrote = False
        self._copies = SqliteCopies(self._exclusive, tiers, lambda: time.monotonic() > self._close_by)
        self._lock = threading.Lock()
        self._series: dict[tuple[str, str], int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise self._failed("open", error) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        with self._exclusive("open") as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            [version] = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
            if version < SCHEMA_VERSION:
                self._copies.prepare(connection, version)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        if version > SCHEMA_VERSION:
            raise SettingsError(
                f"{self._path} was written by a later version of stream-lineage",
                hint="Choose another sqlite_path or delete the file: what it holds is rebuilt from Kafka.",
            )

    def write(self, points: Iterable[Point]) -> None:
        rows = [
            (point.measurement, _tags_text(point.tags), microseconds(point.time), json.dumps(fields))
            for point in points
            if (fields := finite_fields(point.fields))
        ]
        if not rows:
            return
        with self._exclusive("write to") as connection:
            connection.execute("BEGIN IMMEDIATE")
            known = dict(self._series)
            merged = []
            for measurement, tags, at, text in rows:
                series = known.get((measurement, tags))
                if series is None:
                    series = known[measurement, tags] = _series_id(connection, measurement, tags)
                merged.append((series, at, text))
            connection.executemany(
                "INSERT INTO point (series, time, fields) VALUES (?, ?, ?)"
                " ON CONFLICT (series, time) DO UPDATE SET fields = json_patch(fields, excluded.fields)",
                merged,
            )
            self._copies.written(connection, ((measurement, at) for measurement, _, at, _ in rows))
            connection.execute("COMMIT")
            self._series = known
            self._wrote = True
        if self._retention is not None and time.monotonic() - self._kept_up >= UPKEEP_SECONDS:
            self._kept_up = time.monotonic()
            if self._upkeep is None or not self._upkeep.is_alive():
                self._upkeep = threading.Thread(target=self._keep_up, name="store-upkeep", daemon=True)
                self._upkeep.start()

    def latest(
        self, measurement: str, tags: Mapping[str, str] | None = None, *, before: datetime | None = None
    ) -> list[Point]:
        found, until = [], _NEVER if before is None else microseconds(before)
        with self._exclusive("read") as connection:
            for series, its_tags in _matching(connection, measurement, tags):
                row = connection.execute(
                    "SELECT time, fields FROM point WHERE series = ? AND time < ? ORDER BY time DESC LIMIT 1",
                    (series, until),
                ).fetchone()
                if row is not None:
                    found.append(Point(measurement, its_tags, json.loads(row[1]), moment(row[0])))
        return sorted(found, key=lambda point: series_order(point.tags))

    def range(
        self, measurement: str, start: datetime, end: datetime, tags: Mapping[str, str] | None = None
    ) -> list[Point]:
        bounds = (microseconds(start), microseconds(end))
        found = []
        with self._exclusive("read") as connection:
            for series, its_tags in _matching(connection, measurement, tags):
                rows = connection.execute(
                    "SELECT time, fields FROM point WHERE series = ? AND time >= ? AND time < ?", (series, *bounds)
                )
                found += [Point(measurement, its_tags, json.loads(fields), moment(at)) for at, fields in rows]
        return sorted(found, key=lambda point: (point.time, series_order(point.tags)))

    def aggregate(
        self,
        measurement: str,
        field: str,
        start: datetime,
        end: datetime,
        *,
        window_seconds: float,
        aggregation: Aggregation = "mean",
        tags: Mapping[str, str] | None = None,
    ) -> list[Bucket]:
        checked_window(window_seconds)
        found = aggregated(self.range(measurement, start, end, tags), field, window_seconds, aggregation)
        now, retention = self._clock(), self._retention
        tier = None if retention is None else tier_for(self._tiers, start, window_seconds, retention, now)
        if tier is None or retention is None:
            return found
        # Copies are whole where points may have been deleted.
        until = min(max(turning_point(window_seconds, retention, now), start), end)
        with self._exclusive("read") as connection:
            series = _matching(connection, measurement, tags)
        copied = self._copies.windows(tier, series, field, (start, until), window_seconds, aggregation)
        merged = {(tuple(series_order(bucket.tags)), bucket.time): bucket for bucket in [*found, *copied]}
        return [merged[key] for key in sorted(merged)]

    def forget(self, before: datetime) -> None:
        until = microseconds(before)
        with self._exclusive("read") as connection:
            known = [series for (series,) in connection.execute("SELECT id FROM series").fetchall()]
        for start in range(0, len(known), _FORGET_AT_ONCE):
            chunk = known[start : start + _FORGET_AT_ONCE]
            with self._exclusive("write to") as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "DELETE FROM point WHERE series = ? AND time < ?", [(id_, until) for id_ in chunk]
                )
                connection.execute("COMMIT")

    def health(self) -> Health:
        return Health()

    def copy(self, tier: Tier, start: datetime, end: datetime) -> None:
        """Copy the windows of a time, whose ends are aligned, once more. Raises ConnectionFailed."""
        self._copies.copy(tier, microseconds(start), microseconds(end))

    def keep_up(self) -> None:
        """What is done now and then: copy what is over, delete what is older than it is kept. Raises
        ConnectionFailed."""
        if self._retention is not None:
            now = self._clock()
            self._copies.keep_up(now, self._retention)
            self.forget(now - self._retention)

    def close(self) -> None:
        self._close_by = time.monotonic() + CLOSE_SECONDS
        self._closing.set()
        if self._upkeep is not None:
            self._upkeep.join()
        if self._wrote and self._retention is not None:
            # What cannot be copied now, the next process copies.
            with contextlib.suppress(ConnectionFailed):
                with self._exclusive("write to") as connection:
                    connection.execute("PRAGMA busy_timeout = 1000")
                self._copies.copy_due(self._clock(), self._retention)
        with self._lock:
            self._connection.close()

    def _keep_up(self) -> None:
        try:
            self.keep_up()
        except ConnectionFailed as error:
            if not self._closing.is_set():
                _log.warning("old metrics are not copied and deleted", error=error.message)
        except Exception as error:  # noqa: BLE001 - it is tried again, and no point depends on it
            _log.error("old metrics are not copied and deleted", error=trail(error))

    @contextmanager
    def _exclusive(self, doing: str) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time; what is open when something goes wrong is rolled back."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise self._failed(doing, error) from error
            finally:
                try:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                except sqlite3.Error:
                    pass

    def _failed(self, doing: str, error: Exception) -> ConnectionFailed:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        return (DiskFull if full else ConnectionFailed)(
            f"could not {doing} the metric store {self._path}: {error}",
            hint="Check sqlite_path, its permissions and the free space; the file can be deleted and is rebuilt.",
        )


def _tags_text(tags: Mapping[str, str]) -> str:
    return json.dumps(tags, sort_keys=True)


def _series_id(connection: sqlite3.Connection, measurement: str, tags: str) -> int:
    name = json.dumps(measurement)  # text that SQLite takes whatever characters it holds
    connection.execute("INSERT INTO series (measurement, tags) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, tags))
    [series] = connection.execute("SELECT id FROM series WHERE measurement = ? AND tags = ?", (name, tags)).fetchone()
    return int(series)


def _matching(
    connection: sqlite3.Connection, measurement: str, tags: Mapping[str, str] | None
) -> list[tuple[int, dict[str, str]]]:
    rows = connection.execute(
        "SELECT id, tags FROM series WHERE measurement = ?", (json.dumps(measurement),)
    ).fetchall()
    wanted = dict(tags or {}).items()
    return [(series, found) for series, text in rows if wanted <= (found := json.loads(text)).items()]
