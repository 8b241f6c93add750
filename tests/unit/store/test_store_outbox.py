"""If this failed, points would be lost on the disk, or one damaged byte would take others with it."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.store.outbox import Outbox
from stream_lineage.store.outbox_record import encode_record

HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def opened(path: Path, clock: Any = None, **changed: Any) -> Outbox:
    given = {"max_bytes": 1 << 30, "max_age_seconds": HOUR, **({"clock": clock} if clock else {})}
    return Outbox(path, **{**given, **changed})


def taken(outbox: Outbox, *, max_bytes: int = 1_000_000) -> list[bytes]:
    """All that is in it, in the order in which it is sent."""
    found: list[bytes] = []
    while True:
        live = outbox.live(max_bytes, 2.0)
        if live is not None:
            found += live.lines
            outbox.sent(live)
        old = outbox.backlog(max_bytes)
        if old is not None:
            found += old.lines
            outbox.sent(old)
        if live is None and old is None:
            return found


def both(outbox: Outbox, live_bytes: int) -> tuple[list[bytes], list[bytes]]:
    """What is live and what is backlog."""
    live, old = outbox.live(live_bytes, 2.0), outbox.backlog(1_000_000)
    return live.lines if live else [], old.lines if old else []


def files(path: Path) -> list[Path]:
    return sorted(path.glob("*.log"))


def lines(*numbers: int) -> list[bytes]:
    return [b"m,t=%d n=%d 1" % (n, n) for n in numbers]


def test_what_was_put_in_comes_out_once(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as outbox:
        outbox.append([])
        assert outbox.empty
        outbox.append(lines(1, 2))
        outbox.append(lines(3))
        assert (outbox.waiting, outbox.empty) == (3, False)
        assert taken(outbox) == lines(1, 2, 3)
        assert (outbox.waiting, outbox.empty, outbox.oldest_seconds) == (0, True, 0.0)
        assert taken(outbox) == []


def test_what_has_not_arrived_is_there_after_a_crash(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.append(lines(*range(50)))
    # It is not closed: a crash.
    with closing(opened(tmp_path)) as second:
        assert second.waiting == 50
        second.append(lines(50))
        # What comes now goes first.
        assert taken(second) == [*lines(50), *lines(*range(50))]
    with closing(opened(tmp_path)) as third:
        assert taken(third) == []
        third.append(lines(51))
        assert taken(third) == lines(51)
    first.close()


def test_what_waits_becomes_backlog_behind_what_comes(tmp_path: Path) -> None:
    clock = Clock()
    with closing(opened(tmp_path, clock)) as outbox:
        for n in range(5):
            outbox.append(lines(n))
        clock.now += 1.9
        assert both(outbox, 1000) == (lines(*range(5)), [])
        clock.now += 0.6
        # All of it is one batch: it is still first.
        assert both(outbox, 1000) == (lines(*range(5)), [])
        assert both(outbox, 30) == (lines(3, 4), lines(0, 1, 2))
        outbox.append(lines(5))
        assert both(outbox, 1) == (lines(5), lines(*range(5)))
        assert outbox.oldest_seconds == 2.5


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_one_damaged_bit_costs_one_record(data: st.DataObject) -> None:
    records = [lines(*range(n * 10, n * 10 + data.draw(st.integers(1, 4)))) for n in range(6)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        with closing(opened(path, segment_bytes=data.draw(st.sampled_from([100, 10_000])))) as outbox:
            for record in records:
                outbox.append(record)
        sizes = [len(encode_record(0, 0, 0, b"\n".join(record))) for record in records]
        bit = data.draw(st.integers(0, 8 * sum(sizes) - 1))
        byte = bit // 8
        for file in files(path):
            content = bytearray(file.read_bytes())
            if byte < len(content):
                content[byte] ^= 1 << bit % 8
                file.write_bytes(content)
                break
            byte -= len(content)
        hit = next(n for n in range(6) if bit // 8 < sum(sizes[: n + 1]))
        with closing(opened(path)) as outbox:
            outbox.append(lines(99))
            found = taken(outbox)
            assert sorted(found) == sorted(
                [line for n, record in enumerate(records) if n != hit for line in record] + lines(99)
            )
            assert outbox.damaged == 1
            assert outbox.empty


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400))
def test_a_file_that_is_cut_off_loses_what_was_cut(size: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        with closing(opened(path)) as outbox:
            for n in range(5):
                outbox.append(lines(n))
        [file] = files(path)
        whole = len(encode_record(0, 0, 0, lines(0)[0]))
        size = min(size, 5 * whole)
        os.truncate(file, size)
        for _ in range(2):  # and opening it again changes nothing
            with closing(opened(path)) as outbox:
                assert outbox.waiting == size // whole
        with closing(opened(path)) as outbox:
            outbox.append(lines(77))
            assert taken(outbox) == [*lines(77), *lines(*range(size // whole))]
            assert outbox.damaged == (1 if size % whole else 0)


def test_files_that_are_done_with_are_deleted(tmp_path: Path) -> None:
    with closing(opened(tmp_path, segment_bytes=200)) as outbox:
        for n in range(100):
            outbox.append(lines(n))
        assert len(files(tmp_path)) > 10
        assert taken(outbox, max_bytes=50) == lines(*range(100))
        assert len(files(tmp_path)) == 1
        assert outbox.size < 500


def test_beyond_its_size_the_oldest_are_dropped_and_counted(tmp_path: Path) -> None:
    with closing(opened(tmp_path, max_bytes=4000, segment_bytes=500)) as outbox:
        for n in range(500):
            outbox.append(lines(n))
            assert sum(file.stat().st_size for file in files(tmp_path)) <= 4500
        kept = taken(outbox)
        assert kept == lines(*range(500 - len(kept), 500))
        assert 20 < len(kept) < 500
        assert outbox.dropped == 500 - len(kept)
        assert outbox.empty


def test_what_is_too_old_is_dropped_and_counted(tmp_path: Path) -> None:
    clock = Clock()
    with closing(opened(tmp_path, clock, segment_bytes=100)) as outbox:
        outbox.append(lines(1, 2))
        outbox.append(lines(3))
        clock.now += HOUR + 1
        outbox.append(lines(4))
        assert taken(outbox) == lines(4)
        assert outbox.dropped == 3


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, int | None]:
    """A disk that takes so many bytes more, and then none."""
    room: dict[str, int | None] = {"bytes": None}
    real = os.write

    def write(handle: int, data: Any) -> int:
        left = room["bytes"]
        if left is None:
            return real(handle, data)
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(handle, bytes(data)[: min(left, len(data))])
        room["bytes"] = left - written
        return written

    monkeypatch.setattr(os, "write", write)
    return room


@pytest.mark.parametrize("room", [0, 1, 39, 40, 60, 100])
def test_a_full_disk_takes_all_or_nothing(tmp_path: Path, disk: dict[str, int | None], room: int) -> None:
    with closing(opened(tmp_path)) as outbox:
        outbox.append(lines(1))
        for _ in range(3):
            disk["bytes"] = room
            with pytest.raises(OSError, match="No space"):
                outbox.append(lines(*range(2, 40)))
        disk["bytes"] = None
        assert outbox.waiting == 1
        outbox.append(lines(*range(2, 40)))
        assert outbox.waiting == 39
    with closing(opened(tmp_path)) as outbox:
        assert outbox.waiting == 39
        assert taken(outbox) == lines(*range(1, 40))
        assert outbox.damaged == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_happens_every_line_arrives(seed: int) -> None:
    chance, clock, arrived, put = random.Random(seed), Clock(), [], 0
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        outbox = opened(path, clock, segment_bytes=300)
        for _ in range(60):
            clock.now += chance.random()
            choice = chance.randrange(8)
            if choice < 4:
                count = chance.randrange(1, 6)
                outbox.append(lines(*range(put, put + count)))
                put += count
            elif choice < 7:
                wanted = chance.choice([1, 100, 10_000])
                batch = outbox.live(wanted, 2.0) if chance.random() < 0.5 else outbox.backlog(wanted)
                if batch is not None and chance.random() < 0.8:
                    arrived += batch.lines
                    outbox.sent(batch)
            else:
                if chance.random() < 0.5:
                    outbox.close()
                outbox = opened(path, clock, segment_bytes=300)
        arrived += taken(outbox)
        assert set(arrived) == set(lines(*range(put)))
        assert (outbox.damaged, outbox.dropped, outbox.waiting) == (0, 0, 0)
        outbox.close()


def test_a_note_that_is_damaged_means_that_all_is_sent_again(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as outbox:
        outbox.append(lines(1, 2))
        assert taken(outbox) == lines(1, 2)
    (tmp_path / "pending.json").write_text('{"live": ')
    with closing(opened(tmp_path)) as outbox:
        assert taken(outbox) == lines(1, 2)


def test_a_full_disk_has_room_again_when_what_is_there_has_arrived(tmp_path: Path, disk: dict[str, int | None]) -> None:
    with closing(opened(tmp_path)) as outbox:
        outbox.append(lines(*range(50)))
        disk["bytes"] = 100
        for _ in range(3):
            with pytest.raises(OSError, match="No space"):
                outbox.append(lines(*range(50, 99)))
        assert taken(outbox) == lines(*range(50))
        assert sum(file.stat().st_size for file in files(tmp_path)) == 0
        disk["bytes"] = None
        outbox.append(lines(*range(50, 99)))
        assert taken(outbox) == lines(*range(50, 99))
    with closing(opened(tmp_path)) as outbox:
        assert (outbox.waiting, outbox.damaged) == (0, 0)


def test_the_age_is_that_of_the_oldest_record_that_waits(tmp_path: Path) -> None:
    clock = Clock()
    with closing(opened(tmp_path, clock)) as outbox:
        outbox.append(lines(1))
        assert taken(outbox) == lines(1)
        clock.now += 100
        outbox.append(lines(2))
        clock.now += 3
        assert outbox.oldest_seconds == 3.0
