"""If this failed, a distribution that changes and keeps its mean would go untold, or a steady one be told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_lineage.detect.metric_shape import DAYS, Distance, Shape
from stream_lineage.detect.shift.digest import EVEN_RANKS, POINTS, single
from stream_lineage.profile.quantiles import add_values, new_quantiles

Draw = Callable[[np.random.Generator], NDArray[np.float64]]
MIDNIGHT = 20_500 * 86_400.0
RECORDS = 400


def points(values: NDArray[np.float64]) -> list[float]:
    return single(np.quantile(values, EVEN_RANKS, method="inverted_cdf").tolist())


def bell(random: np.random.Generator) -> NDArray[np.float64]:
    return random.normal(50, 10, RECORDS)


def settled(draw: Draw, hours: float = 1.0, shape: Shape | None = None, start: float = MIDNIGHT) -> Shape:
    shape, random = shape or Shape(), np.random.default_rng(1)
    for number in range(int(360 * hours)):
        shape.learn(start + 10 * number, points(draw(random)), RECORDS)
    return shape


def told(shape: Shape, values: NDArray[np.float64], at: float = MIDNIGHT + 3600, error: float = 0.04) -> Distance:
    found = shape.distance(at, points(values), len(values), error)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("number", "draw", "shifted"),
    [
        (1, bell, False),
        (2, lambda random: random.normal(50.5, 10, RECORDS), False),  # too little to matter
        (3, lambda random: random.normal(50, 35, RECORDS), True),  # wider
        (4, lambda random: random.normal(50, 1, RECORDS), True),  # narrower
        (5, lambda random: random.choice([20.0, 80.0], RECORDS), True),  # two values
        (6, lambda random: random.normal(500, 100, RECORDS), True),  # another unit
        (7, lambda _: np.full(RECORDS, 50.0), True),  # one value
        (8, lambda random: random.normal(60, 10, 12), False),  # too few to say
    ],
)
def test_what_is_told(number: int, draw: Draw, shifted: bool) -> None:
    shape, random = settled(bell), np.random.default_rng(number)
    found = [told(shape, draw(random)).told for _ in range(40)]
    assert found == [shifted] * 40


def test_the_distance_is_that_of_the_records_within_what_the_correction_allows() -> None:
    """Against the exact distance of all values, through real sketches."""
    random = np.random.default_rng(2)
    shape, seen = Shape(), []
    for number in range(360):
        values = random.gamma(2.0, 5.0, 300)
        seen.append(values)
        sketch = new_quantiles(64)
        add_values(sketch, values, random)
        shape.learn(MIDNIGHT + 10 * number, single(sketch.get_quantiles(list(EVEN_RANKS), True)), 300)
    before = np.sort(np.concatenate(seen))
    for scale in (5.0, 6.0, 9.0, 20.0):
        values = np.sort(random.gamma(2.0, scale, 500))
        sketch = new_quantiles(64)
        sketch.update(values)
        error = sketch.normalized_rank_error(False)
        found = shape.distance(MIDNIGHT + 3600, sketch.get_quantiles(list(EVEN_RANKS), True), 500, error)
        assert found is not None
        every = np.union1d(before, values)
        exact = np.abs(
            np.searchsorted(before, every, side="right") / len(before)
            - np.searchsorted(values, every, side="right") / len(values)
        ).max()
        assert found.corrected <= exact
        assert found.value == pytest.approx(exact, abs=found.value - found.corrected)


@pytest.mark.unmeasured
def test_an_hour_is_compared_with_the_same_hour_of_other_days() -> None:
    """By day values are of one kind, by night of another: each is usual at its own time only."""
    night: Draw = lambda random: random.normal(20, 5, RECORDS)  # noqa: E731
    shape = Shape()
    for day in range(3):
        for hour in range(24):
            settled(night if hour < 6 else bell, 0.25, shape, MIDNIGHT + 86_400 * day + 3600 * hour)
    random = np.random.default_rng(3)
    at_three, at_noon = (MIDNIGHT + 3 * 86_400 + 3600 * hour for hour in (3, 12))
    assert not told(shape, night(random), at_three).told
    assert not told(shape, bell(random), at_noon).told
    assert told(shape, bell(random), at_three).told
    assert told(shape, night(random), at_noon).told


def test_few_distinct_numbers_are_no_distance() -> None:
    constant = settled(lambda _: np.full(RECORDS, 200.0))
    assert told(constant, np.full(RECORDS, 200.0)).value == 0
    shape, random = settled(lambda random: random.choice([0.1, 0.3], RECORDS)), np.random.default_rng(2)
    assert max(told(shape, random.choice([0.1, 0.3], RECORDS)).value for _ in range(40)) < 0.15


def test_values_of_long_ago_are_forgotten() -> None:
    shape = Shape()
    for day in range(DAYS + 1):
        draw: Draw = bell if day == 0 else lambda random: random.normal(500, 10, RECORDS)
        settled(draw, 1, shape, MIDNIGHT + 86_400 * day)
    now = MIDNIGHT + 86_400 * (DAYS + 1)
    assert told(shape, np.random.default_rng(4).normal(500, 10, RECORDS), now).value < 0.15


@pytest.mark.unmeasured
def test_what_is_no_number_is_left_out_and_the_state_is_json_and_bounded() -> None:
    shape = Shape()
    for day in range(DAYS + 2):
        for hour in range(24):
            settled(bell, 0.1, shape, MIDNIGHT + 86_400 * day + 3600 * hour)
    settled(bell, 0.99, shape, MIDNIGHT + 86_400 * (DAYS + 2))
    before = shape.state()
    now = MIDNIGHT + 86_400 * (DAYS + 2) + 3590
    for strange in ([math.nan] * POINTS, [math.inf] * POINTS, [], [1.0, 2.0]):
        shape.learn(now, strange, 30)
        assert shape.distance(now, strange, 30, 0.0) is None
    shape.learn(math.nan, points(np.arange(40.0)), 30)
    assert shape.state() == before
    assert len(json.dumps(before)) < 40_000
    again = Shape(json.loads(json.dumps(before)))
    random = np.random.default_rng(3)
    for number in range(500):
        draw = points(bell(random))
        at = now + 10 * number
        assert again.distance(at, draw, RECORDS, 0.04) == shape.distance(at, draw, RECORDS, 0.04)
        again.learn(at, draw, RECORDS)
        shape.learn(at, draw, RECORDS)
    assert again.state() == shape.state()
    assert Shape().distance(now, draw, RECORDS, 0.04) is None
    huge = points(np.full(40, 1e300))
    shape.learn(now + 9000, huge, 40)
    assert told(shape, np.full(40, 1e300), now + 9000).value > 0.9


LOW = [float(number) for number in range(POINTS)]
HIGH = [each + 100 for each in LOW]
HOUR = 3600.0


def hour_of(shape: Shape, hour: float, values: list[float], windows: int = 40) -> None:
    for number in range(windows):
        shape.learn(MIDNIGHT + HOUR * hour + 10 * number, values, RECORDS)


def apart(shape: Shape, hour: float, values: list[float]) -> float | None:
    found = shape.distance(MIDNIGHT + HOUR * hour, values, RECORDS, 0.0)
    return None if found is None else found.value


def test_the_same_hour_of_other_days_counts_or_else_the_latest_hours() -> None:
    shape = Shape()
    hour_of(shape, 3, LOW)
    hour_of(shape, 12, HIGH)
    assert apart(shape, 13, HIGH) == pytest.approx(0.5, abs=0.05), "half of what is known is low"
    assert apart(shape, 27, LOW) == pytest.approx(0.0, abs=0.05), "three at night is low"
    assert apart(shape, 36, LOW) == 1.0, "noon is high"
    assert apart(shape, 12 + 24 * 7, LOW) == 1.0
    assert apart(shape, 13 + 24 * 7, HIGH) is None, "after a week nothing is known any more"


def test_an_hour_of_few_windows_is_not_remembered() -> None:
    shape = Shape()
    hour_of(shape, 3, LOW, windows=29)
    assert apart(shape, 4, LOW) is None
    hour_of(shape, 5, LOW, windows=30)
    assert apart(shape, 6, LOW) is not None


def test_an_hour_that_was_remembered_in_part_is_the_larger_part() -> None:
    """The first reference is made within an hour; what comes of this hour after it is another part."""
    for before, after, remembered in ((100, 40, LOW), (100, 120, HIGH)):
        shape = Shape()
        hour_of(shape, 3, LOW, windows=before)
        assert apart(shape, 3.4, LOW) == pytest.approx(0.0, abs=0.05)
        hour_of(shape, 3.4, HIGH, windows=after)
        hour_of(shape, 4, LOW, windows=1)
        assert apart(shape, 27, remembered) == pytest.approx(0.0, abs=0.05)


def test_what_is_no_window_of_numbers_is_neither_compared_nor_learned() -> None:
    shape = Shape()
    hour_of(shape, 3, LOW)
    apart(shape, 4, LOW)
    before = json.dumps(shape.state())
    for strange in ([math.nan] * POINTS, [math.inf] * POINTS, [], [1.0, 2.0]):
        shape.learn(MIDNIGHT + 4 * HOUR, strange, RECORDS)
        assert apart(shape, 4, strange) is None
    for at in (math.nan, math.inf):
        shape.learn(at, LOW, RECORDS)
        assert shape.distance(at, LOW, RECORDS, 0.0) is None
    assert json.dumps(shape.state()) == before
    again = Shape(json.loads(before))
    assert apart(again, 4, HIGH) == apart(shape, 4, HIGH) == 1.0
