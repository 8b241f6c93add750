"""A quantile sketch as a comparison needs it: its values, the shares of records below them, how wrong they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_lineage.profile.quantiles import load_quantiles


@dataclass(frozen=True, slots=True)
class Ranks:
    """``shares[i]`` of the ``count`` values are at most ``values[i]``; each share is off by ``error`` at most (99%)."""

    values: NDArray[np.float64]
    shares: NDArray[np.float64]
    count: int
    error: float

    def share_at(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of values that are at most each of these."""
        found = np.searchsorted(self.values, values, side="right")
        return np.concatenate((np.zeros(1), self.shares))[found]

    def quantiles(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """The value at each of these shares. There must be values."""
        found = np.searchsorted(self.shares, shares, side="left")
        return self.values[np.minimum(found, len(self.values) - 1)]


def ranks_of(sketch: Any) -> Ranks:
    """The ranks that a sketch, or its serialized image, holds.

    Raises:
        DecodeError: the bytes are no image of a quantile sketch.
    """
    if isinstance(sketch, bytes | bytearray | memoryview):
        sketch = load_quantiles(bytes(sketch))
    if sketch.is_empty():
        return Ranks(np.empty(0), np.empty(0), 0, 0.0)
    pairs = np.array(list(sketch), dtype=np.float64).reshape(-1, 2)  # each retained value and its weight
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    shares = np.cumsum(pairs[:, 1]) / pairs[:, 1].sum()
    last = np.append(pairs[1:, 0] != pairs[:-1, 0], True)
    error = float(sketch.normalized_rank_error(False)) if sketch.is_estimation_mode() else 0.0
    return Ranks(pairs[last, 0], shares[last], int(sketch.n), error)
