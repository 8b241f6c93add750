"""Runs one server as a child and ends it when whoever asked for it is gone.

This file is a program, started by path with ``python -I -S``: it imports the standard library only, so that it costs
some ten megabytes and starts in tens of milliseconds. ``process.py`` is the side that talks to it.

    supervisor.py PARENT_PID GRACE_SECONDS REMOVE COMMAND...

It writes the server's pid and a line feed to standard output, then obeys letters on standard input and writes each back
when it is done: ``T`` terminate, ``K`` kill and wait, ``S`` stop (SIGSTOP), ``C`` continue. When the server exits, so
does the supervisor, with its exit code (128 plus the signal's number if a signal ended it).

The end of standard input says that the parent let go or died, however it died. A process that the parent forked without
exec may still hold the pipe open, so the parent's pid is watched as well. Then the server is terminated, killed after
GRACE_SECONDS, and the directory REMOVE ("" for none) is deleted. Should the supervisor itself be killed, Linux kills
the server by its parent-death signal.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_SECONDS = 0.5
_COMMANDS = {b"T": signal.SIGTERM, b"K": signal.SIGKILL, b"S": signal.SIGSTOP, b"C": signal.SIGCONT}


def _die_with_me() -> Callable[[], None] | None:
    """What the child calls between fork and exec, so that it dies with this process; only Linux has this."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class _Supervisor:
    def __init__(self, parent_pid: int, grace_seconds: float, remove: str, command: list[str]) -> None:
        self._parent_pid = parent_pid
        self._grace_seconds = grace_seconds
        self._remove = remove
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._asked_to_end = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the loop
        # Its own process group: signals reach all of the server's processes, and a terminal's Ctrl-C none of them.
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            process_group=0,
            preexec_fn=_die_with_me(),  # noqa: PLW1509 - this program has one thread
        )

    def _on_end(self, *_: object) -> None:
        self._asked_to_end = True

    @staticmethod
    def _report(text: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent is gone: standard input will say so
            os.write(1, text)

    def _signal(self, number: int) -> None:
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    def run(self) -> int:
        self._report(f"{self._child.pid}\n".encode())
        while self._child.poll() is None:
            readable, _, _ = select.select([0, self._wake_read], [], [], _PARENT_CHECK_SECONDS)
            if self._wake_read in readable:
                os.read(self._wake_read, 512)
            commands = os.read(0, 64) if 0 in readable else None
            if commands == b"" or self._asked_to_end or os.getppid() != self._parent_pid:
                self._end()
                break
            for letter in commands or b"":
                self._signal(_COMMANDS[bytes([letter])])
                if letter == ord("K"):
                    self._child.wait()
                self._report(bytes([letter]))
        code = self._child.returncode
        return 128 - code if code < 0 else code

    def _end(self) -> None:
        """Nobody needs the server any more."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while self._child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        self._child.wait()
        if self._remove:
            shutil.rmtree(self._remove, ignore_errors=True)
            with contextlib.suppress(OSError):  # the last of several supervisors finds the parent directory empty
                Path(self._remove).parent.rmdir()


if __name__ == "__main__":
    sys.exit(_Supervisor(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]).run())
