"""Locks between processes, on files."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from stream_lineage.sandbox.identity import ProcessIdentity

_POLL_SECONDS = 0.1


class FileLock:
    """An exclusive lock that the system releases when its holder ends, however it ends.

    The file stays: deleting it would let a third process lock a new file of the same name beside the second.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int | None:
        """While it is held: the lock lasts until this and what other processes inherited of it is closed."""
        return self._descriptor

    def holder(self) -> ProcessIdentity | None:
        """The process that took it last; it may have ended."""
        try:
            pid, _, started = self.path.read_text(encoding="ascii").partition(" ")
            return ProcessIdentity(int(pid), started)
        except (OSError, ValueError):
            return None

    def try_acquire(self) -> bool:
        """Take it if nobody has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        if me := ProcessIdentity.of(os.getpid()):
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{me.pid} {me.started}".encode("ascii"))
        return True

    def acquire(self, on_wait: Callable[[], None] = lambda: None) -> None:
        """Take it, waiting as long as somebody has it; ``on_wait`` is called once if there is a wait."""
        if self.try_acquire():
            return
        on_wait()
        while not self.try_acquire():
            time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        """Give it back; nothing happens if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
