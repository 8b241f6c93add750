"""The walker: reads one Avro record value by value, checks everything and keeps nothing.

It says what is wrong with a record that the columnar decoder refused, it finds the items of the few arrays that are
much longer than the others of their batch, and it stands before fastavro, which crashes the interpreter on deep
recursion and fills the memory on arrays of items without bytes.

A record is bad if it ends early or late, holds a negative length, a branch or symbol that does not exist, a boolean
other than 0 and 1, a varint of more than ten bytes or 64 bits (32 for int), or text that is not UTF-8; if it nests
deeper than ``max_depth`` or has more than ``max_empty_items`` items without bytes. The size in bytes of an array or map
block, which readers that skip it use, is not compared with the block. Time is bounded by the record's size.
"""

from __future__ import annotations

from collections.abc import Callable

from stream_lineage.errors import DecodeError
from stream_lineage.wire.avro_nodes import (
    Array,
    AvroSchema,
    Enum,
    Fixed,
    Map,
    Node,
    Primitive,
    Record,
    Recursion,
    Union,
    minimum,
)
from stream_lineage.wire.limits import DecodeLimits

TRUNCATED = "truncated"
TRAILING = "trailing-bytes"
NEGATIVE_LENGTH = "negative-length"
BAD_BRANCH = "bad-union-branch"
BAD_SYMBOL = "bad-enum-symbol"
BAD_BOOLEAN = "bad-boolean"
BAD_VARINT = "bad-varint"
OUT_OF_RANGE = "integer-out-of-range"
BAD_TEXT = "bad-utf8"
TOO_DEEP = "too-deep"
TOO_MANY_ITEMS = "too-many-items"
REFUSED = "refused"

_WORDS = {
    TRUNCATED: "the record ends in the middle of a value",
    TRAILING: "bytes follow the end of the record",
    NEGATIVE_LENGTH: "a length is negative",
    BAD_BRANCH: "the union has no such branch",
    BAD_SYMBOL: "the enum has no such symbol",
    BAD_BOOLEAN: "a boolean is neither 0 nor 1",
    BAD_VARINT: "a number is longer than 64 bits",
    OUT_OF_RANGE: "an int is longer than 32 bits",
    BAD_TEXT: "a string is not UTF-8",
    TOO_DEEP: "the record nests too deeply",
    TOO_MANY_ITEMS: "the record has too many items that take no bytes",
    REFUSED: "the columnar decoder does not read the record, and the walker finds no fault with it: please report this",
}
_PATH_CHARACTERS = 200

Walk = Callable[[bytes, int, int], int]
"""(record, position, depth) -> position after the value. Raises ``Unreadable``, or ``IndexError`` past the end."""


class Unreadable(DecodeError):
    """A record is not what its schema says. ``kind`` is a stable word; the text holds field paths and no data."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind
        self._steps: list[str] = []  # innermost first

    def within(self, step: str) -> None:
        """Adds the place around the one where it went wrong: ``.field``, ``[]`` or ``{}``."""
        self._steps.append(step)

    def __str__(self) -> str:
        path = "".join(reversed(self._steps)).removeprefix(".")
        if len(path) > _PATH_CHARACTERS:
            path = path[:_PATH_CHARACTERS] + "…"
        return f"{_WORDS[self.kind]}, at {path}" if path else _WORDS[self.kind]


class Walker:
    """Walks records of one schema. Not for several threads at once."""

    def __init__(self, schema: AvroSchema, limits: DecodeLimits) -> None:
        self._schema = schema
        self._limits = limits
        self._walks: dict[Node, Walk] = {}
        self._empty_items = 0
        self._root = self.walk_of(schema.root)

    def check(self, record: bytes) -> None:
        """Walks through a whole record.

        Raises:
            Unreadable: the record is bad.
        """
        self.begin()
        try:
            at = self._root(record, 0, 0)
        except IndexError:
            raise Unreadable(TRUNCATED) from None
        if at != len(record):
            raise Unreadable(TRAILING)

    def begin(self) -> None:
        """Forgets the items counted so far: another record begins."""
        self._empty_items = 0

    def walk_of(self, node: Node) -> Walk:
        """The walk over values of one type."""
        walk = self._walks.get(node)
        if walk is None:
            walk = self._walks[node] = self._compiled(node)
        return walk

    def item_walk(self, node: Array | Map) -> Walk:
        """The walk over the items of an array, or over the entries of a map."""
        return self.walk_of(node.items) if isinstance(node, Array) else _pair_walk(self.walk_of(node.values))

    def _compiled(self, node: Node) -> Walk:
        if minimum(node) == 0:
            return _walk_nothing
        match node:
            case Primitive():
                return _PRIMITIVES[node.kind]
            case Fixed():
                return _fixed_walk(node.size)
            case Enum():
                return _enum_walk(len(node.symbols))
            case Array():
                return self._blocks_walk("[]", minimum(node.items), self.item_walk(node))
            case Map():
                return self._blocks_walk("{}", 1, self.item_walk(node))
            case Union():
                return _union_walk([self.walk_of(branch) for branch in node.branches])
            case Record():
                fields = [(f".{each.name}", self.walk_of(each.type)) for each in node.fields if minimum(each.type)]
                return _record_walk(fields)
            case _:
                return self._recursion_walk(node)

    def _recursion_walk(self, node: Recursion) -> Walk:
        max_depth = self._limits.max_depth

        def walk(record: bytes, at: int, depth: int) -> int:
            if depth > max_depth:
                raise Unreadable(TOO_DEEP)
            return self.walk_of(self._schema.names[node.name])(record, at, depth)

        return walk

    def _blocks_walk(self, step: str, item_bytes: int, item: Walk) -> Walk:
        """The walk over an array or map: blocks of items until an empty one."""

        def walk(record: bytes, at: int, depth: int) -> int:
            try:
                while True:
                    count, at = read_count(record, at)
                    if count == 0:
                        return at
                    if item_bytes == 0:
                        self.count_empty(count)
                        continue
                    if count > len(record) - at:
                        raise Unreadable(TRUNCATED)
                    for _ in range(count):
                        at = item(record, at, depth + 1)
            except IndexError:
                error = Unreadable(TRUNCATED)
                error.within(step)
                raise error from None
            except Unreadable as error:
                error.within(step)
                raise

        return walk

    def count_empty(self, count: int) -> None:
        """Counts items that take no bytes.

        Raises:
            Unreadable: the record has too many of them.
        """
        self._empty_items += count
        if self._empty_items > self._limits.max_empty_items:
            raise Unreadable(TOO_MANY_ITEMS)


def read_varint(record: bytes, at: int) -> tuple[int, int]:
    """The zigzag integer at a position, and the position after it."""
    byte = record[at]
    at += 1
    value = byte & 0x7F
    shift = 7
    while byte >= 0x80:
        if shift > 63:
            raise Unreadable(BAD_VARINT)
        byte = record[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    if value >> 64:
        raise Unreadable(BAD_VARINT)
    return (value >> 1) ^ -(value & 1), at


def read_count(record: bytes, at: int) -> tuple[int, int]:
    """The number of items in the block at a position, and the position of the first."""
    count, at = read_varint(record, at)
    if count >= 0:
        return count, at
    size, at = read_varint(record, at)
    if size < 0:
        raise Unreadable(NEGATIVE_LENGTH)
    return -count, at


def walk_text(record: bytes, at: int, depth: int) -> int:
    """The walk over a string."""
    end = _walk_bytes(record, at, depth)
    if not record[at:end].isascii():  # the text and its length before it, or part of that
        _, at = read_varint(record, at)
        try:
            record[at:end].decode()
        except UnicodeDecodeError:
            raise Unreadable(BAD_TEXT) from None
    return end


def _walk_nothing(record: bytes, at: int, depth: int) -> int:
    return at


def _walk_boolean(record: bytes, at: int, depth: int) -> int:
    if record[at] > 1:
        raise Unreadable(BAD_BOOLEAN)
    return at + 1


def _walk_int(record: bytes, at: int, depth: int) -> int:
    value, at = read_varint(record, at)
    if not -(1 << 31) <= value < 1 << 31:
        raise Unreadable(OUT_OF_RANGE)
    return at


def _walk_long(record: bytes, at: int, depth: int) -> int:
    return read_varint(record, at)[1]


def _walk_bytes(record: bytes, at: int, depth: int) -> int:
    size, at = read_varint(record, at)
    if size < 0:
        raise Unreadable(NEGATIVE_LENGTH)
    if size > len(record) - at:
        raise Unreadable(TRUNCATED)
    return at + size


def _fixed_walk(size: int) -> Walk:
    def walk(record: bytes, at: int, depth: int) -> int:
        if size > len(record) - at:
            raise Unreadable(TRUNCATED)
        return at + size

    return walk


def _enum_walk(symbols: int) -> Walk:
    def walk(record: bytes, at: int, depth: int) -> int:
        code, at = read_varint(record, at)
        if not 0 <= code < symbols:
            raise Unreadable(BAD_SYMBOL)
        return at

    return walk


def _pair_walk(value: Walk) -> Walk:
    def walk(record: bytes, at: int, depth: int) -> int:
        return value(record, walk_text(record, at, depth), depth)

    return walk


def _union_walk(branches: list[Walk]) -> Walk:
    def walk(record: bytes, at: int, depth: int) -> int:
        branch, at = read_varint(record, at)
        if not 0 <= branch < len(branches):
            raise Unreadable(BAD_BRANCH)
        return branches[branch](record, at, depth + 1)

    return walk


def _record_walk(fields: list[tuple[str, Walk]]) -> Walk:
    def walk(record: bytes, at: int, depth: int) -> int:
        step = ""
        try:
            for step, field in fields:  # noqa: B007 - the handlers say where it went wrong
                at = field(record, at, depth + 1)
        except IndexError:
            error = Unreadable(TRUNCATED)
            error.within(step)
            raise error from None
        except Unreadable as error:
            error.within(step)
            raise
        return at

    return walk


_PRIMITIVES: dict[str, Walk] = {
    "boolean": _walk_boolean,
    "int": _walk_int,
    "long": _walk_long,
    "float": _fixed_walk(4),
    "double": _fixed_walk(8),
    "bytes": _walk_bytes,
    "string": walk_text,
}
