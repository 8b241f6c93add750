"""Protobuf schemas as messages, fields and enums, with all that comparing them needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream_lineage.errors import SchemaError
from stream_lineage.wire.protobuf_compile import declared_by


@dataclass(frozen=True, slots=True)
class Reserved:
    """Numbers, as inclusive ranges, and names that nothing may have."""

    ranges: tuple[tuple[int, int], ...] = ()
    names: frozenset[str] = frozenset()

    def holds(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.ranges)


@dataclass(slots=True, eq=False)
class EnumType:
    """``names`` by number, the first where there are aliases. A ``closed`` enum has no other numbers."""

    name: str
    closed: bool
    names: Mapping[int, str]
    numbers: Mapping[str, int]
    reserved: Reserved


@dataclass(slots=True, eq=False)
class Field:
    """``kind`` is the type's name, ``message`` and ``enum`` what it refers to. ``oneof`` is none for proto3's
    ``optional``."""

    number: int
    name: str
    kind: str
    repeated: bool
    required: bool
    presence: bool
    packed: bool
    oneof: str | None
    default: str | None
    message: Message | None = None
    enum: EnumType | None = None

    @property
    def map(self) -> bool:
        return self.message is not None and self.message.entry

    def type_text(self) -> str:
        """``repeated string``, ``map<string, Item>``, ``enum Status``."""
        if self.message is not None and self.message.entry:
            key, value = self.message.fields.get(1), self.message.fields.get(2)
            inside = ", ".join(each.type_text() for each in (key, value) if each is not None)
            return f"map<{inside}>"
        label = "repeated " if self.repeated else "required " if self.required else ""
        return label + self.bare_text()

    def bare_text(self) -> str:
        named = self.message or self.enum
        if named is None:
            return self.kind
        return f"{'' if self.message is not None else 'enum '}{named.name.rpartition('.')[2]}"


@dataclass(slots=True, eq=False)
class Message:
    """``fields`` by number. An ``entry`` is the key and value of a map. ``name`` is the full one but the package."""

    name: str
    entry: bool
    fields: dict[int, Field] = field(default_factory=dict)
    nested: list[Message] = field(default_factory=list)
    enums: list[EnumType] = field(default_factory=list)
    reserved: Reserved = field(default_factory=Reserved)


@dataclass(frozen=True, slots=True)
class ProtobufFile:
    """A schema: its top-level messages and enums in order. ``syntax`` is ``proto2``, ``proto3`` or ``edition 2023``."""

    package: str
    syntax: str
    messages: tuple[Message, ...]
    enums: tuple[EnumType, ...]

    def declared(self) -> dict[str, Message]:
        """All messages of the file, those inside others too, map entries not, by name."""
        found: dict[str, Message] = {}
        pending = list(reversed(self.messages))
        while pending:
            message = pending.pop()
            if not message.entry:
                found[message.name] = message
                pending.extend(reversed(message.nested))
        return found

    def declared_enums(self) -> dict[str, EnumType]:
        inside = [enum for message in self.declared().values() for enum in message.enums]
        return {enum.name: enum for enum in (*self.enums, *inside)}


def parse_protobuf(text: str, references: Mapping[str, str]) -> ProtobufFile:
    """The schema of a text, or of a serialised descriptor in base64; ``references`` are the files that it imports.

    It is compiled in another process.

    Raises:
        SchemaError: it cannot be compiled.
    """
    document = declared_by(text, references)
    try:
        return _file(document)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SchemaError("the Protobuf compiler's answer cannot be read") from error


def _file(document: Mapping[str, Any]) -> ProtobufFile:
    types = [_enum(row) if "values" in row else Message(_local(row), row["entry"]) for row in document["types"]]

    def messages(indexes: list[int]) -> list[Message]:
        return [each for index in indexes if isinstance(each := types[index], Message)]

    def enums(indexes: list[int]) -> list[EnumType]:
        return [each for index in indexes if isinstance(each := types[index], EnumType)]

    for each, row in zip(types, document["types"], strict=True):
        if isinstance(each, EnumType):
            continue
        each.nested, each.enums, each.reserved = messages(row["nested"]), enums(row["enums"]), _reserved(row)
        for member in row["fields"]:
            referred = None if member["type"] is None else types[member["type"]]
            each.fields[member["number"]] = Field(
                **{name: value for name, value in member.items() if name != "type"},
                message=referred if isinstance(referred, Message) else None,
                enum=referred if isinstance(referred, EnumType) else None,
            )
    top = tuple(messages(document["messages"])), tuple(enums(document["enums"]))
    return ProtobufFile(document["package"], document["syntax"], *top)


def _enum(row: Mapping[str, Any]) -> EnumType:
    names = {number: name for name, number in reversed(row["values"])}
    numbers = {str(name): int(number) for name, number in row["values"]}
    return EnumType(_local(row), row["closed"], dict(reversed(names.items())), numbers, _reserved(row))


def _reserved(row: Mapping[str, Any]) -> Reserved:
    return Reserved(tuple((first, last) for first, last in row["reserved"]), frozenset(row["reserved_names"]))


def _local(row: Mapping[str, Any]) -> str:
    """The name without the package that it is in."""
    package = row["package"]
    return str(row["name"]).removeprefix(f"{package}." if package else "")
