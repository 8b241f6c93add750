"""If this failed, a window would be judged otherwise by whoever goes on after a crash."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import pytest

from stream_lineage.detect.shift.digest import POINTS
from stream_lineage.detect.window import FieldWindow, Window, finite

PRICE = FieldWindow(
    "price", slots=100, nulls=7, missing=3, distinct=41.5, numbers=90, mean=3.25, deviation=0.5, low=-1.0, high=9.0,
    types={"number": 90}, items=None, points=[number / 4 for number in range(POINTS)], rank_error=0.03,
)  # fmt: skip
KIND = FieldWindow("kind", slots=100, nulls=0, missing=0, types={"string": 100}, items={"=a": 60, "#ff": 40}, points=[])
FULL = Window(
    "test", "clicks", 1_000.0, 10.0, records=100, bytes=4_096, tombstones=1, sampled=50, out_of_order=2,
    lag_seconds=0.25, profiled=98, undecoded=2, keys=12.5, first_offsets={0: 5, 12: 7}, last_offsets={0: 60, 12: 50},
    schemas=["ab" * 32], fields=(PRICE, KIND), left_out=4,
)  # fmt: skip


def stored(window: Window) -> Window:
    return Window.from_json(json.loads(json.dumps(window.to_json(), allow_nan=False)))


def test_a_window_comes_back_as_it_was() -> None:
    assert stored(FULL) == FULL
    # Every member differs from what it is if nothing is said: none of them can be lost unnoticed.
    nothing = Window("", "", 0.0, 0.0)
    assert [each.name for each in fields(Window) if getattr(FULL, each.name) == getattr(nothing, each.name)] == []


def test_what_says_nothing_is_not_written() -> None:
    empty = Window("test", "clicks", 1_000.0, 10.0)
    assert empty.to_json() == {"cluster": "test", "topic": "clicks", "start": 1_000.0, "seconds": 10.0}
    assert stored(empty) == empty


def test_nothing_and_zero_are_told_apart() -> None:
    zero = Window("test", "clicks", 1_000.0, 10.0, lag_seconds=0.0, keys=0.0)
    assert {"lag_seconds", "keys"} <= zero.to_json().keys()
    assert stored(zero) == zero
    assert stored(Window("test", "clicks", 1_000.0, 10.0)).lag_seconds is None


def test_its_end_and_what_a_field_has() -> None:
    assert FULL.end == 1_010.0
    assert PRICE.values == 90, "100 less 7 nulls and 3 that are missing"
    assert FieldWindow("a", slots=3, nulls=2, missing=2).values == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_is_written_as_nothing(value: float | None) -> None:
    assert finite(value) is None
    strange = FieldWindow("a", 1, 0, 0, mean=value, deviation=value, low=value, high=value)
    again = stored(Window("test", "clicks", 0.0, 10.0, fields=(strange,))).fields[0]
    assert (again.mean, again.deviation, again.low, again.high) == (None, None, None, None)


def test_numbers_are_finite() -> None:
    assert finite(-1.5) == -1.5
    assert finite(0.0) == 0.0
