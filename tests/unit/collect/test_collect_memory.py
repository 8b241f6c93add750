"""If this failed, a process that takes too much memory would go on, or one that does not would be replaced."""

from __future__ import annotations

import mmap
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from stream_lineage.collect.memory import MEBIBYTE, MemoryWatch, resident_bytes

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="told by /proc")


def watched(limit_mb: int, resident: Callable[[], int | None]) -> tuple[MemoryWatch, list[int], threading.Event]:
    seen: list[int] = []
    called = threading.Event()

    def on_exceeded(held: int) -> None:
        seen.append(held)
        called.set()

    watch = MemoryWatch(limit_mb, on_exceeded, resident=resident)
    watch.start()
    return watch, seen, called


def test_it_is_called_once_when_there_is_too_much() -> None:
    held = iter([10, 10, 40, 60, 90, 101, *[200] * 1_000])
    watch, seen, called = watched(100, lambda: next(held) * MEBIBYTE)
    assert called.wait(10)
    watch.stop()
    assert seen == [101 * MEBIBYTE]
    assert watch.tight


def test_it_is_tight_above_the_half_and_not_below() -> None:
    now = [10]
    looked = threading.Semaphore(0)

    def resident() -> int:
        looked.release()
        return now[0] * MEBIBYTE

    watch, seen, _ = watched(100, resident)
    tight = []
    for held in (50, 51, 99, 20):
        now[0] = held
        while looked.acquire(blocking=False):
            pass
        assert looked.acquire(timeout=10)
        assert looked.acquire(timeout=10)  # the look before this one has been judged
        tight.append(watch.tight)
    watch.stop()
    assert tight == [False, True, True, False]
    assert seen == []


@pytest.mark.parametrize(
    ("limit", "resident"), [(0, lambda: 10**15), (100, lambda: None)], ids=["no limit", "not told"]
)
def test_nothing_is_watched(limit: int, resident: Callable[[], int | None]) -> None:
    watch, seen, called = watched(limit, resident)
    assert not called.wait(0.1)
    watch.stop()
    assert (seen, watch.tight) == ([], False)


@LINUX
def test_what_is_held_is_told() -> None:
    before = resident_bytes()
    # Not from the heap, which may hold as much that other tests have freed.
    with mmap.mmap(-1, 64 * MEBIBYTE) as block:
        for place in range(0, len(block), mmap.PAGESIZE):
            block[place] = 1
        after = resident_bytes()
    assert before is not None
    assert after is not None
    assert after - before > 32 * MEBIBYTE


@LINUX
def test_a_process_is_replaced_by_itself() -> None:
    """With its id, its arguments and its environment, as often as need be."""
    program = (
        "import os, sys\n"
        "from stream_lineage.collect import memory\n"
        "print(os.getpid(), memory.restarts(), sys.argv[1:])\n"
        "if memory.restarts() < 2: memory.start_again()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "a b"], capture_output=True, text=True, check=True, timeout=60
    )
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert len({pid for pid, _ in lines}) == 1
    assert [rest for _, rest in lines] == ["0 ['a b']", "1 ['a b']", "2 ['a b']"]


@LINUX
def test_a_process_that_reads_payloads_leaves_no_core_dump() -> None:
    program = (
        "import ctypes, resource\n"
        "from stream_lineage.collect.memory import no_core_dumps\n"
        "no_core_dumps()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "(0, 0) 0"
