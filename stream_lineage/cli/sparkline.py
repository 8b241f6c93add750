"""A deviating series in one line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stream_lineage.explain.symptoms import Deviation

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(deviation: Deviation, width: int) -> str:
    """So many columns at most around the onset, two thirds of them before it: the mean of the points of each, a blank
    where there are none. ``|`` stands before the first column that deviates."""
    times, values = deviation.series.times, deviation.series.values
    onset = int(np.searchsorted(times, deviation.onset))
    before = min(onset, 2 * (width - 1) // 3)
    end = min(len(times), onset + (width - 1) - before)
    start = onset - before
    slots = max(1, round((times[end - 1] - times[start]) / deviation.step)) + 1 if deviation.step > 0 else end - start
    columns = min(width - 1, slots)
    length = max(float(times[end - 1] - times[start]), 1e-9)
    part = (times[start:end] - times[start]) / length
    place = np.minimum((part * columns).astype(np.int64), columns - 1)
    shown = values[start:end]
    counts = np.bincount(place, minlength=columns)
    top = float(np.abs(shown).max()) or 1.0
    means = np.bincount(place, weights=shown / top, minlength=columns) / np.maximum(counts, 1)
    low, high = means[counts > 0].min(), means[counts > 0].max()
    levels = np.zeros(columns, dtype=np.int64)
    if high > low:
        levels = np.clip((means - low) / (high - low) * (len(_BLOCKS) - 1) + 0.5, 0, len(_BLOCKS) - 1).astype(np.int64)
    text = [_BLOCKS[level] if count else " " for level, count in zip(levels, counts, strict=True)]
    mark = int(place[onset - start]) if onset < end else columns
    return "".join([*text[:mark], "|", *text[mark:]])
