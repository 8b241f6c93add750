"""If this fails, windows, which are merged observations, say something else than the records in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.model.profile import Decoder, FieldProfile, Profile
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.merge import merge_fields, merge_profiles
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.profile.reading import distinct_estimate, item_counts, quantiles
from stream_lineage.wire.columns import PADDING, Containers, Decoded, FieldColumn, Numbers, Texts

OPTIONS = ProfileOptions(hash_key=b"test key", reveal_fields=frozenset({"*"}))


def column(path: str, values: list[Any]) -> FieldColumn:
    parts: list[Any] = []
    numbers = [value for value in values if type(value) is float]
    if numbers:
        parts.append(Numbers("number", np.array(numbers)))
    strings = [value.encode() for value in values if type(value) is str]
    if strings:
        lengths = np.array([len(value) for value in strings], np.int64)
        data = np.frombuffer(b"".join(strings) + bytes(PADDING), np.uint8)
        parts.append(Texts("string", data, np.cumsum(lengths) - lengths, lengths))
    objects = sum(type(value) is dict for value in values)
    if objects:
        parts.append(Containers("object", objects))
    return FieldColumn(path, len(values), values.count(None), values.count(...), parts)


Batch = dict[str, list[Any]]


def profile_of(
    *batches: Batch, role: Any = "value", options: ProfileOptions = OPTIONS, budget: int = 1 << 24
) -> Profile:
    builder = ProfileBuilder(options)
    for batch in batches:
        records = max((len(values) for path, values in batch.items() if "." not in path), default=0)
        builder.add(Decoded(records, [column(path, values) for path, values in batch.items()], []), role=role)
    return builder.finish(Decoder.JSON, Decoder.JSON, 1 << 24)


VALUES = st.lists(
    st.none()
    | st.floats(-1e6, 1e6)
    | st.sampled_from(["red", "green", "blue", "", "a much longer string than the others"])
    | st.builds(dict),
    max_size=30,
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Records with members of ``a`` and ``b``; ``a.x`` where ``a`` is an object. A path that nobody has is left out."""
    a = draw(VALUES)
    b = [draw(st.sampled_from([..., 1.0, "x", None])) for _ in a]
    inside = [draw(st.sampled_from([..., 1.0, "y"])) for value in a if type(value) is dict]
    batch = {"a": a, "b": b, "a.x": inside}
    return {path: values for path, values in batch.items() if values and (path == "a" or set(values) != {...})}


def same(one: Profile, other: Profile) -> None:
    """Equal, but for the order of fields, rounding, and the luck of the sketches beyond their exact size."""
    assert (one.decoded, one.undecoded, one.truncated_fields) == (
        other.decoded,
        other.undecoded,
        other.truncated_fields,
    )
    first = {field.path: field for field in one.fields}
    second = {field.path: field for field in other.fields}
    assert first.keys() == second.keys()
    for path, field in first.items():
        again = second[path]
        assert (field.types, field.slots, field.nulls, field.missing) == (
            again.types,
            again.slots,
            again.nulls,
            again.missing,
        )
        assert field.distinct == again.distinct
        assert item_counts(field) == item_counts(again)
        assert (field.numeric is None, field.lengths is None) == (again.numeric is None, again.lengths is None)
        if field.numeric is not None and again.numeric is not None:
            assert (field.numeric.count, field.numeric.min, field.numeric.max) == (
                again.numeric.count,
                again.numeric.min,
                again.numeric.max,
            )
            assert field.numeric.mean == pytest.approx(again.numeric.mean, rel=1e-9, abs=1e-6)
            assert field.numeric.m2 == pytest.approx(again.numeric.m2, rel=1e-6, abs=1e-3)
            if field.numeric.count <= 60:  # the sketches still hold every value
                assert quantiles(field, (0, 0.25, 0.5, 1)) == quantiles(again, (0, 0.25, 0.5, 1))
        if field.lengths is not None and again.lengths is not None:
            assert replace(field.lengths, mean=0, m2=0) == replace(again.lengths, mean=0, m2=0)
            assert field.lengths.mean == pytest.approx(again.lengths.mean)


@settings(deadline=None)
@given(batches(), batches())
def test_merged_profiles_are_the_profile_of_all(a: Batch, b: Batch) -> None:
    same(merge_profiles(profile_of(a), profile_of(b)), profile_of(a, b))


@settings(deadline=None)
@given(batches(), batches())
def test_order_does_not_matter(a: Batch, b: Batch) -> None:
    one, other = profile_of(a), profile_of(b)
    same(merge_profiles(one, other), merge_profiles(other, one))


@settings(deadline=None, max_examples=50)
@given(batches(), batches(), batches())
def test_grouping_does_not_matter(a: Batch, b: Batch, c: Batch) -> None:
    one, two, three = profile_of(a), profile_of(b), profile_of(c)
    same(merge_profiles(merge_profiles(one, two), three), merge_profiles(one, merge_profiles(two, three)))


def test_key_fields_merge_too() -> None:
    merged = merge_profiles(profile_of({"k": ["x", "y"]}, role="key"), profile_of({"k": ["x"], "l": [1.0]}, role="key"))
    assert [(field.path, field.slots, field.missing) for field in merged.key_fields] == [("k", 3, 0), ("l", 3, 2)]
    assert distinct_estimate(merged.key_fields[0]) == pytest.approx(2, rel=1e-3)


def test_nothing_is_assumed_of_a_profile_that_left_fields_out() -> None:
    truncated = profile_of({"a": [1.0], "b": [1.0]}, options=replace(OPTIONS, max_fields=1))
    merged = merge_profiles(truncated, profile_of({"a": [1.0], "b": [2.0]}))
    assert [(field.path, field.slots, field.missing) for field in merged.fields] == [("a", 2, 0), ("b", 1, 0)]
    assert merged.truncated_fields == 1


def test_nothing_is_assumed_of_records_that_were_not_decoded() -> None:
    opaque = replace(profile_of(), decoder=Decoder.OPAQUE, decoded=7)
    merged = merge_profiles(opaque, profile_of({"a": [1.0]}))
    assert (merged.decoder, merged.decoded, merged.fields[0].slots) == (Decoder.JSON, 8, 1)


def only(profile: Profile) -> FieldProfile:
    (field,) = profile.fields
    return field


def test_objects_of_a_profile_that_has_no_other_records_count_as_such() -> None:
    mixed = profile_of({"$": [1.0, 2.0]})
    objects = profile_of({"a": [1.0, 2.0, 3.0]})
    for merged in (merge_profiles(mixed, objects), merge_profiles(objects, mixed)):
        root = next(field for field in merged.fields if field.path == "$")
        assert {count.type: count.count for count in root.types} == {"number": 2, "object": 3}
        assert (root.slots, root.missing) == (5, 0)


def test_items_that_were_given_up_are_not_made_up() -> None:
    few = only(profile_of({"a": ["x", "y"]}))
    many = only(profile_of({"a": [str(number) for number in range(300)]}))
    none = only(profile_of({"a": [None, None]}))
    assert many.items is None
    assert merge_fields(few, many).items is merge_fields(many, few).items is None
    assert item_counts(merge_fields(few, none)) == item_counts(merge_fields(none, few)) == {"=x": 1, "=y": 1}
    assert distinct_estimate(merge_fields(few, many)) == pytest.approx(302, rel=0.1)


def test_sketches_that_were_dropped_are_not_made_up() -> None:
    whole = only(profile_of({"a": [1.0, 2.0]}))
    assert whole.numeric is not None
    bare = replace(whole, distinct=None, numeric=replace(whole.numeric, quantiles=b""))
    for merged in (merge_fields(whole, bare), merge_fields(bare, whole)):
        assert merged.numeric is not None
        assert (merged.numeric.count, merged.numeric.mean) == (4, 1.5)
        assert merged.numeric.quantiles == b""
        assert merged.distinct is None


def test_sketches_of_several_sizes_merge() -> None:
    small = ProfileOptions(hash_key=b"test key", quantiles_k=16, distinct_lg_k=8)
    values = np.random.default_rng(1).normal(size=4000).tolist()
    merged = merge_fields(only(profile_of({"a": values[:2000]})), only(profile_of({"a": values[2000:]}, options=small)))
    assert distinct_estimate(merged) == pytest.approx(4000, rel=0.25)
    found = quantiles(merged, (0.5,))
    assert found is not None
    assert abs(found[0]) < 0.5


def test_not_finite_values_merge() -> None:
    a, b = only(profile_of({"a": [float("nan"), 1.0]})), only(profile_of({"a": [float("inf")] * 3}))
    for merged in (merge_fields(a, b), merge_fields(b, a)):
        assert merged.numeric is not None
        assert (merged.numeric.count, merged.numeric.not_finite, merged.numeric.mean) == (1, 4, 1.0)
        assert quantiles(merged, (0.5,)) == [1.0]
    neither = merge_fields(b, b).numeric
    assert neither is not None
    assert (neither.count, neither.not_finite, neither.min, neither.quantiles) == (0, 6, None, b"")


@pytest.mark.parametrize("damage", ["distinct", "items", "quantiles"])
def test_damaged_sketches_are_errors_of_ours(damage: str) -> None:
    field = only(profile_of({"a": [1.0, 2.0, "x"]}))
    assert field.numeric is not None
    if damage == "quantiles":
        damaged = replace(field, numeric=replace(field.numeric, quantiles=b"\x05" * 40))
    else:
        damaged = replace(field, **{damage: b"\x05" * 40})
    with pytest.raises(DecodeError):
        merge_fields(damaged, field)
    with pytest.raises(DecodeError):
        merge_fields(field, damaged)
