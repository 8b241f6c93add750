"""If this failed, alerts would come more often than the sensitivity promises, or faults be taken for chance."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from stream_lineage.detect.series.tail import Tail

BUDGET = 1e-6


def tail(
    maxima: list[float], *, probability: float = BUDGET, floor: float = 0.0, bounded: bool = False, usual: float = 2.2
) -> Tail:
    """What a tail is that has seen these maxima of blocks; by way of its state."""

    def resumed(state: list[float], threshold: float | None = None) -> Tail:
        return Tail(
            state, usual=usual, floor=floor, probability=probability, fewest=5.0, threshold=threshold, bounded=bounded
        )

    found = resumed(Tail.initial(usual))
    for each in maxima:
        found.highest = each
        found.turn()
    return resumed(found.state(), found.threshold)


def sample(beyond: Callable[[float], float], count: int) -> list[float]:
    """A sample without luck: its share beyond ``beyond(p)`` is p."""
    return [beyond((index + 0.5) / count) for index in range(count)]


def weibull(theta: float, scale: float) -> Callable[[float], float]:
    """The size that ``exp(-(u / scale) ** (1 / theta))`` of all exceed."""
    return lambda share: scale * math.log(1 / share) ** theta


def test_before_anything_is_known_the_median_is_what_is_usual() -> None:
    young = tail([])
    # -log S = (u / c) ** (1 / 0.65), where u = 2.2 for S = 1/2; the bins are 20% wide.
    assert young.size(0.5) == pytest.approx(2.2, rel=0.1)
    scale = 2.2 / math.log(2) ** 0.65
    assert young.size(1e-6) == pytest.approx(scale * math.log(1e6) ** 0.65, rel=0.15)


@pytest.mark.parametrize("theta", [0.5, 0.65])
def test_a_light_tail_is_drawn_on_as_it_falls(theta: float) -> None:
    known = tail(sample(weibull(theta, 2.0), 1500))
    for share in (0.1, 0.01, 1e-4, 1e-6, 1e-8):
        assert known.size(share) == pytest.approx(weibull(theta, 2.0)(share), rel=0.2)
    assert known.threshold == pytest.approx(1.1 * known.size(BUDGET))


def test_a_heavy_tail_is_drawn_further_than_any_weibull_one() -> None:
    power = tail(sample(lambda share: share**-0.5, 1500))
    exponential = tail(sample(weibull(1.0, 0.8), 1500))
    assert power.size(0.01) == pytest.approx(10.0, rel=0.2)
    # A power law has 1,000 there. Drawn as Weibull's from the same two quantiles it would be some 150.
    assert 300 < power.size(1e-6) <= 1000 * 1.2
    assert 0.8 * math.log(1e6) * 0.8 < exponential.size(1e-6) < 50


def test_what_cannot_be_exceeded_has_a_light_tail() -> None:
    maxima = sample(lambda share: share**-0.5, 1500)
    assert tail(maxima, bounded=True).size(1e-6) < 0.5 * tail(maxima).size(1e-6)
    light = sample(weibull(0.5, 2.0), 1500)
    assert tail(light, bounded=True).size(1e-6) == tail(light).size(1e-6)


def test_a_threshold_lies_between_the_floor_and_ten_thousand() -> None:
    assert tail(sample(weibull(0.5, 2.0), 500), floor=10.0).threshold == 10.0
    assert tail(sample(lambda share: share**-0.8, 500), probability=1e-9).threshold == 1e4


def test_where_nearly_nothing_was_seen_the_least_size_is_said() -> None:
    assert tail([0.1] * 1900).size(0.5) == 0.6


def test_the_rarer_the_larger() -> None:
    known = tail(sample(weibull(0.65, 2.0), 300))
    sizes = [known.size(10.0**-digits) for digits in range(1, 12)]
    assert sizes == sorted(sizes)
    assert tail([], probability=1e-9).threshold > tail([], probability=1e-4).threshold
    assert tail([], probability=0.0).threshold == tail([], probability=1e-12).threshold, "none is believed to be rarer"


def test_a_probability_that_was_seen_is_read_off() -> None:
    """Of 1,012 blocks the five furthest are where the tail begins: before it nothing is drawn on."""
    known = tail([1.0] * 900 + [3.0] * 100)
    assert known.size(0.05) == pytest.approx(3.0, rel=0.2)
    assert known.size(0.5) == pytest.approx(1.0, rel=0.2)


def test_only_so_many_blocks_are_remembered() -> None:
    known = tail([1.0] * 3000)
    assert 1400 <= sum(known.counts) <= 2000
    turned = tail([1.0] * 2500 + [5.0] * 2500)
    assert turned.size(0.5) == pytest.approx(5.0, rel=0.2), "what was long ago counts less"


def test_what_is_forgotten_is_as_if_it_had_not_been() -> None:
    maxima = [6.0] * 400
    known = tail(maxima)
    known.forget(0.0)
    assert known.counts == tail([]).counts
    assert known.threshold == tail([]).threshold
    half = tail(maxima)
    half.forget(0.5)
    assert sum(half.counts) == pytest.approx(0.5 * 400 + 12, rel=0.01)


def test_a_block_may_count_less() -> None:
    known = tail([])
    known.highest = 5.0
    known.turn(0.25)
    assert sum(known.counts) - sum(tail([]).counts) == pytest.approx(0.25)
    assert known.highest == 0.0
