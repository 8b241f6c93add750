"""Telling a process from a later one with the same pid."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE, _START_TIME = 0, 19  # fields of /proc/PID/stat after the command's name
_ENDED = ("Z", "X")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid and when it was started, which together do not come again."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """None if no such process is running. One that has ended and waits for its parent is not."""
        started = _started_linux(pid) if sys.platform.startswith("linux") else _started_ps(pid)
        return None if started is None else cls(pid, started)

    @property
    def running(self) -> bool:
        return self.of(self.pid) == self


def _started_linux(pid: int) -> str | None:
    """Clock ticks since the system's start, and which start that was."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name may hold spaces and parentheses
    return None if fields[_STATE] in _ENDED else f"{boot}/{fields[_START_TIME]}"


def _started_ps(pid: int) -> str | None:
    """As ``ps`` of POSIX systems tells it, in seconds."""
    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split(maxsplit=1)
    return None if len(answer) < 2 or answer[0].startswith(_ENDED) else answer[1].strip()
