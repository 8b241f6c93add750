"""A store that may be away: points go into an outbox on the disk, and from there when it answers."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from stream_lineage.errors import ConnectionFailed
from stream_lineage.logs import get_logger
from stream_lineage.store.around import StoreAround
from stream_lineage.store.health import Health
from stream_lineage.store.line_protocol import lines
from stream_lineage.store.outbox import Outbox
from stream_lineage.store.ports import MetricStore, Point
from stream_lineage.store.sender import Destination, Sender
from stream_lineage.store.set_aside import SetAside

MAX_SLOTS = 64
CLOSE_SECONDS = 5.0
DISK_SECONDS = 1.0
"""How long to wait before a disk that was full is tried again."""
_TAKEN_AT_ONCE = 1_000_000
_log = get_logger("stream_lineage.store")


class OutboxStore(StoreAround):
    """``write`` returns when the points are on the disk. Reading asks the store itself, which may lag behind.

    While nothing can be written to the disk, ``write`` waits, and ``health`` says that the store is not ready: what
    calls stands still and loses nothing. ``close`` ends the waiting.
    """

    def __init__(
        self,
        store: MetricStore,
        outbox: Outbox,
        destination: Destination,
        slot: Slot | None = None,
        aside: SetAside | None = None,
        refusals: SetAside | None = None,
    ) -> None:
        super().__init__(store)
        self._outbox = outbox
        self._slot = slot
        self._sender = Sender(outbox, destination, aside, refusals)
        self._closing = threading.Event()
        self._disk = ""
        self._thread = threading.Thread(target=self._sender.run, name="outbox", daemon=True)
        self._thread.start()

    def write(self, points: Iterable[Point]) -> None:
        written = lines(points)
        if not written:
            return
        while True:
            if self._closing.is_set():
                raise ConnectionFailed("the metric store is closed")
            try:
                self._outbox.append(written)
            except OSError as error:
                self._pause(error)
            else:
                break
        if self._disk:
            _log.info("the outbox can be written again")
            self._disk = ""
        self._sender.wake()

    def drained(self, seconds: float) -> bool:
        """Wait until all points have arrived, so long at most; whether they have."""
        until = time.monotonic() + seconds
        while not self._outbox.empty:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def health(self) -> Health:
        outbox, sender = self._outbox, self._sender
        return Health(
            ready=not self._disk,
            trouble=self._disk or sender.trouble,
            waiting=outbox.waiting,
            waiting_bytes=0 if outbox.empty else outbox.size,
            oldest_seconds=outbox.oldest_seconds,
            sent=sender.sent,
            refused=sender.refused,
            set_aside=sender.set_aside,
            dropped=outbox.dropped,
            damaged=outbox.damaged,
        )

    def close(self) -> None:
        """Send what can be sent in a few seconds. The rest stays on the disk, for the next time."""
        self._closing.set()
        self._sender.stop()
        self._thread.join(CLOSE_SECONDS)
        self._outbox.close()
        self._store.close()
        if self._slot is not None:
            self._slot.close()

    def _pause(self, error: OSError) -> None:
        reason = f"the outbox cannot be written: {error.strerror or error}"
        if reason != self._disk:
            _log.error("metrics are at a standstill until the outbox can be written", reason=reason)
        self._disk = reason
        self._closing.wait(DISK_SECONDS)


class Slot:
    """A directory of one's own in a directory that several processes share, locked while the process lives.

    One that holds what a process before has left is taken first.

    Raises:
        ConnectionFailed: none can be had.
    """

    def __init__(self, root: Path) -> None:
        numbers = [f"{number:02d}" for number in range(MAX_SLOTS)]
        try:
            root.mkdir(parents=True, exist_ok=True)
            for number in sorted(numbers, key=lambda name: (not any((root / name).glob("*.log")), name)):
                directory = root / number
                directory.mkdir(exist_ok=True)
                handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(handle)
                    continue
                self.directory, self._handle = directory, handle
                return
        except OSError as error:
            raise ConnectionFailed(
                f"the outbox {root} cannot be made: {error.strerror}", hint="Check outbox_path and its permissions."
            ) from error
        raise ConnectionFailed(f"{MAX_SLOTS} processes use the outbox {root}", hint="Give others another outbox_path.")

    def close(self) -> None:
        os.close(self._handle)


def take_over(root: Path, own: Slot, outbox: Outbox) -> None:
    """Put what processes have left that are no more into ``outbox``.

    Raises:
        OSError: something cannot be read or written. What was left is still there.
    """
    for directory in sorted(each for each in root.iterdir() if each.is_dir() and each != own.directory):
        if not any(directory.glob("*.log")):
            continue
        handle = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            left = Outbox(directory, max_bytes=sys.maxsize, max_age_seconds=sys.maxsize)
            while (batch := left.backlog(_TAKEN_AT_ONCE)) is not None:
                outbox.append(batch.lines)
                left.sent(batch)
            outbox.damaged += left.damaged
            left.close()
            for path in directory.glob("*.log"):
                path.unlink()
        finally:
            os.close(handle)
