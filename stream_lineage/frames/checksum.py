"""Checksums over the values of columns that are the same whichever library has them, and whatever the order of rows.

A value is hashed by what it is: integers of 64 bits, and floats that are such ones, as integers; other floats as such;
texts and bytes by their UTF-8; times as nanoseconds since 1970 in UTC; nulls, NaN among them, all alike. What is none
of these by its text, arrays by that of a list. The hashes are no secret and no protection against forgery: they tell
whether something is the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_lineage.frames.recognise import Library
from stream_lineage.profile.hashing import WHOLLY_HASHED_BYTES, Hashes, hasher_of

_HASHER = hasher_of(b"stream-lineage frames 1")
PORTION = 65_536
"""Rows at a time: the interpreter is never held for long."""
_NULL = np.uint64(0x9AE16A3B2F90404F)
_TIME = np.uint64(0xC3A5C85C97CB3127)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_WHOLE = 2.0**63
_LARGEST = 2**63 - 1
"""Integers beyond are hashed as texts."""
_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY = 86_400 * 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MODULUS = 1 << 64


def row_hashes(columns: Sequence[Any], rows: int, library: Library) -> Iterator[Hashes]:
    """A hash of each row over its columns, in portions. A column is a Series, an Arrow array or a list."""
    for first in range(0, rows, PORTION):
        size = min(PORTION, rows - first)
        found: Hashes = np.zeros(size, np.uint64)
        for column in columns:
            found ^= _hashes(_portion(column, first, size, library), library)
            _stir(found)
        yield found


def _stir(hashes: Hashes) -> None:
    """After each column of a row: which value is in which column matters."""
    hashes *= _STEP
    hashes ^= hashes >> np.uint64(29)


def checksum(columns: Sequence[Any], rows: int, library: Library) -> int:
    """The sum of the hashes of all rows, modulo 2 ** 64."""
    if library is Library.POLARS and len(columns) == 1:
        found = _sum_by_place(columns[0])
        if found is not None:
            return found
    return sum(int(each.sum(dtype=np.uint64)) for each in row_hashes(columns, rows, library)) % _MODULUS


def _sum_by_place(column: Any) -> int | None:
    """Likewise of texts of one length that lie in one buffer, one behind the other, or in another order, or more than
    once, as filters, joins and sorts leave them: places are hashed in the order of memory, and each counts as often as
    there are views on it. To look at them in the order of rows would be to wait for memory each time. Null where it is
    not so."""
    rows = len(column)
    views = _views_of(column) if str(column.dtype) in _VIEWED and rows and not column.null_count() else None
    if views is None:
        return None
    held, buffers = views
    length, buffer = int(held[0, 0]), int(held[0, 2])
    if not _LONGEST_IN_VIEW < length <= WHOLLY_HASHED_BYTES or (held[:, 0] != length).any():
        return None
    if (held[:, 2] != buffer).any():
        return None
    places = np.ascontiguousarray(held[:, 3])
    first, size, counts = int(places[0]), rows, None
    if int(places[-1]) != first + (rows - 1) * length or (np.diff(places) != length).any():
        first = int(places.min())
        places -= np.int32(first)
        numbers = places // np.int32(length)
        size = int(numbers.max()) + 1
        if size > _SPARSE * rows or (numbers * np.int32(length) != places).any():
            return None
        counts = np.zeros(size, np.uint64)
        for start in range(0, rows, PORTION):
            np.add.at(counts, numbers[start : start + PORTION], np.uint64(1))
    total = 0
    for start in range(0, size, PORTION):
        portion = min(PORTION, size - start)
        low = first + start * length
        text = _padded(buffers[2 + buffer], low, low + portion * length)
        found = _HASHER.even_texts(text, length, length, portion)
        _stir(found)
        if counts is not None:
            found *= counts[start : start + portion]
        total += int(found.sum(dtype=np.uint64))
    return total % _MODULUS


def double_checksum(columns: Sequence[Any], rows: int, library: Library) -> tuple[int, int]:
    """Two sums of one pass: of the hashes, and of what another function makes of each."""
    one = two = 0
    for each in row_hashes(columns, rows, library):
        one += int(each.sum(dtype=np.uint64))
        each ^= each >> np.uint64(33)
        each *= _MIX
        each ^= each >> np.uint64(32)
        two += int(each.sum(dtype=np.uint64))
    return one % _MODULUS, two % _MODULUS


def _portion(column: Any, first: int, size: int, library: Library) -> Any:
    if library is Library.PANDAS:
        return column.iloc[first : first + size]
    return column[first : first + size] if library is Library.ROWS else column.slice(first, size)


def _hashes(column: Any, library: Library) -> Hashes:
    if library is Library.PANDAS:
        return _of_pandas(column)
    if library is Library.POLARS:
        return _of_polars(column)
    return _of_list(column) if library is Library.ROWS else _of_arrow(column)


def _of_pandas(column: Any) -> Hashes:
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in "iubfMm":
            return _of_array(column.to_numpy())
        return _of_list(column.tolist())
    if hasattr(dtype, "tz"):
        return _of_array(column.to_numpy(f"datetime64[{dtype.unit}]"))  # in UTC
    arrow = sys.modules.get("pyarrow")
    if arrow is None:
        return _of_list(column.tolist())
    try:
        values = arrow.array(column, from_pandas=True)
    except (TypeError, ValueError, NotImplementedError):  # sparse ones, and objects of several types
        return _of_list(column.tolist())
    return _of_arrow(values)


def _of_polars(column: Any) -> Hashes:
    if column.null_count() == 0 and str(column.dtype) in _SIMPLE:
        return _of_array(column.to_numpy())
    if str(column.dtype) in _NOT_OF_ARROW:
        return _of_list(column.to_list())
    try:
        if str(column.dtype) in _VIEWED:
            views = _views(column.to_arrow(compat_level=sys.modules["polars"].CompatLevel.newest()))
            if views is not None:
                return views
        return _of_arrow(column.to_arrow())
    except ImportError:
        return _of_list(column.to_list())


def _of_array(values: NDArray[Any]) -> Hashes:
    kind = values.dtype.kind
    if kind in "iub":
        found = _HASHER.integers(np.ascontiguousarray(values.astype(np.int64, copy=False)))
        if values.dtype == np.uint64 and (large := values > np.uint64(_LARGEST)).any():
            found[large] = _list_texts([str(value).encode() for value in values[large].tolist()])
        return found
    if kind in "Mm":
        unit, count = np.datetime_data(values.dtype)
        return _times(values.view(np.int64), _NANOSECONDS.get(unit, 1) * count, np.isnat(values))
    return _floats(np.ascontiguousarray(values, np.float64))


def _floats(values: NDArray[np.float64]) -> Hashes:
    whole = (values >= -_WHOLE) & (values < _WHOLE) & (values == np.floor(values))
    found = _HASHER.numbers(values)
    if whole.any():
        found[whole] = _HASHER.integers(values[whole].astype(np.int64))
    found[np.isnan(values)] = _NULL
    return found


def _times(values: NDArray[np.int64], scale: int, missing: NDArray[np.bool_] | None = None) -> Hashes:
    found = _HASHER.integers(values * np.int64(scale)) ^ _TIME
    if missing is not None:
        found[missing] = _NULL
    return found


def _of_arrow(column: Any) -> Hashes:
    chunks = getattr(column, "chunks", None)
    if chunks is not None:
        parts = [_of_arrow(chunk) for chunk in chunks]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)
    name = str(column.type)
    if name.startswith("dictionary<"):
        symbols = _of_arrow(column.dictionary)
        codes = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
        found = symbols[codes] if len(symbols) else np.zeros(len(column), np.uint64)
    elif name in _TEXTS:
        views = _views(column) if name.endswith("_view") else None
        if views is not None:
            return views
        narrow = name in _NARROW_TEXTS
        found = _arrow_texts(
            column if narrow or name in _WIDE_TEXTS else column.cast("large_binary"), np.int32 if narrow else np.int64
        )
    elif name.startswith(("timestamp[", "duration[")):
        unit = name.partition("[")[2].rstrip("]").split(",", maxsplit=1)[0]
        found = _times(_filled(column.cast("int64")), _NANOSECONDS[unit])
    elif name == "date32[day]":
        found = _times(_filled(column.cast("int32")).astype(np.int64), _DAY)
    elif name == "bool":
        found = _of_array(_filled(column.cast("int8")))
    elif name in _NUMBERS:
        found = _of_array(_filled(column))
    else:
        return _of_list(column.to_pylist())
    if column.null_count:
        found[column.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return found


_NARROW_TEXTS = frozenset(("string", "binary"))
_WIDE_TEXTS = frozenset(("large_string", "large_binary"))
_TEXTS = _NARROW_TEXTS | _WIDE_TEXTS | {"string_view", "binary_view"}
_LONGEST_IN_VIEW = 12
_PADDING = 8
_SPARSE = 2
"""Places for each row, at most: between those that are looked at others are hashed in vain."""
_SIMPLE = frozenset([f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)] + ["Float32", "Float64"])
"""Types of Polars that NumPy has, too."""
_VIEWED = frozenset(("String", "Binary"))
"""Likewise, of which Polars has views as Arrow does, and gives them without copying."""
_NOT_OF_ARROW = frozenset(("Int128", "UInt128", "Object"))
_NUMBERS = frozenset([f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)] + ["float", "double"])


def _filled(column: Any) -> NDArray[Any]:
    whole = column.fill_null(0) if column.null_count else column
    return np.asarray(whole.to_numpy(zero_copy_only=False))


def _arrow_texts(column: Any, width: type[np.integer[Any]]) -> Hashes:
    """Of an array of texts with offsets of this width. What lies in its buffers is looked at where it is."""
    _, offsets, data = column.buffers()
    rows = len(column)
    if rows == 0 or offsets is None:
        return np.zeros(rows, np.uint64)
    if column.null_count:
        found: Hashes = np.zeros(rows, np.uint64)
        there = column.is_valid().to_numpy(zero_copy_only=False)
        found[there] = _arrow_texts(column.drop_null(), width)
        return found
    ends = np.frombuffer(offsets, width)[column.offset : column.offset + rows + 1].astype(np.int64, copy=False)
    low, high = int(ends[0]), int(ends[-1])
    held, lengths, length = _padded(data, low, high), np.diff(ends), int(ends[1]) - low
    if length <= WHOLLY_HASHED_BYTES and (lengths == length).all():
        return _HASHER.even_texts(held, length, length, rows)
    return _texts(held, ends[:-1] - low, lengths)


def _views(column: Any) -> Hashes | None:
    """Of an array of views, where all texts are of one length and either in the views themselves, or one behind the
    other elsewhere; else null. A view is its text's length, and the text itself, filled up with zeros; of those longer
    than 12 bytes the first 4, and which buffer it is in, and where."""
    rows, buffers = len(column), column.buffers()
    if column.null_count or rows == 0:
        return None
    held = _held_views(column, buffers)
    views = held.view("<i4").reshape(rows, 4)
    length = int(views[0, 0])
    if (views[:, 0] != length).any():
        return None
    if length <= _LONGEST_IN_VIEW:
        return _HASHER.even_texts(np.concatenate((held[4:], np.zeros(4, np.uint8))), 16, length, rows)
    buffer, first = int(views[0, 2]), int(views[0, 3])
    if length > WHOLLY_HASHED_BYTES or int(views[-1, 3]) != first + (rows - 1) * length:
        return None
    if (views[:, 2] != buffer).any() or (np.diff(views[:, 3]) != length).any():
        return None
    return _HASHER.even_texts(_padded(buffers[2 + buffer], first, first + rows * length), length, length, rows)


def _held_views(column: Any, buffers: Sequence[Any]) -> NDArray[np.uint8]:
    return np.frombuffer(buffers[1], np.uint8)[16 * column.offset : 16 * (column.offset + len(column))]


def _views_of(column: Any) -> tuple[NDArray[np.int32], Sequence[Any]] | None:
    """Of Polars' texts: four numbers each, and the buffers. Null where Polars has no way to give them."""
    try:
        array = column.to_arrow(compat_level=sys.modules["polars"].CompatLevel.newest())
    except (ImportError, AttributeError, TypeError):  # without PyArrow; and older ones
        return None
    if not str(array.type).endswith("_view"):
        return None
    buffers = array.buffers()
    return _held_views(array, buffers).view("<i4").reshape(len(array), 4), buffers


def _padded(buffer: Any, low: int, high: int) -> NDArray[np.uint8]:
    """Bytes of a buffer, and those that the hasher wants behind them: without a copy, where there are any."""
    held = np.frombuffer(b"" if buffer is None else buffer, np.uint8)[low : high + _PADDING]
    return held if len(held) == high - low + _PADDING else np.concatenate((held, np.zeros(_PADDING, np.uint8)))


def _texts(data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Hashes:
    """Long ones, of which the hasher leaves out the middle, are hashed whole beforehand."""
    found = _HASHER.texts(data, starts, lengths)
    for row in np.flatnonzero(lengths > WHOLLY_HASHED_BYTES):
        text = data[starts[row] : starts[row] + lengths[row]].tobytes()
        found[row] = np.frombuffer(blake2b(text, digest_size=8).digest(), "<u8")[0]
    return found


def _of_list(values: Sequence[Any]) -> Hashes:
    kinds = set(map(type, values))
    if kinds == {str}:
        return _list_texts([text.encode(errors="surrogatepass") for text in values])
    if kinds == {int}:
        try:
            return _HASHER.integers(np.array(values, np.int64))
        except OverflowError:
            pass
    elif kinds == {float}:
        return _floats(np.array(values, np.float64))
    found: Hashes = np.zeros(len(values), np.uint64)
    for rows, hashes in _by_kind(values):
        found[rows] = hashes
    return found


def _by_kind(values: Iterable[Any]) -> Iterator[tuple[list[int], Hashes | np.uint64]]:
    whole: dict[str, tuple[list[int], list[Any]]] = {}
    for row, value in enumerate(values):
        kind, plain = _plain(value)
        rows, found = whole.setdefault(kind, ([], []))
        rows.append(row)
        found.append(plain)
    for kind, (rows, found) in whole.items():
        if kind == "null":
            yield rows, _NULL
        elif kind == "int":
            yield rows, _HASHER.integers(np.array(found, np.int64))
        elif kind == "float":
            yield rows, _floats(np.array(found, np.float64))
        elif kind == "time":
            # Far times (31 December 9999) are more nanoseconds than fit, and go around as in frames.
            yield rows, _times(np.array([value % _MODULUS for value in found], np.uint64).view(np.int64), 1)
        else:
            yield rows, _list_texts(found)


def _plain(value: Any) -> tuple[str, Any]:
    """What a Python value is hashed as."""
    if isinstance(value, np.ndarray):  # whose own text leaves out the middle of long ones, and digits
        return "text", str(value.tolist()).encode(errors="surrogatepass")
    if _is_null(value):
        return "null", None
    if isinstance(value, int | np.integer | np.bool_):
        number = int(value)
        return ("int", number) if -(2**63) <= number < 2**63 else ("text", str(number).encode())
    if isinstance(value, float | np.floating):
        return "float", float(value)
    if isinstance(value, str):
        return "text", value.encode(errors="surrogatepass")
    if isinstance(value, bytes | bytearray):
        return "text", bytes(value)
    if isinstance(value, datetime):
        # pandas knows nanoseconds, which it keeps apart.
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        passed = aware - _EPOCH
        return "time", _nanoseconds(passed) + int(getattr(value, "nanosecond", 0))
    if isinstance(value, timedelta):
        return "time", _nanoseconds(value)
    if isinstance(value, date):
        return "time", (value - _EPOCH.date()).days * _DAY
    kind: Any = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        raise TypeError("where an object is in memory is no value")
    return "text", str(value).encode(errors="surrogatepass")


def _is_null(value: Any) -> bool:
    """None, NaN, NaT and pandas' NA, which nothing can be compared with."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124
    except Exception:  # noqa: BLE001  (whatever a value does that cannot be compared)
        return type(value).__name__ == "NAType"


def _nanoseconds(passed: timedelta) -> int:
    return (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1_000


def _list_texts(texts: Sequence[bytes]) -> Hashes:
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    data = np.frombuffer(b"".join(texts) + bytes(8), np.uint8)
    return _texts(data, np.cumsum(lengths) - lengths, lengths)
