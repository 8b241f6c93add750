"""If this failed, onsets would be elsewhere than the series change, or what is usual would be called a deviation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_lineage.explain.recording import Breach, Recording, Series, SeriesName
from stream_lineage.explain.symptoms import STRONG, Deviation, symptoms

Array = NDArray[np.float64]
DAY = 86_400


def judged(values: Array, *, step: int = 60, at: int | None = None) -> tuple[Deviation | None, float]:
    """What deviates, and how much; the breach is ten points before the end."""
    times = 1_767_571_200.0 + step * np.arange(len(values), dtype=np.float64)
    name = SeriesName("a", "m")
    breach = Breach("a", "m", None, float(times[len(values) - 10 if at is None else at]))
    found = symptoms(Recording({"a": "dataset"}, (), (Series(name, times, values),), (), breach))
    return next(iter(found.deviations.get("a", ())), None), found.judged[name]


def index(deviation: Deviation, step: int = 60) -> float:
    return (deviation.onset - 1_767_571_200.0) / step


RANDOM = np.random.default_rng(5)
NOISE = RANDOM.normal(size=120)
SLOW = np.array([0.0] * 120)
for place in range(1, 120):
    SLOW[place] = 0.95 * SLOW[place - 1] + 0.3 * RANDOM.normal()


@pytest.mark.parametrize(
    ("change", "shape", "first", "last"),
    [
        pytest.param(lambda v: v + 10 * (np.arange(120) >= 100), "shift", 100, 100, id="a level that shifts"),
        pytest.param(lambda v: v - 10 * (np.arange(120) >= 80), "shift", 80, 80, id="long ago"),
        pytest.param(lambda v: v + 0.8 * np.maximum(np.arange(120) - 85, 0), "ramp", 82, 92, id="a ramp"),
        pytest.param(lambda v: v + 15 * (np.arange(120) == 105), "spike", 105, 105, id="a spike"),
        pytest.param(lambda v: v * np.where(np.arange(120) >= 90, 7, 1), "spread", 86, 95, id="it varies more"),
        pytest.param(lambda v: np.where(np.arange(120) >= 104, 0, v), "shift", 104, 104, id="it falls to zero"),
        pytest.param(lambda v: v + 10 * (np.arange(120) >= 119), "shift", 119, 119, id="the last point alone"),
    ],
)
def test_the_onset_is_where_it_changes(change: Callable[[Array], Array], shape: str, first: int, last: int) -> None:
    base = 50.0 if "zero" not in shape else 0.0
    found, _ = judged(change(base + NOISE) if shape != "spread" else base + change(NOISE))
    assert found is not None
    assert found.ratio >= STRONG
    assert first <= index(found) <= last
    assert found.earliest <= found.onset <= found.latest
    if shape != "spread":  # a larger spread is a larger level for a while, too
        assert found.shape == shape


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(50 + NOISE, id="noise"),
        pytest.param(50 + SLOW, id="slow noise"),
        pytest.param(np.full(120, 3.0), id="always the same"),
        pytest.param(np.zeros(120), id="always zero"),
        pytest.param(RANDOM.lognormal(0, 0.8, 120), id="a long tail"),
        pytest.param(RANDOM.poisson(0.3, 120).astype(np.float64), id="rare events"),
        pytest.param(50 + NOISE + 0.5 * np.arange(120), id="it has always grown"),
    ],
)
def test_what_is_as_always_does_not_deviate(values: Array) -> None:
    assert judged(values)[1] < STRONG


def test_a_series_that_never_moved_and_moves_deviates() -> None:
    found, _ = judged(np.where(np.arange(120) >= 100, 0.2, 0.0))
    assert found is not None
    assert index(found) == 100


@pytest.mark.parametrize("broken", [False, True])
def test_the_hour_of_the_day_is_taken_off(broken: bool) -> None:
    """Five days of five minutes: the evening's fall is usual; half of what an evening has is not."""
    times = np.arange(5 * 288 + 60)
    values = 1000 + 600 * np.sin(2 * np.pi * times / 288) + 10 * np.random.default_rng(3).normal(size=len(times))
    if broken:
        values[-15:] *= 0.8
    found, ratio = judged(values, step=300)
    if broken:
        assert found is not None
        assert index(found, 300) == len(times) - 15
    else:
        assert ratio < STRONG
