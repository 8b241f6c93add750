"""Keys or values of many records in one buffer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_lineage.wire.columns import PADDING

_PAD = bytes(PADDING)


@dataclass(slots=True)
class Payloads:
    """Keys or values of some records, joined. Length -1 is null. ``data`` ends in ``PADDING`` zero bytes."""

    data: bytes
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def all_null(self) -> bool:
        return not self.byte_count and not bool((self.lengths >= 0).any())

    @property
    def byte_count(self) -> int:
        return len(self.data) - PADDING

    def segments(self, bounds: Sequence[tuple[int, int]]) -> Payloads:
        """The records of some ``[start, stop)`` index ranges, with their bytes alone."""
        pieces = []
        for start, stop in bounds:
            last = stop - 1
            pieces.append(self.data[self.starts[start] : self.starts[last] + max(int(self.lengths[last]), 0)])
        lengths = np.concatenate([self.lengths[start:stop] for start, stop in bounds])
        return Payloads(b"".join((*pieces, _PAD)), _starts(lengths), lengths)


def joined(items: list[bytes | None]) -> Payloads:
    """Join keys or values into one buffer."""
    count = len(items)
    if items.count(None) == count:
        nothing = np.full(count, -1, np.int64)
        return Payloads(_PAD, np.zeros(count, np.int64), nothing)
    try:
        lengths = np.fromiter(map(len, items), np.int64, count)  # type: ignore[arg-type]
        data = b"".join((*items, _PAD))  # type: ignore[arg-type]
    except TypeError:
        lengths = np.fromiter((-1 if item is None else len(item) for item in items), np.int64, count)
        data = b"".join((*(item for item in items if item is not None), _PAD))
    return Payloads(data, _starts(lengths), lengths)


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    sizes = np.maximum(lengths, 0)
    starts: NDArray[np.int64] = np.cumsum(sizes) - sizes
    return starts


def concatenated(payloads: Iterable[Payloads]) -> Payloads:
    """The records of several, one after the other."""
    parts = list(payloads)
    data, starts, base = [], [], 0
    for part in parts:
        size = part.byte_count
        data.append(memoryview(part.data)[:size])
        starts.append(part.starts + base)
        base += size
    data.append(memoryview(_PAD))
    return Payloads(b"".join(data), np.concatenate(starts), np.concatenate([part.lengths for part in parts]))


def chosen(payloads: Payloads, places: Iterable[int]) -> Payloads:
    """The records at these places, in this order."""
    wanted = np.fromiter(places, np.int64)
    starts, lengths = payloads.starts[wanted].tolist(), payloads.lengths[wanted].tolist()
    data = payloads.data
    return joined(
        [data[start : start + size] if size >= 0 else None for start, size in zip(starts, lengths, strict=True)]
    )
