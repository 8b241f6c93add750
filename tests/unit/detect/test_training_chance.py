"""If this failed, chance would be taken for drift from training, or drift for chance."""

from __future__ import annotations

import math

import pytest

from stream_lineage.detect.training_chance import (
    LOG_ALPHA,
    all_in_second,
    chi_square_tail,
    log_normal_tail,
    ratios_differ,
)


@pytest.mark.parametrize(
    ("z", "tail"),
    [(0.0, 1.0), (-3.0, 1.0), (1.0, 0.158655), (1.96, 0.0249979), (3.0902, 0.001), (6.0, 9.86588e-10),
     (19.99, None), (20.0, 2.753624e-89), (30.0, 4.906714e-198)],
)  # fmt: skip
def test_the_tail_of_a_normal_distribution_is_that_of_the_tables(z: float, tail: float | None) -> None:
    """Of what is not above the mean nothing is said. From 20 on it is drawn from the density, as Mills did."""
    if tail is None:
        assert log_normal_tail(z) == pytest.approx(log_normal_tail(20.0), abs=0.3)
        return
    assert log_normal_tail(z) == pytest.approx(math.log(tail), abs=0.01)


def test_probabilities_that_no_float_can_hold_have_logarithms() -> None:
    assert log_normal_tail(1000.0) == pytest.approx(-500_000 - math.log(1000 * math.sqrt(2 * math.pi)))


@pytest.mark.parametrize(
    ("statistic", "degrees", "tail"),
    [(3.841, 1, 0.05), (6.635, 1, 0.01), (5.991, 2, 0.05), (18.307, 10, 0.05), (29.588, 10, 0.001),
     (124.342, 100, 0.05), (149.449, 100, 0.001)],
)  # fmt: skip
def test_the_tail_of_chi_square_is_that_of_the_tables(statistic: float, degrees: int, tail: float) -> None:
    assert math.exp(chi_square_tail(statistic, degrees)) == pytest.approx(tail, rel=0.1)


@pytest.mark.parametrize(("statistic", "degrees"), [(50.0, 0), (50.0, -1), (0.0, 3), (-1.0, 3)])
def test_of_one_category_or_no_difference_nothing_is_said(statistic: float, degrees: int) -> None:
    assert chi_square_tail(statistic, degrees) == 0.0


def test_that_all_of_a_kind_fell_into_the_second_sample() -> None:
    assert all_in_second(1, 900, 100) == pytest.approx(math.log(0.1))
    assert all_in_second(7, 900, 100) == pytest.approx(math.log(1e-7)) == pytest.approx(LOG_ALPHA)
    assert all_in_second(5, 0, 100) == 0.0, "there is no other sample to fall into"
    assert (all_in_second(0, 900, 100), all_in_second(5, 900, 0)) == (0.0, 0.0)


def expected_log_chance(first_count: int, first: int, second_count: int, second: int) -> float:
    """The G test of a table of two by two: twice the sum of O log(O / E), of one degree of freedom, both sides."""
    total, hits = first + second, first_count + second_count
    cells = [
        (first_count, first * hits / total), (first - first_count, first * (total - hits) / total),
        (second_count, second * hits / total), (second - second_count, second * (total - hits) / total),
    ]  # fmt: skip
    g = 2 * sum(seen * math.log(seen / expected) for seen, expected in cells if seen)
    return math.log(math.erfc(math.sqrt(g / 2)))


@pytest.mark.parametrize(
    "counts", [(50, 100, 70, 100), (0, 1_000, 30, 500), (1_000, 1_000, 470, 500), (3, 10_000, 90, 8_000)]
)
def test_that_two_ratios_are_one(counts: tuple[int, int, int, int]) -> None:
    assert ratios_differ(*counts) == pytest.approx(expected_log_chance(*counts), rel=1e-6)


def test_equal_ratios_and_empty_samples_do_not_differ() -> None:
    assert ratios_differ(10, 100, 20, 200) >= 0
    assert (ratios_differ(0, 0, 5, 10), ratios_differ(5, 10, 0, 0)) == (0.0, 0.0)
