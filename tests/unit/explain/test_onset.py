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


def test_the_last_point_alone_may_be_a_beginning() -> None:
    found, _ = judged(50 + NOISE + 10 * (np.arange(120) >= 119), at=119)
    assert found is not None
    assert found.ratio >= STRONG
    assert index(found) == 119


def test_what_the_breach_s_metric_does_long_after_the_breach_is_not_what_was_noticed() -> None:
    found, ratio = judged(50 + NOISE + 10 * (np.arange(120) >= 115), at=105)
    assert found is None
    assert ratio <= 1


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


def test_what_varies_much_and_falls_to_a_twentieth_deviates() -> None:
    """In its own unit it can fall by three spreads at most; by its logarithm ten."""
    counts = np.round(np.random.default_rng(6).uniform(400, 1600, 120))
    found, _ = judged(counts * np.where(np.arange(120) >= 100, 0.05, 1))
    assert found is not None
    assert found.ratio >= 2 * STRONG
    assert index(found) == 100


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("period", [24, 37.5])
def test_what_comes_again_after_any_time_is_taken_off(period: float, broken: bool) -> None:
    """A job each so many minutes: its peaks are usual; half a peak when there is none is not."""
    places = np.arange(360)
    values = 100 + np.where(places % period < period / 3, 60, 0) + 2 * np.random.default_rng(8).normal(size=360)
    found, ratio = judged(values + (30 * (places >= 340) if broken else 0))
    assert (ratio >= STRONG) == broken
    if broken:
        assert found is not None
        assert abs(index(found) - 340) <= 1


def test_a_ramp_may_have_begun_until_it_is_clearly_off() -> None:
    found, _ = judged(50 + NOISE + 0.8 * np.maximum(np.arange(120) - 85, 0))
    assert found is not None
    assert found.shape == "ramp"
    clear = 1_767_571_200.0 + 60 * (85 + 4)
    assert found.latest >= clear


def test_the_end_of_a_series_with_holes_is_told_from_a_hole() -> None:
    kept = np.random.default_rng(4).random(240) > 0.1
    times = 1_767_571_200.0 + 60 * np.arange(240, dtype=np.float64)
    values = 50 + np.random.default_rng(5).normal(size=240)
    other = Series(SeriesName("b", "m"), times[:230], values[:230])
    for missing, stops in ((1, False), (6, True)):
        own = kept & (np.arange(240) < 230 - missing)
        series = Series(SeriesName("a", "m"), times[own], values[own])
        breach = Breach("a", "m", None, float(times[229]))
        found = symptoms(Recording({"a": "dataset", "b": "dataset"}, (), (series, other), (), breach))
        assert (found.judged[SeriesName("a", "m")] >= STRONG) == stops


@pytest.mark.parametrize(("until", "noticed"), [(110, False), (300, True)])
def test_what_was_over_long_before_the_breach_was_not_noticed_then(until: int, noticed: bool) -> None:
    """Though the search goes back further where nothing else is there."""
    places = np.arange(300)
    values = 50 + np.random.default_rng(9).normal(size=300) + 12 * ((places >= 100) & (places < until))
    found, ratio = judged(values)
    assert (found is not None) == noticed
    assert (ratio >= STRONG) == noticed


def test_what_grows_fast_began_with_the_first_point_that_is_clearly_off() -> None:
    """Spreads: about 1. The change point that explains most is a later one."""
    values = 50 + NOISE
    values[100:104] = [57, 58, 62, 65]
    values[104:] += 300
    found, _ = judged(values)
    assert found is not None
    assert index(found) == 100
    assert found.earliest <= found.onset <= found.latest


def test_days_without_a_season_are_judged_as_they_are() -> None:
    """Four days of ten minutes in which no hour is as it was the day before."""
    values = 50 + np.random.default_rng(12).normal(size=576)
    assert judged(values, step=600)[1] < STRONG
    found, _ = judged(values + 8 * (np.arange(576) >= 560), step=600)
    assert found is not None
    assert index(found, 600) == 560


@pytest.mark.parametrize("jumps", [False, True])
def test_a_series_of_one_point_in_the_time_looked_at_is_judged_by_that(jumps: bool) -> None:
    """What is asked about is measured each second, and this each minute."""
    fast = 1_767_571_200.0 + np.arange(60, dtype=np.float64)
    slow = 1_767_571_200.0 + 55 - 60 * np.arange(119, -1, -1, dtype=np.float64)
    values = 50 + NOISE
    values[-1] = 90 if jumps else 50
    series = (Series(SeriesName("a", "m"), fast, 50 + NOISE[:60]), Series(SeriesName("b", "m"), slow, values))
    breach = Breach("a", "m", None, float(fast[-1]))
    found = symptoms(Recording({"a": "dataset", "b": "dataset"}, (), series, (), breach))
    [*deviations] = found.deviations.get("b", ())
    assert [(each.onset, each.found) for each in deviations] == ([(float(slow[-1]), 90.0)] if jumps else [])
