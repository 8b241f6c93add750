"""Keyed 64-bit hashes of whole columns, and the labels that stand for values which may not be shown.

The column hashes are mixers in the family of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014) over seeds and a multiplier that are derived from the key. They are fast and well distributed, and
without the key nobody can test a guess against a sketch; they are not a cryptographic MAC, and no sketch keeps more
than 32 bits of one. The labels are keyed BLAKE2b.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_HEAD_WORDS, _TAIL_WORDS = 32, 8
WHOLLY_HASHED_BYTES = 8 * (_HEAD_WORDS + _TAIL_WORDS)
"""Texts are hashed over their length, their first 256 bytes and, if they are longer, their last 64. Longer texts than
this that differ in between only, hash alike."""

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_ALL_BITS = (1 << 64) - 1
_LOW_BYTES = np.array([(1 << (8 * size)) - 1 for size in range(9)], np.uint64)


class ValueHasher:
    """Hashes under one key. Integers, numbers and texts have seeds of their own: 3, 3.0 and "3" are three values.

    Bytes and strings share a seed, so that a raw key and a string field which hold the same bytes hash alike.
    """

    def __init__(self, hash_key: bytes) -> None:
        root = blake2b(hash_key, digest_size=32, person=b"stream-lineage").digest()
        words = np.frombuffer(blake2b(b"columns", key=root, digest_size=40).digest(), "<u8")
        self._integer_seed, self._number_seed, self._text_seed, self._middle = words[:4]
        self._multiplier = words[4] | np.uint64(1)
        self._label_key = blake2b(b"labels", key=root, digest_size=32).digest()
        self._symbols = lru_cache(maxsize=256)(self._symbol_hashes)

    def integers(self, values: NDArray[np.int64]) -> Hashes:
        return self._finish(values.view(np.uint64) ^ self._integer_seed)

    def numbers(self, values: NDArray[np.float64]) -> Hashes:
        """Hashes of finite doubles; 0.0 and -0.0 are one value."""
        return self._finish((values + 0.0).view(np.uint64) ^ self._number_seed)

    def texts(self, data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Hashes:
        """Hashes of ``data[starts[i] : starts[i] + lengths[i]]``; ``data`` is followed by at least 8 padding bytes."""
        words = np.ndarray((max(len(data) - 7, 0),), np.dtype("<u8"), data, 0, (1,))
        hashes = lengths.astype(np.uint64)
        hashes *= self._multiplier
        hashes += self._text_seed
        if len(lengths) == 0:
            return hashes
        shortest, longest = int(lengths.min()), int(lengths.max())
        spare = np.empty_like(hashes)
        rows: NDArray[np.int64] | None = None  # null: all rows
        for at in range(0, min(8 * _HEAD_WORDS, max(longest, 1)), 8):
            if shortest > at or at == 0:
                found = words[starts + at]
                if shortest < at + 8:
                    found &= _LOW_BYTES[np.minimum(lengths - at, 8)]
                self._absorb(hashes, found, spare)
                continue
            rows = np.flatnonzero(lengths > at) if rows is None else rows[lengths[rows] > at]
            part = hashes[rows]
            masks = _LOW_BYTES[np.minimum(lengths[rows] - at, 8)]
            self._absorb(part, words[starts[rows] + at] & masks, spare[: len(part)])
            hashes[rows] = part
        if longest > 8 * _HEAD_WORDS:
            rows = np.flatnonzero(lengths > 8 * _HEAD_WORDS)
            tails = starts[rows] + lengths[rows] - 8 * _TAIL_WORDS
            part = hashes[rows]
            for word in range(_TAIL_WORDS):
                self._absorb(part, words[tails + 8 * word], spare[: len(part)])
            hashes[rows] = part
        return self._finish(hashes)

    def even_texts(self, data: NDArray[np.uint8], step: int, length: int, rows: int) -> Hashes:
        """What ``texts`` gives for texts of one length that begin every ``step`` bytes, from the first byte of ``data``
        on: nothing has to be gathered. Likewise 8 padding bytes."""
        first = (length * int(self._multiplier) + int(self._text_seed)) & _ALL_BITS
        hashes = np.full(rows, first, np.uint64)
        if rows == 0:
            return hashes
        spare, found = np.empty_like(hashes), np.empty_like(hashes)
        head = range(0, min(8 * _HEAD_WORDS, max(length, 1)), 8)
        tail = range(length - 8 * _TAIL_WORDS, length, 8) if length > 8 * _HEAD_WORDS else ()
        for at in (*head, *tail):
            words = np.ndarray((rows,), np.dtype("<u8"), data, at, (step,))
            np.bitwise_and(words, _LOW_BYTES[min(length - at, 8)], out=found)
            self._absorb(hashes, found, spare)
        return self._finish(hashes)

    def symbols(self, symbols: tuple[str, ...]) -> Hashes:
        """Hashes of enum symbols, equal to those of strings of the same text. Not to be changed."""
        return self._symbols(symbols)

    def _symbol_hashes(self, symbols: tuple[str, ...]) -> Hashes:
        encoded = [symbol.encode() for symbol in symbols]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        data = np.frombuffer(b"".join(encoded) + bytes(8), np.uint8)
        return self.texts(data, np.cumsum(lengths) - lengths, lengths)

    def label(self, path: str, value: bytes) -> str:
        """``#`` and 16 hexadecimal digits: the same for one value of one field under one key."""
        name = path.encode(errors="surrogatepass")
        digest = blake2b(len(name).to_bytes(4, "little"), key=self._label_key, digest_size=8)
        digest.update(name)
        digest.update(value)
        return "#" + digest.hexdigest()

    def _absorb(self, hashes: Hashes, words: Hashes, spare: Hashes) -> None:
        # The shift comes before the secret multiplier: otherwise two words could be chosen to cancel without the key.
        hashes += words
        np.right_shift(hashes, 32, out=spare)
        hashes ^= spare
        hashes *= self._multiplier
        np.right_shift(hashes, 29, out=spare)
        hashes ^= spare

    def _finish(self, hashes: Hashes) -> Hashes:
        shifted = hashes >> 30
        hashes ^= shifted
        hashes *= _MIX_1
        np.right_shift(hashes, 27, out=shifted)
        hashes ^= shifted
        hashes += self._middle
        hashes *= _MIX_2
        np.right_shift(hashes, 31, out=shifted)
        hashes ^= shifted
        return hashes


@lru_cache(maxsize=8)
def hasher_of(hash_key: bytes) -> ValueHasher:
    return ValueHasher(hash_key)
