"""If this failed, the evening's fall of every day would be a deviation, or a fault be learnt as usual."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stream_lineage.explain.recording import Array
from stream_lineage.explain.season import DAY, WEEK, again, season

HOUR = 3600.0
MONDAY = 1_767_571_200.0  # 2026-01-05, 00:00 UTC


def every(step: float, count: int) -> Array:
    return MONDAY + step * np.arange(count, dtype=np.float64)


def day(times: Array) -> Array:
    """From 400 at 18:00 to 1600 at 06:00."""
    return 1000 + 600 * np.sin(2 * np.pi * times / DAY)


def test_the_hour_of_the_day_is_learnt_of_the_time_before_and_expected_after() -> None:
    times = every(600, 5 * 144)
    until = times[4 * 144]
    expected = season(times, np.where(times < until, day(times), -1e6), until)
    assert expected is not None
    assert np.abs(expected - day(times)).max() < 15


def test_the_day_of_the_week_is_learnt_where_days_differ() -> None:
    times = every(HOUR, 4 * 168)
    at_weekends = ((times - MONDAY) // DAY) % 7 >= 5
    values = np.where(at_weekends, 20.0, 100.0)
    expected = season(times, np.where(times < MONDAY + 3 * WEEK, values, 0), MONDAY + 3 * WEEK)
    assert expected is not None
    turns = np.diff(at_weekends.astype(int), prepend=1) != 0
    beside = turns | np.roll(turns, -1)  # between slots it is in between
    assert np.abs(expected - values)[~beside].max() < 1e-9


@pytest.mark.parametrize("slots", [7, 9.5])
def test_what_comes_again_after_any_other_time_is_learnt(slots: float) -> None:
    """A job each 70 or 95 minutes, for a day and a half."""
    times = every(600, 216)
    places = np.arange(216)
    values = 100 + np.where(places % (2 * slots) < 4, 60.0, 0.0)
    expected = season(times, values, times[-1] + 1)
    assert expected is not None
    assert np.abs(expected - values).mean() < 12
    assert (expected[values == 160].mean() - expected[values == 100].mean()) > 45


def noise(count: int) -> Array:
    return np.random.default_rng(2).normal(size=count)


@pytest.mark.parametrize(
    ("times", "of"),
    [
        pytest.param(every(6 * HOUR, 15), day, id="fifteen points are too few"),
        pytest.param(every(12 * HOUR, 40), day, id="twice a day tells of no hour"),
        pytest.param(every(600, 720), lambda times: np.full(len(times), 7.0), id="it never moves"),
        pytest.param(every(600, 720), lambda times: 50 + noise(len(times)), id="it is as any other hour"),
        pytest.param(every(600, 144), day, id="one day alone comes again never"),
        pytest.param(
            (every(600, 720).reshape(5, 144)[:, 54:102]).ravel(), day, id="from nine to five tells nothing of the night"
        ),
        pytest.param(
            np.concatenate([every(600, 720).reshape(5, 144)[each, 72 * (each % 2) :][:72] for each in range(5)]),
            lambda times: 50 + noise(len(times)),
            id="of no hour are there two days",
        ),
        pytest.param(
            np.concatenate([every(60, 30), every(60, 30) + 300 * DAY]), lambda times: np.arange(60) % 10.0,
            id="too long a hole to know after how long it comes again",
        ),
    ],
)  # fmt: skip
def test_what_the_history_does_not_tell_is_not_expected(times: Array, of: Callable[[Array], Array]) -> None:
    assert season(times, of(times), times[-1] + 1) is None


def test_which_of_many_series_repeat_themselves() -> None:
    places = np.arange(120)
    rows = np.stack([places % 12 < 4, noise(120), places / 10, np.zeros(120), places % 60 < 20])
    assert again(rows).tolist() == [True, False, False, False, False]  # the last was seen twice only
    assert again(rows[:, :47]).tolist() == [False] * 5
