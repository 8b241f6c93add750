"""Readers of the provenance index, one for each thread that asks just now, and one for the event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_lineage.errors import IndexUnusable, NotFound, Overloaded
from stream_lineage.index.file import BUSY_SECONDS
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.serve.ports import TakesLonger

MOST = 6
"""Readers. Each may take tens of megabytes for what it has read."""
WAIT_SECONDS = 10.0
"""For a reader, until somebody is told to come again."""
_STEPS = 1_000
"""Steps of SQLite's machine between looks at how many there have been."""
_MOST_LOOKS = 20
"""For all that is asked at once: a millisecond or two."""


class IndexPool:
    """``open`` from any thread; those that find no reader free wait, but not for long."""

    def __init__(self, path: Path, most: int = MOST, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._free: list[ProvenanceIndex] = []
        self._hasty: ProvenanceIndex | None = None
        self._looks = 0
        self._closed = False

    @contextmanager
    def open(self) -> Iterator[ProvenanceIndex]:
        """A reader that sees one state of the index.

        Raises:
            IndexUnusable: there is no index, or it cannot be used.
            Overloaded: no reader became free in time.
        """
        if not self._places.acquire(timeout=self._wait_seconds):
            raise Overloaded("too many ask the index at once", hint="Ask again in a while.")
        try:
            with self._lock:
                index = self._free.pop() if self._free else None
            try:
                index = index or ProvenanceIndex(self._path)
            except NotFound as error:
                raise IndexUnusable(error.message, hint=error.hint) from error
            try:
                with index.snapshot():
                    yield index
            except IndexUnusable:
                index.close()  # another file may be there by now
                raise
            except BaseException:
                self._back(index)
                raise
            self._back(index)
        finally:
            self._places.release()

    @contextmanager
    def open_at_once(self) -> Iterator[ProvenanceIndex]:
        """A reader for one thread, always the same, that waits for nobody and leaves what is long to others.

        Raises:
            TakesLonger: there is none yet, or a query would take long; or the index cannot be used.
        """
        index = self._hasty
        if index is None:
            raise TakesLonger  # whoever asks in a thread then leaves one here
        self._looks = 0
        try:
            with index.snapshot():
                yield index
        except IndexUnusable as error:
            self._hasty = None
            if getattr(error.__cause__, "sqlite_errorname", None) == "SQLITE_INTERRUPT":
                self._in_no_haste(index)
            else:
                index.close()  # another file may be there by now
            raise TakesLonger from error

    def usable(self) -> bool:
        """Whether the index can be read; asks with a reader beside the others, so that it waits for nobody."""
        try:
            with ProvenanceIndex(self._path) as index, index.snapshot():
                return True
        except (NotFound, IndexUnusable):
            return False

    def close(self) -> None:
        with self._lock:
            free, self._free = self._free, []
            if self._hasty is not None:
                free.append(self._hasty)
            self._hasty, self._closed = None, True
        for index in free:
            index.close()

    def _in_no_haste(self, index: ProvenanceIndex) -> None:
        """The next who asks in a thread gets this one, and leaves it here again with all names that it has read, which
        of very many partitions takes too long at once."""
        index.connection.set_progress_handler(None, 0)
        index.connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        with self._lock:
            self._free.append(index)

    def _too_long(self) -> bool:
        self._looks += 1
        return self._looks > _MOST_LOOKS

    def _back(self, index: ProvenanceIndex) -> None:
        with self._lock:
            if self._hasty is None and not self._closed:
                index.connection.execute("PRAGMA busy_timeout = 0")
                index.connection.set_progress_handler(self._too_long, _STEPS)
                self._hasty = index
            else:
                self._free.append(index)
