"""What no Kafka client lets one send: record batches built by hand, and a Produce request to carry them.

Sources: Kafka's protocol guide ("Record Batch", Produce version 7), RFC 3720 for CRC-32C, the LZ4
frame format.
"""

from __future__ import annotations

import gzip
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cramjam
from confluent_kafka.admin import AdminClient
from patience import deadline_in

CODECS: Mapping[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "gzip": (1, lambda data: gzip.compress(data, 6)),
    "snappy": (2, lambda data: bytes(cramjam.snappy.compress_raw(data))),
    "lz4": (3, lambda data: _lz4([data[at : at + _LZ4_BLOCK] for at in range(0, len(data), _LZ4_BLOCK)])),
    "zstd": (4, lambda data: bytes(cramjam.zstd.compress(data))),
}
"""Kafka's number of a codec, and how its bytes are made."""

_LZ4_BLOCK = 1 << 20
_PRODUCE, _VERSION = 0, 7
_NOT_YET = (3, 5, 6)
"""Errors of a partition that is too new: unknown, without a leader, with another one."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record whose header names are bytes."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[bytes, bytes | None]] = ()


def varint(number: int) -> bytes:
    """Zigzag, as records hold it."""
    left = (number << 1) ^ (number >> 63)
    out = bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


def records_section(records: Iterable[RawRecord]) -> bytes:
    """Records as they stand in a batch, not compressed."""
    out = []
    for number, record in enumerate(records):
        body = b"".join(
            (
                b"\x00",
                varint(0),
                varint(number),
                _sized(record.key),
                _sized(record.value),
                varint(len(record.headers)),
                *(part for name, value in record.headers for part in (_sized(name), _sized(value))),
            )
        )
        out.append(varint(len(body)) + body)
    return b"".join(out)


def batch(
    records: Sequence[RawRecord], *, codec: str = "none", section: bytes | None = None, count: int | None = None
) -> bytes:
    """A record batch of version 2. ``section`` stands for the records' bytes as they are sent, compressed or not."""
    attributes, compress = CODECS[codec]
    if section is None:
        section = compress(records_section(records))
    number = len(records) if count is None else count
    now = int(time.time() * 1000)
    checked = struct.pack(">hiqqqhii", attributes, number - 1, now, now, -1, -1, -1, number) + section
    return struct.pack(">qiib I", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked


def produce(bootstrap_servers: str, topic: str, partition: int, content: bytes) -> int:
    """Send a batch to the partition's leader; the offset of its first record.

    Raises:
        Refused: the broker answered with an error.
    """
    deadline = deadline_in(30)
    while True:
        host, port = leader(bootstrap_servers, topic, partition)
        error, offset = _exchange(host, port, topic, partition, content)
        if not error:
            return offset
        if error not in _NOT_YET or time.monotonic() > deadline:
            raise Refused(error)
        time.sleep(0.1)


def _exchange(host: str, port: int, topic: str, partition: int, content: bytes) -> tuple[int, int]:
    """Error code and first offset."""
    name = topic.encode()
    body = b"".join(
        (
            struct.pack(">hhi", _PRODUCE, _VERSION, 1),
            struct.pack(">h", 3) + b"raw",
            struct.pack(">h", -1),
            struct.pack(">hi", -1, 30_000),
            struct.pack(">ih", 1, len(name)) + name,
            struct.pack(">iii", 1, partition, len(content)) + content,
        )
    )
    with socket.create_connection((host, port), timeout=60) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        size = struct.unpack(">i", exactly(connection, 4))[0]
        answer = exactly(connection, size)
    error, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(name) + 4 + 4)
    return int(error), int(offset)


class Refused(Exception):
    """The broker did not take a batch. ``code`` is Kafka's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error code {code}")
        self.code = code


@cache
def _admin(bootstrap_servers: str) -> AdminClient:
    """One for all requests."""
    return AdminClient({"bootstrap.servers": bootstrap_servers})


def leader(bootstrap_servers: str, topic: str, partition: int) -> tuple[str, int]:
    deadline = deadline_in(30)
    while True:
        metadata: Any = _admin(bootstrap_servers).list_topics(topic, timeout=20)
        found = metadata.topics[topic].partitions.get(partition)
        if found is not None and found.leader in metadata.brokers:
            broker = metadata.brokers[found.leader]
            return broker.host, broker.port
        assert time.monotonic() < deadline, f"{topic}[{partition}] has no leader"
        time.sleep(0.1)


def _sized(content: bytes | None) -> bytes:
    return varint(-1) if content is None else varint(len(content)) + content


def exactly(connection: socket.socket, count: int) -> bytes:
    out = bytearray()
    while len(out) < count:
        piece = connection.recv(count - len(out))
        assert piece, "the broker closed the connection"
        out += piece
    return bytes(out)


def _table() -> list[int]:
    out = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ 0x82F63B78 if number & 1 else number >> 1
        out.append(number)
    return out


_CRC = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def bomb(codec: str, size: int) -> bytes:
    """A batch of one record whose value is ``size`` zero bytes, never held in memory as a whole."""
    head = b"\x00" + varint(0) + varint(0) + varint(-1) + varint(size)
    start = varint(len(head) + size + 1) + head
    piece = bytes(1 << 20)
    pieces = [start, *[piece] * (size // len(piece)), bytes(size % len(piece)), b"\x00"]
    return batch([], codec=codec, section=_STREAMED[codec](pieces), count=1)


def _gzip(pieces: Iterable[bytes]) -> bytes:
    stream = zlib.compressobj(9, wbits=31)
    return b"".join((*map(stream.compress, pieces), stream.flush()))


def _snappy(pieces: Iterable[bytes]) -> bytes:
    """With the framing of Java's client."""
    blocks = [bytes(cramjam.snappy.compress_raw(piece)) for piece in pieces if piece]
    return b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in blocks)


def _lz4(pieces: Iterable[bytes]) -> bytes:
    """A frame of blocks that stand for themselves, which is all that Kafka takes."""
    blocks = [bytes(cramjam.lz4.compress_block(piece, store_size=False)) for piece in pieces if piece]
    header = b"\x04\x22\x4d\x18\x60\x70\x73"  # version 1, independent blocks of 4 MB at most, their checksum
    return header + b"".join(struct.pack("<i", len(b)) + b for b in blocks) + bytes(4)


def _fed(compressor: Any, pieces: Iterable[bytes]) -> bytes:
    for piece in pieces:
        compressor.compress(piece)
    return bytes(compressor.finish())


_STREAMED: Mapping[str, Callable[[Iterable[bytes]], bytes]] = {
    "gzip": _gzip,
    "snappy": _snappy,
    "lz4": _lz4,
    "zstd": lambda pieces: _fed(cramjam.zstd.Compressor(), pieces),
}
