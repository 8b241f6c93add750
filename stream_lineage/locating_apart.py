"""First bad records looked for in a process of its own: whoever goes on meanwhile shares neither its memory, nor the
interpreter, nor what becomes of it where a record is hostile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from stream_lineage.errors import NotFound, SettingsError, StreamLineageError, WorkerLost
from stream_lineage.explain.spots import Spot
from stream_lineage.settings import Settings
from stream_lineage.wire.revealed import revealed

SECONDS = 90
MEMORY_MB = 512
"""Beyond what the process has with the graph: what the client unpacks knows no bound, and who started us has to go
on."""
TOO_MUCH = 77
"""Exit status for too much memory."""
_SECTIONS = ("kafka", "registry", "collect", "agents", "store")


class LocatingApart:
    """May be called from any thread; returns what ``Located.document`` has. ``close`` ends what is under way."""

    def __init__(self, settings: Settings) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._settings = settings

    def close(self) -> None:
        self._closed = True
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def __call__(self, spots: Sequence[Spot]) -> dict[str, Any]:
        """Look there.

        Raises:
            WorkerLost: it took too long, or ended without an answer.
        """
        if self._closed:
            raise WorkerLost("the service ends")
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "stream_lineage.locating_apart"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            said, _ = process.communicate(request_of(self._settings, spots), timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise WorkerLost(f"it took longer than {SECONDS} s") from None
        if process.returncode == TOO_MUCH:
            raise WorkerLost(f"what was read took more than {MEMORY_MB} MiB of memory")
        if process.returncode or not said:
            raise WorkerLost(f"the process that looks for them ended with {process.returncode}")
        found: dict[str, Any] = orjson.loads(said)
        return found


def request_of(settings: Settings, spots: Sequence[Spot]) -> bytes:
    """What the process is sent: the settings with their secrets, through a pipe of ours."""
    sections = {name: revealed(getattr(settings, name).model_dump()) for name in _SECTIONS}
    return orjson.dumps({"settings": sections, "spots": [asdict(each) for each in spots]}, default=str)


def main() -> None:
    """Read a request from stdin, write the answer to stdout."""
    from stream_lineage.collect.memory import MEBIBYTE, MemoryWatch, no_core_dumps, resident_bytes
    from stream_lineage.graphing import lineage_graph
    from stream_lineage.locating import located

    signal.alarm(SECONDS)  # nobody may be left to end us
    no_core_dumps()
    request = orjson.loads(sys.stdin.buffer.read())
    settings = Settings.model_validate(request["settings"])
    try:
        try:
            graph = lineage_graph(settings)
        except (NotFound, SettingsError):  # there is none, or we may not read it
            graph = None
        held = (resident_bytes() or 0) // MEBIBYTE
        MemoryWatch(held + MEMORY_MB, lambda _: os._exit(TOO_MUCH)).start()
        answer = located(settings, [Spot(**each) for each in request["spots"]], graph).document()
    except StreamLineageError as error:
        from stream_lineage.explain.located import unlocated

        answer = unlocated(error.message)
    sys.stdout.buffer.write(orjson.dumps(answer))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
