"""Keyed hashes of the values by which people ask for records, with where in a batch each of them stands.

Columns hold values and not whose they are. Where each record of a batch has exactly one, they stand in the order of
the records; else the batch is cut in halves until that is so, as often as a batch may be decoded again. 48 bits are
kept of a hash: among a thousand million records one is found wrongly with a chance of 1 to 300,000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from stream_lineage.profile.hashing import WHOLLY_HASHED_BYTES, ValueHasher
from stream_lineage.profile.typed_value import typed_value
from stream_lineage.wire.columns import Batch, Containers, Decoded, Part, Symbols, Texts

KEY = "@key"
"""Stands for the record's key, as it is."""
CHECK_BYTES = 8
HASH_BITS = 48
MOST_DECODES = 64
"""How often parts of a batch are decoded again to tell whose a value is. Each costs some tenths of a millisecond."""
REST = 100
"""Batches that are not decoded again after that was in vain three times."""
_LOW = np.uint64((1 << HASH_BITS) - 1)
_INSIDE = ("[]", "{}")
Hashes = NDArray[np.uint64]
Decode = Callable[[Batch], Decoded]


@dataclass(frozen=True, slots=True)
class Located:
    """``hashes[i]`` is of a value of the record ``places[i]`` of the batch. ``left_out`` records have values of which
    that is not known."""

    places: NDArray[np.int64]
    hashes: Hashes
    left_out: int = 0


class KeyHasher:
    """The hashes of one field of one topic: the same value hashes otherwise in every other field."""

    def __init__(self, hash_key: bytes, topic: str, path: str) -> None:
        self.path = path
        own = blake2b(b"key field", key=hash_key[:64], digest_size=32)
        for name in (topic, path):
            encoded = name.encode(errors="surrogatepass")
            own.update(len(encoded).to_bytes(4, "little") + encoded)
        digest = own.digest()
        self._hasher = ValueHasher(digest)
        self._long_key = blake2b(b"long texts", key=digest, digest_size=32).digest()
        self.check = blake2b(b"check", key=digest, digest_size=CHECK_BYTES).digest()
        """Tells whether two processes hash with the same key."""
        self._budget, self._rested = MOST_DECODES, 0

    def raw(self, batch: Batch) -> Hashes:
        """Of payloads as they are."""
        return self._texts(batch.data, batch.starts, batch.lengths)

    def wanted(self, text: str) -> frozenset[int]:
        """The hashes that a value may have which somebody typed: as text, and as a number if it looks like one."""
        typed = typed_value(text)
        found = {int(self._of_text(typed.raw))}
        if typed.number is not None:
            found.add(int(self._hasher.numbers(np.array([typed.number]))[0] & _LOW))
        if typed.integer is not None:
            found.add(int(self._hasher.integers(np.array([typed.integer], np.int64))[0] & _LOW))
        return frozenset(found)

    def located(self, decode: Decode, batch: Batch, decoded: Decoded) -> Located:
        """Of the field in a batch of values, which was ``decoded``."""
        if any(sign in self.path for sign in _INSIDE):
            return Located(np.zeros(0, np.int64), np.zeros(0, np.uint64), _values(decoded, self.path))
        places: list[NDArray[np.int64]] = []
        hashes: list[Hashes] = []
        left_out, budget = 0, self._allowed()
        exhausted = False
        waiting = [(np.arange(len(batch)), decoded)]
        while waiting:
            rows, part = waiting.pop()
            count = _values(part, self.path)
            if not count:
                continue
            good = np.delete(rows, [record.index for record in part.bad])
            own = self._whole(part, len(good))
            if own is not None:
                places.append(good)
                hashes.append(own)
            elif len(good) == 1:
                left_out += count
            elif budget < 2:
                left_out += count
                exhausted = True
            else:
                budget -= 2
                middle = len(good) // 2
                for half in (good[middle:], good[:middle]):
                    waiting.append((half, decode(Batch(batch.data, batch.starts[half], batch.lengths[half]))))
        self._learn(exhausted)
        if not places:
            return Located(np.zeros(0, np.int64), np.zeros(0, np.uint64), left_out)
        return Located(np.concatenate(places), np.concatenate(hashes), left_out)

    def _allowed(self) -> int:
        """How many parts of this batch may be decoded again: fewer where that was in vain, and none for a while."""
        if self._budget < 2:
            self._rested += 1
            if self._rested <= REST:
                return 0
            self._budget, self._rested = MOST_DECODES, 0
        return self._budget

    def _learn(self, exhausted: bool) -> None:
        if self._budget >= 2:
            self._budget = self._budget // 4 if exhausted else MOST_DECODES

    def _whole(self, decoded: Decoded, records: int) -> Hashes | None:
        """The hashes where each record has exactly one value, in the order of the records."""
        columns = [column for column in decoded.columns if column.path == self.path] if decoded.in_order else []
        if len(columns) != 1 or columns[0].joined or columns[0].slots != records or len(columns[0].parts) != 1:
            return None
        hashes = self._hashes(columns[0].parts[0])
        return hashes if hashes is not None and len(hashes) == records else None

    def _texts(self, data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Hashes:
        """Of whole texts: the columns' hashes leave out the middle of long ones."""
        hashes = self._hasher.texts(data, starts, lengths) & _LOW
        for row in np.flatnonzero(lengths > WHOLLY_HASHED_BYTES).tolist():
            whole = data[starts[row] : starts[row] + lengths[row]].tobytes()
            digest = blake2b(whole, key=self._long_key, digest_size=8).digest()
            hashes[row] = np.uint64(int.from_bytes(digest, "little")) & _LOW
        return hashes

    def _symbols(self, symbols: tuple[str, ...]) -> Hashes:
        hashes = self._hasher.symbols(symbols) & _LOW
        for row, symbol in enumerate(symbols):
            if len(symbol) > WHOLLY_HASHED_BYTES // 4:  # as texts, which may be typed
                hashes[row] = self._of_text(symbol.encode())
        return hashes

    def _of_text(self, text: bytes) -> np.uint64:
        padded = np.frombuffer(text + bytes(16), np.uint8)
        found: np.uint64 = self._texts(padded, np.array([0]), np.array([len(text)]))[0]
        return found

    def _hashes(self, part: Part) -> Hashes | None:
        if isinstance(part, Texts):
            return self._texts(part.data, part.starts, part.lengths)
        if isinstance(part, Symbols):
            return self._symbols(part.symbols)[part.codes]
        if isinstance(part, Containers) or part.type == "boolean":
            return None
        values = part.values
        found = (
            self._hasher.integers(values.astype(np.int64))
            if part.type == "integer"
            else self._hasher.numbers(values.astype(np.float64))
        )
        return found & _LOW


def _values(decoded: Decoded, path: str) -> int:
    return sum(map(_count, (part for column in decoded.columns if column.path == path for part in column.parts)))


def _count(part: Part) -> int:
    match part:
        case Containers():
            return 0
        case Texts():
            return len(part.lengths)
        case Symbols():
            return len(part.codes)
        case _:
            return len(part.values)


def fields_of(key_fields: Iterable[str], topic: str) -> list[str]:
    """The key fields of a topic, of those that are declared as ``TOPIC:FIELD``."""
    found = (each.partition(":") for each in key_fields)
    return list(dict.fromkeys(path for name, _, path in found if name == topic))
