"""What Kafka clients hide: the record batches of a partition as they stand in the log, with those of control records.

Source: Kafka's protocol guide ("Record Batch", "Control Batches", Fetch version 4). The exchange with the broker is
``raw_kafka``'s.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient
from raw_kafka import exactly, leader

FETCH, VERSION = 1, 4
OFFSETS = "__consumer_offsets"
_LARGEST = 50 << 20
_HEAD = struct.Struct(">qiibIhiqqqhii")
_TRANSACTIONAL, _CONTROL = 0x10, 0x20
_MARKERS = {0: "abort", 1: "commit"}


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """A record batch. ``marker`` is ``commit`` or ``abort`` of a control batch. ``keys`` are empty where the records
    are compressed."""

    first_offset: int
    last_offset: int
    producer_id: int
    is_transactional: bool
    marker: str | None
    keys: tuple[bytes | None, ...]


def logged(bootstrap_servers: str, topic: str, partition: int = 0) -> list[LoggedBatch]:
    """All batches of a partition, whether they are committed or not."""
    found: list[LoggedBatch] = []
    while True:
        end, data = _fetched(bootstrap_servers, topic, partition, found[-1].last_offset + 1 if found else 0)
        found += _batches(data)
        if not found or found[-1].last_offset + 1 >= end:
            return found


def committed_by(bootstrap_servers: str, group: str) -> list[LoggedBatch]:
    """The batches in which a consumer group has committed offsets, and the control batches around them."""
    metadata: Any = AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(OFFSETS, timeout=30)
    partition = _java_hash(group) % len(metadata.topics[OFFSETS].partitions)
    return [
        batch
        for batch in logged(bootstrap_servers, OFFSETS, partition)
        if batch.marker is not None or any(key is not None and _names(key, group) for key in batch.keys)
    ]


def _names(key: bytes, group: str) -> bool:
    """Whether a record of the offsets topic is an offset of this group, and not the group itself."""
    version, size = struct.unpack_from(">hh", key)
    return version in (0, 1) and key[4 : 4 + size].decode() == group


def _java_hash(text: str) -> int:
    """The absolute value of what ``String.hashCode`` gives: the group's partition follows from it."""
    number = 0
    for character in text:
        number = (31 * number + ord(character)) & 0xFFFFFFFF
    return min(number, (1 << 32) - number)


def _fetched(bootstrap_servers: str, topic: str, partition: int, offset: int) -> tuple[int, bytes]:
    """High watermark and record batches from an offset on."""
    name = topic.encode()
    body = b"".join(
        (
            struct.pack(">hhi", FETCH, VERSION, 1),
            struct.pack(">h", 3) + b"raw",
            struct.pack(">iiiib", -1, 500, 1, _LARGEST, 0),
            struct.pack(">ih", 1, len(name)) + name,
            struct.pack(">iiqi", 1, partition, offset, _LARGEST),
        )
    )
    host, port = leader(bootstrap_servers, topic, partition)
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = exactly(connection, struct.unpack(">i", exactly(connection, 4))[0])
    at = 4 + 4 + 4 + 2 + len(name) + 4 + 4
    error, end, _, aborted = struct.unpack_from(">hqqi", answer, at)
    assert not error, f"error code {error}"
    at += 22 + max(aborted, 0) * 16
    size = struct.unpack_from(">i", answer, at)[0]
    return int(end), answer[at + 4 : at + 4 + max(size, 0)]


def _batches(data: bytes) -> Iterator[LoggedBatch]:
    at = 0
    while at + _HEAD.size <= len(data):
        first, size, _, magic, _, attributes, last, _, _, producer_id, _, _, count = _HEAD.unpack_from(data, at)
        end = at + 12 + size
        if end > len(data):
            return  # cut off: it comes whole with the next fetch
        assert magic == 2
        keys = () if attributes & 0x07 else tuple(_keys(data[at + _HEAD.size : end], count))
        marker = None
        if attributes & _CONTROL:
            marker = _MARKERS[struct.unpack_from(">hh", keys[0] or b"")[1]]
        yield LoggedBatch(first, first + last, producer_id, bool(attributes & _TRANSACTIONAL), marker, keys)
        at = end


def _keys(data: bytes, count: int) -> Iterator[bytes | None]:
    at = 0
    for _ in range(count):
        size, at = _varint(data, at)
        end = at + size
        at += 1  # attributes
        for _ in range(2):  # timestamp and offset
            _, at = _varint(data, at)
        length, at = _varint(data, at)
        yield None if length < 0 else data[at : at + length]
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
