"""If this failed, alerts would open on other rules than those that are documented, last on, or never become normal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache

import pytest

from stream_lineage.detect.series.excursion import FLOORS, Excursion

HOUR = 3600.0
CHANCE = 2e-6
"""With this chance of a block the floors are as documented: 7, 5, 4, and 4 of twice the average."""


Sizes = tuple[float, ...]
CALM = 2 * (1.6, 1.0, 0.8, 0.9)


@cache
def known(sizes: Sizes, probability: float, bounded: bool) -> str:
    """The state after many blocks whose maxima are distributed as ``size * sqrt(-log(share))``, as far as normal values
    are: so many that nothing is left of what is believed before anything is known."""
    found = Excursion(Excursion.initial(), probability, 60.0, bounded)
    for index in range(400):
        furthest = math.sqrt(-math.log((index % 40 + 0.5) / 40))
        for tail, size in zip(found.tails, sizes, strict=True):
            tail.highest = size * furthest
        found.turn(50.0)
    return json.dumps(found.state())


def excursion(sizes: Sizes = CALM, *, bounded: bool = False, probability: float = CHANCE) -> Excursion:
    """Of a series that is known well; if nothing else is said its thresholds are the floors."""
    return Excursion(json.loads(known(sizes, probability, bounded)), probability, 60.0, bounded)


def young() -> Excursion:
    return Excursion(Excursion.initial(), CHANCE, 60.0)


def judge(found: Excursion, deviations: Sequence[float], **more: object) -> list[bool]:
    """Windows of a minute, with ten in the unit of the values for each scale; old enough for any rule."""
    given = {"bar": 1.0, "fewest": 1, "stuck": 0.0, "untried": False, "matters": True} | more
    return [
        found.judge(60.0 * number, 10.0 * each, each, **given)  # type: ignore[arg-type]
        for number, each in enumerate(deviations)
    ]


# number, deviations in scales, whether an excursion is open after each of them, why
TABLE: list[tuple[int, list[float], list[bool], str]] = [
    (1, [0, 6.9, 0, 0], [False] * 4, "one value below 7 is none"),
    (2, [0, 7.1], [False, True], "one value of 7"),
    (3, [0, -7.1], [False, True], "to either side"),
    (4, [5.1, 0, 5.1], [False, False, True], "two of three of 5"),
    (5, [5.1, 0, 0, 5.1], [False] * 4, "two of four are not enough"),
    (6, [5.1, -5.1, 0], [False] * 3, "nor two to different sides"),
    (7, [4.1, 0, 4.1, 4.1], [False, False, False, True], "three of four of 4"),
    (8, [4.1, 4.1, -4.1, 4.1], [False, False, False, True], "whichever is the other one"),
    (9, [3.9, 3.9, 0, 3.9, 0], [False] * 5, "three below 4 are none"),
    (10, [2.5] * 20, [False] * 12 + [True] * 8, "twice the average of the last dozen reaches 4"),
    (11, [1.9] * 60, [False] * 60, "twice an average of 1.9 never does"),
]


@pytest.mark.parametrize(("number", "deviations", "expected", "why"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_truth_table(number: int, deviations: list[float], expected: list[bool], why: str) -> None:
    assert judge(excursion(), deviations) == expected, why
    assert judge(excursion(), [-each for each in deviations]) == expected, why


def test_the_bar_raises_all_thresholds_and_few_values_do_not_open_one_that_is_young() -> None:
    assert judge(excursion(), [7.1, 0, 0, 0], bar=2.0) == [False] * 4
    assert judge(excursion(), [14.1], bar=2.0) == [True]
    assert judge(excursion(), [9.0, 9.0], fewest=2) == [False, True]
    assert judge(excursion(), [9.0, 0, 9.0, 9.0], fewest=3) == [False, False, False, True]


def test_what_does_not_matter_to_anybody_opens_nothing() -> None:
    assert judge(excursion(), [9.0] * 4, matters=False) == [False] * 4


def test_a_value_that_stands_still_is_an_excursion_once_young_rules_are_over() -> None:
    assert judge(excursion(), [0.0], stuck=1.0) == [True]
    assert judge(excursion(), [0.0], stuck=0.9) == [False]
    assert judge(excursion(), [0.0], stuck=1.0, fewest=2) == [False]
    still = excursion()
    assert judge(still, [0.0] * 6, stuck=1.0) == [True] * 6, "it is not over while it stands"
    assert judge(still, [0.0] * 4) == [True, True, False, False]


def test_a_series_that_never_moved_is_told_when_three_of_four_values_are_beyond_the_floor() -> None:
    """Tails that were never tried say that anything is possible: the thresholds of a young one are higher than 4."""
    assert judge(young(), [4.5] * 3) == [False] * 3
    assert judge(young(), [4.5] * 3, untried=True) == [False, False, True]
    assert judge(young(), [3.9] * 3, untried=True) == [False] * 3


def test_it_is_over_after_three_quiet_values_in_a_row() -> None:
    # The last four of them have to be quiet together, too: 9 counts as 6, which is (6 + 0 + 0 + 0) / 4 = 1.5.
    assert judge(excursion(), [9.0, 0, 0, 0, 0, 0, 0]) == [True, True, True, True, True, True, False]
    assert judge(excursion(), [9.0, 0, 0, 9.0, 0, 0, 0, 0, 0, 0])[:9] == [True] * 9
    assert judge(excursion(), [9.0, *[2.1] * 30]) == [True] * 31, "2.1 scales are not quiet"


def test_after_it_nothing_of_it_counts() -> None:
    over = excursion()
    judge(over, [9.0, 0, 0, 0, 0, 0, 0])
    assert judge(over, [6.9, 0, 0]) == [False] * 3
    assert over.average < 1


def test_strength_says_how_near_an_excursion_is() -> None:
    found = excursion()
    judge(found, [3.5])
    assert found.strength == pytest.approx(0.5)
    judge(found, [0.0, 0.0, 0.0, 7.0])
    assert found.strength == pytest.approx(1.0)


def test_floors_follow_the_sensitivity_as_quantiles_of_a_normal_distribution_do() -> None:
    for probability in (2e-8, 2e-6, 2e-4):
        found = excursion(probability=probability)
        factor = math.sqrt(math.log(probability) / math.log(2e-6))
        assert found.tails[0].threshold == pytest.approx(7.0 * factor)
    assert FLOORS == (7.0, 5.0, 4.0, 4.0)


def test_bursts_do_not_raise_what_a_fall_is_held_against() -> None:
    found = excursion((15.0, 1.0, 0.8, 0.9, *CALM[4:]))
    assert judge(found, [12.0]) == [False]
    assert judge(found, [0, 0, 0, -7.1])[-1]


def test_the_lowest_counts_that_ever_came_are_far_enough() -> None:
    """Where the average was often low: of counts, which cannot be less than nothing, 8 is further than ever."""
    for bounded, opens in ((True, True), (False, False)):
        found = excursion(2 * (4.0, 4.0, 4.0, 4.0), bounded=bounded)
        assert judge(found, [-4.5] * 40)[-1] is opens
        assert not any(judge(excursion(2 * (4.0, 4.0, 4.0, 4.0), bounded=bounded), [4.5] * 40))


def test_single_values_that_are_often_far_out_meet_by_chance() -> None:
    """Where one value in a block often reaches 12, two of three reach 5 sooner than that was seen."""
    often = excursion((4.0, *CALM[1:4], 4.0, *CALM[5:]))
    assert judge(often, [5.5, 5.5, 0]) == [False] * 3
    assert judge(excursion(), [5.5, 5.5, 0])[1]


def test_what_the_first_day_taught_can_be_forgotten() -> None:
    found = excursion()
    before = [tail.threshold for tail in found.tails]
    found.forget(0.0)
    assert [tail.threshold for tail in found.tails] == [tail.threshold for tail in young().tails]
    assert before < [tail.threshold for tail in found.tails]


def lasting(shift: float, hours: int, *, wobble: float = 0.0) -> Excursion:
    """An excursion that is off by ``shift``, with a slot of half an hour after the other."""
    found = excursion()
    found.judge(0.0, shift, 9.0, True, 1.0, 1, 0.0)
    for half in range(2 * hours):
        off = shift + wobble * (-1) ** half
        found.take(off)
        found.shifted(off)
    return found


def test_what_lasts_and_is_steady_is_the_new_normal() -> None:
    found = lasting(90.0, 6)
    assert found.settled(5 * HOUR, 6 * HOUR) is None, "it has not lasted"
    assert found.settled(6 * HOUR, 6 * HOUR) == 90.0
    found.accept(6 * HOUR, 90.0)
    assert not found.open
    assert found.settled(9 * HOUR, 6 * HOUR) is None, "it is over"
    assert lasting(90.0, 0).settled(6 * HOUR, 6 * HOUR) is None, "no slot has ended in it"


def test_what_is_not_steady_has_to_last_twice_as_long() -> None:
    found = lasting(90.0, 6)
    for by in (10.0, 300.0, 20.0, 290.0):
        found.shifted(by)
    assert found.settled(6 * HOUR, 6 * HOUR) is None
    assert found.settled(12 * HOUR, 6 * HOUR) == 90.0, "the middle one of the last dozen"


def test_what_is_wild_may_be_wild_and_steady() -> None:
    assert lasting(40.0, 6, wobble=60.0).settled(6 * HOUR, 6 * HOUR) in (-20.0, 100.0)


def test_going_back_to_what_was_before_the_new_normal_is_no_news() -> None:
    back = lasting(90.0, 6)
    back.accept(6 * HOUR, 90.0)
    assert not back.judge(8 * HOUR, -91.0, -9.1, True, 1.0, 1, 0.0)
    assert back.returned == -90.0
    assert back.judge(8 * HOUR + 60, -90.0, -9.0, True, 1.0, 1, 0.0), "once"

    elsewhere = lasting(90.0, 6)
    elsewhere.accept(6 * HOUR, 90.0)
    assert elsewhere.judge(8 * HOUR, -180.0, -18.0, True, 1.0, 1, 0.0)

    late = lasting(90.0, 6)
    late.accept(6 * HOUR, 90.0)
    assert late.judge(6 * HOUR + 8 * 86_400.0, -90.0, -9.0, True, 1.0, 1, 0.0), "after a week it is"


def test_an_excursion_that_was_stored_goes_on_alike() -> None:
    found = lasting(90.0, 3)
    again = Excursion(json.loads(json.dumps(found.state())), CHANCE, 60.0)
    for number, each in enumerate([9.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 7.5]):
        now = 4 * HOUR + 60.0 * number
        assert again.judge(now, 10 * each, each, True, 1.0, 1, 0.0) == found.judge(
            now, 10 * each, each, True, 1.0, 1, 0.0
        )
        assert again.state() == found.state()


def test_another_sensitivity_has_other_thresholds_of_what_was_seen() -> None:
    found = excursion(probability=2e-6)
    other = Excursion(found.state(), 2e-8, 60.0)
    assert other.tails[0].threshold > found.tails[0].threshold
    assert other.tails[0].counts == found.tails[0].counts
