"""Readers of the provenance index, one for each thread that asks just now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stream_lineage.errors import IndexUnusable, NotFound
from stream_lineage.index.reader import ProvenanceIndex

MOST = 6
"""Readers. Each may take tens of megabytes for what it has read."""


class IndexPool:
    """``open`` from any thread; those that find no reader free wait."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        self._path = path
        self._places = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._free: list[ProvenanceIndex] = []

    @contextmanager
    def open(self) -> Iterator[ProvenanceIndex]:
        """A reader that sees one state of the index.

        Raises:
            IndexUnusable: there is no index, or it cannot be used.
        """
        with self._places:
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

    def close(self) -> None:
        with self._lock:
            free, self._free = self._free, []
        for index in free:
            index.close()

    def _back(self, index: ProvenanceIndex) -> None:
        with self._lock:
            self._free.append(index)
