"""If this failed, a distribution that changes and keeps its mean would go untold, or a steady one be told."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from stream_lineage.detect.metric_shape import Shape
from stream_lineage.detect.window import SHARES

Draw = Callable[[np.random.Generator], list[float]]


def quantiles(values: object) -> list[float]:
    return [float(each) for each in np.quantile(np.asarray(values, dtype=float), SHARES)]


def bell(random: np.random.Generator) -> list[float]:
    return quantiles(random.normal(50, 10, 400))


def settled(draw: Draw) -> Shape:
    shape, random = Shape(), np.random.default_rng(1)
    for _ in range(300):
        shape.learn(draw(random))
    return shape


@pytest.mark.parametrize(
    ("number", "draw", "least", "most"),
    [
        (1, bell, 0.0, 0.1),
        (2, lambda random: quantiles(random.normal(50, 30, 400)), 0.15, 0.5),  # wider
        (3, lambda random: quantiles(random.normal(50, 1, 400)), 0.3, 0.5),  # narrower
        (4, lambda random: quantiles(random.choice([20, 80], 400)), 0.25, 0.6),  # two values
        (5, lambda random: quantiles(random.normal(500, 100, 400)), 0.9, 1.0),  # another unit
        (6, lambda _: [50.0] * len(SHARES), 0.3, 0.6),  # one value
    ],
)
def test_distances(number: int, draw: Draw, least: float, most: float) -> None:
    shape, random = settled(bell), np.random.default_rng(number)
    for _ in range(20):
        distance = shape.distance(draw(random))
        assert distance is not None
        assert least <= distance <= most


def test_few_distinct_numbers_are_no_distance() -> None:
    def dice(random: np.random.Generator) -> list[float]:
        return quantiles(random.integers(1, 3, 400))

    constant = settled(lambda _: [200.0] * len(SHARES))
    assert constant.distance([200.0] * len(SHARES)) == 0
    shape, random = settled(dice), np.random.default_rng(2)
    assert sorted(shape.distance(dice(random)) or 0.0 for _ in range(21))[10] < 0.1


def test_what_is_no_number_is_left_out_and_the_state_is_json() -> None:
    shape = settled(bell)
    before = shape.state()
    for strange in ([math.nan] * len(SHARES), [math.inf] * len(SHARES), [], [1.0, 2.0], [1e300] * len(SHARES)):
        shape.learn(strange)
        assert shape.distance(strange) is None
    assert shape.state() == before
    again = Shape(json.loads(json.dumps(before)))
    draw = bell(np.random.default_rng(3))
    assert again.distance(draw) == shape.distance(draw)
    assert Shape().distance(draw) is None
