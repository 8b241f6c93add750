"""If this failed, one wrong timestamp would move a series' time of day, or a clock that was set would never be
believed."""

from __future__ import annotations

import json
import math

import pytest

from stream_lineage.detect.series.clock import DAY, WEEK, SeriesClock

START = 1_767_571_200.0  # Monday, 2026-01-05, 00:00 UTC


def clock(window: float = 10.0, state: dict[str, object] | None = None) -> SeriesClock:
    return SeriesClock(state or SeriesClock.initial(), window)


def test_time_goes_on_as_timestamps_do_and_never_back() -> None:
    series = clock()
    assert series.age == 0
    assert series.advance(START) == START
    assert series.advance(START + 10) == START + 10
    assert series.advance(START + 3600) == START + 3600
    assert series.advance(START + 60) == START + 3600, "a late one counts as of now"
    assert series.advance(START + 3600) == START + 3600
    assert series.age == 3600


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, 2e11, -2e11])
def test_what_is_no_timestamp_is_a_stray_and_changes_nothing(at: float) -> None:
    series = clock()
    assert series.advance(at) is None
    series.advance(START)
    before = series.state()
    assert series.advance(at) is None
    assert series.state() == before


@pytest.mark.parametrize("days", [3, 366, -3, -366])
def test_one_that_is_days_off_is_a_stray_until_three_in_a_row_agree(days: int) -> None:
    series = clock()
    series.advance(START)
    off = START + days * DAY
    assert series.advance(off) is None
    assert series.advance(off + 10) is None
    assert series.advance(START + 10) == START + 10, "and the two are forgotten"
    assert series.advance(off + 20) is None
    assert series.advance(off + 30) is None
    there = series.advance(off + 40)
    assert there is not None
    # The hour of the day and the day of the week are those of the timestamp, and less than a week has passed.
    assert (there - (off + 40)) % WEEK == 0
    assert 0 <= there - (START + 10) < WEEK
    assert series.advance(off + 50) == there + 10


def test_strays_that_do_not_agree_do_not_count_together() -> None:
    series = clock()
    series.advance(START)
    for days in (10, 30, 10, 30, 10):
        assert series.advance(START + days * DAY) is None
    assert series.advance(START + 10 * DAY) is None, "the second of two that agree"
    assert series.advance(START + 10 * DAY) is not None


def test_of_wide_windows_ten_may_be_missing() -> None:
    wide = clock(30 * DAY)
    wide.advance(START)
    assert wide.advance(START + 299 * DAY) == START + 299 * DAY
    assert wide.advance(START + 600 * DAY) is None
    narrow = clock(10.0)
    narrow.advance(START)
    assert narrow.advance(START + 2 * DAY) == START + 2 * DAY
    assert narrow.advance(START + 4 * DAY + 1) is None


def test_a_clock_that_was_stored_goes_on_alike() -> None:
    series = clock()
    for at in (START, START + 10, START + 40 * DAY, START + 40 * DAY + 10):
        series.advance(at)
    again = clock(state=json.loads(json.dumps(series.state())))
    assert again.advance(START + 40 * DAY + 20) == series.advance(START + 40 * DAY + 20)
    assert again.state() == series.state()
    assert again.left_out == 5 * WEEK
