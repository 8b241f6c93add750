"""Points on this machine's disk until they have arrived elsewhere: bounded, checked, and safe in a crash.

Files of records, oldest first, in one directory: ``<first sequence number>.log``. What has arrived is noted in
``pending.json`` from time to time: after a crash some records are sent again, which changes nothing. A file all of
whose records have arrived is deleted.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stream_lineage.store.outbox_record import body_of, encode_record, heads
from stream_lineage.store.pending import Pending

SEGMENT_BYTES = 8 * 1024 * 1024
RECORD_BYTES = 128 * 1024
"""Of a body. Larger: less on the disk beside the lines; smaller: less is lost with a damaged record."""
NOTE_SECONDS = 1.0
MAX_RECENT = 4096
"""Records that may be live at a time; of more, the last ones are."""
_SUFFIX = ".log"


@dataclass(slots=True)
class _Segment:
    """A file. ``end`` is the sequence number after its last record; ``points`` have not arrived, as far as is known."""

    path: Path
    first: int
    end: int
    bytes: int = 0
    points: int = 0
    oldest_ms: int | None = None
    newest_ms: int = 0


class _Recent(NamedTuple):
    """A record that came just now; ``size`` is that of its body."""

    sequence: int
    at_ms: int
    size: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Records ``[first, end)`` that are to be sent; those of them that are damaged are left out."""

    first: int
    end: int
    lines: list[bytes]
    points: int
    damaged: int


class Outbox:
    """One directory, used by one process. Thread-safe; one thread sends.

    Args:
        max_bytes: of all files. Beyond it the oldest are dropped, and counted.
        max_age_seconds: files all of whose records are older are dropped, and counted.
        clock: seconds since the epoch.

    Raises:
        OSError: the directory cannot be made or read.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        max_age_seconds: float,
        segment_bytes: int = SEGMENT_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._segment_bytes = min(segment_bytes, max(1, max_bytes // 4))
        self._clock = clock
        self._lock = threading.RLock()
        self._noted = time.monotonic()
        self._file: int | None = None
        self._places: dict[int, int] = {}
        self._recent: deque[_Recent] = deque(maxlen=MAX_RECENT)
        self.dropped = 0
        self.damaged = 0
        directory.mkdir(parents=True, exist_ok=True)
        note = self._read_note()
        self._segments = self._found(note)
        self._pending = note or Pending(self._segments[0].first if self._segments else 0)
        self._next = max(self._segments[-1].end if self._segments else 0, self._pending.live)
        # What was there before goes behind what comes from now on.
        self._pending.fall_behind(self._next)

    def append(self, lines: Iterable[bytes]) -> None:
        """Put lines into the outbox, all or none. When it returns they are on the disk.

        Raises:
            OSError: they are not: the disk is full, for example. May be tried again.
        """
        now_ms = round(self._clock() * 1000)
        with self._lock:
            number, pieces, points = self._next, [], 0
            recent = []
            for count, body in _bodies(lines):
                pieces.append(encode_record(number, now_ms, count, body))
                recent.append(_Recent(number, now_ms, len(body)))
                number += 1
                points += count
            if not pieces:
                return
            current, file = self._open()
            data = b"".join(pieces)
            self._write(file, current.bytes, data)
            self._next = current.end = number
            self._recent += recent
            current.bytes += len(data)
            current.points += points
            current.newest_ms = now_ms
            current.oldest_ms = now_ms if current.oldest_ms is None else current.oldest_ms
            self._bound()

    def live(self, max_bytes: int, behind_seconds: float) -> Batch | None:
        """What has come just now. Where it has waited for so long and is more than one batch, all but the last batch of
        it becomes backlog."""
        with self._lock:
            self._expire()
            while self._recent and self._recent[0].sequence < self._pending.live:
                self._recent.popleft()
            if self._recent and self._recent[0].at_ms < (self._clock() - behind_seconds) * 1000:
                self._pending.fall_behind(self._last_batch(max_bytes))
            return self._read(self._pending.live, self._next, max_bytes)

    def backlog(self, max_bytes: int) -> Batch | None:
        """The oldest of what has waited for longer."""
        with self._lock:
            if not self._pending.backlog:
                return None
            first, end = self._pending.backlog[0]
            return self._read(first, end, max_bytes)

    def sent(self, batch: Batch) -> None:
        """A batch has arrived."""
        with self._lock:
            self._pending.sent(batch.first, batch.end)
            self.damaged += batch.damaged
            for segment in self._segments:
                if segment.first <= batch.first < segment.end:
                    segment.points -= batch.points
            self._places = {at: offset for at, offset in self._places.items() if self._pending.has(at)}
            self._delete_sent()
            if time.monotonic() - self._noted >= NOTE_SECONDS:
                self._note()

    @property
    def waiting(self) -> int:
        """Points that have not arrived."""
        with self._lock:
            return max(0, sum(segment.points for segment in self._segments))

    @property
    def size(self) -> int:
        with self._lock:
            return sum(segment.bytes for segment in self._segments)

    @property
    def oldest_seconds(self) -> float:
        """Age of the oldest record that has not arrived; of the file that it is in, where it is backlog."""
        with self._lock:
            first = self._pending.first
            if first >= self._next:
                return 0.0
            times = [each.at_ms for each in self._recent if each.sequence >= first]
            if not times or self._recent[0].sequence > first:
                times = [each.oldest_ms for each in self._segments if each.end > first and each.oldest_ms is not None]
            return max(0.0, self._clock() - min(times) / 1000) if times else 0.0

    @property
    def empty(self) -> bool:
        """Whether all has arrived."""
        with self._lock:
            return self._pending.first >= self._next

    def close(self) -> None:
        with self._lock:
            with contextlib.suppress(OSError):
                self._note()
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _found(self, note: Pending | None) -> list[_Segment]:
        """The files of an earlier process. A piece of a record at the end of one counts as a damaged record."""
        found: list[_Segment] = []
        for path in sorted(path for path in self._directory.glob("*" + _SUFFIX) if path.stem.isdigit()):
            status = path.stat()
            segment = _Segment(path, int(path.stem), int(path.stem), bytes=status.st_size)
            segment.newest_ms = round(status.st_mtime * 1000)
            last = 0
            with path.open("rb") as file:
                for head in heads(file, 0, segment.bytes):
                    segment.end, last = head.sequence + 1, head.end
                    segment.oldest_ms = head.at_ms if segment.oldest_ms is None else segment.oldest_ms
                    segment.newest_ms = head.at_ms
                    segment.points += head.points if note is None or note.has(head.sequence) else 0
            segment.end += segment.bytes > last
            if found:
                found[-1].end = min(found[-1].end, segment.first)
            found.append(segment)
        return found

    def _open(self) -> tuple[_Segment, int]:
        """The file that is written to, a new one where there is none or it is full."""
        current = self._segments[-1] if self._segments else None
        if self._file is not None and current is not None and current.bytes < self._segment_bytes:
            return current, self._file
        path = self._directory / f"{self._next:020d}{_SUFFIX}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            sync_directory(self._directory)
        except OSError:
            os.close(file)
            raise
        if self._file is not None:
            os.close(self._file)
        self._file = file
        if current is not None and current.first == self._next:  # made before, and then the disk was full
            return current, file
        current = _Segment(path, self._next, self._next)
        self._segments.append(current)
        self._places.pop(self._next, None)
        return current, file

    def _write(self, file: int, size: int, data: bytes) -> None:
        """Put data at the end of a file, which has this size."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fdatasync(file)
        except OSError:
            # Nothing of it may be read later: the caller believes that nothing was written.
            with contextlib.suppress(OSError):
                os.ftruncate(file, size)
            # The file is done with: it makes room as soon as what is in it has arrived.
            os.close(file)
            self._file = None
            raise

    def _read(self, first: int, end: int, max_bytes: int) -> Batch | None:
        """Records from ``first`` on that are in one file."""
        segment = next((each for each in self._segments if first < each.end and each.first < end), None)
        if segment is None:
            return None if first >= end else Batch(first, end, [], 0, end - first)
        until, at, good = min(end, segment.end), first, 0
        lines: list[bytes] = []
        points = size = place = 0
        with segment.path.open("rb") as file:
            for head in heads(file, self._places.get(first, 0), segment.bytes):
                if head.sequence < at:
                    continue
                if head.sequence >= until or (size and size + head.length > max_bytes):
                    until, place = min(until, head.sequence), head.offset
                    break
                at, place = head.sequence + 1, head.end
                points += head.points
                body = body_of(file, head)
                if body is not None:
                    lines += body.split(b"\n")
                    size += head.length
                    good += 1
        if until < segment.end or segment is self._segments[-1]:
            self._places[until] = place
        return Batch(first, until, lines, points, until - first - good)

    def _last_batch(self, max_bytes: int) -> int:
        """The first of the last records that are a batch together: one at least."""
        size, first = 0, self._next
        for recent in reversed(self._recent):
            size += recent.size
            if size > max_bytes and first < self._next:
                break
            first = recent.sequence
        return first

    def _bound(self) -> None:
        while len(self._segments) > 1 and self.size > self._max_bytes:
            self._drop(self._segments[0])

    def _expire(self) -> None:
        oldest = (self._clock() - self._max_age_seconds) * 1000
        while len(self._segments) > 1 and self._segments[0].newest_ms < oldest:
            self._drop(self._segments[0])

    def _drop(self, segment: _Segment) -> None:
        self.dropped += max(0, segment.points)
        self._pending.sent(segment.first, segment.end)
        self._delete_sent()

    def _delete_sent(self) -> None:
        """Delete files whose records have all arrived, once that is noted: else they would be missed after a crash."""
        done = self._segments if self._file is None else self._segments[:-1]
        gone = [each for each in done if not self._pending.within(each.first, each.end)]
        if not gone:
            return
        self._note()
        for segment in gone:
            segment.path.unlink(missing_ok=True)
            self._segments.remove(segment)

    def _read_note(self) -> Pending | None:
        try:
            return Pending.from_json((self._directory / "pending.json").read_bytes())
        except (OSError, ValueError):
            return None

    def _note(self) -> None:
        self._noted = time.monotonic()
        path = self._directory / "pending.json"
        beside = path.with_suffix(".new")
        try:
            beside.write_bytes(self._pending.to_json())
            beside.replace(path)
        except OSError:
            pass  # the disk is full: more is sent again after a crash


def _bodies(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines as bodies of records, with how many each holds."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and size + len(line) > RECORD_BYTES:
            yield len(held), b"\n".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    if held:
        yield len(held), b"\n".join(held)


def sync_directory(directory: Path) -> None:
    """Have the names of its files on the disk. Raises OSError."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
