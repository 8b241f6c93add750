"""Merging profiles: of partitions, collectors, flushes into windows.

Merging is exact for counts, ranges, means and variances (up to rounding), and for distinct sketches it gives the sketch
of the union. Quantile sketches merge within their error; which values they keep is random. Operands may be swapped:
what changes is the order of the fields (those of the first come first) and the luck of the quantile sketches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from stream_lineage.model.profile import Decoder, FieldProfile, LengthProfile, NumericProfile, Profile, TypeCount
from stream_lineage.profile.distinct import DistinctSketch
from stream_lineage.profile.frequent import merged_items
from stream_lineage.profile.moments import Moments
from stream_lineage.profile.paths import OBJECT_TYPES, ROOT, absent_slots, is_top_level
from stream_lineage.profile.quantiles import merged_quantiles
from stream_lineage.profile.structure import merged_structures

_CATEGORICAL = frozenset({"string", "enum", "boolean"})
_HASHED = frozenset({"string", "bytes", "enum"})
_DECODER_ORDER = (Decoder.TEXT, Decoder.OPAQUE, Decoder.COLUMNAR, Decoder.RECORDS, Decoder.JSON)

_UNDECODED = (Decoder.TEXT, Decoder.OPAQUE)


def merge_profiles(a: Profile, b: Profile) -> Profile:
    """The profile of the records of both.

    A field that only one of them has was absent from all records of the other, unless that one left fields out: then
    nothing is known of it there. Where the decoders differ, the result names the less direct one.

    Raises:
        DecodeError: a sketch is damaged.
    """
    return Profile(
        decoder=max(a.decoder, b.decoder, key=_DECODER_ORDER.index),
        key_decoder=max(a.key_decoder, b.key_decoder, key=_DECODER_ORDER.index),
        decoded=a.decoded + b.decoded,
        undecoded=a.undecoded + b.undecoded,
        key_distinct=_merged_distinct(a.key_distinct, b.key_distinct),
        fields=_merged_tables(a.fields, b.fields, _records(a), _records(b)),
        key_fields=_merged_tables(a.key_fields, b.key_fields, _key_records(a), _key_records(b)),
        truncated_fields=max(a.truncated_fields, b.truncated_fields),
        structure=merged_structures(a.structure, b.structure, _seen((*a.fields, *b.fields))),
        key_structure=merged_structures(a.key_structure, b.key_structure, _seen((*a.key_fields, *b.key_fields))),
    )


def merge_fields(a: FieldProfile, b: FieldProfile) -> FieldProfile:
    """The profile of the values of both; the path is that of ``a``.

    Items are null if either side gave them up; so are sketches that either side dropped for their size.

    Raises:
        DecodeError: a sketch is damaged.
    """
    types: dict[str, int] = {}
    for count in (*a.types, *b.types):
        types[count.type] = types.get(count.type, 0) + count.count
    return FieldProfile(
        path=a.path,
        types=tuple(TypeCount(name, types[name]) for name in sorted(types)),
        slots=a.slots + b.slots,
        nulls=a.nulls + b.nulls,
        missing=a.missing + b.missing,
        numeric=_merged_numeric(a.numeric, b.numeric),
        lengths=_merged_lengths(a.lengths, b.lengths),
        distinct=_merged_field_distinct(a, b),
        items=_merged_field_items(a, b),
    )


def _merged_tables(
    a: tuple[FieldProfile, ...], b: tuple[FieldProfile, ...], a_records: int | None, b_records: int | None
) -> tuple[FieldProfile, ...]:
    """Fields of both, path by path. The records are null where nothing is known of fields that are not there."""
    rest = {field.path: field for field in b}
    known = {field.path for field in a} | rest.keys()
    a_objects, b_objects = _objects(a), _objects(b)
    merged = []
    for field in a:
        other = rest.pop(field.path, None)
        merged.append(_with_absent(field, b_records, known, b_objects) if other is None else merge_fields(field, other))
    merged.extend(_with_absent(field, a_records, known, a_objects) for field in rest.values())
    return tuple(merged)


def _seen(fields: Iterable[FieldProfile]) -> set[str]:
    return {field.path for field in fields if field.slots > field.missing}


def _with_absent(field: FieldProfile, records: int | None, known: set[str], objects: Mapping[str, int]) -> FieldProfile:
    slots = 0 if records is None else absent_slots(field.path, records, known, objects)
    if not slots:
        return field
    if field.path == ROOT:
        return merge_fields(field, FieldProfile(ROOT, (TypeCount("object", slots),), slots, 0, 0))
    return replace(field, slots=field.slots + slots, missing=field.missing + slots)


def _objects(fields: tuple[FieldProfile, ...]) -> dict[str, int]:
    return {field.path: _values_of(field, OBJECT_TYPES) for field in fields}


def _records(profile: Profile) -> int | None:
    return None if profile.truncated_fields or profile.decoder in _UNDECODED else profile.decoded


def _key_records(profile: Profile) -> int | None:
    """Every top-level field has a slot in every key."""
    if profile.truncated_fields:
        return None
    return max((field.slots for field in profile.key_fields if is_top_level(field.path)), default=0)


def _values_of(field: FieldProfile, names: Iterable[str]) -> int:
    return sum(count.count for count in field.types if count.type in names)


def _merged_numeric(a: NumericProfile | None, b: NumericProfile | None) -> NumericProfile | None:
    if a is None or b is None:
        return b if a is None else a
    moments = _moments(a).merge(_moments(b))
    some = moments.count > 0
    return NumericProfile(
        count=moments.count,
        not_finite=a.not_finite + b.not_finite,
        min=moments.min if some else None,
        max=moments.max if some else None,
        mean=moments.mean,
        m2=moments.m2,
        quantiles=_merged_quantiles(a, b),
    )


def _moments(numeric: NumericProfile) -> Moments:
    return Moments(numeric.count, numeric.min or 0.0, numeric.max or 0.0, numeric.mean, numeric.m2)


def _merged_quantiles(a: NumericProfile, b: NumericProfile) -> bytes:
    if a.count == 0 or b.count == 0:
        return b.quantiles if a.count == 0 else a.quantiles
    if not a.quantiles or not b.quantiles:
        return b""
    return merged_quantiles(a.quantiles, b.quantiles)


def _merged_lengths(a: LengthProfile | None, b: LengthProfile | None) -> LengthProfile | None:
    if a is None or b is None:
        return b if a is None else a
    moments = Moments(a.count, a.min, a.max, a.mean, a.m2).merge(Moments(b.count, b.min, b.max, b.mean, b.m2))
    return LengthProfile(moments.count, int(moments.min), int(moments.max), moments.mean, moments.m2)


def _merged_distinct(a: bytes | None, b: bytes | None) -> bytes | None:
    if a is None or b is None:
        return b if a is None else a
    sketch = DistinctSketch.from_bytes(a)
    sketch.merge(DistinctSketch.from_bytes(b))
    return sketch.to_bytes()


def _merged_field_distinct(a: FieldProfile, b: FieldProfile) -> bytes | None:
    if any(field.distinct is None and _has_distinct_values(field) for field in (a, b)):
        return None
    return _merged_distinct(a.distinct, b.distinct)


def _has_distinct_values(field: FieldProfile) -> bool:
    return bool(field.numeric and field.numeric.count) or _values_of(field, _HASHED) > 0


def _merged_field_items(a: FieldProfile, b: FieldProfile) -> bytes | None:
    if any(field.items is None and _values_of(field, _CATEGORICAL) for field in (a, b)):
        return None
    if a.items is None or b.items is None:
        return b.items if a.items is None else a.items
    return merged_items(a.items, b.items)
