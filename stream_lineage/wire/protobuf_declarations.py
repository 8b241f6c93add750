"""What a Protobuf schema declares beyond what decoding needs: names of oneofs, reserved numbers, required, defaults.

Runs in the compiler's process. The document is JSON: messages and enums are listed once each and refer to each other by
index.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

MAX_FIELDS = 50_000
"""Fields of all messages that a schema can reach; those with more are refused."""

_KINDS = {
    value: name.removeprefix("TYPE_").lower() for name, value in vars(FieldDescriptor).items() if name[:5] == "TYPE_"
}


class TooLarge(Exception):
    """There are more fields than are looked at."""


def declarations(pool: DescriptorPool, file: FileDescriptor) -> dict[str, Any]:
    """Everything that a file declares, and what its messages lead to.

    Raises:
        TooLarge: more than ``MAX_FIELDS`` fields.
    """
    return _Declarations(pool).document(file)


class _Declarations:
    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._indexes: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._pending: list[tuple[Descriptor, dict[str, Any]]] = []
        self._fields = 0

    def document(self, file: FileDescriptor) -> dict[str, Any]:
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        roots = [self._message(file.message_types_by_name[message.name]) for message in proto.message_type]
        enums = [self._enum(file.enum_types_by_name[enum.name]) for enum in proto.enum_type]
        while self._pending:
            self._fill(*self._pending.pop())
        syntax = proto.syntax or "proto2"
        if syntax == "editions":
            syntax = descriptor_pb2.Edition.Name(proto.edition).removeprefix("EDITION_")
            syntax = f"edition {syntax}"
        return {"package": file.package, "syntax": syntax, "types": self._rows, "messages": roots, "enums": enums}

    def _message(self, message: Descriptor) -> int:
        index = self._indexes.get(message.full_name)
        if index is None:
            index = self._indexes[message.full_name] = len(self._rows)
            row: dict[str, Any] = {
                "name": message.full_name,
                "package": message.file.package,
                "entry": bool(message.GetOptions().map_entry),
            }
            self._rows.append(row)
            self._pending.append((message, row))
        return index

    def _fill(self, message: Descriptor, row: dict[str, Any]) -> None:
        proto = descriptor_pb2.DescriptorProto()
        message.CopyToProto(proto)
        fields = list(message.fields)
        if message.is_extendable:
            fields += self._pool.FindAllExtensions(message)
        self._fields += len(fields)
        if self._fields > MAX_FIELDS:
            raise TooLarge
        row["fields"] = [self._field(field) for field in fields]
        row["nested"] = [self._message(nested) for nested in message.nested_types]
        row["enums"] = [self._enum(nested) for nested in message.enum_types]
        row["reserved"] = [[each.start, each.end - 1] for each in proto.reserved_range]
        row["reserved_names"] = list(proto.reserved_name)

    def _enum(self, enum: EnumDescriptor) -> int:
        index = self._indexes.get(enum.full_name)
        if index is None:
            index = self._indexes[enum.full_name] = len(self._rows)
            proto = descriptor_pb2.EnumDescriptorProto()
            enum.CopyToProto(proto)
            self._rows.append(
                {
                    "name": enum.full_name,
                    "package": enum.file.package,
                    "closed": bool(enum.is_closed),
                    "values": [[value.name, value.number] for value in enum.values],
                    "reserved": [[each.start, each.end] for each in proto.reserved_range],
                    "reserved_names": list(proto.reserved_name),
                }
            )
        return index

    def _field(self, field: FieldDescriptor) -> dict[str, Any]:
        referred = None
        if field.message_type is not None:
            referred = self._message(field.message_type)
        elif field.enum_type is not None:
            referred = self._enum(field.enum_type)
        oneof = field.containing_oneof
        synthetic = oneof is not None and len(oneof.fields) == 1 and oneof.name.startswith("_")
        return {
            "number": field.number,
            "name": f"[{field.full_name}]" if field.is_extension else field.name,
            "kind": _KINDS[field.type],
            "repeated": bool(field.is_repeated),
            "required": bool(field.is_required),
            "presence": bool(field.has_presence),
            "packed": bool(field.is_packed),
            "oneof": None if oneof is None or synthetic else oneof.name,
            "default": _default(field),
            "type": referred,
        }


def _default(field: FieldDescriptor) -> str | None:
    """The default that is written in the schema, as text; of an enum its number."""
    if not field.has_default_value:
        return None
    value = field.default_value
    return repr(value) if isinstance(value, bytes) else str(value)
