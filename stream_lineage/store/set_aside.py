"""Lines that a store refuses, and lines on which it fails, each alone, while it takes others: kept in files, to be
looked at and sent again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from stream_lineage.store.outbox import sync_directory

NAME, REFUSED = "set-aside.lines", "refused.lines"
MAX_BYTES = 64 * 1024 * 1024


class SetAside:
    """Line protocol in a file of a directory, 64 MiB at most."""

    def __init__(self, directory: Path, name: str = NAME, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = directory / name
        self._max_bytes = max_bytes

    def put(self, line: bytes) -> bool:
        """Whether there was room for it. When it returns true the line is on the disk.

        Raises:
            OSError: it cannot be written, and nothing of it is in the file.
        """
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(handle).st_size
            if size + len(line) + 1 > self._max_bytes:
                return False
            if size == 0:
                sync_directory(self.path.parent)
            elif os.pread(handle, 1, size - 1) != b"\n":  # the machine crashed within a line
                line = b"\n" + line
            try:
                rest = memoryview(line + b"\n")
                while rest:
                    rest = rest[os.write(handle, rest) :]
                os.fdatasync(handle)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)
        return True
