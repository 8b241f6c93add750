"""What one flush of records looked like, field by field: counts and mergeable sketches, never payload values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stream_lineage.model.structure import Structure


class Decoder(StrEnum):
    """Which decoder read the records of an observation."""

    COLUMNAR = "COLUMNAR"  # vectorised over the batch
    RECORDS = "RECORDS"  # fastavro, record by record: recursive schemas
    JSON = "JSON"  # JSON text
    OPAQUE = "OPAQUE"  # not decoded: sizes only
    TEXT = "TEXT"  # not decoded either, and looks like text: CSV, logs


@dataclass(frozen=True, slots=True)
class TypeCount:
    """How many values of a field had this type. Types: boolean, integer, number, string, bytes, enum, array, map,
    record, object."""

    type: str
    count: int


@dataclass(frozen=True, slots=True)
class NumericProfile:
    """The finite numeric values of a field. Dates and times are numbers in their own unit; decimals are scaled.

    ``m2`` is the sum of squared deviations from the mean (variance = m2 / count). ``not_finite`` counts NaN and
    infinities, which enter nothing else. ``quantiles`` is a serialised DataSketches ``kll_doubles_sketch``.
    """

    count: int
    not_finite: int
    min: float | None
    max: float | None
    mean: float
    m2: float
    quantiles: bytes


@dataclass(frozen=True, slots=True)
class LengthProfile:
    """Lengths: bytes of UTF-8 for strings, bytes for bytes, items for arrays and entries for maps."""

    count: int
    min: int
    max: int
    mean: float
    m2: float


@dataclass(frozen=True, slots=True)
class FieldProfile:
    """One field path. Nested fields are dotted, array items end in ``[]``, map values in ``{}``.

    ``slots`` is how many times the path could have held a value: the records, for a top-level field; the items, for
    ``items[].sku``. ``nulls`` of them were null and ``missing`` were absent (JSON members that are not there).
    ``distinct`` is a serialised DataSketches ``hll_sketch`` of the hashed values. ``items`` is a serialised
    DataSketches ``frequent_strings_sketch`` of categorical values, each written ``=value`` where it may be shown and
    ``#`` plus 16 hexadecimal digits of a keyed hash where not; null when the field is not categorical.
    """

    path: str
    types: tuple[TypeCount, ...]
    slots: int
    nulls: int
    missing: int
    numeric: NumericProfile | None = None
    lengths: LengthProfile | None = None
    distinct: bytes | None = None
    items: bytes | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """The merged profile of all records of one observation.

    ``undecoded`` records have provenance but entered no field. ``key_distinct`` is a serialised ``hll_sketch`` of the
    raw keys. ``truncated_fields`` counts field paths beyond the configured bound, which were left out.
    ``structure`` and ``key_structure`` hold declared against actual structure, null where no JSON schema declares one.
    """

    decoder: Decoder
    key_decoder: Decoder
    decoded: int
    undecoded: int
    key_distinct: bytes | None
    fields: tuple[FieldProfile, ...]
    key_fields: tuple[FieldProfile, ...]
    truncated_fields: int = 0
    structure: Structure | None = None
    key_structure: Structure | None = None
