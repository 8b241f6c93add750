"""What the builder knows of one field path so far. Its size depends on the sketches, not on the records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_lineage.model.profile import FieldProfile, LengthProfile, NumericProfile, TypeCount
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.profile.frequent import MAX_ITEM_BYTES, grouped, items_image, shown
from stream_lineage.profile.hashing import ValueHasher
from stream_lineage.profile.moments import Moments
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.profile.paths import OBJECT_TYPES, ROOT
from stream_lineage.profile.quantiles import add_values, new_quantiles, shrunk
from stream_lineage.wire.columns import FieldColumn, Numbers, Symbols, Texts

_MAX_LABELS = 16_384
_LABELS: dict[tuple[ValueHasher, str, bool, int], str] = {}
"""Labels of values seen before, in any flush, by hash: categories come again and again."""


class FieldState:
    """The growing profile of one field path."""

    __slots__ = (
        "_distinct",
        "_items",
        "_lengths",
        "_numeric",
        "_options",
        "_quantiles",
        "_revealed",
        "missing",
        "not_finite",
        "nulls",
        "path",
        "slots",
        "types",
    )

    def __init__(self, path: str, options: ProfileOptions, *, revealed: bool) -> None:
        self.path = path
        self.slots = self.nulls = self.missing = self.not_finite = 0
        self.types: dict[str, int] = {}
        self._options = options
        self._revealed = revealed
        self._numeric = Moments()
        self._lengths = Moments()
        self._quantiles: Any = None
        self._distinct: DistinctSketch | None = None
        self._items: dict[str, int] | None = {}  # null once there are too many, or the field is not categorical

    @property
    def objects(self) -> int:
        """Records and objects seen: each is a slot for every field inside."""
        return sum(self.types.get(name, 0) for name in OBJECT_TYPES)

    def add(self, column: FieldColumn, hasher: ValueHasher) -> None:
        """Count one batch of values. Floating point errors are to be off."""
        self.slots += column.slots
        self.nulls += column.nulls
        self.missing += column.missing
        for part in column.parts:
            match part:
                case Numbers():
                    self._count(part.type, len(part.values))
                    self._add_numbers(part, hasher)
                case Texts():
                    self._count(part.type, len(part.lengths))
                    self._add_texts(part, hasher)
                case Symbols():
                    self._count("enum", len(part.codes))
                    self._add_symbols(part, hasher)
                case _:
                    self._count(part.type, part.count)
                    if part.lengths is not None:
                        self._lengths = self._lengths.merge(Moments.of(part.lengths.astype(np.float64)))

    def add_absent(self, slots: int) -> None:
        """Count slots of batches that did not mention the path at all."""
        self.slots += slots
        if self.path == ROOT:
            self._count("object", slots)
        else:
            self.missing += slots

    def profile(self) -> FieldProfile:
        """The profile in full."""
        return FieldProfile(
            path=self.path,
            types=tuple(TypeCount(name, self.types[name]) for name in sorted(self.types)),
            slots=self.slots,
            nulls=self.nulls,
            missing=self.missing,
            numeric=self._numeric_profile(),
            lengths=self._length_profile(),
            distinct=None if self._distinct is None else self._distinct.to_bytes(),
            items=items_image(self._items) if self._items else None,
        )

    def with_smaller_sketches(
        self, field: FieldProfile, points: int, distinct_lg_k: int, random: np.random.Generator
    ) -> FieldProfile:
        """``field``, a profile of this state, with sketches of about these sizes; itself if none gets smaller."""
        if self._distinct is not None:
            registers = self._distinct.resized(distinct_lg_k)
            if registers is not self._distinct:
                field = replace(field, distinct=registers.to_bytes())
        if self._quantiles is not None and field.numeric is not None:
            smaller = shrunk(self._quantiles, points, random)
            if smaller is not self._quantiles:
                field = replace(field, numeric=replace(field.numeric, quantiles=bytes(smaller.serialize())))
        return field

    @property
    def categories(self) -> int:
        return len(self._items or ())

    def _count(self, name: str, values: int) -> None:
        if values:
            self.types[name] = self.types.get(name, 0) + values

    def _distinct_sketch(self) -> DistinctSketch:
        if self._distinct is None:
            self._distinct = DistinctSketch(self._options.distinct_lg_k)
        return self._distinct

    def _add_numbers(self, part: Numbers, hasher: ValueHasher) -> None:
        values = part.values
        if len(values) == 0:
            return
        if values.dtype == np.bool_:
            true = int(np.count_nonzero(values))
            self._add_items({shown("true"): true, shown("false"): len(values) - true})
            return
        numbers: NDArray[np.float64]
        if values.dtype.kind == "f":
            numbers = values.astype(np.float64, copy=False)
            finite = np.isfinite(numbers)
            if not finite.all():
                numbers = numbers[finite]
                self.not_finite += len(values) - len(numbers)
            hashes = hasher.numbers(numbers)
        else:
            integers = values.astype(np.int64, copy=False)
            numbers = integers.astype(np.float64)
            hashes = hasher.integers(integers)
        if len(numbers):
            self._numeric = self._numeric.merge(Moments.of(numbers))
            if self._quantiles is None:
                self._quantiles = new_quantiles(self._options.quantiles_k)
            add_values(self._quantiles, numbers)
            self._distinct_sketch().add(hashes)

    def _add_texts(self, part: Texts, hasher: ValueHasher) -> None:
        if len(part.lengths) == 0:
            return
        lengths = Moments.of(part.lengths.astype(np.float64))
        self._lengths = self._lengths.merge(lengths)
        hashes = hasher.texts(part.data, part.starts, part.lengths)
        if part.type == "string" and self._items is not None:
            groups = None if lengths.max > MAX_ITEM_BYTES else grouped(hashes, self._options.max_categories)
            if groups is not None:
                counts: dict[str, int] = {}
                for value, group in groups.items():
                    label = self._label(part, group.row, value, hasher)
                    counts[label] = counts.get(label, 0) + group.count
                self._add_items(counts)
                self._distinct_sketch().add(np.fromiter(groups, np.uint64, len(groups)))
                return
            self._items = None
        self._distinct_sketch().add(hashes)

    def _label(self, part: Texts, row: int, value: int, hasher: ValueHasher) -> str:
        """How the text in this row, whose hash is ``value``, is written as an item."""
        label = _LABELS.get((hasher, self.path, self._revealed, value))
        if label is None:
            start = int(part.starts[row])
            text = part.data[start : start + int(part.lengths[row])].tobytes()
            label = shown(text.decode(errors="replace")) if self._revealed else hasher.label(self.path, text)
            if len(_LABELS) >= _MAX_LABELS:
                _LABELS.clear()
            _LABELS[hasher, self.path, self._revealed, value] = label
        return label

    def _add_symbols(self, part: Symbols, hasher: ValueHasher) -> None:
        if len(part.codes) == 0:
            return
        counts = np.bincount(part.codes, minlength=len(part.symbols))
        present = np.flatnonzero(counts)
        self._distinct_sketch().add(hasher.symbols(part.symbols)[present])
        if len(present) > self._options.max_categories:
            self._items = None
        else:
            items: dict[str, int] = {}
            for code, count in zip(present.tolist(), counts[present].tolist(), strict=True):
                item = shown(part.symbols[code])
                items[item] = items.get(item, 0) + count
            self._add_items(items)

    def _add_items(self, counts: dict[str, int]) -> None:
        if self._items is None:
            return
        for item, count in counts.items():
            if count:
                self._items[item] = self._items.get(item, 0) + count
        if len(self._items) > self._options.max_categories:
            self._items = None

    def _numeric_profile(self) -> NumericProfile | None:
        numeric = self._numeric
        if numeric.count == 0 and self.not_finite == 0:
            return None
        some = numeric.count > 0
        return NumericProfile(
            count=numeric.count,
            not_finite=self.not_finite,
            min=numeric.min if some else None,
            max=numeric.max if some else None,
            mean=numeric.mean,
            m2=numeric.m2,
            quantiles=bytes(self._quantiles.serialize()) if some else b"",
        )

    def _length_profile(self) -> LengthProfile | None:
        lengths = self._lengths
        if lengths.count == 0:
            return None
        return LengthProfile(lengths.count, int(lengths.min), int(lengths.max), lengths.mean, lengths.m2)
