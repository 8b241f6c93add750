"""If this fails, means and variances of fields are wrong, or overflow, or depend on how records came in batches."""

from __future__ import annotations

import math
import statistics
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.profile.moments import Moments

VALUES = st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=60)


def exact(values: list[float]) -> tuple[float, float]:
    fractions = [Fraction(value) for value in values]
    mean = sum(fractions) / len(fractions)
    return float(mean), float(sum((value - mean) ** 2 for value in fractions))


@given(VALUES)
def test_moments_agree_with_exact_arithmetic(values: list[float]) -> None:
    moments = Moments.of(np.array(values))
    mean, m2 = exact(values)
    spread = max(abs(value) for value in values)
    assert (moments.count, moments.min, moments.max) == (len(values), min(values), max(values))
    assert moments.mean == pytest.approx(mean, rel=1e-12, abs=1e-13 * spread)
    assert moments.m2 == pytest.approx(m2, rel=1e-9, abs=1e-12 * spread * spread)


@given(VALUES, VALUES, VALUES)
def test_merging_is_the_whole(a: list[float], b: list[float], c: list[float]) -> None:
    merged = Moments.of(np.array(a)).merge(Moments.of(np.array(b))).merge(Moments.of(np.array(c)))
    mean, m2 = exact(a + b + c)
    spread = max(abs(value) for value in a + b + c)
    assert (merged.count, merged.min, merged.max) == (len(a + b + c), min(a + b + c), max(a + b + c))
    assert merged.mean == pytest.approx(mean, rel=1e-12, abs=1e-13 * spread)
    assert merged.m2 == pytest.approx(m2, rel=1e-9, abs=1e-12 * spread * spread)


@given(VALUES)
def test_nothing_merges_to_itself(values: list[float]) -> None:
    moments = Moments.of(np.array(values))
    assert moments.merge(Moments()) == Moments().merge(moments) == moments


def test_a_small_variance_far_from_zero_is_kept() -> None:
    values = [1e9 + step for step in (0.0, 0.25, 0.5, 0.75)] * 1000
    merged = Moments()
    for start in range(0, len(values), 100):
        merged = merged.merge(Moments.of(np.array(values[start : start + 100])))
    assert merged.m2 / merged.count == pytest.approx(statistics.pvariance([0.0, 0.25, 0.5, 0.75]), rel=1e-6)


@pytest.mark.parametrize(
    "values", [[1e308, 1e308], [1e308, -1e308, 1.7e308], [sys.float_info.max] * 3, [5e-324, 1e308]]
)
def test_the_largest_numbers_do_not_overflow(values: list[float]) -> None:
    with np.errstate(all="ignore"):
        whole = Moments.of(np.array(values))
        merged = Moments.of(np.array(values[:1])).merge(Moments.of(np.array(values[1:])))
    mean = float(sum(Fraction(value) for value in values) / len(values))
    for moments in (whole, merged):
        assert moments.mean == pytest.approx(mean, rel=1e-12)
        assert math.isfinite(moments.m2)
        assert moments.min <= moments.mean <= moments.max


def test_parts_that_lie_further_apart_than_the_largest_number() -> None:
    merged = Moments.of(np.array([1.5e308])).merge(Moments.of(np.array([-1.5e308])))
    assert merged == Moments(2, -1.5e308, 1.5e308, 0.0, sys.float_info.max)


def test_no_values() -> None:
    assert Moments.of(np.array([])) == Moments()
