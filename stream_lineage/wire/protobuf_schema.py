"""Protobuf schemas as a tree of messages, fields and enums, as far as decoding needs them.

What the registry holds is text; ``protobuf_compile`` has it compiled, and this is what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stream_lineage.errors import SchemaError


class Kind(StrEnum):
    """The type of a field, by the name that it has in schemas."""

    DOUBLE = "double"
    FLOAT = "float"
    INT64 = "int64"
    UINT64 = "uint64"
    INT32 = "int32"
    FIXED64 = "fixed64"
    FIXED32 = "fixed32"
    BOOL = "bool"
    STRING = "string"
    GROUP = "group"
    MESSAGE = "message"
    BYTES = "bytes"
    UINT32 = "uint32"
    ENUM = "enum"
    SFIXED32 = "sfixed32"
    SFIXED64 = "sfixed64"
    SINT32 = "sint32"
    SINT64 = "sint64"


VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
"""Wire types, which say how long a value is."""

WIRE_TYPES = ("varint", "64-bit", "length-delimited", "group", "end of group", "32-bit")
"""Their names."""

_WIRE_TYPES = {
    Kind.DOUBLE: FIXED64,
    Kind.FIXED64: FIXED64,
    Kind.SFIXED64: FIXED64,
    Kind.FLOAT: FIXED32,
    Kind.FIXED32: FIXED32,
    Kind.SFIXED32: FIXED32,
    Kind.STRING: LENGTH,
    Kind.BYTES: LENGTH,
    Kind.MESSAGE: LENGTH,
    Kind.GROUP: START_GROUP,
}

WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
"""Messages that stand for a single value that may be absent."""


@dataclass(slots=True, eq=False)
class EnumType:
    """``numbers`` in the order of ``symbols``. A ``closed`` enum has no other numbers, an open one may have any."""

    name: str
    symbols: tuple[str, ...]
    numbers: tuple[int, ...]
    closed: bool


@dataclass(slots=True, eq=False)
class FieldType:
    """A field of a message.

    ``presence``: whether it can be told apart from one that holds the default. ``oneof`` is the index of the oneof that
    it belongs to, null where to none; an optional field of proto3 belongs to none. ``utf8``: whether a string has to be
    UTF-8. ``required``: whether it has to be there, as in proto2.
    """

    number: int
    name: str
    kind: Kind
    repeated: bool = False
    presence: bool = False
    oneof: int | None = None
    utf8: bool = False
    required: bool = False
    message: MessageType | None = field(default=None, repr=False)
    enum: EnumType | None = field(default=None, repr=False)

    @property
    def wire_type(self) -> int:
        return _WIRE_TYPES.get(self.kind, VARINT)

    @property
    def declared(self) -> str:
        """Its type, as schemas say it."""
        named = self.message or self.enum
        return self.kind.value if named is None else named.name

    @property
    def packable(self) -> bool:
        """Whether many values may stand together, with one length before them."""
        return self.repeated and self.wire_type in (VARINT, FIXED32, FIXED64)

    @property
    def map(self) -> bool:
        return self.message is not None and self.message.entry


@dataclass(slots=True, eq=False)
class MessageType:
    """``fields`` by number, ascending. An ``entry`` is the key and value of a map. ``nested`` are the messages that are
    declared inside, map entries among them: message indexes count them."""

    name: str
    entry: bool = False
    fields: list[FieldType] = field(default_factory=list)
    nested: list[MessageType] = field(default_factory=list)

    @property
    def wrapper(self) -> bool:
        """Whether it stands for a single value."""
        if self.name not in WRAPPERS or len(self.fields) != 1:
            return False
        value = self.fields[0]  # as it should be: files of the registry may say anything under any name
        return value.message is None and not value.repeated and not value.presence


@dataclass(frozen=True, slots=True)
class ProtobufSchema:
    """A schema file: ``messages`` are those at its top, in order. ``serialised``: it came as a descriptor."""

    messages: tuple[MessageType, ...]
    serialised: bool = False


def schema_of(document: Mapping[str, Any]) -> ProtobufSchema:
    """The schema in what the compiler has answered: lists of messages and enums that refer to each other by index.

    Raises:
        SchemaError: the document is no such answer.
    """
    try:
        enums = [
            EnumType(name, tuple(symbols), tuple(numbers), bool(closed))
            for name, symbols, numbers, closed in document["enums"]
        ]
        messages = [MessageType(name, bool(entry)) for name, entry, _, _ in document["messages"]]
        for message, (_, _, fields, nested) in zip(messages, document["messages"], strict=True):
            message.nested.extend(messages[index] for index in nested)
            for number, name, kind, repeated, presence, oneof, utf8, required, index in fields:
                each = FieldType(number, name, Kind(kind), repeated, presence, oneof, utf8, required)
                if each.kind in (Kind.MESSAGE, Kind.GROUP):
                    each.message = messages[index]
                elif each.kind is Kind.ENUM:
                    each.enum = enums[index]
                message.fields.append(each)
            message.fields.sort(key=lambda each: each.number)
        return ProtobufSchema(tuple(messages[index] for index in document["roots"]), bool(document["serialised"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SchemaError("the Protobuf compiler's answer cannot be read") from error
