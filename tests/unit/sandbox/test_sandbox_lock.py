"""If this fails, two processes write into one cache, or two brokers into one data directory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_lineage.sandbox.child import module_environment
from stream_lineage.sandbox.lock import FileLock

_HOLD = """
import sys
from pathlib import Path
from stream_lineage.sandbox.lock import FileLock
assert FileLock(Path(sys.argv[1])).try_acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "file.lock"


def _holder(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _HOLD, str(path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=module_environment())
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    return child


def test_one_at_a_time(path: Path) -> None:
    first, second = FileLock(path), FileLock(path)
    assert first.try_acquire()
    assert not second.try_acquire()
    first.release()
    assert second.try_acquire()
    second.release()
    second.release()


def test_it_tells_who_holds_it(path: Path) -> None:
    assert FileLock(path).holder() is None
    with _holder(path) as child:
        holder = FileLock(path).holder()
        assert holder is not None
        assert holder.pid == child.pid
        assert holder.running
        child.communicate()
    assert not holder.running


def test_a_killed_holder_holds_nothing(path: Path) -> None:
    with _holder(path) as child:
        assert not FileLock(path).try_acquire()
        child.kill()
        child.wait()
        lock = FileLock(path)
        assert lock.try_acquire()
        lock.release()


def test_it_waits_for_its_turn_and_says_so_once(path: Path) -> None:
    waits: list[float] = []
    with _holder(path) as child:

        def waiting() -> None:
            waits.append(time.monotonic())
            child.communicate()  # lets the holder go

        lock = FileLock(path)
        lock.acquire(on_wait=waiting)
        lock.release()
    assert len(waits) == 1


def test_an_inherited_descriptor_keeps_it(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    assert lock.descriptor is not None
    heir = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.descriptor,), env=dict(os.environ)
    )
    lock.release()
    assert not FileLock(path).try_acquire()
    heir.communicate(b"\n")
    assert lock.try_acquire()
    lock.release()
