"""Schema codes: what a payload says of its schema, as one number per record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream_lineage.model.schema import Framing
from stream_lineage.wire import framing
from stream_lineage.wire.registered_schema import Role

NULL_CODE = framing.NULL
OPAQUE_CODE = framing.OPAQUE
MAX_GUIDS = 65_536
_GUID_BASE = 1 << 62
_NUMBER_BYTES = 8
_MOST_CANDIDATES = 256
"""New ids of one batch that are looked at, the most frequent ones: others are not believed."""


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

    GUIDs do not fit into a number themselves and get codes of their own. Written by the thread that reads from Kafka.
    """

    def __init__(self, gate: Gate | None = None) -> None:
        self._gate = gate
        self._codes: dict[str, int] = {}
        self._guids: list[str] = []
        self._proven: dict[tuple[str, Role], set[int]] = {}

    def settle(self, topic: str, role: Role, codes: NDArray[np.uint64], lengths: NDArray[np.int64]) -> None:
        """In place: payloads (of ``lengths``) that name an id which is not to be believed become opaque."""
        if self._gate is None or len(codes) == 0:
            return
        proven = self._proven.setdefault((topic, role), set())
        first = int(codes[0])
        if bool((codes == codes[0]).all()) and (first in proven or not _is_prefixed(first)):
            return
        prefixed = (codes >= np.uint64(framing.CONFLUENT)) & (codes < np.uint64(_GUID_BASE))
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

    def for_guids(self, topic: str, role: Role, guids: Iterable[str]) -> dict[str, int]:
        """The codes of GUIDs that records name, each as often as it is named; those not to be believed have none."""
        counts = Counter(guids)
        keys = {SchemaKey(Framing.GUID_HEADER, guid): guid for guid in counts}
        if self._gate is not None:
            proven = self._proven.setdefault((topic, role), set())
            new = {key: counts[guid] for key, guid in keys.items() if self._codes.get(guid) not in proven}
            if new:
                admission = self._gate.admit(topic, role, new, numbers=False)
                refused = {keys[key] for key in new.keys() - admission.admitted}
                out = self._coded(guid for guid in counts if guid not in refused)
                proven.update(out[keys[key]] for key in admission.proven if keys[key] in out)
                return out
        return self._coded(counts)

    def _coded(self, guids: Iterable[str]) -> dict[str, int]:
        out = {}
        for guid in guids:
            code = self._codes.get(guid)
            if code is None:
                if len(self._guids) >= MAX_GUIDS:
                    continue
                code = _GUID_BASE + len(self._guids)
                self._guids.append(guid)
                self._codes[guid] = code
            out[guid] = code
        return out

    def key(self, code: int) -> SchemaKey:
        """What a code stands for."""
        if code >= _GUID_BASE:
            return SchemaKey(Framing.GUID_HEADER, self._guids[code - _GUID_BASE])
        return SchemaKey(framing.framing_of(code) or Framing.OPAQUE, framing.schema_id(code))

    @staticmethod
    def payload_offset(code: int) -> int:
        """Bytes of framing before the payload."""
        return 0 if code >= _GUID_BASE else framing.payload_offset(code)


def _is_prefixed(code: int) -> bool:
    return framing.CONFLUENT <= code < _GUID_BASE
