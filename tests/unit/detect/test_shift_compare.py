"""If this fails, equal distributions are said to have shifted, or shifted ones to be equal."""

from __future__ import annotations

from typing import Any

import datasketches
import numpy as np
import pytest
from numpy.typing import NDArray

from stream_lineage.detect.shift.compare import compare, p_value
from stream_lineage.detect.shift.ranks import ranks_of
from stream_lineage.errors import DecodeError
from stream_lineage.profile.quantiles import add_values, new_quantiles

SIZES = ((2_000, 100_000), (20_000, 1_000_000))


def sketch(values: NDArray[np.float64], k: int = 200) -> Any:
    made = datasketches.kll_doubles_sketch(k)
    made.update(values)
    return made


def exact_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    every = np.concatenate((a, b))
    below = [np.searchsorted(np.sort(each), every, side="right") / len(each) for each in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


@pytest.mark.unmeasured
@pytest.mark.parametrize("k", [64, 200])
@pytest.mark.parametrize("sizes", SIZES)
def test_equal_distributions_are_hardly_ever_rejected(k: int, sizes: tuple[int, int]) -> None:
    random = np.random.default_rng(41)
    repeats = 20 if sizes[1] > 500_000 else 60
    found = [
        compare(sketch(random.normal(0, 1, sizes[1]), k), sketch(random.normal(0, 1, sizes[0]), k))
        for _ in range(repeats)
    ]
    assert sum(each.p < 0.05 for each in found) == 0
    assert not any(each.shifted for each in found)


@pytest.mark.unmeasured
@pytest.mark.parametrize(("sizes", "by", "least"), [(SIZES[0], 0.2, 0.85), (SIZES[1], 0.1, 0.75)])
def test_small_shifts_are_seen_as_detection_says(sizes: tuple[int, int], by: float, least: float) -> None:
    random = np.random.default_rng(42)
    repeats = 15 if sizes[1] > 500_000 else 40
    found = [
        compare(sketch(random.normal(0, 1, sizes[1])), sketch(random.normal(by, 1, sizes[0]))) for _ in range(repeats)
    ]
    assert sum(each.p < 0.001 for each in found) / repeats >= least
    assert not any(each.shifted for each in found), "certain, but too small to matter"
    moved = [each.effect * 1.349 for each in found]  # a normal distribution's interquartile range
    assert np.median(moved) == pytest.approx(by, abs=0.03)


def test_a_shift_that_matters_is_one_unless_it_is_usual() -> None:
    random = np.random.default_rng(43)
    before, after = sketch(random.normal(0, 1, 50_000)), sketch(random.normal(0.6, 1, 5_000))
    plain = compare(before, after)
    assert plain.shifted
    assert plain.p < 1e-6
    assert plain.effect > 0.3
    assert not compare(before, after, usual=(0.02, 0.25)).shifted
    assert compare(before, after, usual=(0.02, 0.03, 0.9, 0.02, 0.04)).shifted, "one earlier fault hides no other"
    assert not compare(before, after, least_effect=0.5).shifted


def test_the_distance_is_the_exact_one_within_the_sketches_errors() -> None:
    random = np.random.default_rng(44)
    for family in (random.normal, random.exponential, lambda scale, size: np.round(random.exponential(3, size))):
        a, b = family(1.0, size=30_000) + 0.0, family(1.0, size=9_000) * 1.2
        before, after = sketch(a), sketch(b)
        found = compare(before, after)
        bounds = before.normalized_rank_error(False) + after.normalized_rank_error(False)
        assert found.distance == pytest.approx(exact_distance(a, b), abs=bounds)
        assert found.corrected <= exact_distance(a, b)
        for each in found.quantiles:
            low, high = np.quantile(b, [max(each.share - 0.03, 0), min(each.share + 0.03, 1)])
            assert low <= each.after <= high


def test_the_p_value_is_that_of_the_tables() -> None:
    # Critical values of the Kolmogorov distribution, from any table: 1.358 at 5%, 1.628 at 1%, 1.949 at 0.1%.
    for critical, level in ((1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001)):
        samples = 1e8
        assert p_value(critical / np.sqrt(samples / 2), int(samples), int(samples)) == pytest.approx(level, rel=0.01)
    assert p_value(0.0, 10, 10) == 1.0
    assert p_value(1.0, 100_000, 100_000) == 0.0


def test_small_samples_decide_nothing_that_they_cannot() -> None:
    few = compare(sketch(np.arange(3.0)), sketch(np.arange(3.0) + 100))
    assert few.distance == 1.0
    assert not few.shifted
    assert compare(sketch(np.zeros(40)), sketch(np.zeros(40) + 1)).shifted


def test_constants_empties_and_extremes() -> None:
    constant = sketch(np.full(5_000, 7.0))
    assert compare(constant, constant).distance == 0.0
    jump = compare(constant, sketch(np.full(5_000, 8.0)))
    assert jump.shifted
    assert jump.effect == pytest.approx(1 / 7)
    empty = datasketches.kll_doubles_sketch(64)
    assert not compare(empty, constant).shifted
    assert compare(constant, empty).p == 1.0
    huge = compare(sketch(np.array([-1.7e308, 1.7e308] * 100)), sketch(np.array([1.7e308] * 200)))
    assert huge.distance == pytest.approx(0.5)
    assert np.isfinite(huge.effect)


def test_profiles_sketches_and_their_images_are_compared_alike() -> None:
    random = np.random.default_rng(45)
    one, other = new_quantiles(64), new_quantiles(64)
    add_values(one, random.normal(0, 1, 60_000), random)
    add_values(other, random.normal(1, 1, 60_000), random)
    images = bytes(one.serialize()), bytes(other.serialize())
    assert compare(*images) == compare(one, other)
    assert compare(*images).shifted
    with pytest.raises(DecodeError):
        compare(images[0][:20], images[1])


def test_the_weights_of_a_sketch_add_up_to_its_count() -> None:
    random = np.random.default_rng(46)
    values = np.round(random.normal(0, 50, 20_000))
    ranks = ranks_of(sketch(values))
    assert ranks.count == 20_000
    assert ranks.shares[-1] == pytest.approx(1.0)
    for value in (-80.0, 0.0, 33.0):
        share = float(ranks.share_at(np.array([value]))[0])
        assert share == pytest.approx(float(np.mean(values <= value)), abs=ranks.error)


def test_of_no_values_none_is_below_anything() -> None:
    ranks = ranks_of(datasketches.kll_doubles_sketch(64))
    assert (ranks.count, ranks.error) == (0, 0.0)
    assert ranks.share_at(np.array([-1.0, 0.0, 1e9])).tolist() == [0.0, 0.0, 0.0]
