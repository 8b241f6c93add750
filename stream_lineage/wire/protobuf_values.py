"""Values of Protobuf fields: from the bytes on the wire to what columns hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.columns import Numbers, Part, Symbols
from stream_lineage.wire.protobuf_schema import EnumType, Kind

Words = NDArray[np.uint64]
Values = NDArray[np.int64] | NDArray[np.uint64] | NDArray[np.float64] | NDArray[np.bool_]

_ZIGZAG = (Kind.SINT32, Kind.SINT64)
_ONE = np.uint64(1)
_LOW = np.uint64(0xFFFF_FFFF)
_HIGHEST = np.uint64(2**63 - 1)


class Symbolic:
    """The numbers of an enum. Those of one number with several names have the first."""

    def __init__(self, enum: EnumType) -> None:
        names: dict[int, str] = {}
        for symbol, number in zip(enum.symbols, enum.numbers, strict=True):
            names.setdefault(number, symbol)
        self.symbols = tuple(names[number] for number in sorted(names))
        self._numbers = np.array(sorted(names), np.int64)

    def codes(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The index in ``symbols`` of each number, and which numbers have one; the index of others means nothing."""
        at = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
        return at, self._numbers[at] == numbers


def from_varints(kind: Kind, raw: Words | NDArray[np.uint8]) -> Values:
    """The numbers of a type in varints. What is beyond the bits of the type is dropped."""
    if raw.dtype == np.uint8:
        small: NDArray[np.int64] = raw.astype(np.int64)
        return _signed(small & 1, small >> 1) if kind in _ZIGZAG else _as_bool(small) if kind is Kind.BOOL else small
    words: Words = raw.astype(np.uint64, copy=False)
    match kind:
        case Kind.BOOL:
            return _as_bool(words.view(np.int64))
        case Kind.INT32 | Kind.ENUM:
            return words.astype(np.uint32).view(np.int32).astype(np.int64)
        case Kind.UINT32:
            return (words & _LOW).view(np.int64)
        case Kind.SINT64 | Kind.SINT32:
            if kind is Kind.SINT32:
                words = words & _LOW
            return _signed((words & _ONE).view(np.int64), (words >> _ONE).view(np.int64))
        case Kind.UINT64:
            return words
        case _:
            return words.view(np.int64)


def _signed(sign: NDArray[np.int64], rest: NDArray[np.int64]) -> NDArray[np.int64]:
    return rest ^ -sign


def _as_bool(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    truth: NDArray[np.bool_] = numbers != 0
    return truth


def from_words(kind: Kind, words: Words) -> Values:
    """The numbers of a type in the eight, or the first four, bytes of each word."""
    match kind:
        case Kind.DOUBLE:
            return words.view(np.float64)
        case Kind.FLOAT:
            return words.astype(np.uint32).view(np.float32).astype(np.float64)
        case Kind.FIXED32:
            return (words & _LOW).view(np.int64)
        case Kind.SFIXED32:
            return words.astype(np.uint32).view(np.int32).astype(np.int64)
        case Kind.SFIXED64:
            return words.view(np.int64)
        case _:
            return words


def number_parts(values: Values, symbolic: Symbolic | None = None) -> list[Part]:
    """What a column holds of the numbers of a field, of an enum where ``symbolic`` is given.

    Numbers of an enum that have no symbol are integers. Integers beyond 63 bits are numbers.
    """
    if symbolic is not None:
        codes, known = symbolic.codes(values.astype(np.int64, copy=False))
        if known.all():
            return [Symbols(codes, symbolic.symbols)]
        return [Symbols(codes[known], symbolic.symbols), Numbers("integer", values[~known].astype(np.int64))]
    if values.dtype == np.bool_:
        return [Numbers("boolean", values.astype(np.bool_, copy=False))]
    if values.dtype == np.uint64:
        large = values > _HIGHEST
        if not large.any():
            return [Numbers("integer", values.view(np.int64))]
        return [
            Numbers("integer", values[~large].astype(np.int64)),
            Numbers("number", values[large].astype(np.float64)),
        ]
    if values.dtype == np.float64:
        return [Numbers("number", values.astype(np.float64, copy=False))]
    return [Numbers("integer", values.astype(np.int64, copy=False))]
