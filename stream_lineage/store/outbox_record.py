"""The records of the outbox: each says where it begins, how long it is, and whether it is whole.

A record is ``HEADER`` and its body, lines of line protocol. The header has a checksum of its own, so that its length
can be relied on; what it begins with is no UTF-8 and never part of a body. A damaged body is skipped by its length, a
damaged header by looking for the next one: what is lost is exactly the record that is damaged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"\xff\xfeSL"
HEADER = struct.Struct("<4sQQIIII")
"""Magic, sequence number, milliseconds since the epoch, points, bytes of the body, checksums of body and header."""
MAX_BODY = 64 * 1024 * 1024
_CHECKED = HEADER.size - 4
_SEARCHED = 1 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """``offset`` is where the record begins in its file; ``end`` is where the next one does."""

    sequence: int
    at_ms: int
    points: int
    length: int
    checksum: int
    offset: int

    @property
    def end(self) -> int:
        return self.offset + HEADER.size + self.length


def encode_record(sequence: int, at_ms: int, points: int, body: bytes) -> bytes:
    """A record as it is on the disk."""
    checked = HEADER.pack(MAGIC, sequence, at_ms, points, len(body), zlib.crc32(body), 0)[:_CHECKED]
    return checked + struct.pack("<I", zlib.crc32(checked)) + body


def heads(file: BinaryIO, start: int, end: int) -> Iterator[Head]:
    """The records whose headers are whole, and which end by ``end``, from an offset on."""
    at = start
    while at < end:
        head = _head(file, at)
        if head is not None and head.end <= end:
            yield head
            at = head.end
        else:
            at = _next(file, at + 1, end)


def body_of(file: BinaryIO, head: Head) -> bytes | None:
    """The body of a record; null where it is damaged."""
    file.seek(head.offset + HEADER.size)
    body = file.read(head.length)
    return body if len(body) == head.length and zlib.crc32(body) == head.checksum else None


def _head(file: BinaryIO, at: int) -> Head | None:
    file.seek(at)
    raw = file.read(HEADER.size)
    if len(raw) < HEADER.size or not raw.startswith(MAGIC):
        return None
    _, sequence, at_ms, points, length, body, own = HEADER.unpack(raw)
    if own != zlib.crc32(raw[:_CHECKED]) or length > MAX_BODY:
        return None
    return Head(sequence, at_ms, points, length, body, at)


def _next(file: BinaryIO, at: int, end: int) -> int:
    """Where something begins that may be a header; ``end`` where nothing does."""
    while at < end:
        file.seek(at)
        chunk = file.read(min(_SEARCHED, end - at))
        found = chunk.find(MAGIC)
        if found >= 0:
            return at + found
        if len(chunk) < len(MAGIC):
            return end
        at += len(chunk) - len(MAGIC) + 1
    return end
