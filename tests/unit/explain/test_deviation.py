"""If this failed, series would be judged in another scale than their own, or otherwise beside others than alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream_lineage.explain.deviation import scaled, sizes
from stream_lineage.explain.recording import Array, Series, SeriesName
from stream_lineage.explain.residuals import Aligned, timing

AT = 1_767_571_200.0


def row(values: Array) -> Aligned:
    """The last twenty points are looked at, of which ten are after the breach."""
    times = AT + 60.0 * (np.arange(len(values), dtype=np.float64) - len(values) + 10)
    when = timing(times, AT, 600.0, 3600.0)
    assert when is not None
    assert when.first == len(values) - 20
    return Aligned(Series(SeriesName("a", "m"), times, values), AT, when)


NOISE = np.random.default_rng(7).normal(size=100)
SHIFT = np.arange(100) >= 85


@pytest.mark.parametrize(
    ("values", "after", "tolerance"),
    [
        pytest.param(64 + NOISE, 0.0, 0.01, id="as usual"),
        pytest.param(64 + NOISE + 32 * SHIFT, 32 / 128, 0.01, id="in a power of two, the next larger one"),
        pytest.param(
            np.exp(6 + 0.3 * NOISE) * np.where(SHIFT, 1e-3, 1),
            0.3 * float(NOISE[:80].min() - np.median(NOISE[:80])) - math.log(10), 1e-9,
            id="what falls far is seen in its logarithm, down to a tenth of the smallest before",
        ),
        pytest.param(np.exp(NOISE + 2.0 * SHIFT), 2.0, 0.5, id="what has a long tail is, too"),
    ],
)  # fmt: skip
def test_residuals_are_in_the_scale_of_the_series(values: Array, after: float, tolerance: float) -> None:
    [found] = scaled([row(values)])
    residuals, spread, memory = found.residuals, found.spread, found.memory
    assert abs(float(np.median(residuals[:80]))) < 1e-12
    assert float(np.median(residuals[85:])) == pytest.approx(after, abs=tolerance)
    assert 0.8 < spread / residuals[:80].std() < 1.3  # robust, so not quite the same
    assert memory < 0.35
    # What is worked out without looking how far it is off is the same.
    [size] = sizes([row(values)])
    assert (size.residuals.tolist(), size.spread, size.memory) == (residuals.tolist(), spread, memory)


def test_a_series_is_judged_alike_beside_others() -> None:
    """Of the same length, where all are compared at once, or not."""
    every = [row(64 + NOISE), row(64 + NOISE + 32 * SHIFT), row(np.exp(NOISE))]
    alone = [sizes([each])[0] for each in every]
    together = sizes(every)
    uneven = sizes([*every, row((64 + NOISE)[:-2])])[:3]
    for found in (together, uneven):
        for one, other in zip(alone, found, strict=True):
            assert (one.channel, one.start, one.end, one.fallen) == (
                other.channel,
                other.start,
                other.end,
                other.fallen,
            )
            assert one.ratio == pytest.approx(other.ratio, rel=1e-9)


def test_series_of_several_lengths_are_scaled_alike() -> None:
    """One of them falls, which is looked at by itself."""
    every = [row(64 + NOISE), row((64 + NOISE)[10:]), row(np.exp(6 + 0.3 * NOISE) * np.where(SHIFT, 1e-3, 1))]
    for one, found in zip(every, scaled(every), strict=True):
        [alone] = scaled([one])
        assert len(found.residuals) == len(one.timing.times)
        assert np.allclose(found.residuals, alone.residuals, rtol=0, atol=1e-12)
        assert (found.spread, found.memory) == pytest.approx((alone.spread, alone.memory))
