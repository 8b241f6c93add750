"""Which values a categorical column holds, and how often: exact within a flush, merged as DataSketches images."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

import datasketches
import numpy as np
from numpy.typing import NDArray

from stream_lineage.errors import DecodeError
from stream_lineage.profile.hashing import WHOLLY_HASHED_BYTES, Hashes

LG_MAP = 9
"""Sketches of items hold 0.75 * 512 = 384 values exactly; beyond that merging keeps the frequent ones."""
MAX_LG_MAP = 12
SHOWN_CHARACTERS = 64
MAX_ITEM_BYTES = WHOLLY_HASHED_BYTES
"""Strings longer than this are no categories: their hashes do not see all of them."""

_FEW, _PROBE, _CHUNK = 64, 2048, 16384
_TABLE_BITS = 14
_HEADER = struct.Struct("<6BH")
_COUNTS = struct.Struct("<IIQQ")
_EMPTY_FLAG = 4
_FAMILY = 10


@dataclass(slots=True)
class Group:
    """Rows with the same hash: one of them, and how many there are."""

    row: int
    count: int


def grouped(hashes: Hashes, limit: int) -> dict[int, Group] | None:
    """The distinct hashes, with a row and a count for each; null when there are more than ``limit``.

    Nothing is sorted: each row writes its number into a table at its hash, and the row that stays there speaks for
    all rows with the same full hash. Those that lost their place to another hash go another round, with other bits.
    """
    if len(hashes) <= _FEW:
        values = hashes.tolist()
        rows = dict(zip(values, range(len(values)), strict=True))
        counts = Counter(values)
        return {value: Group(row, counts[value]) for value, row in rows.items()} if len(rows) <= limit else None
    found: dict[int, Group] = {}
    start, size = 0, _PROBE
    while start < len(hashes):
        if not _group_chunk(hashes, np.arange(start, min(start + size, len(hashes))), limit, found):
            return None
        start, size = start + size, _CHUNK
    return found


def _group_chunk(hashes: Hashes, rest: NDArray[np.int64], limit: int, found: dict[int, Group]) -> bool:
    """Count the rows ``rest`` into ``found``; whether that has at most ``limit`` groups."""
    for shift in (50, 36, 22, 8):
        part = hashes[rest]
        places = (part >> shift).view(np.int64)
        if shift < 50:
            places &= (1 << _TABLE_BITS) - 1
        table = np.empty(1 << _TABLE_BITS, np.int32)  # only places that were written are read
        table[places] = np.arange(len(part), dtype=np.int32)
        speakers = table[places]
        matched = part[speakers] == part
        all_matched = bool(matched.all())
        counts = np.bincount(speakers if all_matched else speakers[matched], minlength=len(part))
        winners = np.flatnonzero(counts)
        if len(winners) > limit:
            return False
        rows = rest[winners]
        _count(found, hashes[rows], rows, counts[winners])
        if all_matched:
            return len(found) <= limit
        rest = rest[~matched]
    values, first, counts = np.unique(hashes[rest], return_index=True, return_counts=True)
    if len(found) + len(values) > limit:
        return False
    _count(found, values, rest[first], counts)
    return True


def _count(found: dict[int, Group], values: Hashes, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    for value, row, count in zip(values.tolist(), rows.tolist(), counts.tolist(), strict=True):
        group = found.get(value)
        if group is None:
            found[value] = Group(row, count)
        else:
            group.count += count


def shown(text: str) -> str:
    """How a value is written that may be shown."""
    return "=" + text[:SHOWN_CHARACTERS]


def items_image(counts: dict[str, int]) -> bytes:
    """A DataSketches ``frequent_strings_sketch`` that holds exactly these items."""
    sketch = datasketches.frequent_strings_sketch(LG_MAP)
    for item, count in counts.items():
        sketch.update(item, count)
    return bytes(sketch.serialize())


def load_items(image: bytes) -> Any:
    """The ``frequent_strings_sketch`` in an image.

    Raises:
        DecodeError: the bytes are not such an image.
    """
    if len(image) < _HEADER.size:
        raise DecodeError("items sketch: too short")
    _, version, family, lg_max, lg_size, flags, _ = _HEADER.unpack_from(image)
    if version != 1 or family != _FAMILY or not 3 <= lg_size <= lg_max <= MAX_LG_MAP:
        raise DecodeError("items sketch: not a frequent items image of a size in use")
    if flags & _EMPTY_FLAG:
        if len(image) != _HEADER.size:
            raise DecodeError("items sketch: empty, yet there are bytes left over")
    else:
        if len(image) < _HEADER.size + _COUNTS.size:
            raise DecodeError("items sketch: cut off")
        count, _, total, offset = _COUNTS.unpack_from(image, _HEADER.size)
        if count > 3 << lg_max - 2 or len(image) < _HEADER.size + _COUNTS.size + 12 * count:
            raise DecodeError("items sketch: more items than it has room for")
        weights = np.frombuffer(image, "<u8", count, _HEADER.size + _COUNTS.size)
        if total >> 62 or offset >> 62 or any(weight >> 62 for weight in weights.tolist()):
            raise DecodeError("items sketch: a count is out of range")
    try:
        sketch = datasketches.frequent_strings_sketch.deserialize(image)
        sketch.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES)  # are they all UTF-8?
    except (ValueError, RuntimeError, IndexError, MemoryError) as error:
        raise DecodeError(f"items sketch: {type(error).__name__}") from error
    return sketch


def merged_items(a: bytes, b: bytes) -> bytes:
    """Both, as one image.

    Raises:
        DecodeError: one of them is no image.
    """
    sketch = load_items(a)
    sketch.merge(load_items(b))
    return bytes(sketch.serialize())


def item_counts_of(image: bytes) -> dict[str, int]:
    """Count by item, most frequent first. Estimates (never too low) once a merge has purged rare items.

    Raises:
        DecodeError: the bytes are no image.
    """
    rows = load_items(image).get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES)
    return {str(row[0]): int(row[1]) for row in rows}
