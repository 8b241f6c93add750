"""If this fails, what observations say about fields is not what the records held, or depends on their batches."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.model.profile import Decoder, FieldProfile, Profile, TypeCount
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.merge import merge_profiles
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.profile.quantiles import new_quantiles
from stream_lineage.profile.reading import (
    distinct_estimate,
    distinct_of,
    item_counts,
    missing_ratio,
    null_ratio,
    quantile,
    quantiles,
    variance,
)
from stream_lineage.wire.columns import (
    PADDING,
    BadRecord,
    Batch,
    Containers,
    Decoded,
    FieldColumn,
    Numbers,
    Symbols,
    Texts,
)
from stream_lineage.wire.json_records import JsonRecords
from stream_lineage.wire.text_buffer import text_buffer

OPTIONS = ProfileOptions(hash_key=b"test key", reveal_fields=frozenset({"shown", "address.*"}))
SYMBOLS = ("RED", "GREEN", "BLUE")


def texts(values: list[bytes], kind: str = "string") -> Texts:
    lengths = np.array([len(value) for value in values], np.int64)
    data = np.frombuffer(b"".join(values) + bytes(PADDING), np.uint8)
    return Texts(kind, data, np.cumsum(lengths) - lengths, lengths)


def column(path: str, values: list[Any]) -> FieldColumn:
    """Values of mixed types as a column: the test's own small decoder. ``...`` stands for a missing member."""
    parts: list[Any] = []
    by_type = {kind: [value for value in values if type(value) is kind] for kind in (bool, int, float, str, bytes)}
    if by_type[bool]:
        parts.append(Numbers("boolean", np.array(by_type[bool], np.bool_)))
    if by_type[int]:
        parts.append(Numbers("integer", np.array(by_type[int], np.int64)))
    if by_type[float]:
        parts.append(Numbers("number", np.array(by_type[float], np.float64)))
    if by_type[str]:
        parts.append(texts([value.encode() for value in by_type[str]]))
    if by_type[bytes]:
        parts.append(texts(by_type[bytes], "bytes"))
    lists = [len(value) for value in values if type(value) is list]
    if lists:
        parts.append(Containers("array", len(lists), np.array(lists, np.int64)))
    symbols = [value[0] for value in values if type(value) is tuple]
    if symbols:
        parts.append(Symbols(np.array(symbols, np.int64), SYMBOLS))
    objects = sum(type(value) is dict for value in values)
    if objects:
        parts.append(Containers("object", objects))
    return FieldColumn(path, len(values), values.count(None), values.count(...), parts)


def profile_of(*batches: dict[str, list[Any]], options: ProfileOptions = OPTIONS, budget: int = 1 << 24) -> Profile:
    builder = ProfileBuilder(options)
    for batch in batches:
        records = max((len(values) for path, values in batch.items() if "." not in path and "[" not in path), default=0)
        builder.add(Decoded(records, [column(path, values) for path, values in batch.items()], []))
    return builder.finish(Decoder.JSON, Decoder.OPAQUE, budget)


def field_of(values: list[Any], path: str = "field", options: ProfileOptions = OPTIONS) -> FieldProfile:
    (field,) = profile_of({path: values}, options=options).fields
    return field


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MIXED = st.lists(
    st.none()
    | st.just(...)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | TEXT
    | st.binary(max_size=20)
    | st.lists(st.none(), max_size=3)
    | st.tuples(st.integers(0, 2))
    | st.builds(dict),
    max_size=60,
)


@settings(deadline=None)
@given(MIXED)
def test_a_field_says_what_its_values_were(values: list[Any]) -> None:
    field = field_of(values)
    names = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        bytes: "bytes",
        list: "array",
        tuple: "enum",
        dict: "object",
    }
    kinds = Counter(names[type(value)] for value in values if value is not None and value is not ...)
    assert field.types == tuple(TypeCount(kind, kinds[kind]) for kind in sorted(kinds))
    assert (field.slots, field.nulls, field.missing) == (len(values), values.count(None), values.count(...))

    numbers = [value for value in values if type(value) in (int, float)]
    finite = [float(value) for value in numbers if math.isfinite(value)]
    assert (field.numeric is None) == (not numbers)
    if field.numeric is not None:
        assert field.numeric.count == len(finite)
        assert field.numeric.not_finite == len(numbers) - len(finite)
        assert field.numeric.min == min(finite, default=None)
        assert field.numeric.max == max(finite, default=None)
        assert bool(field.numeric.quantiles) == bool(finite)
        assert math.isfinite(field.numeric.mean)
        assert math.isfinite(field.numeric.m2)

    lengths = [
        len(value.encode() if type(value) is str else value) for value in values if type(value) in (str, bytes, list)
    ]
    assert (field.lengths is None) == (not lengths)
    if field.lengths is not None:
        assert (field.lengths.count, field.lengths.min, field.lengths.max) == (len(lengths), min(lengths), max(lengths))
        assert field.lengths.mean == pytest.approx(statistics.fmean(lengths))
        assert field.lengths.m2 == pytest.approx(statistics.pvariance(lengths) * len(lengths), abs=1e-9)

    distinct = {("text", value) for value in values if type(value) is bytes}
    distinct |= {("text", value.encode()) for value in values if type(value) is str}
    distinct |= {("text", SYMBOLS[value[0]].encode()) for value in values if type(value) is tuple}
    distinct |= {("int", value) for value in values if type(value) is int}
    distinct |= {("float", value) for value in values if type(value) is float and math.isfinite(value)}
    assert (distinct_estimate(field) or 0) == pytest.approx(len(distinct), rel=1e-3)

    items = item_counts(field) or {}
    symbols = Counter("=" + SYMBOLS[value[0]] for value in values if type(value) is tuple)
    flags = Counter("=true" if value else "=false" for value in values if type(value) is bool)
    assert {item: count for item, count in items.items() if item[0] == "="} == dict(symbols + flags)
    strings = Counter(value for value in values if type(value) is str)
    assert sorted(count for item, count in items.items() if item[0] == "#") == sorted(strings.values())


@settings(deadline=None, max_examples=60)
@given(MIXED, st.lists(st.integers(0, 60), max_size=4))
def test_batches_do_not_matter(values: list[Any], cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [values[start:end] for start, end in pairwise(edges)]
    (split,) = profile_of(*({"field": part} for part in parts)).fields
    whole = field_of(values)
    assert split.types == whole.types
    assert (split.slots, split.nulls, split.missing) == (whole.slots, whole.nulls, whole.missing)
    assert split.distinct == whole.distinct
    assert item_counts(split) == item_counts(whole)
    assert (split.lengths is None) == (whole.lengths is None)
    if split.lengths is not None and whole.lengths is not None:
        assert replace(split.lengths, mean=0, m2=0) == replace(whole.lengths, mean=0, m2=0)
        assert split.lengths.mean == pytest.approx(whole.lengths.mean)
    if split.numeric is not None and whole.numeric is not None:
        one, other = split.numeric, whole.numeric
        assert (one.count, one.not_finite, one.min, one.max) == (other.count, other.not_finite, other.min, other.max)
        spread = max(abs(other.min or 0), abs(other.max or 0))
        assert one.mean == pytest.approx(other.mean, rel=1e-9, abs=1e-12 * spread)
        assert one.m2 == pytest.approx(other.m2, rel=1e-6, abs=min(1e-9 * spread * spread, 1e300))


def test_large_batches_and_small_ones_agree() -> None:
    random = np.random.default_rng(5)
    numbers = random.integers(0, 5000, 60_000)
    words = [f"word {number % 40}" for number in numbers.tolist()]
    batches = [
        {"number": numbers[at : at + 7000].tolist(), "word": words[at : at + 7000]} for at in range(0, 60_000, 7000)
    ]
    whole = profile_of({"number": numbers.tolist(), "word": words})
    split = profile_of(*batches)
    assert [field.distinct for field in whole.fields] == [field.distinct for field in split.fields]
    assert item_counts(whole.fields[1]) == item_counts(split.fields[1])
    assert sorted((item_counts(whole.fields[1]) or {}).values()) == sorted(Counter(words).values())
    for field in (whole.fields[0], split.fields[0]):
        assert field.numeric is not None
        assert field.numeric.mean == pytest.approx(numbers.mean())
        assert variance(field) == pytest.approx(numbers.var())
        for rank in (0.05, 0.5, 0.95):
            value = quantile(field, rank)
            assert value is not None
            assert abs((numbers <= value).mean() - rank) < 0.06
        assert abs((distinct_estimate(field) or 0) - len(set(numbers.tolist()))) < 0.1 * 5000


def test_strings_are_hidden_unless_revealed() -> None:
    values = ["anna@example.org", "bob@example.org", "anna@example.org"]
    hidden = field_of(values, "email")
    assert b"anna" not in (hidden.items or b"")
    assert sorted((item_counts(hidden) or {}).values()) == [1, 2]
    assert item_counts(field_of(values, "shown")) == {"=anna@example.org": 2, "=bob@example.org": 1}
    assert item_counts(field_of(values, "address.city")) == {"=anna@example.org": 2, "=bob@example.org": 1}
    assert all(item[0] == "#" for item in item_counts(field_of(values, "xshown")) or {})
    assert all(item[0] == "#" for item in item_counts(field_of(values, "shown.deeper")) or {})


def test_the_same_value_is_told_apart_in_different_fields() -> None:
    assert item_counts(field_of(["x"], "a")) != item_counts(field_of(["x"], "b"))
    assert item_counts(field_of(["x"], "a")) == item_counts(field_of(["x"], "a"))


def test_revealing_a_field_of_one_topic_reveals_it_in_no_other() -> None:
    assert item_counts(field_of(["x"], "shown")) == {"=x": 1}
    other = ProfileOptions(hash_key=b"test key")
    assert "=x" not in (item_counts(field_of(["x"], "shown", other)) or {})


def test_value_patterns_do_not_reveal_keys() -> None:
    builder = ProfileBuilder(replace(OPTIONS, reveal_key_fields=frozenset({"public"})))
    builder.add(Decoded(1, [column("shown", ["x"]), column("public", ["y"])], []), role="key")
    hidden, public = builder.finish(Decoder.JSON, Decoder.JSON, 1 << 20).key_fields
    assert "=x" not in (item_counts(hidden) or {})
    assert item_counts(public) == {"=y": 1}


def test_shown_values_are_cut_to_64_characters() -> None:
    values = ["é" * 100, "é" * 90]
    assert item_counts(field_of(values, "shown")) == {"=" + "é" * 64: 2}


def test_fields_of_many_values_are_not_categorical() -> None:
    options = replace(OPTIONS, max_categories=10)
    assert len(item_counts(field_of([str(number) for number in range(10)], options=options)) or {}) == 10
    assert field_of([str(number) for number in range(11)], options=options).items is None
    assert field_of([str(number) for number in range(5000)]).items is None
    parts = [{"field": [str(number), "again"]} for number in range(11)]
    (field,) = profile_of(*parts, options=options).fields
    assert field.items is None
    assert distinct_estimate(field) == pytest.approx(12, rel=1e-3)


def test_enums_of_many_symbols_are_not_categorical() -> None:
    symbols = tuple(f"S{number}" for number in range(300))
    builder = ProfileBuilder(OPTIONS)
    parts = [Symbols(np.arange(300), symbols), Numbers("boolean", np.array([True]))]
    builder.add(Decoded(301, [FieldColumn("field", 301, parts=parts)], []))
    (field,) = builder.finish(Decoder.COLUMNAR, Decoder.OPAQUE, 1 << 20).fields
    assert field.items is None
    assert field.types == (TypeCount("boolean", 1), TypeCount("enum", 300))
    assert distinct_estimate(field) == pytest.approx(300, rel=0.1)


def test_empty_columns_say_nothing() -> None:
    parts = [
        Numbers("integer", np.array([], np.int64)),
        texts([]),
        Symbols(np.array([], np.int64), SYMBOLS),
        Containers("array", 0, np.array([], np.int64)),
    ]
    builder = ProfileBuilder(OPTIONS)
    builder.add(Decoded(2, [FieldColumn("field", 2, nulls=2, parts=parts)], []))
    (field,) = builder.finish(Decoder.COLUMNAR, Decoder.OPAQUE, 1 << 20).fields
    assert field == FieldProfile("field", (), 2, 2, 0)


def test_labels_stay_the_same_however_many_have_been_seen() -> None:
    first = item_counts(field_of(["x"], "a"))
    for part in range(70):  # more labels than are remembered
        field_of([f"{part}:{number}" for number in range(250)], "a")
    assert item_counts(field_of(["x"], "a")) == first


def test_long_strings_are_not_categorical_but_counted() -> None:
    field = field_of(["a" * 1_000_000, "b" * 1_000_000, ""])
    assert field.items is None
    assert field.lengths is not None
    assert (field.lengths.min, field.lengths.max) == (0, 1_000_000)
    assert distinct_estimate(field) == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize(
    "values", [[math.nan] * 5, [math.inf, -math.inf], [1e308, -1e308] * 50, [None] * 9, [...] * 9, []]
)
def test_hostile_columns(values: list[Any]) -> None:
    field = field_of(values)
    numbers = [value for value in values if type(value) is float]
    assert (field.numeric is None) == (not numbers)
    if field.numeric is not None:
        assert field.numeric.count + field.numeric.not_finite == len(numbers)
        assert math.isfinite(field.numeric.mean)
    assert quantile(field, 0.5) is None or field.numeric is not None
    assert null_ratio(field) + missing_ratio(field) == (0.0 if numbers or not values else 1.0)


def test_reading_a_field_that_has_no_sketches() -> None:
    field = field_of([None, None, ..., {}])
    assert quantile(field, 0.5) is quantiles(field, (0.1, 0.9)) is variance(field) is None
    assert distinct_estimate(field) is item_counts(field) is distinct_of(None) is None
    assert null_ratio(field) == 0.5
    assert missing_ratio(field) == 0.25


def test_a_sketch_without_values_has_no_quantiles() -> None:
    field = field_of([1.5, 2.5])
    assert field.numeric is not None
    empty = bytes(new_quantiles(64).serialize())
    assert quantile(replace(field, numeric=replace(field.numeric, quantiles=empty)), 0.5) is None


def test_quantiles_of_few_values_are_exact() -> None:
    field = field_of([5, 1, 4, 2, 3])
    assert quantiles(field, (0.0, 0.2, 0.5, 1.0)) == [1, 1, 3, 5]


def test_a_path_that_comes_late_was_missing_before() -> None:
    profile = profile_of(
        {"a": [1, 2, 3]},
        {"a": [1, 2], "late": ["x", None]},
        {"a": [1] * 4},
    )
    late = profile.fields[1]
    assert (late.path, late.slots, late.missing, late.nulls) == ("late", 9, 7, 1)
    assert (profile.fields[0].slots, profile.fields[0].missing) == (9, 0)


def test_nested_paths_are_missing_where_their_parent_was() -> None:
    profile = profile_of(
        {"a": [{}, {}, None], "b": [1, 2, 3]},  # a.x unheard of: two objects without it
        {"a": [{}, 7], "a.x": [1], "b": [4, 5]},
        {"b": [6]},  # no a at all, so no slot for a.x
        {"a": [{}, {}, {}], "b": [7, 8, 9], "a.y": [..., 1, ...]},
    )
    found = {field.path: (field.slots, field.missing) for field in profile.fields}
    assert found == {"a": (9, 1), "b": (9, 0), "a.x": (6, 5), "a.y": (6, 5)}


def test_items_that_are_not_there_have_no_slots() -> None:
    profile = profile_of(
        {"list": [[], []]},
        {"list": [[None] * 3], "list[]": [{}, {}, 5], "list[].sku": [1, ...]},
        {"list": [[None]], "list[]": [{}]},
        {"list": [[]]},
    )
    found = {field.path: (field.slots, field.missing) for field in profile.fields}
    assert found == {"list": (5, 0), "list[]": (4, 0), "list[].sku": (3, 2)}


def test_inside_of_items_that_are_not_profiled_nothing_is_assumed() -> None:
    options = replace(OPTIONS, max_fields=2)
    profile = profile_of({"a": [1]}, {"a": [1], "list[].x": [1, 2]}, options=options)
    assert [(field.path, field.slots, field.missing) for field in profile.fields] == [("a", 2, 0), ("list[].x", 2, 0)]


def test_paths_beyond_all_bounds_are_not_remembered() -> None:
    options = replace(OPTIONS, max_fields=1)
    profile = profile_of({f"member{number}": [1] for number in range(10_100)}, options=options)
    assert (len(profile.fields), profile.truncated_fields) == (1, 10_000)


def test_names_that_hold_dots_are_of_the_record() -> None:
    profile = profile_of({"a.b": [1], "c": [1]}, {"c": [1, 2]})
    assert [(field.path, field.slots, field.missing) for field in profile.fields] == [("a.b", 3, 2), ("c", 3, 0)]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.sampled_from(["", "a", "b.c"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "a.b", "$"]), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(JSON_VALUES, max_size=4), min_size=1, max_size=4))
def test_json_says_the_same_in_one_batch_in_several_and_merged(batches: list[list[Any]]) -> None:
    def decoded(records: list[Any]) -> Decoded:
        data, starts, lengths = text_buffer([orjson.dumps(record) for record in records])
        return JsonRecords().decode(Batch(data, starts, lengths))

    def said(profile: Profile) -> dict[str, Any]:
        return {
            field.path: (field.types, field.slots, field.nulls, field.missing, field.distinct, item_counts(field))
            for field in profile.fields
        }

    def built(*parts: list[Any]) -> Profile:
        builder = ProfileBuilder(OPTIONS)
        for part in parts:
            builder.add(decoded(part))
        return builder.finish(Decoder.JSON, Decoder.OPAQUE, 1 << 20)

    whole = built([record for batch in batches for record in batch])
    assert said(built(*batches)) == said(whole)
    merged = built(batches[0])
    for batch in batches[1:]:
        merged = merge_profiles(merged, built(batch))
    assert said(merged) == said(whole)


def test_paths_that_the_decoder_left_out_are_counted() -> None:
    builder = ProfileBuilder(replace(OPTIONS, max_fields=1))
    builder.add(Decoded(1, [column("a", [1]), column("b", [1])], [], truncated=5))
    builder.add(Decoded(1, [column("a", [1])], [], truncated=3))
    builder.add(Decoded(1, [column("k", [1])], [], truncated=1), role="key")
    assert builder.finish(Decoder.JSON, Decoder.JSON, 1 << 20).truncated_fields == 1 + 5 + 1


def test_bad_records_are_counted_and_are_no_slots() -> None:
    builder = ProfileBuilder(OPTIONS)
    bad = [BadRecord(1, "avro", "cut off"), BadRecord(1, "avro", "again"), BadRecord(3, "avro", "cut off")]
    builder.add(Decoded(5, [column("a", [1, 2, 3])], bad))
    builder.add(Decoded(2, [column("a", [4]), column("b", [1])], bad[:1]))
    profile = builder.finish(Decoder.COLUMNAR, Decoder.OPAQUE, 1 << 20)
    assert (profile.decoded, profile.undecoded) == (4, 3)
    assert [(field.path, field.slots, field.missing) for field in profile.fields] == [("a", 4, 0), ("b", 4, 3)]


def test_fields_beyond_the_bound_are_counted_once() -> None:
    options = replace(OPTIONS, max_fields=2)
    batch = {name: [1] for name in "abcd"}
    profile = profile_of(batch, batch, {"a": [1], "e": [1]}, options=options)
    assert [(field.path, field.slots, field.missing) for field in profile.fields] == [("a", 3, 0), ("b", 3, 1)]
    assert profile.truncated_fields == 3


def test_records_that_are_objects_count_as_such_where_others_are_not() -> None:
    builder = ProfileBuilder(OPTIONS)
    records = JsonRecords()
    for lines in ([b"3", b"4"], [b'{"a": 1}'] * 5, [b"[]"]):
        builder.add(records.decode(Batch(*text_buffer(lines))))
    profile = builder.finish(Decoder.JSON, Decoder.OPAQUE, 1 << 20)
    root = next(field for field in profile.fields if field.path == "$")
    assert {count.type: count.count for count in root.types} == {"integer": 2, "object": 5, "array": 1}
    assert (root.slots, root.missing) == (8, 0)


def test_symbols_are_categories() -> None:
    builder = ProfileBuilder(OPTIONS)
    for codes in ([0, 1, 1], [1, 1]):
        part = Symbols(np.array(codes, np.int64), ("RED", "GREEN", "BLUE"))
        builder.add(Decoded(len(codes), [FieldColumn("colour", len(codes), parts=[part])], []))
    [field] = builder.finish(Decoder.COLUMNAR, Decoder.OPAQUE, 1 << 20).fields
    assert item_counts(field) == {"=GREEN": 4, "=RED": 1}
    assert round(distinct_estimate(field) or 0) == 2


def test_keys_are_counted_over_batches_and_no_batch_is_none() -> None:
    builder = ProfileBuilder(OPTIONS)
    for keys in ([], [b"a", b"b"], [b"b", b"c"]):
        joined = texts(keys)
        builder.add_keys(Batch(joined.data, joined.starts, joined.lengths))
    found = distinct_of(builder.finish(Decoder.OPAQUE, Decoder.OPAQUE, 1 << 20).key_distinct)
    assert found == pytest.approx(3, abs=0.01)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(max_size=30), max_size=200), st.integers(1, 4))
def test_distinct_keys(keys: list[bytes], repeat: int) -> None:
    builder = ProfileBuilder(OPTIONS)
    joined = texts(keys)
    for _ in range(repeat):
        builder.add_keys(Batch(joined.data, joined.starts, joined.lengths))
    found = distinct_of(builder.finish(Decoder.OPAQUE, Decoder.OPAQUE, 1 << 20).key_distinct)
    assert (found or 0) == pytest.approx(len(set(keys)), rel=0.1)
    assert (found is None) == (not keys)


def test_a_raw_key_and_an_equal_string_are_one_value() -> None:
    builder = ProfileBuilder(OPTIONS)
    keys = texts([b"k1", b"k2"])
    builder.add_keys(Batch(keys.data, keys.starts, keys.lengths))
    builder.add(Decoded(2, [column("id", ["k2", "k1"])], []))
    profile = builder.finish(Decoder.JSON, Decoder.OPAQUE, 1 << 20)
    assert profile.key_distinct == profile.fields[0].distinct


@pytest.mark.parametrize(
    "change", [{"quantiles_k": 7}, {"distinct_lg_k": 13}, {"max_categories": 257}, {"max_fields": 0}]
)
def test_options_out_of_range_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(OPTIONS, **change)
