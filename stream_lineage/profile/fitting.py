"""Making a finished profile smaller, until it fits into so many bytes.

It gives up, in turn: detail of the quantile sketches; the items of fields with more than 64 categories; distinct
sketches; quantiles, from the last field backwards; whole fields, likewise, which are counted in ``truncated_fields``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stream_lineage.model.profile import FieldProfile, Profile
from stream_lineage.profile.encoding import encode_field, encode_profile
from stream_lineage.profile.quantiles import load_quantiles, shrunk
from stream_lineage.profile.reading import item_counts

MANY_CATEGORIES = 64
_POINTS = (192, 96, 48, 24)


def fitted(profile: Profile, size_budget: int) -> Profile:
    """The profile in at most ``size_budget`` bytes of ``encode_profile``, or without any field.

    Raises:
        DecodeError: a sketch is damaged.
    """
    fields = list(profile.fields)
    sizes = [len(encode_field(field)) for field in fields]
    frame = len(encode_profile(replace(profile, fields=()))) + 16
    random = np.random.default_rng()

    def too_large() -> bool:
        return frame + sum(sizes) > size_budget

    def change(change_field: Callable[[FieldProfile], FieldProfile]) -> None:
        for row in reversed(range(len(fields))):
            if not too_large():
                return
            fields[row] = change_field(fields[row])
            sizes[row] = len(encode_field(fields[row]))

    for points in _POINTS:
        if too_large():
            fields = [_with_points(field, points, random) for field in fields]
            sizes = [len(encode_field(field)) for field in fields]
    change(lambda field: replace(field, items=None) if len(item_counts(field) or ()) > MANY_CATEGORIES else field)
    change(lambda field: replace(field, distinct=None))
    change(lambda field: field if field.numeric is None else _without_quantiles(field))
    dropped = 0
    while fields and too_large():
        fields.pop()
        sizes.pop()
        dropped += 1
    return replace(profile, fields=tuple(fields), truncated_fields=profile.truncated_fields + dropped)


def _with_points(field: FieldProfile, points: int, random: np.random.Generator) -> FieldProfile:
    if field.numeric is None or not field.numeric.quantiles:
        return field
    sketch = load_quantiles(field.numeric.quantiles)
    smaller = shrunk(sketch, points, random)
    if smaller is sketch:
        return field
    return replace(field, numeric=replace(field.numeric, quantiles=bytes(smaller.serialize())))


def _without_quantiles(field: FieldProfile) -> FieldProfile:
    assert field.numeric is not None  # noqa: S101  (callers have looked)
    return replace(field, numeric=replace(field.numeric, quantiles=b""))
