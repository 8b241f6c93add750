"""If this failed, a stream that stopped would be as usual, or every hole in a series be the end of it."""

from __future__ import annotations

import numpy as np
import pytest

from stream_lineage.explain.recording import Array
from stream_lineage.explain.residuals import Timing
from stream_lineage.explain.silence import Stop, stop


def stopped(times: Array, horizon: float, until: float = 0.0) -> Stop | None:
    return stop(Timing(times, 0, 10.0), horizon, until)


def steps(*ranges: tuple[int, int]) -> Array:
    """Every ten seconds from the first to the last of each, in seconds from the breach."""
    return np.concatenate([np.arange(first, last + 1, 10.0) for first, last in ranges])


@pytest.mark.parametrize(
    ("last", "ratio"),
    [
        pytest.param(-20, None, id="two points are missing"),
        pytest.param(-30, 1.72, id="three are, of what never missed any: just for sure"),
        pytest.param(-80, 2.0, id="twice four steps"),
        pytest.param(-200, 5.0, id="five times"),
    ],
)
def test_the_end_of_a_series_that_never_missed_a_point(last: int, ratio: float | None) -> None:
    found = stopped(steps((-900, last)), 400)
    assert found == (None if ratio is None else Stop(ratio, last, last + 10, 0))


def test_however_long_it_is_silent_there_is_a_most() -> None:
    assert stopped(steps((-9000, -2000)), 4000) == Stop(8.0, -2000, -1990, 0)


@pytest.mark.parametrize(("last", "ratio"), [(-150, None), (-160, 1.72), (-300, 2.0)])
def test_what_misses_points_now_and_then_must_miss_half_as_many_again(last: int, ratio: float | None) -> None:
    """At most 100 seconds were between two points before: 150 are the limit."""
    found = stopped(steps((-900, -700), (-600, last)), 400)
    assert found == (None if ratio is None else Stop(ratio, last, last + 10, 0))


@pytest.mark.parametrize(("again", "ratio"), [(-200, None), (-190, 1.05), (-100, 1.5)])
def test_a_hole_that_is_over_must_be_much_longer(again: int, ratio: float | None) -> None:
    """Twenty points, where none was missing before."""
    found = stopped(steps((-900, -400), (again, 0)), 500)
    assert found == (None if ratio is None else Stop(ratio, -400, -390, again))


def test_what_is_missing_after_the_recording_ended_is_no_news() -> None:
    assert stopped(steps((-900, -300)), 400, -290) is None
    found = stopped(steps((-900, -300), (-100, 0)), 400, -200)  # nor is what came after it
    assert found == Stop(2.5, -300, -290, -200)


def test_where_too_little_is_before_the_horizon_the_first_half_tells_what_is_usual() -> None:
    assert stopped(steps((-900, -200)), 5000) == Stop(5.0, -200, -190, 0)
    assert stopped(steps((-100, -60)), 50) is None  # five points
    assert stopped(steps((-100, -50)), 80) == Stop(1.72, -50, -40, 0)  # six
