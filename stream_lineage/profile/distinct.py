"""How many distinct values: HyperLogLog, built from whole columns, kept as Apache DataSketches images.

``datasketches.hll_sketch`` takes one Python call per value. This module keeps the same state in NumPy, fed with 64-bit
hashes (the low 26 bits give the slot, the leading zeros of the other 38 the value), and reads and writes it in the
binary form of DataSketches: coupon list below 8 coupons, coupon set while it is small, then HLL_4, marked out of order
so that readers use the composite estimator. Every image is checked in full before anything reads it. Sources: Flajolet
et al., "HyperLogLog", 2007; the layout is that of the DataSketches family 7, serial version 1.
"""

from __future__ import annotations

import struct

import datasketches
import numpy as np
from numpy.typing import NDArray

from stream_lineage.errors import DecodeError
from stream_lineage.profile.hashing import Hashes

MIN_LG_K, MAX_LG_K = 4, 12
"""Bounds of images that we read: 16 to 4096 registers."""

_SERIAL_VERSION, _FAMILY = 1, 7
_LIST, _SET, _HLL = 0, 1, 2
_LIST_PREAMBLE, _SET_PREAMBLE, _HLL_PREAMBLE = 2, 3, 10
_EMPTY_FLAG, _COMPACT_FLAG, _OUT_OF_ORDER_FLAG = 4, 8, 16
_HLL_4, _HLL_8 = 0, 2
_LIST_SIZE = 8
_EXCEPTION = 15  # a nibble that says: the value stands in the table of exceptions
_MAX_VALUE = 63
_SLOT_MASK = (1 << 26) - 1
_HEADER = struct.Struct("<8B")
_DENSE = struct.Struct("<8BdddII")
_PROBE = 4096
_INVERSE_POWERS = np.ldexp(1.0, -np.arange(_MAX_VALUE + 1))


class DistinctSketch:
    """A HyperLogLog sketch of ``2 ** lg_k`` registers: coupons while few, registers after."""

    __slots__ = ("_coupons", "_registers", "lg_k")

    def __init__(self, lg_k: int) -> None:
        self.lg_k = lg_k
        self._coupons: NDArray[np.uint32] = np.empty(0, np.uint32)  # sorted
        self._registers: NDArray[np.uint8] | None = None

    @property
    def is_empty(self) -> bool:
        return self._registers is None and len(self._coupons) == 0

    def add(self, hashes: Hashes) -> None:
        """Count the values that have these hashes."""
        if self._registers is None and len(hashes) > _PROBE:
            self._add_coupons(_coupons(hashes[:_PROBE]))
            hashes = hashes[_PROBE:]
        if self._registers is None:
            self._add_coupons(_coupons(hashes))
        else:
            slots = (hashes & np.uint64((1 << self.lg_k) - 1)).view(np.int64)
            np.maximum.at(self._registers, slots, _values(hashes).astype(np.uint8))

    def merge(self, other: DistinctSketch) -> None:
        """Union. The result has the smaller of the two sizes, once either has registers."""
        lg_k = min(self.lg_k, other.lg_k)
        if self.lg_k != lg_k:
            self._shrink(lg_k)
        if other._registers is None:
            self._add_coupons(other._coupons)
            return
        registers = self._promote()
        np.maximum(registers, _folded(other._registers, lg_k), out=registers)

    def resized(self, lg_k: int) -> DistinctSketch:
        """The sketch with at most ``2 ** lg_k`` registers, or itself if its image would not become smaller."""
        if lg_k >= self.lg_k or (self._registers is None and len(self._coupons) <= _coupon_limit(lg_k)):
            return self
        smaller = DistinctSketch(lg_k)
        smaller.merge(self)
        return smaller

    def estimate(self) -> float:
        return 0.0 if self.is_empty else float(datasketches.hll_sketch.deserialize(self.to_bytes()).get_estimate())

    def to_bytes(self) -> bytes:
        """A DataSketches ``hll_sketch`` image."""
        if self._registers is not None:
            return _dense_image(self.lg_k, self._registers)
        count = len(self._coupons)
        coupons = self._coupons.astype("<u4").tobytes()
        if count < _LIST_SIZE:
            flags = _COMPACT_FLAG | (0 if count else _EMPTY_FLAG)
            mode = _LIST | _HLL_4 << 2
            return _HEADER.pack(_LIST_PREAMBLE, _SERIAL_VERSION, _FAMILY, self.lg_k, 3, flags, count, mode) + coupons
        table = max(5, (count * 4 // 3).bit_length())
        flags, mode = _COMPACT_FLAG | _OUT_OF_ORDER_FLAG, _SET | _HLL_4 << 2
        header = _HEADER.pack(_SET_PREAMBLE, _SERIAL_VERSION, _FAMILY, self.lg_k, table, flags, 0, mode)
        return header + count.to_bytes(4, "little") + coupons

    @classmethod
    def from_bytes(cls, image: bytes) -> DistinctSketch:
        """The sketch in an image that this module or DataSketches wrote (compact; list, set, HLL_4 or HLL_8).

        Raises:
            DecodeError: the bytes are not such an image.
        """
        if len(image) < _HEADER.size:
            raise DecodeError("distinct sketch: too short")
        _, version, family, lg_k, _, flags, count, mode_byte = _HEADER.unpack_from(image)
        if version != _SERIAL_VERSION or family != _FAMILY or not MIN_LG_K <= lg_k <= MAX_LG_K:
            raise DecodeError("distinct sketch: not an HLL image of a size in use")
        sketch = cls(lg_k)
        mode = mode_byte & 3
        if mode == _HLL:
            sketch._registers = _read_dense(image, lg_k, mode_byte >> 2 & 3)
            return sketch
        if mode == _LIST:
            start = _HEADER.size
        elif mode == _SET and len(image) >= 12:
            start, count = 12, int.from_bytes(image[8:12], "little")
        else:
            raise DecodeError("distinct sketch: unknown mode")
        if not flags & _COMPACT_FLAG and not flags & _EMPTY_FLAG:
            raise DecodeError("distinct sketch: only compact images are read")
        if count >= 1 << MAX_LG_K or len(image) != start + 4 * count:
            raise DecodeError("distinct sketch: its length and its number of coupons differ")
        coupons = np.frombuffer(image, "<u4", offset=start)
        if np.any(coupons >> 26 == 0):
            raise DecodeError("distinct sketch: empty coupon")
        sketch._add_coupons(coupons.astype(np.uint32))
        return sketch

    def _add_coupons(self, coupons: NDArray[np.uint32]) -> None:
        if self._registers is None:
            if len(coupons) > _PROBE:
                # Sorting them all is slow: drop what one table of the last coupon at each place already holds.
                table = np.zeros(_PROBE, np.uint32)
                places = coupons & np.uint32(_PROBE - 1)
                table[places] = coupons
                kept = table[table != 0]
                rest = coupons[table[places] != coupons] if len(kept) <= _coupon_limit(self.lg_k) else coupons
                coupons = np.concatenate((kept, rest))
            merged = np.concatenate((self._coupons, coupons)) if len(self._coupons) else coupons.copy()
            merged.sort()
            if len(merged) > 1:
                first = np.empty(len(merged), np.bool_)
                first[0] = True
                np.not_equal(merged[1:], merged[:-1], out=first[1:])
                merged = merged[first]
            self._coupons = merged
            if len(merged) > _coupon_limit(self.lg_k):
                self._promote()
        else:
            slots = (coupons & np.uint32((1 << self.lg_k) - 1)).astype(np.int64)
            np.maximum.at(self._registers, slots, (coupons >> np.uint32(26)).astype(np.uint8))

    def _promote(self) -> NDArray[np.uint8]:
        if self._registers is None:
            self._registers = np.zeros(1 << self.lg_k, np.uint8)
            self._add_coupons(self._coupons)
            self._coupons = np.empty(0, np.uint32)
        return self._registers

    def _shrink(self, lg_k: int) -> None:
        self.lg_k = lg_k
        if self._registers is not None:
            self._registers = _folded(self._registers, lg_k)
        elif len(self._coupons) > _coupon_limit(lg_k):
            self._promote()


def _coupon_limit(lg_k: int) -> int:
    """Coupons that DataSketches holds before it turns to registers."""
    return _LIST_SIZE - 1 if lg_k < 8 else max(3 << (lg_k - 5), _LIST_SIZE - 1)


def _values(hashes: Hashes) -> NDArray[np.int64]:
    """Leading zeros of the upper 38 bits, plus 1: 1 to 39. The exponent of the bits as a double counts them."""
    upper = hashes >> 25
    upper |= np.uint64(1)  # the 39th bit: so that there always is one
    exponents: NDArray[np.int64] = upper.astype(np.float64).view(np.int64)
    exponents >>= 52
    return np.subtract(1062, exponents, out=exponents)


def _coupons(hashes: Hashes) -> NDArray[np.uint32]:
    coupons = _values(hashes)
    coupons <<= 26
    coupons |= (hashes & np.uint64(_SLOT_MASK)).view(np.int64)
    return coupons.astype(np.uint32)


def _folded(registers: NDArray[np.uint8], lg_k: int) -> NDArray[np.uint8]:
    """The registers of the same values in a smaller sketch: slots are the low bits, so halves lie on each other."""
    return registers if len(registers) == 1 << lg_k else registers.reshape(-1, 1 << lg_k).max(axis=0)


def _dense_image(lg_k: int, registers: NDArray[np.uint8]) -> bytes:
    counts = np.bincount(registers, minlength=_MAX_VALUE + 1)
    lowest = int(np.flatnonzero(counts)[0])
    above = registers - np.uint8(lowest) if lowest else registers
    exceptions = b""
    table = 0
    if counts[lowest + _EXCEPTION :].any():
        slots = np.flatnonzero(above >= _EXCEPTION)
        coupons = registers[slots].astype(np.uint32) << np.uint32(26) | slots.astype(np.uint32)
        exceptions = coupons.astype("<u4").tobytes()
        table = max(_lg_exceptions(lg_k), (len(slots) * 4 // 3).bit_length())
        above = np.minimum(above, np.uint8(_EXCEPTION))
    header = _DENSE.pack(
        _HLL_PREAMBLE,
        _SERIAL_VERSION,
        _FAMILY,
        lg_k,
        table,
        _COMPACT_FLAG | _OUT_OF_ORDER_FLAG,
        lowest,
        _HLL | _HLL_4 << 2,
        0.0,
        float(np.add.reduce(counts[:32] * _INVERSE_POWERS[:32])),
        float(np.add.reduce(counts[32:] * _INVERSE_POWERS[32:])),
        int(counts[lowest]),
        len(exceptions) // 4,
    )
    return b"".join((header, (above[0::2] | above[1::2] << np.uint8(4)).tobytes(), exceptions))


def _read_dense(image: bytes, lg_k: int, kind: int) -> NDArray[np.uint8]:
    size = 1 << lg_k
    if len(image) < _DENSE.size or image[0] != _HLL_PREAMBLE:
        raise DecodeError("distinct sketch: bad preamble")
    lowest, exceptions = image[6], int.from_bytes(image[36:40], "little")
    if kind == _HLL_8:
        if len(image) != _DENSE.size + size:
            raise DecodeError("distinct sketch: wrong length")
        registers = np.frombuffer(image, np.uint8, offset=_DENSE.size).copy()
    elif kind == _HLL_4:
        if exceptions > size or len(image) != _DENSE.size + size // 2 + 4 * exceptions or lowest > _MAX_VALUE:
            raise DecodeError("distinct sketch: wrong length")
        packed = np.frombuffer(image, np.uint8, size // 2, _DENSE.size)
        registers = np.empty(size, np.uint8)
        np.bitwise_and(packed, 15, out=registers[0::2])
        np.right_shift(packed, 4, out=registers[1::2])
        marked = np.flatnonzero(registers == _EXCEPTION)
        registers += np.uint8(lowest)
        if exceptions or len(marked):
            coupons = np.frombuffer(image, "<u4", exceptions, _DENSE.size + size // 2)
            slots = (coupons & np.uint32(size - 1)).astype(np.int64)
            if not np.array_equal(np.sort(slots), marked):
                raise DecodeError("distinct sketch: exceptions do not match the registers")
            registers[slots] = coupons >> np.uint32(26)
    else:
        raise DecodeError("distinct sketch: unknown kind of registers")
    if np.maximum.reduce(registers) > _MAX_VALUE:
        raise DecodeError("distinct sketch: register out of range")
    return registers


def _lg_exceptions(lg_k: int) -> int:
    return 2 if lg_k < 7 else 3 if lg_k < 10 else 4 if lg_k < 12 else 5
