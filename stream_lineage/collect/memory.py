"""How much memory this process holds, and what is done when it is too much.

What a broker sends may unpack to a thousand times its size, inside the Kafka client, where nothing of ours can stop it:
gzip and lz4 know no bound in librdkafka (2.12). So the process is watched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

_LOOK_SECONDS = 0.02
_STATM = Path("/proc/self/statm")
_PR_SET_DUMPABLE = 4
MEBIBYTE = 1024 * 1024
_RESTARTS = "_STREAM_LINEAGE_MEMORY_RESTARTS"  # no setting: those have no underscore before them


def resident_bytes() -> int | None:
    """What this process holds in memory; null where the platform does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * resource.getpagesize()
    except OSError:
        return None


class MemoryWatch:
    """Looks fifty times a second. ``on_exceeded`` is called once, in the watching thread.

    With ``limit_mb`` of 0, and where the platform does not say, nothing is watched.
    """

    def __init__(
        self,
        limit_mb: int,
        on_exceeded: Callable[[int], None],
        *,
        resident: Callable[[], int | None] = resident_bytes,
    ) -> None:
        self._limit = limit_mb * MEBIBYTE
        self._on_exceeded = on_exceeded
        self._resident = resident
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-watch", daemon=True)
        self.tight = False
        """Whether half of the limit is taken: what was fetched ahead is better given up."""

    def start(self) -> None:
        if self._limit and self._resident() is not None:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            held = self._resident() or 0
            self.tight = held > self._limit // 2
            if held > self._limit:
                self._on_exceeded(held)
                return


def restarts() -> int:
    """How often this process has been started again for its memory."""
    return int(os.environ.get(_RESTARTS, "0"))


def start_again(*, for_memory: bool = True) -> NoReturn:
    """Replace this process by itself as it was started, with its id and without its memory.

    What it holds open is closed by that, as by a kill: nothing that is not committed counts.
    """
    if for_memory:
        os.environ[_RESTARTS] = str(restarts() + 1)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  (no shell is wanted)


def limit_memory(megabytes: int) -> None:
    """Bound what this process may add to what it holds now. Where the platform cannot, it is not bounded."""
    with contextlib.suppress(ValueError, OSError):
        held = int(_STATM.read_bytes().split()[5]) * resource.getpagesize()
        limit = held + megabytes * MEBIBYTE
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def no_core_dumps() -> None:
    """A core dump of this process would hold payloads. Where a program collects them, the limit alone is no help."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
