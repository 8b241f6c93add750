"""If this failed, a full disk or a second process on the machine would lose metrics, or end the agents."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream_lineage.errors import ConnectionFailed
from stream_lineage.store.influx_api import Answer
from stream_lineage.store.outbox import Outbox
from stream_lineage.store.outbox_store import OutboxStore, Slot, take_over
from stream_lineage.store.ports import Point
from stream_lineage.testing.stores import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAIT_SECONDS = 60.0


def opened(path: Path) -> Outbox:
    return Outbox(path, max_bytes=1 << 30, max_age_seconds=3600)


def point(n: int) -> Point:
    return Point("m", {"t": str(n)}, {"n": n}, NOON)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Full:
    """An outbox on a disk that is full until it is not."""

    def __init__(self, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = True
        self.tried = 0
        real = outbox.append

        def append(lines: Iterable[bytes]) -> None:
            self.tried += 1
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(lines)

        monkeypatch.setattr(outbox, "append", append)


def test_a_full_disk_is_waited_for_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[bytes] = []

    def take(body: bytes) -> Answer:
        arrived.extend(body.split(b"\n"))
        return Answer(204, "")

    outbox = opened(tmp_path)
    disk = Full(outbox, monkeypatch)
    store = OutboxStore(MemoryStore(), outbox, take)
    writing = threading.Thread(target=store.write, args=([point(n) for n in range(10)],))
    writing.start()
    until(lambda: disk.tried >= 2)
    assert writing.is_alive()
    assert not store.health().ready
    assert "No space left" in store.health().trouble
    disk.full = False
    writing.join(WAIT_SECONDS)
    assert store.health().ready
    assert store.drained(WAIT_SECONDS)
    assert len(set(arrived)) == 10
    assert (store.health().trouble, store.health().sent) == ("", 10)
    store.close()


def test_closing_ends_the_waiting_for_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = opened(tmp_path)
    disk = Full(outbox, monkeypatch)
    store = OutboxStore(MemoryStore(), outbox, lambda _: Answer(204, ""))
    raised: list[Exception] = []

    def write() -> None:
        try:
            store.write([point(1)])
        except ConnectionFailed as error:
            raised.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    until(lambda: disk.tried >= 1)
    store.close()
    writing.join(WAIT_SECONDS)
    assert len(raised) == 1


def test_what_cannot_be_sent_is_there_the_next_time(tmp_path: Path) -> None:
    store = OutboxStore(MemoryStore(), opened(tmp_path), lambda _: Answer(503, "busy"))
    store.write([point(1)])
    assert store.health().waiting == 1
    assert store.health().ready
    store.close()
    arrived: list[bytes] = []

    def take(body: bytes) -> Answer:
        arrived.append(body)
        return Answer(204, "")

    store = OutboxStore(MemoryStore(), opened(tmp_path), take)
    assert store.drained(WAIT_SECONDS)
    store.close()
    assert [body.split(b" ")[0] for body in arrived] == [b"m,t=1"]


def test_two_processes_do_not_share_a_directory_and_none_is_left_behind(tmp_path: Path) -> None:
    one, two = Slot(tmp_path), Slot(tmp_path)
    assert one.directory != two.directory
    for slot, n in ((one, 1), (two, 2)):
        outbox = opened(slot.directory)
        outbox.append([b"m n=%d 1" % n])
        outbox.close()
    three = Slot(tmp_path)
    own = opened(three.directory)
    take_over(tmp_path, three, own)
    assert own.waiting == 0  # both are alive
    one.close()
    two.close()
    take_over(tmp_path, three, own)
    assert own.waiting == 2
    own.close()
    three.close()
    again = Slot(tmp_path)
    assert again.directory == three.directory  # what holds points is taken first
    again.close()


def test_an_outbox_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConnectionFailed, match="outbox"):
        Slot(tmp_path / "file" / "outbox")
