"""Schema codes: what a payload says of its schema, as one number per record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_lineage.collect.embedded_schemas import EmbeddedSchemas
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.wire import framing
from stream_lineage.wire.connect_json import Envelope
from stream_lineage.wire.guid_header import Guid
from stream_lineage.wire.registered_schema import Role

NULL_CODE = framing.NULL
OPAQUE_CODE = framing.OPAQUE
MAX_NAMES = 65_536
MAX_INDEXES = 256
"""Message indexes that the records of one GUID may name, as many different ones: others name no message."""
_NO_MESSAGE = b"\xff"  # are no indexes
_NAME_BASE = 1 << 62
_CRC64 = "crc64:"
_NUMBER_BYTES = 8
_MOST_CANDIDATES = 256
"""New ids of one batch that are looked at, the most frequent ones: others are not believed."""


@dataclass(frozen=True, slots=True)
class SchemaKey:
    """How a payload is framed, and what it names its schema by, if at all: an id (number), a GUID, the fingerprint of a
    single object (16 hexadecimal digits) or that of the schema inside of it (64)."""

    framing: Framing
    id: int | str | None = None

    @property
    def registered(self) -> bool:
        """Whether its schema is to be looked up."""
        return self.id is not None and self.framing in (
            Framing.CONFLUENT_PREFIX,
            Framing.GUID_HEADER,
            Framing.SINGLE_OBJECT,
        )

    @property
    def is_crc64(self) -> bool:
        """Whether ``id`` is the fingerprint of a single object."""
        return self.framing is Framing.SINGLE_OBJECT

    def unresolved_reference(self) -> SchemaReference:
        """What is known of its schema before that is found."""
        return SchemaReference(
            SchemaType.NONE,
            self.framing,
            id=self.id if isinstance(self.id, int) else None,
            guid=self.id if isinstance(self.id, str) and not self.is_crc64 else None,
            unresolved=True,
            crc64=self.id if isinstance(self.id, str) and self.is_crc64 else None,
        )

    def label(self, role: str) -> str:
        """``value:7``, as chain heads remember what is unresolved."""
        return f"{role}:{_CRC64 if self.is_crc64 else ''}{self.id}"

    @classmethod
    def from_label(cls, label: str) -> tuple[Role, SchemaKey] | None:
        """Role and key of a label, or null when it is none."""
        name, _, text = label.partition(":")
        if name not in ("value", "key") or not text:
            return None
        role: Role = "value" if name == "value" else "key"
        if text.startswith(_CRC64):
            return role, cls(Framing.SINGLE_OBJECT, text.removeprefix(_CRC64))
        if text.isdecimal():
            return role, cls(Framing.CONFLUENT_PREFIX, int(text))
        return role, cls(Framing.GUID_HEADER, text)


@dataclass(frozen=True, slots=True)
class Admission:
    """Keys that records may stand under; the ``proven`` ones among them for ever."""

    admitted: frozenset[SchemaKey]
    proven: frozenset[SchemaKey]


class Gate(Protocol):
    """Decides which keys are believed: see ``SchemaResolver.admit``."""

    def admit(self, topic: str, role: Role, counts: Mapping[SchemaKey, int], *, numbers: bool) -> Admission: ...


class SchemaCodes:
    """The codes of what records say of their schemas, as far as it is to be believed. Without a gate all of it is.

    Names that do not fit into a number (GUIDs, fingerprints) get codes of their own. Written by the thread that reads
    from Kafka.
    """

    def __init__(self, gate: Gate | None = None) -> None:
        self._gate = gate
        self._codes: dict[SchemaKey | Envelope | tuple[SchemaKey, bytes], int] = {}
        self._names: list[tuple[SchemaKey, Envelope | None, bytes]] = []
        self._indexes: Counter[SchemaKey] = Counter()
        self._proven: dict[tuple[str, Role], set[int]] = {}
        self._embedded = EmbeddedSchemas(self._envelope)

    def look_inside(
        self,
        topic: str,
        role: Role,
        codes: NDArray[np.uint64],
        data: bytes,
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        """In place: payloads that name a schema further inside than ``classify`` looks get the code of that: Avro
        single objects (those not to be believed become opaque) and JSON that carries its schema."""
        single = np.flatnonzero(codes == np.uint64(framing.SINGLE_OBJECT))
        if len(single):
            buffer = np.frombuffer(data, np.uint8)
            names = framing.single_object_fingerprints(buffer, starts[single])
            distinct, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
            most = np.argsort(-counts, kind="stable")[:_MOST_CANDIDATES].tolist()
            keys = {SchemaKey(Framing.SINGLE_OBJECT, f"{int(distinct[place]):016x}"): place for place in most}
            known = self._named(topic, role, {key: int(counts[place]) for key, place in keys.items()})
            table = np.full(len(distinct), OPAQUE_CODE, np.uint64)
            for key, code in known.items():
                table[keys[key]] = code
            codes[single] = table[inverse]
        self._embedded.apply(topic, role, codes, data, starts, lengths)

    def settle(self, topic: str, role: Role, codes: NDArray[np.uint64], lengths: NDArray[np.int64]) -> None:
        """In place: payloads (of ``lengths``) that name an id which is not to be believed become opaque."""
        if self._gate is None or len(codes) == 0:
            return
        proven = self._proven.setdefault((topic, role), set())
        first = int(codes[0])
        if bool((codes == codes[0]).all()) and (first in proven or not _is_prefixed(first)):
            return
        prefixed = (codes >= np.uint64(framing.CONFLUENT)) & (codes < np.uint64(_NAME_BASE))
        distinct, counts = np.unique(codes[prefixed], return_counts=True)
        new = ~np.isin(distinct, np.fromiter(proven, np.uint64, len(proven)))
        if not bool(new.any()):
            return
        distinct, counts = distinct[new], counts[new]
        if len(distinct) > _MOST_CANDIDATES:
            most = np.argsort(-counts, kind="stable")[:_MOST_CANDIDATES]
            distinct, counts = distinct[most], counts[most]
        keys = {self.key(code): count for code, count in zip(distinct.tolist(), counts.tolist(), strict=True)}
        numbers = role == "key" and bool((lengths[prefixed] == _NUMBER_BYTES).all())
        admission = self._gate.admit(topic, role, keys, numbers=numbers)
        proven.update(framing.CONFLUENT | int(key.id or 0) for key in admission.proven)
        believed = proven | {framing.CONFLUENT | int(key.id or 0) for key in admission.admitted}
        codes[prefixed & ~np.isin(codes, np.fromiter(believed, np.uint64, len(believed)))] = OPAQUE_CODE

    def for_guids(self, topic: str, role: Role, guids: Iterable[Guid]) -> dict[Guid, int]:
        """The codes of GUIDs that records name, each as often as it is named; those not to be believed have none.

        Records that name different messages of a schema have different codes of one key.
        """
        counts = Counter(guids)
        named: Counter[SchemaKey] = Counter()
        for guid, count in counts.items():
            named[SchemaKey(Framing.GUID_HEADER, guid.guid)] += count
        known = self._named(topic, role, named)
        out = {}
        for guid in counts:
            key = SchemaKey(Framing.GUID_HEADER, guid.guid)
            code = known.get(key)
            if code is not None and guid.indexes:
                code = self._indexed(key, guid.indexes)
            if code is not None:
                out[guid] = code
        return out

    def _indexed(self, key: SchemaKey, indexes: bytes) -> int | None:
        if (key, indexes) not in self._codes:
            if self._indexes[key] >= MAX_INDEXES:
                indexes = _NO_MESSAGE
            else:
                self._indexes[key] += 1
        return self._code((key, indexes), key, None, indexes)

    def _named(self, topic: str, role: Role, counts: Mapping[SchemaKey, int]) -> dict[SchemaKey, int]:
        """The codes of keys that so many records name; those not to be believed have none."""
        if self._gate is None:
            return self._coded(counts)
        proven = self._proven.setdefault((topic, role), set())
        new = {key: count for key, count in counts.items() if self._codes.get(key) not in proven}
        if not new:
            return self._coded(counts)
        admission = self._gate.admit(topic, role, new, numbers=False)
        refused = new.keys() - admission.admitted
        out = self._coded(key for key in counts if key not in refused)
        proven.update(out[key] for key in admission.proven if key in out)
        return out

    def _coded(self, keys: Iterable[SchemaKey]) -> dict[SchemaKey, int]:
        codes = ((key, self._code(key, key, None)) for key in keys)
        return {key: code for key, code in codes if code is not None}

    def _envelope(self, envelope: Envelope) -> int | None:
        return self._code(envelope, SchemaKey(Framing.CONNECT_JSON, envelope.fingerprint), envelope)

    def _code(
        self,
        name: SchemaKey | Envelope | tuple[SchemaKey, bytes],
        key: SchemaKey,
        envelope: Envelope | None,
        indexes: bytes = b"",
    ) -> int | None:
        code = self._codes.get(name)
        if code is None and len(self._names) < MAX_NAMES:
            code = self._codes[name] = _NAME_BASE + len(self._names)
            self._names.append((key, envelope, indexes))
        return code

    def key(self, code: int) -> SchemaKey:
        """What a code stands for."""
        if code >= _NAME_BASE:
            return self._names[code - _NAME_BASE][0]
        return SchemaKey(framing.framing_of(code) or Framing.OPAQUE, framing.schema_id(code))

    def envelope(self, code: int) -> Envelope | None:
        """The envelope that payloads of this code stand in, if they carry their schema."""
        return self._names[code - _NAME_BASE][1] if code >= _NAME_BASE else None

    def indexes(self, code: int) -> bytes:
        """The message indexes that stand in a header of records of this code."""
        return self._names[code - _NAME_BASE][2] if code >= _NAME_BASE else b""

    def payload_offset(self, code: int) -> int:
        """Bytes of framing before the payload."""
        if code < _NAME_BASE:
            return framing.payload_offset(code)
        key, envelope, _ = self._names[code - _NAME_BASE]
        if key.framing is Framing.SINGLE_OBJECT:
            return framing.SINGLE_OBJECT_PREFIX_BYTES
        return 0 if envelope is None else len(envelope.head)


def _is_prefixed(code: int) -> bool:
    return framing.CONFLUENT <= code < _NAME_BASE
