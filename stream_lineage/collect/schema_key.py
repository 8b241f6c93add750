"""Schema codes: what a payload says of its schema, as one number per record."""

from __future__ import annotations

from dataclasses import dataclass

from stream_lineage.model.schema import Framing
from stream_lineage.wire import framing
from stream_lineage.wire.registered_schema import Role

NULL_CODE = framing.NULL
OPAQUE_CODE = framing.OPAQUE
MAX_GUIDS = 65_536
_GUID_BASE = 1 << 62


@dataclass(frozen=True, slots=True)
class SchemaKey:
    """How a payload is framed, and the id (number) or GUID (text) that it names, if any."""

    framing: Framing
    id: int | str | None = None

    @property
    def registered(self) -> bool:
        """Whether the registry is to be asked."""
        return self.framing in (Framing.CONFLUENT_PREFIX, Framing.GUID_HEADER)

    def label(self, role: str) -> str:
        """``value:7``, as chain heads remember what is unresolved."""
        return f"{role}:{self.id}"

    @classmethod
    def from_label(cls, label: str) -> tuple[Role, SchemaKey] | None:
        """Role and key of a label, or null when it is none."""
        name, _, text = label.partition(":")
        if name not in ("value", "key") or not text:
            return None
        role: Role = "value" if name == "value" else "key"
        if text.isdecimal():
            return role, cls(Framing.CONFLUENT_PREFIX, int(text))
        return role, cls(Framing.GUID_HEADER, text)


class SchemaCodes:
    """Codes for GUIDs, which do not fit into a number themselves. Written by the thread that reads from Kafka."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._guids: list[str] = []

    def for_guid(self, guid: str) -> int | None:
        """The code of a GUID, or null when there are too many of them to be real."""
        code = self._codes.get(guid)
        if code is None:
            if len(self._guids) >= MAX_GUIDS:
                return None
            code = _GUID_BASE + len(self._guids)
            self._guids.append(guid)
            self._codes[guid] = code
        return code

    def key(self, code: int) -> SchemaKey:
        """What a code stands for."""
        if code >= _GUID_BASE:
            return SchemaKey(Framing.GUID_HEADER, self._guids[code - _GUID_BASE])
        return SchemaKey(framing.framing_of(code) or Framing.OPAQUE, framing.schema_id(code))

    @staticmethod
    def payload_offset(code: int) -> int:
        """Bytes of framing before the payload."""
        return 0 if code >= _GUID_BASE else framing.payload_offset(code)
