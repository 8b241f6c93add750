"""If this failed, a change of unit would go untold, or a heavy tail be told again and again."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_range import FEWEST_WINDOWS, Range

Extremes = tuple[float, float]
USUAL: Extremes = (20.0, 80.0)
FAR: Extremes = (20.0, 141.0)
"""More than a width above what is usual."""


def watched(extremes: Iterable[Extremes], known: Range | None = None) -> tuple[Range, list[Excursion | None]]:
    """The range, by way of its state after each window, and what is said of each."""
    known, found = known or Range(), []
    for low, high in extremes:
        found.append(known.observe("price", low, high))
        known = Range(json.loads(json.dumps(known.state())))
    return known, found


def warm(count: int = 100) -> Range:
    """Windows in which the range has grown a little all the time, and is not firm."""
    known, found = watched([(20.0 - 0.001 * n, 80.0 + 0.001 * n) for n in range(count)])
    assert found == [None] * count
    return known


def told(*extremes: Extremes, known: Range | None = None) -> list[bool]:
    return [each is not None for each in watched(extremes, known or warm())[1]]


def test_three_windows_of_four_beyond_it_are_told() -> None:
    assert told(FAR, FAR, FAR) == [False, False, True]
    assert told(FAR, FAR, USUAL, FAR) == [False, False, False, True]
    assert told((-41.0, 80.0), (-41.0, 80.0), (-41.0, 80.0)) == [False, False, True], "below it, too"
    assert told(FAR, USUAL, USUAL, FAR, USUAL, USUAL, FAR) == [False] * 7


def test_what_is_told_says_what_was_and_what_is_and_when_it_began() -> None:
    _, found = watched([FAR, USUAL, FAR, FAR], warm())
    assert found[3] == Excursion("range", "price", "19.9 to 80.1", "20 to 141", found[3].severity, 3, 1.0)  # type: ignore[union-attr]
    assert found[3].severity == "warning"


def test_a_single_extreme_is_learned_when_nothing_comes_of_it() -> None:
    known, _ = watched([FAR, USUAL, USUAL, USUAL, USUAL], warm())
    assert told(FAR, FAR, FAR, known=known) == [False] * 3
    lower, _ = watched([FAR, (-60.0, 80.0), USUAL, USUAL, USUAL, USUAL], warm())
    assert told(FAR, (-60.0, 80.0), FAR, known=lower) == [False] * 3, "nor is the other one, of the same time"


def test_less_than_a_width_beyond_is_no_news() -> None:
    assert told(*[(20.0, 139.0)] * 6) == [False] * 6


def test_a_range_that_stood_for_nine_tenths_of_its_life_is_firm() -> None:
    """Then a twentieth of its width is enough: 3 of 60."""
    firm, _ = watched([USUAL] * 300)
    assert told(*[(20.0, 83.1)] * 3, known=firm) == [False, False, True]
    assert told(*[(20.0, 82.9)] * 3, known=watched([USUAL] * 300)[0]) == [False] * 3
    young, _ = watched([USUAL] * 170)
    assert told(*[(20.0, 83.1)] * 3, known=young) == [False] * 3, "not before three hours of minutes"


def test_nothing_is_told_of_a_young_topic() -> None:
    young, _ = watched([USUAL] * (FEWEST_WINDOWS - 3))
    assert told(FAR, FAR, FAR, known=young) == [False] * 3
    assert told(FAR, FAR, FAR, known=watched([USUAL] * FEWEST_WINDOWS)[0]) == [False, False, True]


def test_it_is_over_after_three_calm_windows_and_the_second_time_is_told_again() -> None:
    known, found = watched([FAR, FAR, FAR, USUAL, USUAL, FAR, USUAL, USUAL, USUAL, USUAL], warm())
    assert [each is not None for each in found] == [False, False, *[True] * 6, False, False]
    assert told(FAR, FAR, FAR, known=known) == [False, False, True], "an anomaly is not learned"


def test_what_lasts_for_an_hour_is_how_things_are() -> None:
    known, found = watched([FAR] * 400, warm())
    assert [each is not None for each in found].count(True) == 360
    assert found[-1] is None
    assert told(FAR, FAR, FAR, known=known) == [False] * 3
    assert told(*[(20.0, 400.0)] * 3, known=known) == [False, False, True]


@pytest.mark.parametrize("constant", [0.0, 7.0])
def test_beyond_a_constant_is_whatever_is_not_it(constant: float) -> None:
    known, _ = watched([(constant, constant)] * 100)
    assert told(*[(constant, constant + 0.1)] * 3, known=known) == [False, False, True]
