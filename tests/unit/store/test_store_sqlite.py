"""If this failed, the embedded store would lose metrics over a restart, or fail in words nobody can act on."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_lineage.errors import ConnectionFailed, SettingsError
from stream_lineage.store.ports import Point
from stream_lineage.store.sqlite import SCHEMA_VERSION, SqliteStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = Point("m", {"a": "b"}, {"n": 1}, NOON)


def test_it_survives_closing(tmp_path: Path) -> None:
    for expected in ([], [ONE]):
        with closing(SqliteStore(tmp_path / "m.sqlite")) as store:
            assert store.latest("m") == expected
            store.write([ONE])


def test_another_process_reads_while_it_is_written(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "m.sqlite")) as writer, closing(SqliteStore(tmp_path / "m.sqlite")) as reader:
        writer.write([ONE])
        assert reader.latest("m") == [ONE]
        reader.write([Point("m", {"a": "c"}, {"n": 2}, NOON)])
        assert len(writer.latest("m")) == 2
        with closing(sqlite3.connect(tmp_path / "m.sqlite")) as plain:
            assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert plain.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_file_of_the_future_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite"
    with closing(sqlite3.connect(path)) as plain:
        plain.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(SettingsError, match="later version") as caught:
        SqliteStore(path)
    assert caught.value.hint is not None


def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 50)
    with pytest.raises(ConnectionFailed, match=r"m\.sqlite"):
        SqliteStore(path)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConnectionFailed, match="could not open"):
        SqliteStore(tmp_path / "file" / "m.sqlite")


def test_a_failed_write_is_said_and_the_next_one_works(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite"
    with closing(SqliteStore(path)) as store:
        with closing(sqlite3.connect(path)) as plain:
            plain.execute("ALTER TABLE point RENAME TO gone")
        with pytest.raises(ConnectionFailed, match="could not write"):
            store.write([ONE])
        with closing(sqlite3.connect(path)) as plain:
            plain.execute("ALTER TABLE gone RENAME TO point")
        store.write([ONE])
        assert store.latest("m") == [ONE]


def test_writing_deletes_what_is_older_than_the_retention(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    old, young = (Point("m", {}, {"n": 1}, now - timedelta(days=days)) for days in (3, 1))
    with closing(SqliteStore(tmp_path / "m.sqlite", retention=timedelta(days=2))) as store:
        store.write([old, young])
        until = time.monotonic() + 60
        while [point.time for point in store.range("m", now - timedelta(days=9), now)] != [young.time]:
            assert time.monotonic() < until
            time.sleep(0.01)
    with closing(SqliteStore(tmp_path / "m.sqlite")) as store:
        store.write([old])
        assert len(store.range("m", now - timedelta(days=9), now)) == 2
