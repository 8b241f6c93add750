"""Values of one field: how many are null or missing, how numbers are spread and how far they reach."""

from __future__ import annotations

from collections.abc import Iterator

from stream_lineage.detect.training_chance import LOG_ALPHA, all_in_second, kolmogorov_tail, ratios_differ
from stream_lineage.detect.training_finding import TrainingFinding, TrainingKind, shown_share
from stream_lineage.detect.training_sketches import rank_distance, share_above, share_below
from stream_lineage.model.finding import Severity
from stream_lineage.model.profile import FieldProfile, NumericProfile
from stream_lineage.profile.reading import quantiles

MIN_RATIO_CHANGE = 0.02
"""Nulls, missing members or NaN must gain or lose so large a share. Larger: smaller changes go unnoticed."""
MIN_DISTANCE = 0.1
"""Distributions must be so far apart (Kolmogorov-Smirnov, after the sketches' own errors are taken off). Larger:
smaller shifts go unnoticed. A shift of the mean by a quarter of a standard deviation is 0.1."""
MIN_OUTSIDE = 0.001
"""So large a share of the numbers must lie beyond the training range."""
_RANKS = (0.05, 0.5, 0.95)


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
    distance = rank_distance(before.quantiles, after.quantiles)
    if distance < MIN_DISTANCE or kolmogorov_tail(distance, before.count, after.count) > LOG_ALPHA:
        return
    yield TrainingFinding(
        TrainingKind.SHIFTED, Severity.WARNING, base.path, _shown_quantiles(base), _shown_quantiles(given), distance
    )


def find_range(base: FieldProfile, given: FieldProfile) -> Iterator[TrainingFinding]:
    """Numbers beyond the smallest and the largest one of training, in so many records that it is no chance.

    Raises:
        DecodeError: a sketch is damaged.
    """
    before, after = base.numeric, given.numeric
    if before is None or after is None or before.min is None or before.max is None:
        return
    if after.min is None or after.max is None or not after.quantiles or not before.count:
        return
    below = share_below(after.quantiles, before.min) if after.min < before.min else 0.0
    above = share_above(after.quantiles, before.max) if after.max > before.max else 0.0
    outside = below + above
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


def _shown_quantiles(field: FieldProfile) -> str:
    values = quantiles(field, _RANKS) or []
    return ", ".join(f"p{round(100 * rank):02d} {value:.4g}" for rank, value in zip(_RANKS, values, strict=False))


def _shown_range(numeric: NumericProfile) -> str:
    return f"{numeric.min:.4g} to {numeric.max:.4g}"
