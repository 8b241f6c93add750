"""If this failed, data like the training data would raise findings, or data unlike it none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import datasketches
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.detect.training import MIN_RECORDS, compare
from stream_lineage.detect.training_finding import TrainingComparison, TrainingKind
from stream_lineage.model.baseline import FileSource, Sample, SchemaShare, TopicSource
from stream_lineage.model.finding import Severity
from stream_lineage.model.profile import Decoder, FieldProfile, Profile
from stream_lineage.profile.builder import ProfileBuilder
from stream_lineage.profile.merge import merge_profiles
from stream_lineage.profile.options import ProfileOptions
from stream_lineage.profile.quantiles import new_quantiles
from stream_lineage.testing.observations import avro_reference
from stream_lineage.wire.columns import Batch
from stream_lineage.wire.json_records import JsonRecords
from stream_lineage.wire.text_buffer import text_buffer

Records = Sequence[Mapping[str, Any]]
FILE = FileSource("train.csv", "0" * 64, "csv", 1)
TOPIC = TopicSource("clicks", None, ())


def profiled(records: Records, k: int = 64, decoder: Decoder = Decoder.JSON, reveal: str = "*") -> Profile:
    options = ProfileOptions(hash_key=b"test key", quantiles_k=k, reveal_fields=frozenset({reveal}))
    builder = ProfileBuilder(options)
    json = JsonRecords()
    for start in range(0, len(records), 5_000):
        data, starts, lengths = text_buffer([orjson.dumps(record) for record in records[start : start + 5_000]])
        builder.add(json.decode(Batch(data, starts, lengths)))
    return builder.finish(decoder, Decoder.OPAQUE, 1 << 30)


def sample(records: Records, **options: Any) -> Sample:
    source, key, schemas = options.pop("source", TOPIC), options.pop("key", "k"), options.pop("schemas", ())
    return Sample(source, profiled(records, **options), key, schemas)


def trained(records: Records, **options: Any) -> Sample:
    return sample(records, k=200, **options)


def kinds(found: TrainingComparison) -> list[tuple[str, str | None]]:
    return sorted((finding.kind.value, finding.field_path) for finding in found.findings)


def traffic(seed: int, count: int) -> list[dict[str, Any]]:
    """A bit of everything that is hard: heavy tails, rare categories, optional members, whole and other numbers, nulls,
    nesting, constants, arrays."""
    random = np.random.default_rng(seed)
    rare = random.zipf(1.6, count)
    heavy, normal, uniform = random.pareto(0.8, count), random.normal(100, 15, count), random.random((count, 6))
    out: list[dict[str, Any]] = []
    for n in range(count):
        record: dict[str, Any] = {
            "heavy": float(heavy[n]),
            "normal": float(normal[n]) if uniform[n, 0] > 0.1 else int(normal[n]),
            "rare": f"c{min(int(rare[n]), 200)}",
            "flag": bool(uniform[n, 1] < 0.02),
            "maybe": None if uniform[n, 2] < 0.3 else int(rare[n]),
            "constant": 7,
            "features": [float(value) for value in uniform[n, :3]],
            "tags": ["x"] * int(4 * uniform[n, 3]),
            "inner": {"depth": float(uniform[n, 4])},
        }
        if uniform[n, 5] < 0.05:
            record["optional"] = "yes"
        out.append(record)
    return out


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1 << 30), st.sampled_from([120, 1_000, 8_000]), st.sampled_from([100, 700, 5_000]))
def test_data_like_the_training_data_give_nothing(seed: int, size: int, given_size: int) -> None:
    base, live = trained(traffic(seed, size)), sample(traffic(seed + 1, given_size))
    found = compare(base, live)
    assert found.findings == (), found.findings
    assert found.is_judged
    assert found.fields >= 9


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1 << 30))
def test_windows_that_were_merged_give_nothing_either(seed: int) -> None:
    windows = [profiled(traffic(seed + n, 500)) for n in range(1, 9)]
    merged = windows[0]
    for window in windows[1:]:
        merged = merge_profiles(merged, window)
    assert compare(trained(traffic(seed, 6_000)), Sample(TOPIC, merged, "k")).findings == ()


def rows(count: int = 3_000, seed: int = 1, **columns: Any) -> list[dict[str, Any]]:
    """Records with these members, each a constant or a function of a random generator."""
    random = np.random.default_rng(seed)
    return [
        {name: make(random) if callable(make) else make for name, make in columns.items() if make is not ABSENT}
        for _ in range(count)
    ]


ABSENT = object()


def chosen(*values: Any) -> Any:
    return lambda random: values[int(random.integers(len(values)))]


def normal(mean: float, spread: float = 1.0) -> Any:
    return lambda random: float(random.normal(mean, spread))


def nulls(share: float) -> Any:
    return lambda random: None if random.random() < share else 1


# Number, member x in training, member x given, findings about it, why.
TABLE = [
    (1, 1, ABSENT, [("feature-count", None), ("missing-feature", "x")], "a feature is gone"),
    (2, ABSENT, 1, [("extra-feature", "x"), ("feature-count", None)], "one has come"),
    (3, 1, "1", [("type-changed", "x")], "numbers became text"),
    (4, 1, chosen(1, 1, 1, "n/a"), [("type-changed", "x")], "some did"),
    (5, 1.5, 2, [("out-of-range", "x"), ("shifted-distribution", "x")], "whole numbers are numbers"),
    (6, chosen(1, 2), chosen(1, 2, 1.5), [("shifted-distribution", "x"), ("type-changed", "x")], "not whole"),
    (7, [0] * 13, [0] * 12, [("length-changed", "x")], "13 expected, 12 given"),
    (8, chosen([0], [0, 0]), chosen([0], [0, 0]), [], "arrays of any length have any"),
    (9, nulls(0.01), nulls(0.3), [("null-ratio", "x")], "more nulls"),
    (10, nulls(0.3), nulls(0.01), [("null-ratio", "x")], "fewer nulls"),
    (11, nulls(0.10), nulls(0.11), [], "one percent more is no matter"),
    (12, normal(100), normal(101), [("shifted-distribution", "x")], "a shift of a standard deviation"),
    (13, normal(100), normal(100.1), [], "a tenth of one is no matter"),
    (14, normal(100), normal(100, 3), [("out-of-range", "x"), ("shifted-distribution", "x")], "another spread"),
    (15, chosen("click", "view"), chosen("click", "view", "scroll"),
     [("new-category", "x"), ("shifted-distribution", "x")], "a category that training never saw"),
    (16, chosen(*["click"] * 99, "view"), chosen(*["click"] * 97, "view", "view", "scroll"),
     [("new-category", "x")], "a rare one"),
    (17, chosen("a", "b"), chosen("a", "a", "a", "a", "b"), [("shifted-distribution", "x")], "otherwise spread"),
    (18, chosen(True, False), chosen(True, True, True, True, False), [("shifted-distribution", "x")], "booleans too"),
    (19, "only", "only", [], "a constant"),
    (20, "only", "other", [("new-category", "x"), ("shifted-distribution", "x")], "another constant"),
    (21, None, None, [], "nothing but nulls"),
    (22, None, 1, [("null-ratio", "x")], "values where there were none"),
    (23, 1, None, [("null-ratio", "x")], "none where there were values"),
    (24, {"y": 1}, {"z": 1}, [("extra-feature", "x.z"), ("missing-feature", "x.y")], "as many as before"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "before", "after", "expected", "why"), TABLE)
def test_the_table(number: int, before: Any, after: Any, expected: list[tuple[str, str | None]], why: str) -> None:
    found = compare(trained(rows(a=1, x=before, z=1)), sample(rows(seed=2, a=1, x=after, z=1)))
    assert kinds(found) == expected, (number, why, found.findings)


def test_small_samples_say_nothing() -> None:
    many, few = trained(rows(x=1)), sample(rows(count=MIN_RECORDS - 1, x="other"))
    for base, live in ((many, few), (few, many)):
        found = compare(base, live)
        assert (found.findings, found.is_judged) == ((), False)
        assert "99" in found.notes[0]
    few_left = compare(many, sample(rows(count=MIN_RECORDS, x="other")))
    assert few_left.has_drifted


def test_one_odd_record_is_no_drift() -> None:
    base = trained(rows(x=normal(0), c=chosen("a", "b")))
    odd = [*rows(seed=2, x=normal(0), c=chosen("a", "b")), {"x": 1e300, "c": "scroll", "y": "new"}]
    assert compare(base, sample(odd)).findings == ()


def test_features_are_counted() -> None:
    names = [f"f{n:02d}" for n in range(13)]
    base = trained(rows(**dict.fromkeys(names, 1)))
    found = compare(base, sample(rows(**dict.fromkeys(names[1:], 1))))
    [count] = [finding for finding in found.findings if finding.kind is TrainingKind.FEATURE_COUNT]
    assert (count.expected, count.given, count.severity) == ("13 expected", "12 given", Severity.CRITICAL)
    assert found.has_drifted
    only_more = compare(base, sample(rows(**dict.fromkeys([*names, "f99"], 1))))
    assert not only_more.has_drifted
    assert {finding.severity for finding in only_more.findings} == {Severity.INFO}


@pytest.mark.parametrize(
    ("options", "severity"),
    [
        (({"decoder": Decoder.COLUMNAR}, {"decoder": Decoder.COLUMNAR}), Severity.WARNING),
        (({"source": FILE}, {"decoder": Decoder.COLUMNAR}), Severity.WARNING),
        (({"source": FILE}, {}), Severity.INFO),  # JSON promises no order
    ],
)
def test_the_order_of_features(options: tuple[dict[str, Any], dict[str, Any]], severity: Severity) -> None:
    base = trained(rows(a=1, b=1, c=1), **options[0])
    found = compare(base, sample(rows(c=1, a=1, b=1), **options[1]))
    [order] = found.findings
    assert (order.kind, order.severity) == (TrainingKind.FEATURE_ORDER, severity)
    assert (order.expected, order.given) == ("a, b, c", "c, a, b")
    # In JSON, members that come and go are found in whichever order they came.
    members = [{"a": 1, "c": 1}] + [{"a": 1, "b": 1, "c": 1}] * 3_000
    if "decoder" not in options[1]:
        assert compare(base, sample(members)).findings == ()


def test_in_files_null_and_missing_are_one() -> None:
    base = trained(rows(x=nulls(0.5), y=nulls(0.9)), source=FILE)
    leaves_out = [
        {name: value for name, value in row.items() if value is not None} for row in rows(x=nulls(0.5), y=nulls(0.9))
    ]
    assert compare(base, sample(leaves_out)).findings == ()
    as_topic = trained(rows(x=nulls(0.5), y=nulls(0.9)))
    assert {"missing-ratio", "null-ratio"} <= {kind for kind, _ in kinds(compare(as_topic, sample(leaves_out)))}
    empty = trained(rows(x=1, y=None), source=FILE)
    assert compare(empty, sample(rows(x=1))).findings == ()  # a column without values is missed by nobody


def test_categories_under_other_keys_are_not_compared() -> None:
    hidden = {"reveal": "nothing"}
    base = trained(rows(c=chosen("a", "b")), **hidden)
    other = sample(rows(c=chosen("a", "c")), key="another", **hidden)
    found = compare(base, other)
    assert found.findings == ()
    assert "hash_key" in found.notes[0]
    assert compare(base, sample(rows(c=chosen("a", "c")))).findings == ()  # shown here, hidden there
    assert kinds(compare(base, sample(rows(c=chosen("a", "c")), **hidden)))[0] == ("new-category", "c")


def test_schemas() -> None:
    shares = [(SchemaShare(avro_reference(n), 3_000),) for n in (1, 2)]
    base = trained(rows(x=1), schemas=shares[0])
    assert compare(base, sample(rows(x=1), schemas=shares[0])).findings == ()
    [found] = compare(base, sample(rows(x=1), schemas=shares[1])).findings
    assert (found.kind, found.severity, found.is_drift) == (TrainingKind.SCHEMA, Severity.INFO, False)
    assert "v1" in found.expected
    assert "v2" in found.given
    same = SchemaShare(avro_reference(9, fingerprint=avro_reference(1).fingerprint), 3_000)
    assert compare(base, sample(rows(x=1), schemas=(same,))).findings == ()  # under another id
    assert compare(trained(rows(x=1)), sample(rows(x=1), schemas=shares[0])).findings == ()


def test_what_is_ignored_is_not_compared() -> None:
    base = trained(rows(x=1, ids={"a": 1}))
    live = sample(rows(x=2, ids={"b": "2"}))
    assert len(compare(base, live).findings) > 3
    assert compare(base, live, ("x", "ids.*", "ids")).findings == ()


def test_not_a_number() -> None:
    """NaN is not in JSON: two members of a hand-made profile say so."""
    base = trained(rows(x=normal(0)))
    live = sample(rows(x=normal(0), seed=2))
    [field] = live.profile.fields
    assert field.numeric is not None
    odd = replace(field, numeric=replace(field.numeric, not_finite=300), slots=field.slots + 300)
    found = compare(base, replace(live, profile=replace(live.profile, fields=(odd,))))
    assert kinds(found) == [("not-finite-ratio", "x")]


def test_a_damaged_sketch_is_noted() -> None:
    live = sample(rows(x=normal(0)))
    [field] = live.profile.fields
    assert field.numeric is not None
    broken = replace(field, numeric=replace(field.numeric, quantiles=b"garbage"))
    found = compare(trained(rows(x=normal(0))), replace(live, profile=replace(live.profile, fields=(broken,))))
    assert found.findings == ()
    assert "quantile sketch" in found.notes[0]


def field_of(given: Sample) -> FieldProfile:
    return next(field for field in given.profile.fields if field.path == "x")


def with_field(given: Sample, field: FieldProfile) -> Sample:
    fields = tuple(field if each.path == field.path else each for each in given.profile.fields)
    return replace(given, profile=replace(given.profile, fields=fields))


def test_categories_of_which_training_kept_some_only_are_not_compared() -> None:
    base = trained(rows(x=chosen("a", "b")))
    sketch = datasketches.frequent_strings_sketch(3)
    for number in range(500):
        sketch.update(f"=c{number}", 1 + number % 7)
    live = sample(rows(x="scroll"))
    assert ("new-category", "x") in kinds(compare(base, live))
    some = with_field(base, replace(field_of(base), items=bytes(sketch.serialize())))
    assert kinds(compare(some, live)) == []


def test_rare_categories_count_together() -> None:
    """Fifty of three records each: of none it could be told by itself, and together they are a seventh of all."""
    rare = [f"r{number}" for number in range(50)] * 3
    base, same = (sample([{"x": each} for each in ["a"] * 1_500 + (rare[:100] if n else rare)]) for n in (0, 1))
    plain = sample([{"x": "a"}] * 1_500)
    assert kinds(compare(base, same)) == [], "a bit fewer of each"
    assert kinds(compare(plain, sample([{"x": each} for each in ["a"] * 850 + rare]))) == [
        ("shifted-distribution", "x")
    ]
    assert kinds(compare(plain, sample([{"x": each} for each in ["a"] * 1_450 + rare[:50]]))) == [], "less than a tenth"


def test_rare_categories_that_are_others_each_time_are_no_shift() -> None:
    """Eighty of one record each, on either side: an eighth of all is otherwise, and as many are rare as ever."""
    base, live = (sample([{"x": each} for each in ["a"] * 600 + [f"{side}{n}" for n in range(80)]]) for side in "rs")
    assert kinds(compare(base, live)) == []


def test_of_many_new_categories_the_most_frequent_are_named() -> None:
    names = [name for number in range(7) for name in [f"new{number}"] * (100 - number)]
    live = sample([{"x": each} for each in ["a"] * 1_000 + names])
    [found] = [each for each in compare(sample([{"x": "a"}] * 1_500), live).findings if each.kind == "new-category"]
    assert found.given.startswith("new0, new1, new2, new3, new4 and 2 more in 40.")
    assert found.expected == "1 categories without it"


def test_lengths_that_are_as_they_were_and_one_that_is_not() -> None:
    base = trained(rows(x=[1, 2, 3]))
    assert kinds(compare(base, sample(rows(x=[3, 1, 2])))) == []
    assert kinds(compare(base, sample([*rows(x=[1, 2, 3]), {"x": [1, 2]}]))) == [], "one record of so many"


def test_a_feature_that_is_rare_may_not_come() -> None:
    """One in 200 of the training records had it; of 3,000 without it the chance is e to the minus fifteen."""
    some = sample([*rows(a=1, count=1_980), *rows(a=1, x="rare", count=20)])
    seldom = sample([*rows(a=1, count=1_990), *rows(a=1, x="rare", count=10)])
    assert kinds(compare(some, sample(rows(a=1)))) == [("feature-count", None), ("missing-feature", "x")]
    assert kinds(compare(seldom, sample(rows(a=1)))) == [], "one in two hundred is not missed"
    assert kinds(compare(some, sample(rows(a=1, count=200)))) == [], "0.99 ** 200 is a seventh"


def test_a_field_that_came_in_no_record_at_all_has_no_ratios() -> None:
    base, live = trained(rows(x=1)), sample(rows(x=1))
    absent = replace(field_of(live), missing=field_of(live).slots, types=(), numeric=None)
    assert kinds(compare(base, with_field(live, absent))) == [("feature-count", None), ("missing-feature", "x")]


def test_numbers_of_which_nothing_is_known_are_neither_shifted_nor_beyond() -> None:
    base, live = trained(rows(x=normal(0))), sample(rows(x=normal(900)))
    numeric = field_of(live).numeric
    assert numeric is not None
    unknown = replace(numeric, count=0, min=None, max=None, quantiles=b"")
    for one, other in ((base, with_field(live, replace(field_of(live), numeric=unknown))),
                       (with_field(base, replace(field_of(base), numeric=unknown)), live)):  # fmt: skip
        assert not {"shifted-distribution", "out-of-range"} & {kind for kind, _ in kinds(compare(one, other))}
    empty = bytes(new_quantiles(64).serialize())
    nothing = with_field(live, replace(field_of(live), numeric=replace(numeric, quantiles=empty)))
    assert compare(base, nothing).findings == ()
    beyond = with_field(base, replace(field_of(base), numeric=replace(numeric, count=0, min=0.0, max=1.0)))
    assert "out-of-range" not in {kind for kind, _ in kinds(compare(beyond, live))}


def test_not_a_number_where_there_is_nothing_else() -> None:
    base, live = trained(rows(x=normal(0))), sample(rows(x=normal(0)))
    numeric = field_of(live).numeric
    assert numeric is not None
    none = replace(numeric, count=0, not_finite=0, min=None, max=None, quantiles=b"")
    assert compare(base, with_field(live, replace(field_of(live), numeric=none))).findings == ()
