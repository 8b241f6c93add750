"""What two quantile sketches say of two distributions, their own errors taken off."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_lineage.profile.quantiles import load_quantiles

_RANKS = np.linspace(0.0, 1.0, 257).tolist()


def rank_distance(first: bytes, second: bytes) -> float:
    """The largest difference of two distributions in rank (Kolmogorov-Smirnov), less what both sketches may be wrong.

    Raises:
        DecodeError: an image is damaged.
    """
    a, b = load_quantiles(first), load_quantiles(second)
    if a.is_empty() or b.is_empty():
        return 0.0
    points = np.unique(np.array([*a.get_quantiles(_RANKS, True), *b.get_quantiles(_RANKS, True)]))
    difference = np.abs(np.array(a.get_cdf(points)) - np.array(b.get_cdf(points)))
    return max(0.0, float(difference.max()) - _error(a) - _error(b))


def share_above(image: bytes, limit: float) -> float:
    """Which share of the values is above a limit at least.

    Raises:
        DecodeError: the image is damaged.
    """
    sketch = load_quantiles(image)
    return 0.0 if sketch.is_empty() else max(0.0, 1.0 - float(sketch.get_rank(limit, True)) - _error(sketch))


def share_below(image: bytes, limit: float) -> float:
    """Which share of the values is below a limit at least.

    Raises:
        DecodeError: the image is damaged.
    """
    sketch = load_quantiles(image)
    return 0.0 if sketch.is_empty() else max(0.0, float(sketch.get_rank(limit, False)) - _error(sketch))


def _error(sketch: Any) -> float:
    """How far a rank may be off; sketches of few values hold all of them."""
    return float(sketch.normalized_rank_error(False)) if sketch.is_estimation_mode() else 0.0
