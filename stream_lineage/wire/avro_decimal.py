"""Decimals: Avro's big-endian two's complement bytes as float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def read_decimals(
    data: NDArray[np.uint8],
    words: NDArray[np.uint64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    scale: int,
) -> NDArray[np.float64]:
    """The unscaled integer, rounded to float64, divided by 10 to the ``scale``, rounded again.

    ``words`` is the view of ``data`` that has the 8 bytes from i on at index i. Integers beyond 64 bits take one Python
    call each; what float64 cannot hold is infinite.
    """
    first = words[starts].byteswap().view(np.int64)
    unscaled = np.where(lengths > 0, first >> np.clip(64 - 8 * lengths, 0, 63), 0).astype(np.float64)
    wide = np.flatnonzero(lengths > 8)
    if len(wide):
        last = words[np.minimum(starts[wide] + lengths[wide] - 8, len(words) - 1)].byteswap().view(np.int64)
        unscaled[wide] = last
        upper = first[wide] >> np.clip(128 - 8 * lengths[wide], 0, 63)
        narrow = (upper == last >> 63) & (lengths[wide] <= 16)  # only the sign is in the upper bytes
        for index in wide[~narrow].tolist():
            start = int(starts[index])
            unscaled[index] = _whole(data[start : start + int(lengths[index])].tobytes())
    return unscaled / np.float64(10.0) ** min(scale, 300)


def _whole(digits: bytes) -> float:
    value = int.from_bytes(digits, "big", signed=True)
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
