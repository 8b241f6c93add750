"""Which schema a record was written with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SchemaType(StrEnum):
    """How a schema is written. ``NONE`` means that the bytes carry no schema that we know of."""

    AVRO = "AVRO"
    JSON = "JSON"
    PROTOBUF = "PROTOBUF"
    NONE = "NONE"


class Framing(StrEnum):
    """How a payload says which schema it was written with."""

    CONFLUENT_PREFIX = "CONFLUENT_PREFIX"  # 0x00, 4-byte big-endian id, payload
    GUID_HEADER = "GUID_HEADER"  # header __value_schema_id: 0x01, 16-byte UUID; payload as it is
    SINGLE_OBJECT = "SINGLE_OBJECT"  # 0xC3 0x01, 8-byte little-endian Avro fingerprint, payload
    PLAIN_JSON = "PLAIN_JSON"  # JSON text, no schema
    CONNECT_JSON = "CONNECT_JSON"  # Kafka Connect's JSON with its schema inside: {"schema": ..., "payload": ...}
    OPAQUE = "OPAQUE"  # anything else


@dataclass(frozen=True, slots=True)
class SchemaReference:
    """The schema of a record's key or value.

    ``fingerprint`` is the SHA-256, in hexadecimal, of the canonical schema, the same for the same schema under any id.
    ``crc64`` is the CRC-64-AVRO by which a single object names its schema: the number as 16 hexadecimal digits.
    ``unresolved`` marks a reference whose schema is still missing: then only ``framing`` and the id, guid or crc64 are
    known, and ``type`` is ``NONE``.
    """

    type: SchemaType
    framing: Framing
    id: int | None = None
    guid: str | None = None
    subject: str | None = None
    version: int | None = None
    fingerprint: str | None = None
    unresolved: bool = False
    crc64: str | None = None

    @property
    def wire_name(self) -> int | str | None:
        """What the records themselves say: a registry id, a GUID, or ``crc64:`` and a fingerprint; null where they name
        no schema. The same before and after the schema is resolved."""
        if self.framing is Framing.SINGLE_OBJECT:
            return None if self.crc64 is None else f"crc64:{self.crc64}"
        if self.framing is Framing.GUID_HEADER and self.guid is not None:
            return self.guid
        return self.guid if self.id is None else self.id

    def same_schema(self, other: SchemaReference) -> bool:
        """Whether both name the same registered schema, so that spans under them may be merged."""
        return self == other

    def label(self) -> str:
        """Short, for people: ``clicks-value v3 (id 7)``."""
        if self.unresolved:
            return f"unresolved id {self.wire_name}"
        if self.subject is not None:
            version = f" v{self.version}" if self.version is not None else ""
            return f"{self.subject}{version} (id {self.guid if self.id is None else self.id})"
        if self.id is not None or self.guid is not None:
            return f"{self.type.value} id {self.guid if self.id is None else self.id}"
        if self.framing is Framing.CONNECT_JSON:
            return f"JSON with its own schema {(self.fingerprint or '')[:12]}".rstrip()
        if self.framing is Framing.SINGLE_OBJECT:
            return f"Avro single object {self.crc64 or ''}".rstrip()
        return "JSON without schema" if self.framing is Framing.PLAIN_JSON else "opaque bytes, by coordinates only"


OPAQUE = SchemaReference(SchemaType.NONE, Framing.OPAQUE)
PLAIN_JSON = SchemaReference(SchemaType.JSON, Framing.PLAIN_JSON)
