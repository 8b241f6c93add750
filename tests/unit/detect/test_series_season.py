"""If this failed, what is expected of a series at a time of day would not be what it has shown then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage.detect.series.season import Season, slots_of

SLOTS = 24
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MONDAY = (datetime(2026, 1, 5, tzinfo=UTC) - EPOCH).days
Curve = Callable[[int, int], float]
"""By day, 0 being a Monday, and hour."""


def weekday(day: int) -> int:
    return (EPOCH + timedelta(days=MONDAY + day)).weekday()


def hours_of(
    curve: Curve, days: int, *, skip: Callable[[int], bool] = lambda _: False
) -> Iterator[tuple[int, int, Season]]:
    """Each hour of so many days, and a series that has seen those before it; it is at the beginning of this hour."""
    season = Season(Season.initial(), "", SLOTS)
    for slot in range(days * SLOTS):
        day, hour = divmod(slot, SLOTS)
        if skip(day):
            continue
        season.turn(MONDAY * SLOTS + slot)
        yield day, hour, season
        for off in (-1.0, 0.0, 1.0):
            season.take(curve(day, hour) + off, anomalous=False)


def seen(curve: Curve, days: int, hours: int = 0, *, skip: Callable[[int], bool] = lambda _: False) -> Season:
    """A series of so many days and hours; it is at the beginning of the hour that follows."""
    for day, hour, season in hours_of(curve, days + 1, skip=skip):
        if (day, hour) == (days, hours):
            return Season(json.loads(json.dumps(season.state())), season.days_text(), SLOTS)
    raise AssertionError("there is no such hour")


def daily(_: int, hour: int) -> float:
    return [10.0, 50.0, 20.0, 90.0][hour // 6] + hour


def test_of_the_very_first_slot_its_median_is_expected() -> None:
    season = Season(Season.initial(), "", SLOTS)
    season.turn(MONDAY * SLOTS)
    for value in (5.0, 100.0, 7.0, 8.0):
        season.take(value, anomalous=False)
    assert [season.expected(part) for part in (0.0, 0.5, 1.0)] == [7.5] * 3


def test_a_time_of_day_is_expected_as_it_was() -> None:
    expected = [season.expected(0.5) for day, _, season in hours_of(daily, 4) if day == 3]
    assert expected == pytest.approx([daily(3, hour) for hour in range(SLOTS)], abs=0.01)


def test_between_the_middles_of_slots_is_a_line() -> None:
    season = seen(daily, 3, 12)
    before, now, after = (daily(3, hour) for hour in (11, 12, 13))
    assert season.expected(0.0) == pytest.approx((before + now) / 2)
    assert season.expected(0.25) == pytest.approx(0.25 * before + 0.75 * now)
    assert season.expected(1.0) == pytest.approx((now + after) / 2)


def test_a_series_without_a_season_is_expected_at_its_level() -> None:
    assert seen(lambda day, hour: 40.0 + (day * 7 + hour * 5) % 3, 5).expected(0.5) == pytest.approx(41.0, abs=1)


def workweek(day: int, hour: int) -> float:
    return (5.0 if weekday(day) >= 5 else 100.0) + hour


def test_weekends_are_expected_as_weekends_once_one_was_seen_and_begin_and_end_at_once() -> None:
    saturday, sunday, monday = 12, 13, 14
    assert [weekday(day) for day in (saturday, sunday, monday)] == [5, 6, 0]
    for day, hour, season in hours_of(workweek, 15):
        if day >= saturday:
            assert season.expected(0.5) == pytest.approx(workweek(day, hour), abs=2)
        # At midnight nothing lies between the two kinds of days.
        if (day, hour) in ((saturday, 0), (monday, 0)):
            assert season.expected(0.0) == pytest.approx(workweek(day, hour), abs=2)
        if (day, hour) == (sunday, 23):
            assert season.expected(1.0) == pytest.approx(workweek(day, hour), abs=2)


def test_each_weekday_is_expected_as_itself_after_two_weeks() -> None:
    levels = [100.0, 180.0, 60.0, 140.0, 220.0, 20.0, 80.0]
    for day, hour, season in hours_of(lambda day, _: levels[day % 7], 21):
        if day >= 17 and hour >= 8:
            assert season.expected(0.5) == pytest.approx(levels[day % 7], abs=6)


def test_a_forecast_that_was_not_tried_yet_is_not_believed() -> None:
    """By the same weekday nobody can say anything in the first week: it counts as half as wrong again as the worst."""
    first, second = (seen(lambda day, hour: 10.0 * (day % 3) + hour, days) for days in (6, 12))
    tried = [error for which, error in enumerate(first.errors) if which % 4 != 3]
    assert first.errors[3] == first.errors[7] == pytest.approx(1.5 * max(tried))
    assert second.errors[3] != pytest.approx(1.5 * max(second.errors[:3]))


def test_drift_is_followed() -> None:
    """What the hour before was off counts four fifths: an hour is 1 above the one before, and little is left of it."""
    season = seen(lambda day, hour: day * 24.0 + hour, 4, 12)
    assert abs(season.expected(0.5) - (4 * 24 + 12)) < 12


@pytest.mark.parametrize(("missing", "expected"), [(range(3, 6), True), (range(3, 30), False)])
def test_after_a_gap_the_days_before_it_count_if_they_are_not_too_old(missing: range, expected: bool) -> None:
    season = seen(daily, missing.stop, 12, skip=lambda day: day in missing)
    assert (season.expected(0.5) == pytest.approx(daily(0, 12), abs=0.01)) is expected


def test_days_of_long_ago_are_forgotten() -> None:
    season = seen(lambda day, hour: daily(day, hour) + (1000.0 if day < 4 else 0.0), 20, 12)
    assert season.expected(0.5) == pytest.approx(daily(0, 12), abs=0.01)


def test_how_far_a_day_reaches() -> None:
    season = seen(daily, 3)
    outermost = sorted(daily(0, hour) for hour in range(SLOTS))
    assert outermost[2] <= season.amplitude + outermost[2] <= outermost[-1], "less than from the least to the most"
    assert season.amplitude > 0.7 * (outermost[-1] - outermost[0])
    assert seen(daily, 0, 2).amplitude == 0.0, "of two hours nobody knows"


def test_what_is_beyond_a_step_is_only_what_neither_side_explains() -> None:
    """At six in the morning from 15 to 56, where the scale is 1 and a day reaches from 10 to 113."""
    season = seen(daily, 3, 6)
    early, late = 0.1, 0.9
    low, high = daily(0, 5), daily(0, 6)
    assert (low, high) == (15.0, 56.0)
    assert season.beyond(early, 30.0, 30.0 - high, 1.0) == -26.0, "41 is no step for a day that reaches so far"
    steep = seen(lambda _, hour: 10.0 if hour < 6 else 100.0, 3, 6)
    assert steep.beyond(early, 40.0, 40.0 - 91.0, 1.0) == 0.0, "between both"
    assert steep.beyond(early, 4.0, 4.0 - 91.0, 1.0) == -6.0, "below both"
    assert steep.beyond(early, 120.0, 120.0 - 91.0, 1.0) == 20.0, "above both"
    assert steep.beyond(late, 40.0, -60.0, 1.0) == -60.0, "the hour after is as this one"
    assert steep.beyond(early, 40.0, -51.0, 30.0) == -51.0, "90 is no step where values vary by 30"
    falling = seen(lambda _, hour: 100.0 if hour < 6 else 10.0, 3, 6)
    assert falling.beyond(early, 40.0, 40.0 - 19.0, 1.0) == 0.0
    assert falling.beyond(early, 130.0, 130.0 - 19.0, 1.0) == 30.0


def test_anomalous_values_do_not_change_what_is_expected_but_what_they_were_is_said() -> None:
    season = seen(daily, 3, 12)
    now = season.expected(0.5)
    for value in (500.0, 510.0, 520.0):
        season.take(value, anomalous=True)
    season.take(now, anomalous=False)
    assert season.turn(season.slot + 1 if season.slot else 0) == pytest.approx(510.0 - now)
    season.turn(season.slot + 23 if season.slot else 0)
    assert season.expected(0.5) == pytest.approx(now, abs=0.01)


def test_a_slot_that_was_mostly_as_usual_is_learned_whole() -> None:
    season = seen(daily, 3, 12)
    for value in (30.0, 31.0, 32.0, 33.0):
        season.take(value, anomalous=False)
    season.take(500.0, anomalous=True)
    assert season.turn(MONDAY * SLOTS + 3 * SLOTS + 13) is None
    assert season.ended == 32.0


def test_a_slot_in_which_nothing_came_says_nothing() -> None:
    season = seen(daily, 3, 12)
    assert season.turn(MONDAY * SLOTS + 3 * SLOTS + 13) is None
    assert season.ended is None
    assert season.turn(MONDAY * SLOTS + 4 * SLOTS + 12) is None
    assert season.expected(0.5) == pytest.approx(daily(0, 12), abs=0.01)


def test_of_a_first_slot_of_which_little_was_seen_the_next_one_is_the_first() -> None:
    season = Season(Season.initial(), "", SLOTS)
    assert not season.put_off(MONDAY * SLOTS, 3), "there was none yet"
    season.turn(MONDAY * SLOTS)
    season.take(5.0, anomalous=False)
    assert season.put_off(MONDAY * SLOTS + 1, 3)
    assert (season.slot, season.first_slot, season.points) == (MONDAY * SLOTS + 1, MONDAY * SLOTS + 1, [5.0])
    season.take(6.0, anomalous=False)
    season.take(7.0, anomalous=False)
    assert not season.put_off(MONDAY * SLOTS + 2, 3), "three are enough"
    season.turn(MONDAY * SLOTS + 2)
    assert season.seen == 1
    assert not season.put_off(MONDAY * SLOTS + 3, 3), "only the first one is"


def test_a_new_normal_moves_all_that_is_expected() -> None:
    for by, factor in ((100.0, 1.0), (0.0, 2.0)):
        season = seen(daily, 3, 12)
        season.shift(by, factor)
        for hour in (12, 13, 14, 15):
            assert season.expected(0.5) == pytest.approx(daily(0, hour) * factor + by, abs=0.01)
            season.take(daily(0, hour) * factor + by, anomalous=False)
            season.turn(MONDAY * SLOTS + 3 * SLOTS + hour + 1)


def test_what_came_before_a_restart_is_not_learned() -> None:
    season = seen(daily, 3, 12)
    season.take(5000.0, anomalous=False)
    season.take(5000.0, anomalous=True)
    season.restart()
    season.take(daily(0, 12), anomalous=False)
    season.turn(MONDAY * SLOTS + 3 * SLOTS + 13)
    assert season.ended == daily(0, 12)


def test_a_type_of_day_is_known_once_it_was_seen_at_this_hour_or_after_eight_days() -> None:
    season = seen(workweek, 5, 1)
    assert weekday(5) == 5
    assert season.known_weekday(MONDAY * SLOTS + 4 * SLOTS)
    assert not season.known_weekday(MONDAY * SLOTS + 5 * SLOTS + 12), "the first Saturday noon"
    assert season.known_weekday(MONDAY * SLOTS + 6 * SLOTS), "Sunday is as Saturday was"
    assert season.known_weekday(MONDAY * SLOTS + 8 * SLOTS)


def test_of_many_values_of_a_slot_the_median_stays_what_it_was() -> None:
    season = Season(Season.initial(), "", SLOTS)
    season.turn(0)
    for number in range(5_000):
        season.take(float(number % 101), anomalous=False)
    assert len(season.points) <= 64
    assert season.expected(0.5) == pytest.approx(50.0, abs=15)


def test_what_is_stored_is_the_same_object_until_a_slot_ends() -> None:
    season = seen(daily, 2)
    text = season.days_text()
    season.take(9.0, anomalous=False)
    assert season.days_text() is text
    season.turn(MONDAY * SLOTS + 2 * SLOTS + 1)
    assert season.days_text() != text


@pytest.mark.parametrize(
    ("window", "slots"),
    [(0.001, 48), (10, 48), (1800, 48), (1801, 47), (3600, 24), (43_200, 2), (86_400, 1), (1e9, 1)],
)
def test_a_day_has_slots_of_half_an_hour_or_of_one_window(window: float, slots: int) -> None:
    assert slots_of(window) == slots
