"""If this failed, the embedded store would grow for ever, or lose or spoil what it keeps for longer than its points."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_lineage.errors import ConnectionFailed
from stream_lineage.store.ports import Bucket, Point
from stream_lineage.store.sqlite import _SCHEMA, SqliteStore
from stream_lineage.store.tiers import tiers

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
WAIT_SECONDS = 60.0
Ending = Callable[["Kept"], AbstractContextManager[SqliteStore]]


class Kept:
    """A file whose clock is set by hand: points are kept for a day, 5 minutes for ten days, hours for a hundred."""

    def __init__(self, path: Path) -> None:
        self._path = path / "metrics.sqlite"
        self.now = NOON

    @contextmanager
    def opened(self) -> Iterator[SqliteStore]:
        made = tiers("any", 10, 100)
        with closing(SqliteStore(self._path, retention=DAY, tiers=made, clock=lambda: self.now)) as store:
            store._kept_up = time.monotonic()  # nothing but what the test asks for
            yield store

    @contextmanager
    def killed(self) -> Iterator[SqliteStore]:
        """One that ends without being closed."""
        with self.opened() as store:
            yield store
            store._wrote = False

    def asked(self, start: datetime, seconds: float = 3600.0, of: str = "n") -> list[Bucket]:
        with self.opened() as store:
            return store.aggregate("lineage_topic", of, start, self.now, window_seconds=seconds, aggregation="sum")

    def copied(self) -> list[tuple[int, float]]:
        """Width in seconds and sum of each copy."""
        with closing(sqlite3.connect(self._path)) as plain:
            return plain.execute(
                "SELECT window, json_extract(fields, '$.n[1]') FROM copy ORDER BY window, time"
            ).fetchall()


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def point(at: datetime, n: float, **more: bool | str) -> Point:
    return Point("lineage_topic", {"topic": "t"}, {"n": n, **more}, at)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_windows_are_copied_when_they_are_over_and_kept_for_longer(kept: Kept) -> None:
    with kept.opened() as store:
        store.write([point(at(0), 1), point(at(2), 2, empty=True, decoder="X"), point(at(61), 4)])
        kept.now = at(62)
        store.keep_up()
        assert kept.copied() == [(300, 3.0), (3600, 3.0)]
        kept.now = at(130)
        store.keep_up()
        assert kept.copied() == [(300, 3.0), (300, 4.0), (3600, 3.0), (3600, 4.0)]
        kept.now = NOON + 2 * DAY
        store.keep_up()
        assert store.range("lineage_topic", NOON, kept.now) == []
    assert [(each.time, each.value) for each in kept.asked(NOON)] == [(NOON, 3.0), (at(60), 4.0)]
    assert len(kept.asked(NOON, 300)) == 2
    assert kept.asked(NOON, of="empty") == kept.asked(NOON, of="decoder") == []
    kept.now = NOON + 20 * DAY
    with kept.opened() as store:
        store.keep_up()
    assert kept.copied() == [(3600, 3.0), (3600, 4.0)]
    kept.now = NOON + 200 * DAY
    with kept.opened() as store:
        store.keep_up()
    assert kept.copied() == []


def test_late_points_are_copied_however_late_they_are(kept: Kept) -> None:
    with kept.opened() as store:
        store.write([point(at(0), 1)])
        kept.now = at(600)
        store.keep_up()
        store.write([point(at(1), 10), point(at(500), 2)])
        store.keep_up()
        assert kept.copied() == [(300, 11.0), (300, 2.0), (3600, 11.0), (3600, 2.0)]


def test_a_copy_is_not_replaced_when_its_points_are_gone(kept: Kept) -> None:
    with kept.opened() as store:
        store.write([point(at(0), 1), point(at(1), 2)])
        kept.now = at(120)
        store.keep_up()
        kept.now = NOON + 3 * DAY
        store.keep_up()
        store.write([point(at(2), 50)])
        store.keep_up()
        assert kept.copied() == [(300, 3.0), (3600, 3.0)]


@pytest.mark.parametrize("ending", [Kept.opened, Kept.killed])
def test_late_points_of_one_series_are_copied_after_a_restart(kept: Kept, ending: Ending) -> None:
    behind = {"topic": "behind"}
    with ending(kept) as store:
        store.write([point(at(0), 1), point(at(595), 1)])
        kept.now = at(600)
        store.keep_up()
        store.write([Point("lineage_topic", behind, {"n": 7}, at(300))])
    with kept.opened() as store:
        store.keep_up()
        kept.now = NOON + 2 * DAY
        store.keep_up()
        found = store.aggregate(
            "lineage_topic", "n", NOON, kept.now, window_seconds=300, aggregation="sum", tags=behind
        )
    assert [(each.time, each.value) for each in found] == [(at(300), 7.0)]


def test_closing_copies_what_is_over(kept: Kept) -> None:
    with kept.opened() as store:
        store.write([point(at(0), 1), point(at(66), 2)])
        kept.now = at(69)
    assert kept.copied() == [(300, 1.0), (3600, 1.0)]


def test_closing_takes_no_longer_than_it_may(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_lineage.store.sqlite.CLOSE_SECONDS", -1.0)
    with kept.opened() as store:
        store.write([point(at(0), 1)])
        kept.now = at(70)
    assert kept.copied() == []
    with kept.opened() as store:
        store.keep_up()
    assert kept.copied() == [(300, 1.0), (3600, 1.0)]


def test_what_was_written_while_its_window_was_copied_is_copied_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kept.opened() as store, kept.opened() as other:
        store.write([point(at(0), 1)])
        kept.now = at(70)
        real = store._copies._put

        def put(made: list[tuple[int, int, int, str]]) -> None:
            monkeypatch.undo()  # once: a later write would have it copied again in any case
            real(made)
            other.write([point(at(1), 10)])

        monkeypatch.setattr(store._copies, "_put", put)
        store.keep_up()
        assert kept.copied() == [(300, 1.0), (3600, 11.0)]
        store.keep_up()
        assert kept.copied() == [(300, 11.0), (3600, 11.0)]
        with closing(sqlite3.connect(kept._path)) as plain:
            assert plain.execute("SELECT count(*) FROM due").fetchone() == (0,)


def test_what_an_earlier_version_has_not_copied_is_copied(kept: Kept) -> None:
    with kept.killed() as store:
        store.write([point(at(0), 1), point(at(595), 1)])
        kept.now = at(600)
        store.keep_up()
        store.write([Point("lineage_topic", {"topic": "behind"}, {"n": 7}, at(300))])
    with closing(sqlite3.connect(kept._path)) as old:
        old.executescript("DROP TABLE due; PRAGMA user_version = 2")
    with kept.opened() as store:
        store.keep_up()
    assert (300, 7.0) in kept.copied()


@pytest.mark.parametrize("ending", [Kept.opened, Kept.killed])
def test_what_a_process_has_not_copied_the_next_one_does(kept: Kept, ending: Ending) -> None:
    with ending(kept) as store:
        store.write([point(at(0), 1)])
        kept.now = at(70)
        store.keep_up()
        store.write([point(at(66), 2)])
    kept.now = at(300)
    with kept.opened() as store:
        store.keep_up()
    assert kept.copied() == [(300, 1.0), (300, 2.0), (3600, 1.0), (3600, 2.0)]


def test_a_file_of_an_earlier_version_is_taken_on(kept: Kept) -> None:
    with closing(sqlite3.connect(kept._path)) as old:
        old.executescript(_SCHEMA + "PRAGMA user_version = 1")
    with kept.opened() as store:
        store.write([point(at(0), 1)])
    with kept.opened() as store:
        kept.now = at(70)
        store.keep_up()
    assert kept.copied() == [(300, 1.0), (3600, 1.0)]


def test_what_cannot_be_copied_now_is_copied_later(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_lineage.store.sqlite.BUSY_SECONDS", 0.01)
    with kept.opened() as store, closing(sqlite3.connect(kept._path, isolation_level=None)) as other:
        store.write([point(at(0), 1)])
        kept.now = at(70)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConnectionFailed):
            store.keep_up()
        other.execute("ROLLBACK")
        assert kept.copied() == []
        store.keep_up()
        assert kept.copied() == [(300, 1.0), (3600, 1.0)]


def test_writing_keeps_up_by_itself(kept: Kept) -> None:
    with kept.opened() as store:
        store._kept_up = -1e9
        kept.now = at(70)
        store.write([point(at(0), 1)])
        until = time.monotonic() + WAIT_SECONDS
        while len(kept.copied()) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
