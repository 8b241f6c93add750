"""If this fails, observations are larger than promised (2% of what they describe, 64 KB on a quiet topic), or give up
more than they must."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.model.profile import Decoder, FieldProfile, Profile
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.encoding import encode_profile
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.profile.reading import distinct_estimate, item_counts, quantile
from stream_lineage.wire.columns import PADDING, Batch, Decoded, FieldColumn, Numbers, Texts

OPTIONS = ProfileOptions(hash_key=b"test key")
FULL = 1 << 30


def texts(values: list[str]) -> Texts:
    lengths = np.array([len(value) for value in values], np.int64)
    data = np.frombuffer("".join(values).encode() + bytes(PADDING), np.uint8)
    return Texts("string", data, np.cumsum(lengths) - lengths, lengths)


def builder_of(fields: int, records: int, categories: int = 8, keys: int = 0, seed: int = 1) -> ProfileBuilder:
    """Every third field is a string; so is every key field."""
    random = np.random.default_rng(seed)

    def words() -> Texts:
        return texts([f"value {word}" for word in random.integers(0, categories, records).tolist()])

    def column(number: int) -> FieldColumn:
        part = words() if number % 3 == 2 else Numbers("number", random.normal(size=records))
        return FieldColumn(f"customer.attribute_{number:03d}", records, parts=[part])

    builder = ProfileBuilder(OPTIONS)
    builder.add(Decoded(records, [column(number) for number in range(fields)], []))
    if keys:
        builder.add(
            Decoded(records, [FieldColumn(f"k{n}", records, parts=[words()]) for n in range(keys)], []), role="key"
        )
        raw = texts([str(number) for number in range(records)])
        builder.add_keys(Batch(raw.data, raw.starts, raw.lengths))
    return builder


def finished(builder: ProfileBuilder, budget: int) -> Profile:
    return builder.finish(Decoder.JSON, Decoder.JSON, budget)


def bare(field: FieldProfile) -> FieldProfile:
    numeric = None if field.numeric is None else replace(field.numeric, quantiles=b"")
    return replace(field, numeric=numeric, distinct=None, items=None)


def counts_only(profile: Profile) -> Profile:
    return replace(
        profile,
        key_distinct=None,
        fields=tuple(bare(field) for field in profile.fields),
        key_fields=tuple(bare(field) for field in profile.key_fields),
    )


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 40),
    st.sampled_from([1, 20, 300, 3000]),
    st.sampled_from([3, 100]),
    st.integers(0, 3),
    st.floats(0, 1.2),
)
def test_the_budget_is_kept_whenever_the_counts_fit(
    fields: int, records: int, categories: int, keys: int, share: float
) -> None:
    builder = builder_of(fields, records, categories, keys)
    full = finished(builder, FULL)
    least, most = len(encode_profile(counts_only(full))), len(encode_profile(full))
    budget = least + int(share * (most - least))
    profile = finished(builder, budget)
    assert len(encode_profile(profile)) <= budget
    assert counts_only(profile) == counts_only(full)  # all counts, and no field is left out
    if budget >= most:
        assert [field.distinct for field in profile.fields] == [field.distinct for field in full.fields]
        assert [field.items for field in profile.fields] == [field.items for field in full.fields]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 30), st.integers(0, 3), st.integers(0, 3000))
def test_below_the_counts_fields_are_left_out_from_the_end(fields: int, keys: int, budget: int) -> None:
    builder = builder_of(fields, 20, keys=keys)
    full = finished(builder, FULL)
    empty = Profile(Decoder.JSON, Decoder.JSON, full.decoded, 0, None, (), (), fields + keys)
    profile = finished(builder, budget)
    assert len(encode_profile(profile)) <= max(budget, len(encode_profile(empty)))
    kept = len(profile.fields), len(profile.key_fields)
    assert profile.truncated_fields == fields + keys - sum(kept)
    assert [field.path for field in profile.fields] == [field.path for field in full.fields[: kept[0]]]
    assert [field.path for field in profile.key_fields] == [field.path for field in full.key_fields[: kept[1]]]
    assert kept[1] == keys or not kept[0]  # values go before keys


@pytest.mark.parametrize(("fields", "records"), [(100, 1), (100, 20), (100, 300), (100, 5000), (300, 20), (300, 2000)])
def test_quiet_topics_stay_below_64_kb(fields: int, records: int) -> None:
    profile = finished(builder_of(fields, records), 64 * 1024)
    assert len(encode_profile(profile)) <= 64 * 1024
    assert len(profile.fields) == fields
    assert profile.truncated_fields == 0
    assert all(field.distinct is not None for field in profile.fields)
    if fields == 100:
        assert all(quantile(field, 0.5) is not None for field in profile.fields if field.numeric)


def test_a_busy_topic_fits_two_per_cent_with_all_its_sketches() -> None:
    # 20,000 records of six fields and 45 bytes: 18 kB.
    profile = finished(builder_of(6, 20_000), 20_000 * 45 * 2 // 100)
    assert [quantile(field, 0.5) is not None for field in profile.fields] == [True, True, False] * 2
    assert all(distinct_estimate(field) for field in profile.fields)


def test_detail_goes_in_the_documented_order() -> None:
    builder = builder_of(9, 3000, categories=100, keys=1)
    full = finished(builder, FULL)
    assert {len(item_counts(field) or {}) for field in full.fields if field.items} == {100}

    def sketches(profile: Profile) -> tuple[int, int, int, int]:
        """Bytes of quantiles and distinct sketches of the first field, fields with items, fields with sketches."""
        first = profile.fields[0] if profile.fields else None
        return (
            len(first.numeric.quantiles) if first and first.numeric else 0,
            len(first.distinct or b"") if first else 0,
            sum(field.items is not None for field in (*profile.fields, *profile.key_fields)),
            sum(field.distinct is not None for field in (*profile.fields, *profile.key_fields)),
        )

    seen = []
    for budget in range(len(encode_profile(full)), 0, -50):
        state = sketches(finished(builder, budget))
        if not seen or seen[-1] != state:
            seen.append(state)
    quantile_bytes, distinct_bytes, with_items, with_distinct = zip(*seen, strict=True)
    # The sketches shrink once before any items go, items are all gone before the sketches shrink again,
    assert with_items[:2] == (4, 4)
    assert quantile_bytes[1] < quantile_bytes[0] / 3
    assert distinct_bytes[1] < distinct_bytes[0]
    assert {size for size, items in zip(distinct_bytes, with_items, strict=True) if items} == set(distinct_bytes[:2])
    assert sorted(with_items, reverse=True) == list(with_items)
    # quantiles are all gone before the distinct sketches, and those go one by one, before any field.
    assert all(not size for size, fields in zip(quantile_bytes, with_distinct, strict=True) if fields < 10)
    assert [fields for fields, _ in pairwise(with_distinct)] == sorted(with_distinct[:-1], reverse=True)
    assert {10, 9, 8, 5, 1, 0} <= set(with_distinct)


def test_fields_without_sketches_have_none_to_give_up() -> None:
    builder = ProfileBuilder(OPTIONS)
    columns = [
        FieldColumn("empty", 500, nulls=500),
        FieldColumn("full", 500, parts=[Numbers("number", np.arange(500.0))]),
    ]
    builder.add(Decoded(500, columns, []))
    empty, full = finished(builder, 300).fields
    assert empty == FieldProfile("empty", (), 500, 500, 0)
    assert full.numeric is not None
    assert full.numeric.mean == 249.5


def test_the_most_diverse_items_go_first() -> None:
    random = np.random.default_rng(2)
    builder = ProfileBuilder(OPTIONS)
    sizes = (3, 200, 90, 10)
    columns = [
        FieldColumn(f"f{size}", 2000, parts=[texts([f"v{word}" for word in random.integers(0, size, 2000).tolist()])])
        for size in sizes
    ]
    builder.add(Decoded(2000, columns, []))
    full = len(encode_profile(finished(builder, FULL)))
    orders = []
    for budget in range(full, 400, -20):
        kept = [field.items is not None for field in finished(builder, budget).fields]
        if kept not in orders:
            orders.append(kept)
    assert orders == [
        [True, True, True, True],
        [True, False, True, True],
        [True, False, False, True],
        [True, False, False, False],
        [False, False, False, False],
    ]


def test_smaller_sketches_still_say_about_the_same() -> None:
    builder = builder_of(30, 5000)
    full, small = finished(builder, FULL), finished(builder, 14_000)
    assert len(encode_profile(small)) <= 14_000 < len(encode_profile(full)) / 3
    for field in small.fields:
        if field.numeric is not None:
            median, distinct = quantile(field, 0.5), distinct_estimate(field)
            assert median is not None
            assert abs(median) < 0.33  # of a standard normal: a rank error of 13%
            assert distinct == pytest.approx(5000, rel=0.3)
