"""The header by which Confluent's serializers name a schema by its GUID.

Source: ``io.confluent.kafka.serializers.schema.id.SchemaId``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

VALUE_GUID_HEADER = "__value_schema_id"
KEY_GUID_HEADER = "__key_schema_id"
MAX_INDEX_BYTES = 64
"""Message indexes of a schema that nests as deep as the compiler lets it take less."""
_GUID_HEADER_BYTES = 17
_GUID_MAGIC = 1


class Guid(NamedTuple):
    """What a header names: the schema's GUID, in its usual form, and the message indexes behind it, if any: those of
    Protobuf, see ``protobuf_index``."""

    guid: str
    indexes: bytes = b""


def guid_from_header(value: bytes | None) -> Guid | None:
    """The schema GUID in a header's value (``0x01`` and 16 bytes, then message indexes); None where it holds none."""
    if value is None or not _GUID_HEADER_BYTES <= len(value) <= _GUID_HEADER_BYTES + MAX_INDEX_BYTES:
        return None
    if value[0] != _GUID_MAGIC:
        return None
    return Guid(str(UUID(bytes=bytes(value[1:_GUID_HEADER_BYTES]))), bytes(value[_GUID_HEADER_BYTES:]))


def guid_in(headers: Iterable[tuple[str, bytes | None]] | None, name: str) -> Guid | None:
    """The GUID in the last header called ``name``, as Confluent's deserializers take it."""
    found = None
    for header, value in headers or ():
        if header == name:
            found = value
    return guid_from_header(found)
