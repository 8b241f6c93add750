"""If this failed, a good record would be called the first bad one, or a bad one would be passed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.explain.first_bad import By, FirstBad, Row, Sought, fault_of, judged, sought_of

BEGIN, END, COUNT = 300, 360, 500
NULLS = Sought("null_ratio", "amount", True)


def rows(**of_bad: Any) -> list[Row]:
    """Records 0 to 499; those named bad are given as ``bad``."""
    bad = of_bad.pop("bad")
    assert isinstance(bad, Sequence)
    usual = Row(0, 0, 100, 1, types=("number",), hashes=(1,), low=5.0, high=5.0, length=4.0)
    found = [
        replace(usual, offset=each, timestamp=1000 * each, key=each, low=5.0 + each % 3, high=5.0 + each % 3,
                size=100 + each % 7, hashes=(each % 5,))
        for each in range(COUNT)
    ]  # fmt: skip
    for each in bad:
        found[each] = replace(found[each], **of_bad)
    return found


# Metric, whether it rises, how a bad record differs.
TABLE = [
    ("null_ratio", True, {"null": True}),
    ("missing_ratio", True, {"missing": True}),
    ("undecoded", True, {"readable": False}),
    ("types", True, {"types": ("string",)}),
    ("distinct", True, {"hashes": (77,)}),
    ("max", True, {"low": 50.0, "high": 50.0}),
    ("min", False, {"low": -3.0, "high": 6.0}),
    ("mean", True, {"low": 500.0, "high": 500.0}),
    ("p50", False, {"low": 0.05, "high": 0.05}),
    ("bytes_per_record", True, {"size": 900}),
    ("length_mean", False, {"length": 1.0}),
    ("key_distinct", False, {"key": 17}),
    ("out_of_order_ratio", True, {"timestamp": 5}),
]


@pytest.mark.parametrize(("metric", "rising", "of_bad"), TABLE)
def test_the_first_record_that_differs_is_the_first_bad_one(
    metric: str, rising: bool, of_bad: dict[str, object]
) -> None:
    bad = [*range(331, COUNT, 3)]
    found = judged(rows(bad=bad, **of_bad), BEGIN, END, Sought(metric, "amount", rising))
    assert found is not None
    assert (found.offset, found.first, found.last, found.exact) == (331, 331, 331, True)


@pytest.mark.parametrize(("metric", "rising", "of_bad"), TABLE)
def test_where_no_record_differs_the_deviation_goes_elsewhere(
    metric: str, rising: bool, of_bad: dict[str, object]
) -> None:
    assert judged(rows(bad=[], **of_bad), BEGIN, END, Sought(metric, "amount", rising)) is None


@pytest.mark.parametrize("metric", ["records", "lag_ms_mean", "lag"])
def test_where_no_record_is_bad_by_itself_it_is_a_range(metric: str) -> None:
    found = judged(rows(bad=[]), BEGIN, END, Sought(metric, None, False))
    assert found is not None
    assert (found.offset, found.first, found.last, found.exact) == (None, BEGIN, END - 1, False)


@pytest.mark.parametrize(
    ("metric", "rising", "of_bad"), [row for row in TABLE if row[0] in ("mean", "bytes_per_record")]
)
def test_a_good_record_that_is_far_out_is_not_the_first_bad_one(
    metric: str, rising: bool, of_bad: dict[str, object]
) -> None:
    """A unit that changes at 341, and one record before it that is large by itself."""
    found = judged(rows(bad=[333, *range(341, COUNT)], **of_bad), BEGIN, END, Sought(metric, "amount", rising))
    assert found is not None
    assert (found.offset, found.first, found.last, found.exact) == (341, 341, 341, False)


def test_one_far_out_among_few_bad_ones_is_in_the_range() -> None:
    found = judged(rows(bad=[333, 341, 350, 420], low=500.0, high=500.0), BEGIN, END, Sought("mean", "amount", True))
    assert found is not None
    assert not found.exact
    assert found.first <= 333
    assert found.last >= 341


def test_nulls_that_were_there_before_leave_no_record_for_sure() -> None:
    found = judged(rows(bad=[3, 77, *range(341, COUNT)], null=True), BEGIN, END, NULLS)
    assert found is not None
    assert (found.offset, found.exact) == (341, False)


def test_few_records_before_make_it_unsure() -> None:
    few = rows(bad=[310], null=True)[295:]
    found = judged(few, BEGIN, END, NULLS)
    assert found is not None
    assert (found.offset, found.first, found.last, found.exact) == (310, BEGIN, 310, False)


def test_tombstones_have_no_field() -> None:
    found = judged(rows(bad=range(310, 400), null=True, tombstone=True), BEGIN, END, NULLS)
    assert found is None


def test_records_that_cannot_be_decoded_are_neither_good_nor_bad() -> None:
    some = rows(bad=[*range(331, COUNT)], null=True)
    some[320] = replace(some[320], readable=False)
    found = judged(some, BEGIN, END, NULLS)
    assert found is not None
    assert (found.offset, found.first, found.last, found.exact) == (331, 320, 331, False)
    blind = [replace(each, readable=each.offset >= BEGIN) for each in rows(bad=[331], null=True)]
    found = judged(blind, BEGIN, END, NULLS)  # nobody knows what was usual
    assert found is not None
    assert (found.first, found.exact) == (BEGIN, False)
    fewer = [replace(each, null=each.readable) for each in rows(bad=[310], readable=False)]
    assert judged(fewer, BEGIN, END, Sought("null_ratio", "amount", False)) is None
    dark = [replace(each, readable=not BEGIN <= each.offset < END) for each in rows(bad=[])]
    found = judged(dark, BEGIN, END, NULLS)
    assert found is not None
    assert (found.offset, found.first, found.last, found.exact) == (None, BEGIN, END - 1, False)


@pytest.mark.parametrize(
    ("metric", "of_bad"),
    [("null_ratio", {"null": False}), ("missing_ratio", {"missing": False})],
)
def test_of_what_becomes_rarer_the_first_without_it_is_the_first_bad_one(metric: str, of_bad: dict[str, Any]) -> None:
    """A field that was always null and no longer is."""
    absent = rows(bad=range(COUNT), null=True, missing=True)
    some = [*absent[:331], *(replace(each, **of_bad) for each in absent[331:])]
    found = judged(some, BEGIN, END, Sought(metric, "amount", False))
    assert found is not None
    assert (found.offset, found.first, found.last, found.exact) == (331, 331, 331, True)


@pytest.mark.parametrize(
    ("metric", "rising"), [("undecoded", False), ("distinct", False), ("key_distinct", True), ("key_distinct", None)]
)
def test_what_no_record_shows_by_itself_is_a_range(metric: str, rising: bool | None) -> None:
    """That more can be decoded, that values no longer come, that keys are new."""
    found = judged(rows(bad=[]), BEGIN, END, Sought(metric, "amount", rising))
    assert found is not None
    assert (found.offset, found.first, found.last, found.exact) == (None, BEGIN, END - 1, False)


def test_records_that_end_before_the_deviation_show_none_that_is_bad() -> None:
    """None came later: with fewer records that is the deviation itself, nulls came elsewhere."""
    found = judged(rows(bad=[])[:BEGIN], BEGIN, END, Sought("records", None, False))
    assert found is not None
    assert (found.offset, found.first, found.last) == (None, BEGIN, END - 1)
    assert judged(rows(bad=[])[:BEGIN], BEGIN, END, NULLS) is None


def test_records_without_a_key_repeat_none() -> None:
    bad = rows(bad=range(331, COUNT), key=17)
    some = [replace(each, key=None) if each.offset < BEGIN and each.offset != 17 else each for each in bad]
    found = judged(some, BEGIN, END, Sought("key_distinct", None, False))
    assert found is not None
    assert (found.offset, found.exact) == (331, True)
    keyless = [replace(each, key=None) for each in some]
    assert judged(keyless, BEGIN, END, Sought("key_distinct", None, False)) is None


def test_where_nothing_is_known_of_before_no_value_is_beyond_what_was_usual() -> None:
    """Text before and numbers after: another metric tells that."""
    some = [replace(each, low=None, high=None) if each.offset < BEGIN else each for each in rows(bad=[])]
    assert judged(some, BEGIN, END, Sought("mean", "amount", True)) is None
    other = [replace(each, length=None) if each.offset >= BEGIN else each for each in rows(bad=[])]
    assert judged(other, BEGIN, END, Sought("length_mean", "amount", True)) is None


@pytest.mark.parametrize(
    ("offset", "exact", "start"),
    [
        pytest.param(15, True, 15, id="that one for sure"),
        pytest.param(15, False, 10, id="most likely that one"),
        pytest.param(None, False, 10, id="one of these"),
    ],
)
def test_before_what_may_be_the_first_bad_one_nothing_is_bad(offset: int | None, exact: bool, start: int) -> None:
    assert FirstBad("t", 0, offset, 10, 20, exact, By.VALUES, "").start == start


@settings(max_examples=20, deadline=None)
@given(st.integers(BEGIN, END - 1), st.integers(0, 2**32 - 1))
def test_a_rate_that_was_there_before_gives_a_range_around_the_place(turn: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    bad = (random.random(COUNT) < 0.05) | ((np.arange(COUNT) >= turn) & (random.random(COUNT) < 0.7))
    places = np.flatnonzero(bad)
    found = judged(rows(bad=places.tolist(), null=True), BEGIN, END, NULLS)
    assert found is not None
    assert found.offset in places.tolist()
    assert found.first <= (found.offset or 0) <= found.last
    # The place itself, or the bad records next to it: never far off.
    assert found.first - 40 <= turn <= found.last + 40


def test_the_range_holds_the_place_nine_times_in_ten() -> None:
    held = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        turn = int(random.integers(BEGIN, END))
        bad = (random.random(COUNT) < 0.1) | ((np.arange(COUNT) >= turn) & (random.random(COUNT) < 0.5))
        first = int(np.flatnonzero(bad & (np.arange(COUNT) >= turn))[0])
        found = judged(rows(bad=np.flatnonzero(bad).tolist(), null=True), BEGIN, END, NULLS)
        held += found is not None and found.first <= first <= found.last
    assert held >= 54


@pytest.mark.parametrize(
    ("metric", "usual", "found", "fault"),
    [
        ("null_ratio", 0.1, 0.5, "more nulls"),
        ("records", 100.0, 10.0, "fewer records"),
        ("records", 100.0, None, "silence"),
        ("mean", 1.0, 100.0, "shifted values"),
        ("schema-change", None, None, "schema change"),
        ("ctr", 0.1, 0.05, "ctr"),
        ("p95", 1.0, 1.0, "shifted values"),
        ("bytes_per_record", 10.0, 20.0, "other sizes"),
        ("length_mean", 20.0, 10.0, "other sizes"),
        ("types", 1.0, 2.0, "other types"),
        ("structure-drift", None, None, "schema change"),
    ],
)
def test_what_kind_of_fault_it_is(metric: str, usual: float | None, found: float | None, fault: str) -> None:
    assert fault_of(sought_of(metric, None, usual, found)) == fault
