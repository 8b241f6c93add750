"""The headers by which a record says which records it was made from: ``docs/specs/headers.md``.

``lineage-parents`` holds offset ranges per topic and partition in a few bytes. What is read may be anybody's: the work
and the memory that a header costs are bounded by its own size, and that is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from zlib import crc32

from stream_lineage.errors import DecodeError
from stream_lineage.model.record_edge import ParentRange
from stream_lineage.wire.parent_ranges import (
    HIGHEST_OFFSET,
    HIGHEST_PARTITION,
    ParentRanges,
    Place,
    Range,
    widened,
)

PARENTS_HEADER = "lineage-parents"
RUN_HEADER = "lineage-run"
TRACEPARENT_HEADER = "traceparent"
TRACESTATE_HEADER = "tracestate"

VERSION = 1
DEFAULT_MOST_BYTES = 4096
"""What a header takes at most unless told otherwise."""
LARGEST_HEADER = 65_536
"""Bytes; what is larger is read by nobody."""
LEAST_MOST_BYTES = 32
_LONGEST_NAME = 249
LONGEST_RUN = 200
"""Bytes."""
_INCOMPLETE = 0x01
_FIXED_BYTES = 6
_ONE_BYTE = tuple(bytes((number,)) for number in range(128))
_HEXADECIMAL = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class ParentsHeader:
    """What a header says. ``incomplete``: there are parents beside these, for which it had no room."""

    parents: tuple[ParentRange, ...]
    incomplete: bool
    check: int

    def belongs_to(self, topic: str) -> bool:
        """Whether it was written for a record of this topic. Who copies a record's headers to another topic copies
        this one too, which then says nothing of the copy's own parents."""
        return self.check == crc32(topic.encode())


def encode_parents(parents: ParentRanges, topic: str, *, most_bytes: int = DEFAULT_MOST_BYTES) -> bytes:
    """The header of a record that is written to ``topic``, at most ``most_bytes`` long.

    Where that is too little, the smallest gaps between ranges are closed first, and the ranges that come of it marked
    as widened; where even one range for each partition is too much, the last partitions are left out and the header
    says that it is incomplete.
    """
    places = dict(parents.places())
    whole = _encoded(places, topic, incomplete=parents.incomplete)
    if len(whole) <= most_bytes:
        return whole
    enough, too_few, longest = len(parents) - len(places), 0, len(whole)  # gaps to close
    closest = _encoded(widened(places, enough), topic, incomplete=parents.incomplete)
    if len(closest) > most_bytes:
        return _cut(widened(places, enough), topic, most_bytes)
    guess = True
    while enough - too_few > 1:
        # What a gap saves is about the same for all: a guess from that is mostly close, and every other one is halved.
        share = (longest - most_bytes) / (longest - len(closest)) if guess else 0.5
        middle = min(max(too_few + round((enough - too_few) * share), too_few + 1), enough - 1)
        guess = not guess
        tried = _encoded(widened(places, middle), topic, incomplete=parents.incomplete)
        if len(tried) <= most_bytes:
            enough, closest = middle, tried
        else:
            too_few, longest = middle, len(tried)
    return closest


def one_parent_prefix(topic: str, parent_topic: str, partition: int, cluster: str | None = None) -> bytes:
    """All of the header of a record with a single parent but what follows from the parent's offset: the offset as a
    varint, then a zero byte."""
    whole = _encoded({(cluster, parent_topic, partition): [(0, 0, False)]}, topic, incomplete=False)
    return whole[:-2]


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    if number < 128:
        return _ONE_BYTE[number]
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def unknown_parents(topic: str) -> bytes:
    """The header of a record that is written to ``topic`` and has parents which nobody knows."""
    return bytes((VERSION, _INCOMPLETE)) + crc32(topic.encode()).to_bytes(4, "big") + b"\0"


def decode_parents(value: bytes | None, *, most_ranges: int = LARGEST_HEADER) -> ParentsHeader:
    """Read a header.

    Args:
        most_ranges: nobody wants more; a header that claims so many is not read on.

    Raises:
        DecodeError: it is no header that we can read; the message says what is wrong, and nothing of what it holds.
    """
    if value is None or len(value) < _FIXED_BYTES + 1:
        raise DecodeError("too short")
    if len(value) > LARGEST_HEADER:
        raise DecodeError("too large")
    if value[0] != VERSION:
        raise DecodeError("of another version")
    if value[1] & ~_INCOMPLETE:
        raise DecodeError("of a later version")
    try:
        parents = _ranges(value, most_ranges)
    except IndexError:
        raise DecodeError("cut short") from None
    except UnicodeDecodeError:
        raise DecodeError("a name that is no text") from None
    return ParentsHeader(parents, bool(value[1] & _INCOMPLETE), int.from_bytes(value[2:6], "big"))


def run_id(value: bytes | None) -> str | None:
    """The run id in a header's value; null where there is none that can be shown."""
    if not value or len(value) > LONGEST_RUN:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def trace_id(value: bytes | None) -> str | None:
    """The trace id of a W3C ``traceparent``, 32 hexadecimal digits; null where it is not one."""
    if value is None or not 55 <= len(value) <= 512:
        return None
    parts = value.decode("latin-1").split("-", 4)
    if len(parts) < 4 or list(map(len, parts[:4])) != [2, 32, 16, 2] or parts[0] == "ff":
        return None
    if not all(_HEXADECIMAL.issuperset(part) for part in parts[:4]):
        return None
    return parts[1] if parts[1].strip("0") and parts[2].strip("0") else None


def _encoded(places: dict[Place, list[Range]], topic: str, *, incomplete: bool) -> bytes:
    blocks = [(key, list(own)) for key, own in groupby(places.items(), key=lambda item: item[0][:2])]
    out = [bytes((VERSION, _INCOMPLETE if incomplete else 0)), crc32(topic.encode()).to_bytes(4, "big")]
    out.append(varint(len(blocks)))
    for (cluster, name), partitions in blocks:
        encoded = name.encode()
        out += (varint(len(encoded) << 1 | (cluster is not None)), encoded)
        if cluster is not None:
            out += (varint(len(cluster.encode())), cluster.encode())
        out.append(varint(len(partitions)))
        following = 0
        for (_, _, partition), ranges in partitions:
            out += (varint(partition - following), varint(len(ranges)))
            following = partition + 1
            free = 0
            for first, last, wide in ranges:
                out += (varint(first - free), varint((last - first) << 1 | wide))
                free = last + 1
    return b"".join(out)


def _cut(places: dict[Place, list[Range]], topic: str, most_bytes: int) -> bytes:
    """As many partitions as there is room for."""
    enough, too_many = 0, len(places)
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        tried = _encoded(dict(list(places.items())[:middle]), topic, incomplete=True)
        if len(tried) <= most_bytes:
            enough = middle
        else:
            too_many = middle
    return _encoded(dict(list(places.items())[:enough]), topic, incomplete=True)


def _ranges(value: bytes, most: int) -> tuple[ParentRange, ...]:
    """Each count is of things that take at least a byte: what is claimed and not there ends with the header."""
    out: list[ParentRange] = []
    topics, at = _varint(value, _FIXED_BYTES)
    for _ in range(_counted(topics, value, at)):
        size, at = _varint(value, at)
        name, at = _name(value, at, size >> 1)
        cluster = None
        if not name:
            raise DecodeError("a topic without a name")
        if size & 1:
            size, at = _varint(value, at)
            cluster, at = _name(value, at, size)
        partitions, at = _varint(value, at)
        following = 0
        if not 0 < partitions <= most:
            raise DecodeError("no partitions, or too many")
        for _ in range(_counted(partitions, value, at)):
            number, at = _varint(value, at)
            partition = following + number
            if partition > HIGHEST_PARTITION:
                raise DecodeError("a partition that cannot be")
            following = partition + 1
            count, at = _varint(value, at)
            if not 0 < count <= most - len(out):
                raise DecodeError("no ranges, or too many")
            free = 0
            for _ in range(_counted(count, value, at)):
                number, at = _varint(value, at)
                first = free + number
                number, at = _varint(value, at)
                last = first + (number >> 1)
                if last > HIGHEST_OFFSET:
                    raise DecodeError("an offset that cannot be")
                free = last + 1
                out.append(ParentRange(name, partition, first, last, bool(number & 1), cluster))
    if at != len(value):
        raise DecodeError("more than a header")
    return tuple(out)


def _counted(count: int, value: bytes, at: int) -> int:
    if count > len(value) - at:
        raise DecodeError("cut short")
    return count


def _name(value: bytes, at: int, size: int) -> tuple[str, int]:
    if size > _LONGEST_NAME or at + size > len(value):
        raise DecodeError("a name that cannot be")
    return value[at : at + size].decode(), at + size


def _varint(value: bytes, at: int) -> tuple[int, int]:
    byte = value[at]
    if byte < 128:
        return byte, at + 1
    number, shift = byte & 127, 7
    while True:
        at += 1
        byte = value[at]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at + 1
        shift += 7
        if shift > 63:
            raise DecodeError("a number that is too long")
