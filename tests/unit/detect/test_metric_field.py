"""If this failed, something about a field would not be judged, or judged where nothing can be said."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_field import FORGOTTEN_WINDOWS, FieldBaselines
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.ramp import Ramp
from stream_lineage.detect.shift.digest import POINTS
from stream_lineage.detect.window import FieldWindow
from stream_lineage.model.finding import Severity

START = 1_767_571_200.0
NARROW, WIDE = 10.0, 3600.0
KNOWN = 70
"""Windows after which a ratio that never moved is told when it does, in the third window."""


def detectors(seconds: float) -> dict[SeriesKind, SeriesDetector]:
    return {kind: SeriesDetector(kind, window_seconds=seconds) for kind in SeriesKind}


class Field:
    """A field in one window after the other; the state goes through JSON now and then."""

    def __init__(self, usual: FieldWindow, seconds: float = NARROW) -> None:
        self.usual, self.seconds = usual, seconds
        self.live = FieldBaselines(usual.path, detectors(seconds))
        self.number = 0

    def stored(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(json.dumps(self.live.state(), allow_nan=False))
        return state

    def resume(self, state: dict[str, Any]) -> None:
        self.live = FieldBaselines(self.usual.path, detectors(self.seconds), state)

    def see(self, *, waited: bool = False, **changes: Any) -> dict[str, Excursion | None]:
        at = START + self.seconds * self.number
        self.number += 1
        if self.number % 50 == 0:
            self.resume(self.stored())
        return self.live.observe(at, replace(self.usual, **changes), waited=waited)

    def warm(self, count: int = KNOWN, **changes: Any) -> Field:
        for _ in range(count):
            assert self.see(**changes) == {}
        return self

    def keys(self, count: int, **changes: Any) -> list[set[str]]:
        return [set(self.see(**changes)) for _ in range(count)]


USER = FieldWindow("user", slots=500, nulls=0, missing=0, distinct=400.0, types={"string": 500})

# number, what changes, what is told of it
RATIOS: list[tuple[int, dict[str, Any], dict[str, tuple[str, str, str]]]] = [
    (1, {"nulls": 200, "distinct": 240.0}, {"null-ratio user": ("0%", "40%", "critical")}),
    (2, {"missing": 100, "distinct": 320.0}, {"missing-ratio user": ("0%", "20%", "warning")}),
    (3, {"types": {"string": 450, "number": 50}}, {"type-mix user": ("0%", "10%", "warning")}),
    (4, {"types": {"number": 500}}, {"type-mix user": ("0%", "100%", "critical")}),
    (5, {"distinct": 100.0}, {"distinct-ratio user": ("80%", "20%", "critical")}),
    (6, {"distinct": 900.0}, {"distinct-ratio user": ("80%", "100%", "warning")}),  # an estimate may be too high
    (7, {"nulls": 3}, {}),  # less than a hundredth
]


@pytest.mark.parametrize(("number", "changes", "told"), RATIOS, ids=[str(row[0]) for row in RATIOS])
def test_ratios_that_never_moved(number: int, changes: dict[str, Any], told: dict[str, tuple[str, str, str]]) -> None:
    field = Field(USER).warm()
    assert field.keys(2, **changes) == [set(), set()]
    found = field.see(**changes)
    assert {
        key: (each.expected, each.actual, each.severity.value) for key, each in found.items() if each is not None
    } == told
    assert all(each is None or (each.path, each.key) == ("user", key) for key, each in found.items())


def test_an_excursion_with_nothing_new_to_be_said_goes_on() -> None:
    field = Field(USER).warm()
    field.keys(3, nulls=200)
    assert field.see()["null-ratio user"] is None, "it is as usual, but not yet for long"
    assert field.live.absent() == {"null-ratio user": None}
    assert field.see(slots=0, types={}, distinct=None) == {}, "of no values nothing is said"


def test_a_part_of_distinct_values_is_compared_where_there_are_as_many_as_usual() -> None:
    """Of twice as many records the part of distinct ones is another."""
    few = {"slots": 1500, "types": {"string": 1500}, "distinct": 300.0}
    assert Field(USER).warm().keys(4, **few) == [set()] * 4
    waited = Field(USER).warm()
    assert [set(waited.see(waited=True, distinct=100.0)) for _ in range(4)] == [set()] * 4
    assert Field(USER).warm().keys(4, distinct=100.0)[2:] == [{"distinct-ratio user"}] * 2


def test_what_has_categories_is_not_judged_by_how_many_are_distinct() -> None:
    field = Field(replace(USER, items={"=a": 300, "=b": 200})).warm()
    assert field.keys(4, distinct=4.0) == [set()] * 4
    found = field.see(items={"=a": 300, "=c": 200})
    assert [each.metric for each in found.values() if each is not None] == ["new-category"]
    assert "=c" in next(iter(found))


def test_the_usual_type_is_the_one_that_most_values_had_first() -> None:
    field = Field(replace(USER, types={"null": 0, "number": 250, "string": 250})).warm()
    assert field.stored()["type"] == "string", "of equals the last by name"
    assert Field(USER).warm(1, types={"string": 0}).stored()["series"].keys() == {
        "null-ratio", "missing-ratio", "distinct-ratio",
    }  # fmt: skip


PRICE = FieldWindow(
    "price", slots=400, nulls=0, missing=0, numbers=400, mean=50.0, deviation=10.0, low=20.0, high=80.0
)  # fmt: skip


def prices(count: int = 240) -> Field:
    """Hours of a price whose mean wobbles by a fiftieth of what its values do."""
    field = Field(PRICE, WIDE)
    for number in range(count):
        assert field.see(mean=50.0 + (number * 7919 % 13 - 6) / 30) == {}
    return field


def test_a_mean_is_told_when_it_is_off_by_half_a_standard_deviation_of_the_values() -> None:
    told = prices().see(mean=56.0)["mean price"]
    assert told is not None
    assert (told.metric, told.actual, told.severity) == ("mean", "56", Severity.WARNING)
    assert told.expected.startswith("50") or told.expected.startswith("49.")
    assert prices().see(mean=54.0) == {"mean price": None}, "certain, and too little to matter to anybody"
    assert prices().see(mean=54.0, deviation=None)["mean price"] is not None, "where nobody knows the deviation"


@pytest.mark.parametrize("mean", [None, math.nan])
def test_a_mean_that_is_no_number_says_nothing(mean: float | None) -> None:
    assert prices(60).keys(3, mean=mean) == [set()] * 3


def test_a_range_that_is_left_for_good_is_told() -> None:
    field = prices(120)
    assert field.keys(3, low=-400.0) == [set(), set(), {"range price"}]
    for strange in (None, math.nan, math.inf, -math.inf):
        assert prices(70).keys(4, low=strange) == [set()] * 4
        assert prices(70).keys(4, high=strange) == [set()] * 4
    assert prices(120).keys(4, low=-400.0, numbers=0) == [set()] * 4


EVEN = [float(20 + 2 * number) for number in range(POINTS)]
SHAPED = replace(PRICE, points=EVEN, rank_error=0.04)


def shaped(count: int = 100 + KNOWN) -> Field:
    """The first reference is made after a hundred windows."""
    return Field(SHAPED).warm(count)


UP = [each + 200 for each in EVEN]


def test_a_distribution_is_told_with_its_quantiles() -> None:
    field = shaped()
    assert field.keys(2, points=UP) == [set(), set()]
    told = field.see(points=UP)["distribution price"]
    assert told is not None
    # The second, the 17th and the 31st of 32 points; those of the reference are 24.
    assert told.actual == "quantiles 222, 252, 280"
    assert told.expected.startswith("quantiles 2")
    assert told.severity is Severity.CRITICAL
    assert told.metric == "distribution"


def test_of_few_values_or_no_points_there_is_no_distribution() -> None:
    assert shaped().keys(4, points=UP, numbers=29) == [set()] * 4
    assert shaped().keys(4, points=()) == [set()] * 4


def test_a_distance_that_does_not_matter_is_not_told() -> None:
    """Five of 32 points are elsewhere: 16%, of which the errors of both sides are 9."""
    field = shaped()
    further = [*EVEN[:-5], *(each + 200 for each in EVEN[-5:])]
    assert [field.see(points=further) for _ in range(3)][2] == {"distribution price": None}


def test_the_distribution_of_a_counter_says_nothing() -> None:
    field = shaped()
    field.see(mean=51.0)
    state = field.stored()
    ramp = Ramp(Ramp.initial())
    for number in range(60):
        ramp.turn(float(number))
    state["series"]["mean"][0]["now"]["ramp"] = ramp.state()
    field.resume(state)
    assert [field.see(points=UP).get("distribution price", 0) for _ in range(3)] == [0, 0, None]


def test_a_field_that_is_gone_is_forgotten_after_a_day() -> None:
    field = Field(USER).warm(3)
    field.resume({**field.stored(), "unseen": FORGOTTEN_WINDOWS - 2})
    assert field.live.absent() == {}
    forgotten = [field.live.forgotten]
    field.live.absent()
    forgotten.append(field.live.forgotten)
    field.see()
    forgotten.append(field.live.forgotten)
    assert forgotten == [False, True, False], "it came back"


def test_it_says_how_many_series_it_has_and_how_many_are_young() -> None:
    field = Field(USER)
    assert (field.live.series, field.live.warming_up) == (0, 0)
    field.warm(20)
    assert (field.live.series, field.live.warming_up) == (4, 0), "what never moved is as it always is"
    field.see(nulls=1)
    assert field.live.warming_up == 2, "the nulls, and the part of the others that is distinct"
    assert [prices(count).live.warming_up for count in (10, 100)] == [1, 0]
