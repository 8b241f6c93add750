"""The name of this collector, the same after a restart."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path
from types import TracebackType
from typing import IO

from stream_lineage.errors import SettingsError

_SLOTS = 64


class InstanceName:
    """A configured name, or the host's name with the lowest number that no other collector on this machine holds.

    The number is held by a lock on a file in the state directory, which the system frees when the process ends in
    whatever way. A name that comes back lets the new process end the transaction that the old one left open.
    """

    def __init__(self, configured: str | None, state_dir: Path, group_id: str) -> None:
        self._lock: IO[str] | None = None
        self.static = configured is not None
        self.value = configured if configured is not None else self._claimed(state_dir, group_id)

    def _claimed(self, state_dir: Path, group_id: str) -> str:
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            for slot in range(_SLOTS):
                lock = (state_dir / f"collector-{_safe(group_id)}-{slot}.lock").open("w")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    lock.close()
                    continue
                self._lock = lock
                return f"{socket.gethostname()}-{slot}"
        except OSError as error:
            raise SettingsError(
                f"the state directory {state_dir} cannot be written: {error.strerror}",
                hint="set state_dir to a directory that may be written, or give each collector an instance_id",
            ) from error
        raise SettingsError(f"more than {_SLOTS} collectors run on this machine", hint="give each an instance_id")

    def __enter__(self) -> InstanceName:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _safe(name: str) -> str:
    return "".join(character if character.isalnum() or character in "._-" else "_" for character in name)[:100]
