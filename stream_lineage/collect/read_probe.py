"""Finding the partitions that a reader does not survive: others read them first, and die of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stream_lineage.collect.probe_reader import TOO_MUCH
from stream_lineage.collect.progress import PartitionId
from stream_lineage.logs import get_logger
from stream_lineage.wire.revealed import revealed
from stream_lineage.wire.settings import KafkaSettings

_log = get_logger("stream_lineage.collect")
_ABORTED = -6
_KILLED = -9
ONE_BATCH: Mapping[str, int] = {"fetch.max.bytes": 1000, "message.max.bytes": 1000}
"""Settings of a consumer that is sent one batch at a time: brokers send no less."""
_NARROW: Mapping[str, str | int] = {
    **ONE_BATCH,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1024,
    "fetch.queue.backoff.ms": 5,
    "fetch.wait.max.ms": 50,
    "enable.partition.eof": "true",
    "auto.offset.reset": "error",
    "check.crcs": "true",
}


@dataclass(frozen=True, slots=True)
class ReadProbe:
    """Reads a piece of each partition in a process of its own. ``memory_mb`` is what that may take for it;
    ``overrides`` are those of the collector's own consumer that matter for what it survives."""

    settings: KafkaSettings
    group_id: str
    memory_mb: int
    overrides: Mapping[str, str | int | float | bool]

    def deadly(self, places: Iterable[tuple[PartitionId, int]], *, most_bytes: int, seconds: float) -> set[PartitionId]:
        """Of partitions and the offsets to read from, those that a reader does not survive.

        Args:
            places: partitions with the offset that is to be read next.
            most_bytes: how far each is read.
            seconds: when they are over, what has not been read yet is taken to be harmless.
        """
        left = list(places)
        found: set[PartitionId] = set()
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            status, index = self._run(left, most_bytes, deadline - time.monotonic())
            if status not in (TOO_MUCH, _ABORTED, _KILLED) or index is None:
                if status:
                    _log.warning("partitions cannot be tried out", status=status, left=len(left))
                break
            found.add(left[index][0])
            left = left[index + 1 :]
        return found

    def _run(
        self, places: list[tuple[PartitionId, int]], most_bytes: int, seconds: float
    ) -> tuple[int | None, int | None]:
        """How the process ended (null: it was not waited for any longer), and which partition it was at."""
        request = {
            "kafka": revealed(self.settings.model_dump()),
            "group_id": f"{self.group_id}.probe",
            "overrides": {**self.overrides, **_NARROW},
            "memory_mb": self.memory_mb,
            "partitions": [[topic, partition, offset] for (topic, partition), offset in places],
            "bytes": most_bytes,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_lineage.collect.probe_reader"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            said, _ = process.communicate(json.dumps(request), timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None, None
        lines = said.splitlines()
        return process.returncode, int(lines[-1].split()[0]) if lines else None


class Trial:
    """Tries one partition at a time in the background."""

    def __init__(self, probe: ReadProbe, *, most_bytes: int, seconds: float = 30.0) -> None:
        self._probe = probe
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._key: PartitionId | None = None
        self._thread: threading.Thread | None = None
        self._deadly = False

    @property
    def under_way(self) -> bool:
        return self._thread is not None

    def begin(self, key: PartitionId, offset: int) -> None:
        self._key = key
        self._thread = threading.Thread(target=self._run, args=(key, offset), name="read-probe", daemon=True)
        self._thread.start()

    def outcome(self) -> tuple[PartitionId, bool] | None:
        """Which partition was tried, and whether a reader dies of it; null while that is not known."""
        if self._thread is None or self._thread.is_alive() or self._key is None:
            return None
        self._thread = None
        return self._key, self._deadly

    def _run(self, key: PartitionId, offset: int) -> None:
        self._deadly = bool(self._probe.deadly([(key, offset)], most_bytes=self._most_bytes, seconds=self._seconds))
