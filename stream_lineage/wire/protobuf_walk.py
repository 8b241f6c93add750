"""The walker: reads the fields of one Protobuf message one after the other, for messages that are too few or too
irregular to be read together, and for groups, whose end is not known before they are read."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from stream_lineage.wire.protobuf_run import BAD_GROUP, BAD_LENGTH, BAD_TAG, BAD_VARINT, TOO_DEEP, TRUNCATED
from stream_lineage.wire.protobuf_schema import END_GROUP, FIXED32, FIXED64, LENGTH, START_GROUP, VARINT

MAX_DEPTH = 100
"""Levels of messages and groups below the record; the reference parsers refuse more."""
_MOST_GROUPS = 100_000

View = memoryview


class Malformed(Exception):
    """The message is none. ``kind`` is a stable word."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(slots=True)
class Walked:
    """Values that were met, one row each: the message's number, the tag, where the value is, and the number itself or
    the length. Arrays, since lists would take four times the room."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    tags: array[int] = field(default_factory=lambda: array("q"))
    at: array[int] = field(default_factory=lambda: array("q"))
    extra: array[int] = field(default_factory=lambda: array("Q"))


class Walker:
    """Walks messages in one buffer, which has at least ten bytes after the last of them."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._groups: dict[int, tuple[int, int]] = {}

    def walk(self, row: int, at: int, end: int, depth: int, into: Walked) -> None:
        """Adds the values of a message, which begins at a tag.

        Raises:
            Malformed: it is none.
        """
        view = self._view
        while at < end:
            tag, at = self._tag(at, end)
            if tag < 8:
                raise Malformed(BAD_TAG)
            wire_type = tag & 7
            extra = 0
            start = at
            if wire_type == VARINT:
                extra, at = _varint(view, at)
            elif wire_type == LENGTH:
                extra, start = _size(view, at)
                at = start + extra
            elif wire_type == FIXED32:
                at += 4
            elif wire_type == FIXED64:
                at += 8
            elif wire_type == START_GROUP:
                content, at = self.group(at, end, tag >> 3, depth + 1)
                extra = content - start
            else:
                raise Malformed(BAD_GROUP if wire_type == END_GROUP else BAD_TAG)
            if at > end:
                raise Malformed(TRUNCATED)
            into.rows.append(row)
            into.tags.append(tag)
            into.at.append(start)
            into.extra.append(extra)

    def group(self, at: int, end: int, number: int, depth: int) -> tuple[int, int]:
        """Where the content of a group ends that begins here, and where what follows the group begins.

        Fields without a number are passed: in what nobody knows they harm no parser, and else they are found later.
        Groups inside are remembered, so that they need not be walked again when their turn comes.

        Raises:
            Malformed: it is no group, or goes beyond ``end``.
        """
        known = self._groups.get(at)
        if known is not None:
            return known
        view = self._view
        open_: list[tuple[int, int]] = [(number, at)]
        while True:
            if depth + len(open_) - 1 > MAX_DEPTH:
                raise Malformed(TOO_DEEP)
            if at >= end:
                raise Malformed(BAD_GROUP)
            before = at
            tag, at = self._tag(at, end)
            wire_type = tag & 7
            if wire_type == VARINT:
                _, at = _varint(view, at)
            elif wire_type == LENGTH:
                size, at = _size(view, at)
                at += size
            elif wire_type == FIXED32:
                at += 4
            elif wire_type == FIXED64:
                at += 8
            elif wire_type == START_GROUP:
                open_.append((tag >> 3, at))
            elif wire_type == END_GROUP:
                opened, start = open_.pop()
                if opened != tag >> 3:
                    raise Malformed(BAD_GROUP)
                if not open_:
                    return before, at
                if len(self._groups) < _MOST_GROUPS:
                    self._groups[start] = before, at
            else:
                raise Malformed(BAD_TAG)
            if at > end:
                raise Malformed(TRUNCATED)

    def _tag(self, at: int, end: int) -> tuple[int, int]:
        tag, after = _varint(self._view, at)
        if tag >> 32 or after - at > 5:
            raise Malformed(BAD_TAG)
        if after > end:
            raise Malformed(TRUNCATED)
        return tag, after


def _varint(view: View, at: int) -> tuple[int, int]:
    """The number at a position, cut off at 64 bits, and the position after it."""
    byte = view[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise Malformed(BAD_VARINT)


def _size(view: View, at: int) -> tuple[int, int]:
    size, after = _varint(view, at)
    if size >> 31 or after - at > 5:
        raise Malformed(BAD_LENGTH)
    return size, after
