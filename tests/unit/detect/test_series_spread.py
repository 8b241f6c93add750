"""If this failed, what is usual noise would be an alert, or a fault be taken for noise."""

from __future__ import annotations

import json
import math

import pytest

from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.novelty import HOURS, Novelty
from stream_lineage.detect.series.spread import Spread, least_effect, scale_floor

NORMAL = math.sqrt(math.pi / 2)
"""The standard deviation of normal values whose mean distance from what is expected is 1."""
SLOTS = 24


def spread(per_slot: float = 1.0) -> Spread:
    found = Spread(Spread.initial(), "", SLOTS, per_slot)
    found.turn(None, 0)
    return found


def stored(found: Spread, per_slot: float = 1.0) -> Spread:
    return Spread(json.loads(json.dumps(found.state())), found.table_text(), SLOTS, per_slot)


@pytest.mark.parametrize(
    ("kind", "expected", "weight", "scale"),
    [
        (SeriesKind.COUNT, 0.0, 1.0, 1.0),
        (SeriesKind.COUNT, 99.0, 1.0, 10.0),  # Poisson: the root of the mean, one more being as likely
        (SeriesKind.RATIO, 0.5, 10_000.0, 0.005 + 1e-3),  # binomial
        (SeriesKind.RATIO, 0.1, 900.0, 0.01 + 1e-3),
        (SeriesKind.RATIO, 0.0, 2_996.0, math.sqrt(0.001 * 0.999 / 2_996) + 1e-3),  # the rule of three
        (SeriesKind.RATIO, 1.0, 2_996.0, math.sqrt(0.001 * 0.999 / 2_996) + 1e-3),
        (SeriesKind.LEVEL, 50.0, 1.0, 0.1),  # 0.2%
        (SeriesKind.LEVEL, -50.0, 1.0, 0.1),
    ],
)
def test_no_scale_is_less_than_chance_alone_makes_it(
    kind: SeriesKind, expected: float, weight: float, scale: float
) -> None:
    assert scale_floor(kind, expected, weight) == pytest.approx(scale)


@pytest.mark.parametrize("weight", [0.0, 1e-6, 1.0, 1.5])
@pytest.mark.parametrize("expected", [-7.0, 0.0, 0.5, 1.0, 7.0])
def test_a_ratio_of_one_sample_may_be_anything(expected: float, weight: float) -> None:
    assert 0.4 <= scale_floor(SeriesKind.RATIO, expected, weight) <= 0.6


@pytest.mark.parametrize(
    ("kind", "expected", "least"),
    [
        (SeriesKind.COUNT, 5.0, 3.0),
        (SeriesKind.COUNT, 500.0, 50.0),
        (SeriesKind.RATIO, 0.7, 0.01),
        (SeriesKind.LEVEL, -300.0, 3.0),
    ],
)
def test_what_matters_to_anybody(kind: SeriesKind, expected: float, least: float) -> None:
    assert least_effect(kind, expected) == pytest.approx(least)


def test_the_scale_is_that_of_normal_values_whose_mean_distance_is_so_large() -> None:
    found = spread()
    for number in range(400):
        found.take(3.0 * (-1) ** number, 1.0)
    assert found.scale(1.0, 1.0) == pytest.approx(3.0 * NORMAL, rel=1e-3)
    assert found.scale(1.0, 50.0) == 50.0, "and the floor at least"
    assert stored(found).scale(1.0, 1.0) == found.scale(1.0, 1.0)


def test_one_value_counts_as_five_times_the_usual_distance_at_most() -> None:
    found = spread()
    for number in range(99):
        found.take(1.0 * (-1) ** number, 0.5)
    found.take(1e9, 0.5)
    assert found.mean == pytest.approx((99 + 5) / 100)


def test_values_are_learned_once_three_more_have_shown_that_they_are_not_the_beginning_of_a_fault() -> None:
    found = spread(per_slot=180)
    for each in (1.0, 2.0, 30.0):
        found.take(each, 1.0)
    assert found.count == 0
    found.take(40.0, 1.0)
    assert (found.count, found.mean, found.highest) == (1, 1.0, 1.0)
    found.disown()
    assert (found.count, found.highest) == (1, 40.0), "how far they lie out is remembered, and nothing else"
    for each in (1.0, 1.0, 1.0):
        found.take(each, 0.1)
    assert found.count == 1
    assert stored(found, 180).state() == found.state()


def test_windows_of_an_hour_are_learned_at_once() -> None:
    found = spread()
    found.take(1.0, 0.1)
    assert found.count == 1


def test_a_time_of_day_has_a_scale_of_its_own_once_it_is_known() -> None:
    found = spread(per_slot=10)
    for day in range(12):
        for slot in range(SLOTS):
            found.turn((slot - 1) % SLOTS if day or slot else None, slot)
            for number in range(10):
                found.take((20.0 if slot == 5 else 1.0) * (-1) ** number, 0.1)
    found.turn(SLOTS - 1, 15)
    assert found.scale(0.0, 0.1) < 3.0
    found.turn(15, 5)
    assert found.scale(0.0, 0.1) > 15.0


def test_what_happens_at_the_same_time_every_day_is_no_surprise() -> None:
    """A quarter of the furthest value of this time, also of the half hours beside it; and to that side only."""
    found = spread()
    found.turn(None, 7)
    found.take(0.1, 0.1)
    found.reach(80.0)
    found.turn(7, 12)
    assert found.scale(5.0, 0.1) < 1
    for slot in (6, 7, 8):
        found.turn(12, slot)
        assert found.scale(5.0, 0.1) == pytest.approx(20.0)
        assert found.scale(-5.0, 0.1) < 1
        found.turn(slot, 12)
    below = spread()
    below.turn(None, 7)
    below.take(-0.1, 0.1)
    below.reach(-80.0)
    below.turn(7, 7)
    assert below.scale(-5.0, 0.1) == pytest.approx(20.0)
    assert below.scale(5.0, 0.1) < 1


def test_and_is_forgotten_slowly_when_it_does_not_happen() -> None:
    found = spread()
    found.turn(None, 7)
    found.take(0.1, 0.1)
    found.reach(80.0)
    scales = []
    for _ in range(3):
        found.turn(7, 7)
        found.take(0.1, 0.1)
        scales.append(found.scale(5.0, 0.1))
    # A fifth of the way each day, from 80 to 0.1.
    assert scales == pytest.approx([20.0, (80 - 0.2 * 79.9) / 4, (64.02 - 0.2 * 63.92) / 4])
    found.reach(200.0)
    found.turn(7, 7)
    assert found.above == pytest.approx(51.236 + 0.5 * (200 - 51.236), abs=0.1), "half the way up"


def test_a_slot_in_which_nothing_came_changes_nothing() -> None:
    found = spread()
    found.turn(None, 7)
    found.take(0.1, 0.1)
    found.reach(80.0)
    found.turn(7, 8)
    text = found.table_text()
    found.turn(8, 9)
    assert found.table_text() is text


def test_how_often_a_series_moved_is_counted_to_a_hundred() -> None:
    found = spread()
    for _ in range(30):
        found.take(0.05, 0.1)
    assert found.moved == 0
    for _ in range(200):
        found.take(0.2, 0.1)
    assert found.moved == 100


def novelty() -> Novelty:
    return Novelty(Novelty.initial(), "")


def again(known: Novelty) -> Novelty:
    return Novelty(json.loads(json.dumps(known.state())), known.text())


def lived(values: list[float], hour: int = 3) -> Novelty:
    known = novelty()
    for each in values:
        known.score(each, hour)
        known.learn(each, hour)
    return again(known)


def test_what_is_known_is_no_news_and_what_is_far_from_all_is() -> None:
    values = [50.0 + number * 7 % 11 for number in range(200)]
    assert lived(values).score(55.0, 3) == 0.0
    scores = [lived(values).score(60.0 + off, 3) for off in (0.5, 5.0, 50.0, 5_000.0)]
    assert scores == sorted(scores)
    assert 0 < scores[0] < 0.6
    assert 0.85 < scores[-1] < 1
    assert lived(values).score(50.0 - 5_000.0, 3) == pytest.approx(scores[-1], abs=0.02)


def test_nothing_is_news_to_who_knows_nothing_and_little_to_who_knows_little() -> None:
    assert novelty().score(5.0, 0) == 0.0
    assert lived([1.0]).score(100.0, 3) < 0.1
    assert lived([1.0] * 100).score(100.0, 3) > 0.8


def test_half_of_it_is_what_is_new_at_this_time_of_day() -> None:
    known = novelty()
    for number in range(400):
        night = number % 2
        value = 10.0 + number % 5 if night else 90.0 + number % 5
        known.score(value, 2 if night else 14)
        known.learn(value, 2 if night else 14)
    assert again(known).score(92.0, 14) == 0.0
    assert 0.3 < again(known).score(92.0, 2) <= 0.5
    assert again(known).score(92.0, 13) == 0.0, "an hour before is not another time"
    assert again(known).score(92.0, 8) == 0.0, "of an hour of which nothing is known all hours tell"


def test_a_bounded_memory_covers_the_whole_range() -> None:
    known = lived([float(number * 7919 % 10_007) for number in range(2_000)])
    size = len(known.text())
    assert size < 8 * 4 / 3 * (2 * 25 + 288 + 21) + 4
    for value in range(0, 10_007, 500):
        assert again(known).score(float(value), 12) < 0.3
    assert again(known).score(50_000.0, 12) > 0.5


def test_what_is_forgotten_leaves_the_smallest_gaps() -> None:
    """Of an hour some twenty values are remembered. Of seven clusters of three each keeps its ends."""
    clusters = [1000.0 * number + off for number in range(1, 8) for off in (0.0, 1.0, 2.5)]
    known = novelty()
    for value in [0.0, *clusters]:
        known.learn(value, 3)
    for value in (0.0, *clusters):
        middle = value % 1000 == 1.0
        assert (again(known).score(value, 3) > 0) is middle


def test_values_that_are_nearer_than_what_thinning_left_are_not_remembered() -> None:
    """The least and the greatest are never forgotten."""
    known = lived([float(number) for number in range(400)])
    text = known.text()
    for near in (-0.01, 0.01, 398.99, 399.01):
        known.learn(near, 3)
        assert known.text() is text
    known.learn(5_000.0, 3)
    assert known.text() != text


def test_hours_go_round() -> None:
    known = lived([7.0] * 50, hour=0)
    assert known.score(7.0, HOURS - 1) == 0.0
    assert lived([7.0] * 50, hour=HOURS - 1).score(7.0, 0) == 0.0
