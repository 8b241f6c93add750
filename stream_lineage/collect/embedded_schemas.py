"""Schemas that records carry inside themselves, told for a whole batch by comparing bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.connect_json import Envelope, envelope_of
from stream_lineage.wire.framing import JSON
from stream_lineage.wire.registered_schema import Role

MAX_ENVELOPES = 64
"""Envelopes of the values, or of the keys, of one topic that are told apart: records in others count as JSON without a
schema. Larger: more schemas are told apart, and hostile records make more observations."""
_MOST_BYTES = 32 * 1024 * 1024
_MOST_FAILURES = 64
"""Records of one batch that are looked into and turn out to stand in no envelope: the others are not looked into."""
_SCHEMA = int.from_bytes(b'{"schema', "little")
_PAYLOAD = int.from_bytes(b'{"payloa', "little")
_LOOKS_ENVELOPED = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"(?:schema|payload)"[ \t\r\n]*:')


@dataclass(slots=True)
class _Known:
    """Envelopes with their codes, those of the last batch first."""

    envelopes: list[tuple[Envelope, int]] = field(default_factory=list)


class EmbeddedSchemas:
    """Finds Connect's envelopes. ``code_of`` gives an envelope its code; null where there is no room for one more."""

    def __init__(self, code_of: Callable[[Envelope], int | None]) -> None:
        self._code_of = code_of
        self._known: dict[tuple[str, Role], _Known] = {}
        self._bytes = 0

    def apply(
        self,
        topic: str,
        role: Role,
        codes: NDArray[np.uint64],
        data: bytes,
        starts: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        """In place: records with the code of JSON that stand in an envelope get the code of that."""
        left = _candidates(codes, data, starts, lengths)
        if not len(left):
            return
        known = self._known.setdefault((topic, role), _Known())
        used: list[int] = []
        for entry in known.envelopes:
            left = _assign(entry, left, codes, data, starts, lengths, used)
        for _ in range(_MOST_FAILURES):
            if not len(left) or len(known.envelopes) >= MAX_ENVELOPES:
                break
            first = int(left[0])
            found = envelope_of(data[starts[first] : starts[first] + lengths[first]])
            code = None if found is None or not self._room(found) else self._code_of(found)
            if found is None or code is None:
                left = left[1:]
                continue
            self._bytes += len(found.head) + len(found.tail)
            known.envelopes.append((found, code))
            left = _assign((found, code), left, codes, data, starts, lengths, used)
        if used:
            known.envelopes.sort(key=lambda entry: entry[1] not in used)

    def _room(self, envelope: Envelope) -> bool:
        return self._bytes + len(envelope.head) + len(envelope.tail) <= _MOST_BYTES


def _candidates(
    codes: NDArray[np.uint64], data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Records that start as one in an envelope does."""
    places = np.flatnonzero(codes == np.uint64(JSON))
    if not len(places):
        return places
    words = np.ndarray((len(data) - 7,), "<u8", data, 0, (1,))[starts[places]]
    plain = (words == np.uint64(_SCHEMA)) | (words == np.uint64(_PAYLOAD))
    first, second = words & np.uint64(0xFF), (words >> np.uint64(8)) & np.uint64(0xFF)
    blank = (first != ord("{")) & (first != ord("[")) | (first == ord("{")) & (second <= 0x20)
    if blank.any():
        spaced = np.flatnonzero(blank)
        begin = starts[places[spaced]]
        stop = begin + lengths[places[spaced]]
        matches = map(_LOOKS_ENVELOPED.match, repeat(data), begin.tolist(), stop.tolist())
        plain[spaced] = np.fromiter((match is not None for match in matches), np.bool_, len(spaced))
    found: NDArray[np.int64] = places[plain]
    return found


def _assign(
    entry: tuple[Envelope, int],
    left: NDArray[np.int64],
    codes: NDArray[np.uint64],
    data: bytes,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    used: list[int],
) -> NDArray[np.int64]:
    """Gives the records that stand in an envelope its code; those that do not."""
    if not len(left):
        return left
    envelope, code = entry
    begin, stop = starts[left], starts[left] + lengths[left]
    tails = (stop - len(envelope.tail)).tolist()
    inside = np.fromiter(map(data.startswith, repeat(envelope.head), begin.tolist()), np.bool_, len(left))
    inside &= np.fromiter(map(data.startswith, repeat(envelope.tail), tails), np.bool_, len(left))
    inside &= lengths[left] > len(envelope.head) + len(envelope.tail)
    if inside.any():
        codes[left[inside]] = np.uint64(code)
        used.append(code)
    return left[~inside]
