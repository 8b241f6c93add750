"""Reading a field's profile: ratios from 0 to 1, and what the sketches say.

Functions that read a sketch give null where there is none: the field has no such values, or the sketch was dropped to
keep the observation small. They raise DecodeError where it is damaged.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream_lineage.model.profile import FieldProfile
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.profile.frequent import item_counts_of
from stream_lineage.profile.quantiles import load_quantiles


def null_ratio(field: FieldProfile) -> float:
    """Nulls among the slots; 0 without slots."""
    return field.nulls / field.slots if field.slots else 0.0


def missing_ratio(field: FieldProfile) -> float:
    """Missing members among the slots; 0 without slots."""
    return field.missing / field.slots if field.slots else 0.0


def variance(field: FieldProfile) -> float | None:
    """Population variance of the finite numbers; null if there are none."""
    numeric = field.numeric
    return numeric.m2 / numeric.count if numeric is not None and numeric.count else None


def quantile(field: FieldProfile, q: float) -> float | None:
    """The value at rank ``q`` (0 to 1) of the finite numbers."""
    values = quantiles(field, (q,))
    return None if values is None else values[0]


def quantiles(field: FieldProfile, ranks: Sequence[float]) -> list[float] | None:
    """The values at several ranks (0 to 1), from one reading of the sketch."""
    found = quantiles_within(field, ranks)
    return None if found is None else found[0]


def quantiles_within(field: FieldProfile, ranks: Sequence[float]) -> tuple[list[float], float] | None:
    """The same, and by how much the ranks may be off (99%)."""
    if field.numeric is None or not field.numeric.quantiles:
        return None
    sketch = load_quantiles(field.numeric.quantiles)
    if sketch.is_empty():
        return None
    error = float(sketch.normalized_rank_error(False)) if sketch.is_estimation_mode() else 0.0
    return [float(value) for value in sketch.get_quantiles(list(ranks), True)], error


def distinct_estimate(field: FieldProfile) -> float | None:
    """How many distinct numbers, strings, bytes and symbols."""
    return distinct_of(field.distinct)


def distinct_of(image: bytes | None) -> float | None:
    """The estimate of a distinct sketch by itself, such as ``Profile.key_distinct``."""
    return None if image is None else DistinctSketch.from_bytes(image).estimate()


def item_counts(field: FieldProfile) -> dict[str, int] | None:
    """Count by item (``=value`` or ``#`` and a hash), most frequent first; null when the field is not categorical."""
    return None if field.items is None else item_counts_of(field.items)
