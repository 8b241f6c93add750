"""Values of one field: how many are null or missing, how numbers are spread and how far they reach."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from stream_lineage.detect.shift.compare import QuantileShift
from stream_lineage.detect.shift.compare import compare as compare_shift
from stream_lineage.detect.shift.ranks import ranks_of
from stream_lineage.detect.training_chance import LOG_ALPHA, all_in_second, ratios_differ
from stream_lineage.detect.training_finding import TrainingFinding, TrainingKind, shown_share
from stream_lineage.model.finding import Severity
from stream_lineage.model.profile import FieldProfile, NumericProfile

MIN_RATIO_CHANGE = 0.02
"""Nulls, missing members or NaN must gain or lose so large a share. Larger: smaller changes go unnoticed."""
MIN_DISTANCE = 0.1
"""Distributions must be so far apart (Kolmogorov-Smirnov, after the sketches' own errors are taken off). Larger:
smaller shifts go unnoticed. A shift of the mean by a quarter of a standard deviation is 0.1."""
MIN_OUTSIDE = 0.001
"""So large a share of the numbers must lie beyond the training range."""
_SHOWN_SHARES = (0.05, 0.5, 0.95)


def find_ratios(base: FieldProfile, given: FieldProfile, *, apart: bool) -> Iterator[TrainingFinding]:
    """Nulls and missing members, or both as one where files do not tell them ``apart``; then NaN and infinities. A
    field that is missing in all records is another rule's."""
    if given.slots > given.missing and base.slots > base.missing:
        if apart:
            yield from _ratio(TrainingKind.NULL_RATIO, base.path, base.nulls, base.slots, given.nulls, given.slots)
            yield from _ratio(
                TrainingKind.MISSING_RATIO, base.path, base.missing, base.slots, given.missing, given.slots
            )
        else:
            before, after = base.nulls + base.missing, given.nulls + given.missing
            yield from _ratio(TrainingKind.NULL_RATIO, base.path, before, base.slots, after, given.slots)
    if base.numeric is not None and given.numeric is not None:
        before, after = base.numeric.not_finite, given.numeric.not_finite
        sizes = (base.numeric.count + before, given.numeric.count + after)
        yield from _ratio(TrainingKind.NOT_FINITE_RATIO, base.path, before, sizes[0], after, sizes[1])


def find_shift(base: FieldProfile, given: FieldProfile) -> Iterator[TrainingFinding]:
    """Numbers that are spread otherwise.

    Raises:
        DecodeError: a sketch is damaged.
    """
    before, after = base.numeric, given.numeric
    if before is None or after is None or not before.quantiles or not after.quantiles:
        return
    found = compare_shift(before.quantiles, after.quantiles, least_effect=MIN_DISTANCE, probability=math.exp(LOG_ALPHA))
    if found.shifted:
        was, now = (_shown_quantiles(found.quantiles, side) for side in ("before", "after"))
        yield TrainingFinding(TrainingKind.SHIFTED, Severity.WARNING, base.path, was, now, found.corrected)


def find_range(base: FieldProfile, given: FieldProfile) -> Iterator[TrainingFinding]:
    """Numbers beyond the smallest and the largest one of training, in so many records that it is no chance.

    Raises:
        DecodeError: a sketch is damaged.
    """
    before, after = base.numeric, given.numeric
    if before is None or after is None or before.min is None or before.max is None:
        return
    if not after.quantiles or not before.count:
        return
    outside = _share_outside(after.quantiles, before.min, before.max)
    if outside < MIN_OUTSIDE or all_in_second(outside * after.count, before.count, after.count) > LOG_ALPHA:
        return
    yield TrainingFinding(
        TrainingKind.OUT_OF_RANGE, Severity.WARNING, base.path, _shown_range(before),
        f"{_shown_range(after)}, at least {shown_share(outside)} outside", outside,
    )  # fmt: skip


def _ratio(
    kind: TrainingKind, path: str, before: int, before_size: int, after: int, after_size: int
) -> Iterator[TrainingFinding]:
    if not before_size or not after_size:
        return
    was, now = before / before_size, after / after_size
    if abs(now - was) < MIN_RATIO_CHANGE or ratios_differ(before, before_size, after, after_size) > LOG_ALPHA:
        return
    yield TrainingFinding(kind, Severity.WARNING, path, shown_share(was), shown_share(now), abs(now - was))


def _share_outside(image: bytes, low: float, high: float) -> float:
    """Which share of the values is below ``low`` or above ``high`` at least."""
    ranks = ranks_of(image)
    if not ranks.count:
        return 0.0
    below, upto = ranks.share_at(np.array([np.nextafter(low, -np.inf), high])).tolist()
    return float(max(0.0, below - ranks.error) + max(0.0, 1.0 - upto - ranks.error))


def _shown_quantiles(shifts: Iterable[QuantileShift], side: Literal["before", "after"]) -> str:
    shown = (each for each in shifts if each.share in _SHOWN_SHARES)
    return ", ".join(f"p{round(100 * each.share):02d} {getattr(each, side):.4g}" for each in shown)


def _shown_range(numeric: NumericProfile) -> str:
    return f"{numeric.min:.4g} to {numeric.max:.4g}"
