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
    OPAQUE = "OPAQUE"  # anything else


@dataclass(frozen=True, slots=True)
class SchemaReference:
    """The schema of a record's key or value.

    ``fingerprint`` is the SHA-256, in hexadecimal, of the canonical schema, the same for the same schema under any id.
    ``unresolved`` marks a reference whose registry answer is still missing: then only ``framing`` and the id or guid
    are known, and ``type`` is ``NONE``.
    """

    type: SchemaType
    framing: Framing
    id: int | None = None
    guid: str | None = None
    subject: str | None = None
    version: int | None = None
    fingerprint: str | None = None
    unresolved: bool = False

    def same_schema(self, other: SchemaReference) -> bool:
        """Whether both name the same registered schema, so that spans under them may be merged."""
        return self == other

    def label(self) -> str:
        """Short, for people: ``clicks-value v3 (id 7)``."""
        if self.unresolved:
            return f"unresolved id {self.guid or self.id}"
        if self.subject is not None:
            version = f" v{self.version}" if self.version is not None else ""
            return f"{self.subject}{version} (id {self.guid if self.id is None else self.id})"
        if self.id is not None or self.guid is not None:
            return f"{self.type.value} id {self.guid if self.id is None else self.id}"
        return {Framing.PLAIN_JSON: "JSON without schema", Framing.SINGLE_OBJECT: "Avro single object"}.get(
            self.framing, "opaque bytes"
        )


OPAQUE = SchemaReference(SchemaType.NONE, Framing.OPAQUE)
PLAIN_JSON = SchemaReference(SchemaType.JSON, Framing.PLAIN_JSON)
