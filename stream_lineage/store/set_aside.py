"""Lines on which a store fails, each alone, while it takes others: kept in a file, to be looked at and sent again."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "set-aside.lines"
MAX_BYTES = 64 * 1024 * 1024


class SetAside:
    """Line protocol in ``set-aside.lines`` of a directory, 64 MiB at most."""

    def __init__(self, directory: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = directory / NAME
        self._max_bytes = max_bytes

    def put(self, line: bytes) -> bool:
        """Whether there was room for it. When it returns true the line is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size + len(line) + 1 > self._max_bytes:
                return False
            os.write(handle, line + b"\n")
            os.fdatasync(handle)
        finally:
            os.close(handle)
        return True
