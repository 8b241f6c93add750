"""A store on this machine's disk that may be full: what writes stands still until there is room, and loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

from stream_lineage.errors import ConnectionFailed
from stream_lineage.logs import get_logger
from stream_lineage.store.around import StoreAround
from stream_lineage.store.health import Health
from stream_lineage.store.ports import MetricStore, Point

DISK_SECONDS = 1.0
"""How long to wait before a disk that was full is tried again."""
_log = get_logger("stream_lineage.store")


class DiskFull(ConnectionFailed):
    """There is no room for what is to be written."""


class PausingStore(StoreAround):
    """While there is no room ``write`` waits, and ``health`` says that the store is not ready. ``close`` ends the
    waiting. Reading asks the store inside."""

    def __init__(self, store: MetricStore, *, seconds: float = DISK_SECONDS) -> None:
        super().__init__(store)
        self._seconds = seconds
        self._closing = threading.Event()
        self._trouble = ""

    def write(self, points: Iterable[Point]) -> None:
        written = list(points)
        while not self._closing.is_set():
            try:
                self._store.write(written)
            except DiskFull as error:
                if not self._trouble:
                    _log.error("metrics are at a standstill until there is room on the disk", reason=error.message)
                self._trouble = error.message
                self._closing.wait(self._seconds)
            else:
                if self._trouble:
                    _log.info("metrics are written again")
                    self._trouble = ""
                return
        raise ConnectionFailed("the metric store is closed")

    def health(self) -> Health:
        if not self._trouble:
            return self._store.health()
        return replace(self._store.health(), ready=False, trouble=self._trouble)

    def close(self) -> None:
        self._closing.set()
        self._store.close()
