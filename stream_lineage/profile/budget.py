"""Keeping a profile within its bytes, in a fixed order.

A profile starts with all that its options ask for. While its encoding is larger than the budget, it gives up, in turn:

1. detail of the sketches: quantiles go down to 24 to 48 values, distinct sketches to 512 registers;
2. the items of the fields with more than 64 categories, most diverse field first;
3. more of the sketches, in two steps: 12 to 24 values and 256 registers, then 6 to 12 values and 128 registers;
4. the items of the other fields, most diverse field first;
5. the quantiles of a field, from the last field backwards, values before keys;
6. its distinct sketch, in the same order; then the distinct keys;
7. the declared members that were never seen, then the other deviations from the declared structure, mildest first. They
   are counted in its ``left_out``;
8. whole fields, in the same order as 5. They are counted in ``truncated_fields``.

Steps 2 and 4 to 8 stop as soon as the profile fits. Counts, types, ranges, means and variances stay exact to the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from stream_lineage.model.profile import FieldProfile, Profile
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.profile.encoding import array_overhead, encode_field, encode_profile
from stream_lineage.profile.field import FieldState
from stream_lineage.profile.structure import encoded_size, shortened

MANY_CATEGORIES = 64
SMALLER_SKETCHES = ((24, 9), (12, 8), (6, 7))
"""Values of quantile sketches and lg of the distinct registers, after those of the options."""

_FRAME_BOUND, _FIELD_BOUND, _TYPE_BOUND = 60, 190, 25
"""Bytes that a profile, a field and a type count take at most beside paths and sketches: numbers take up to 10."""


class Draft:
    """A profile in the making, with the exact size of each field.

    ``empty`` is the profile without its fields. The rows of ``states`` are the values' fields, then the keys'.
    """

    def __init__(
        self,
        empty: Profile,
        value_states: list[FieldState],
        key_states: list[FieldState],
        key_distinct: DistinctSketch | None,
    ) -> None:
        self.states = [*value_states, *key_states]
        self._values = len(value_states)
        self._kept = [len(value_states), len(key_states)]
        self._key_sketch = key_distinct
        self._frame = replace(empty, key_distinct=None if key_distinct is None else key_distinct.to_bytes())
        self._fields = [state.profile() for state in self.states]
        self._sizes = [0] * len(self.states)
        self._total = 0

    def surely_fits(self, size_budget: int) -> bool:
        """A quick answer for the usual case, from an upper bound of the size."""
        bound = _FRAME_BOUND + len(self._frame.key_distinct or b"")
        bound += sum(encoded_size(each) for each in (self._frame.structure, self._frame.key_structure) if each)
        for field in self._fields:
            bound += _FIELD_BOUND + 4 * len(field.path) + _TYPE_BOUND * len(field.types)
            bound += len(field.distinct or b"") + len(field.items or b"")
            bound += 0 if field.numeric is None else len(field.numeric.quantiles)
        return bound <= size_budget

    def measure(self) -> None:
        """Encode every field, so that ``size`` is known."""
        for row, field in enumerate(self._fields):
            self._put(row, field)

    @property
    def size(self) -> int:
        """Bytes of the encoded profile, once measured."""
        arrays = sum(array_overhead(count) - array_overhead(0) for count in self._kept)
        return len(encode_profile(self._frame)) + arrays + self._total

    def profile(self) -> Profile:
        values, keys = self._kept
        return replace(
            self._frame,
            fields=tuple(self._fields[:values]),
            key_fields=tuple(self._fields[self._values : self._values + keys]),
        )

    def last_first(self) -> list[int]:
        """All rows from the last backwards, values before keys."""
        return [*range(self._values - 1, -1, -1), *range(len(self.states) - 1, self._values - 1, -1)]

    def shrink_sketches(self, points: int, distinct_lg_k: int) -> None:
        random = np.random.default_rng()
        for row, (state, field) in enumerate(zip(self.states, self._fields, strict=True)):
            smaller = state.with_smaller_sketches(field, points, distinct_lg_k, random)
            if smaller is not field:
                self._put(row, smaller)
        if self._key_sketch is not None:
            image = self._key_sketch.resized(distinct_lg_k).to_bytes()
            self._frame = replace(self._frame, key_distinct=image)

    def drop_items(self, row: int) -> None:
        self._put(row, replace(self._fields[row], items=None))

    def drop_quantiles(self, row: int) -> None:
        field = self._fields[row]
        if field.numeric is not None:
            self._put(row, replace(field, numeric=replace(field.numeric, quantiles=b"")))

    def drop_distinct(self, row: int) -> None:
        self._put(row, replace(self._fields[row], distinct=None))

    def drop_key_distinct(self) -> None:
        self._frame = replace(self._frame, key_distinct=None)

    def drop_deviations(self, size_budget: int) -> None:
        """Leave out deviations, the mildest first, until the profile fits or none is left."""
        values, keys = self._frame.structure, self._frame.key_structure
        self._frame = replace(self._frame, structure=values and shortened(values, self.size - size_budget))
        self._frame = replace(self._frame, key_structure=keys and shortened(keys, self.size - size_budget))

    def drop_field(self, row: int) -> None:
        """Leave a field out: the last of the values or of the keys that is still there."""
        self._total -= self._sizes[row]
        self._kept[0 if row < self._values else 1] -= 1
        self._frame = replace(self._frame, truncated_fields=self._frame.truncated_fields + 1)

    def _put(self, row: int, field: FieldProfile) -> None:
        size = len(encode_field(field))
        self._total += size - self._sizes[row]
        self._fields[row], self._sizes[row] = field, size


def fit(draft: Draft, size_budget: int) -> None:
    """Give up detail, in the order above, until the draft is no larger than ``size_budget`` bytes or is empty."""
    if draft.surely_fits(size_budget):
        return
    draft.measure()
    if draft.size <= size_budget:
        return
    diverse = sorted(range(len(draft.states)), key=lambda row: (-draft.states[row].categories, -row))
    many = [row for row in diverse if draft.states[row].categories > MANY_CATEGORIES]
    few = [row for row in diverse if 0 < draft.states[row].categories <= MANY_CATEGORIES]
    first, *smaller = SMALLER_SKETCHES

    draft.shrink_sketches(*first)
    _each(draft, size_budget, draft.drop_items, many)
    for sizes in smaller:
        if draft.size > size_budget:
            draft.shrink_sketches(*sizes)
    _each(draft, size_budget, draft.drop_items, few)
    _each(draft, size_budget, draft.drop_quantiles, draft.last_first())
    _each(draft, size_budget, draft.drop_distinct, draft.last_first())
    if draft.size > size_budget:
        draft.drop_key_distinct()
    if draft.size > size_budget:
        draft.drop_deviations(size_budget)
    _each(draft, size_budget, draft.drop_field, draft.last_first())


def _each(draft: Draft, size_budget: int, drop: Callable[[int], None], rows: list[int]) -> None:
    """Drop something of one row after the other, as long as the draft is too large."""
    for row in rows:
        if draft.size <= size_budget:
            return
        drop(row)
