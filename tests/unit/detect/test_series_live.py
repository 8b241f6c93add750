"""If this failed, a series would be judged against what it has not shown, or by rules that are not those of its age."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from functools import cache

import pytest

from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.live_series import LiveSeries, block_seconds
from stream_lineage.detect.series.ramp import Ramp
from stream_lineage.detect.series.verdict import Verdict

HOUR = 3600.0
MONDAY = 1_767_571_200.0  # 2026-01-05, 00:00 UTC
DAYS = 10
"""After which a series of hours is no longer young, and has seen a weekend."""
Curve = Callable[[int], float]


NOISE = [random.Random(number).uniform(-2, 2) for number in range(24 * 14)]


def noise(number: int) -> float:
    """Evenly spread from -2 to 2, each value by itself."""
    return NOISE[number]


def level(number: int) -> float:
    return 50.0 + noise(number)


def daily(number: int) -> float:
    return 500.0 + 300.0 * math.sin(2 * math.pi * number / 24) + noise(number)


def counter(number: int) -> float:
    return 100.0 * number + noise(number)


def ratio(number: int) -> float:
    return 0.02 + noise(number) / 100


def nothing(_: int) -> float:
    return 0.0


def detector(kind: SeriesKind) -> SeriesDetector:
    return SeriesDetector(kind, window_seconds=HOUR)


@cache
def history(curve: Curve, kind: SeriesKind, hours: int, weight: float) -> str:
    series = detector(kind).resume(detector(kind).initial())
    for number in range(hours):
        verdict = series.observe(MONDAY + number * HOUR, curve(number), weight)
        assert not verdict.alert, number
    return json.dumps(series.state(), allow_nan=False)


def known(
    curve: Curve = level, kind: SeriesKind = SeriesKind.LEVEL, hours: int = 24 * DAYS, weight: float = 1.0
) -> LiveSeries:
    return detector(kind).resume(json.loads(history(curve, kind, hours, weight)))


def go_on(
    series: LiveSeries, values: Sequence[float | None], *, start: int = 24 * DAYS, weight: float = 1.0
) -> list[Verdict]:
    return [series.observe(MONDAY + (start + n) * HOUR, value, weight) for n, value in enumerate(values)]


def usual(curve: Curve, count: int, *, start: int = 24 * DAYS) -> list[float]:
    return [curve(start + n) for n in range(count)]


def alerts(verdicts: Sequence[Verdict]) -> list[bool]:
    return [each.alert for each in verdicts]


def test_what_is_usual_is_expected_and_told_in_scales() -> None:
    [verdict] = go_on(known(), [53.0])
    assert verdict.expected == pytest.approx(50.0, abs=0.7)
    # The mean distance of what is evenly spread from -2 to 2 is 1, which is 1.25 scales of a normal distribution.
    assert verdict.scale == pytest.approx(1.25, rel=0.25)
    assert verdict.expected is not None
    assert verdict.scale is not None
    assert verdict.deviation == pytest.approx((53.0 - verdict.expected) / verdict.scale)
    assert (verdict.alert, verdict.phase, verdict.warming_up) == (False, "quiet", False)


def test_an_excursion_opens_goes_on_without_data_and_is_closed_once() -> None:
    series = known()
    found = go_on(series, [50.0, 90.0, None, math.nan, *usual(level, 8, start=244)])
    assert [each.phase for each in found[:5]] == ["quiet", "open", "open", "open", "open"]
    assert (found[2].expected, found[2].scale, found[2].deviation, found[2].score) == (None, None, None, 0.0)
    rest = [each.phase for each in found[4:]]
    assert rest.count("close") == 1
    assert rest[rest.index("close") + 1 :] == ["quiet"] * (len(rest) - rest.index("close") - 1)
    assert [each.alert for each in found] == [each.phase == "open" for each in found]
    assert found[-1].expected == pytest.approx(50.0, abs=0.7), "what was out of line is not learned"
    assert not go_on(series, [None], start=252)[0].alert


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e308, -1e308])
def test_what_is_beyond_all_numbers_is_very_large(value: float) -> None:
    series = known()
    [verdict] = go_on(series, [value])
    assert verdict.alert
    assert verdict.deviation is not None
    assert math.isfinite(verdict.deviation)
    assert math.copysign(1.0, verdict.deviation) == math.copysign(1.0, value)
    assert 5 * go_on(known(), [50.0])[0].score < verdict.score <= 1
    json.dumps(series.state(), allow_nan=False)


def test_one_value_that_is_none_at_all_does_not_hide_what_comes_after_it() -> None:
    for value in (1e6, -1e15, math.inf):
        series = known()
        go_on(series, [value, *usual(level, 20, start=241)])
        there = go_on(known(hours=261), [75.0], start=261)[0]
        [verdict] = go_on(series, [75.0], start=261)
        assert verdict.alert
        assert verdict.deviation == pytest.approx(there.deviation, rel=0.5)
        assert verdict.score > 0.5 * there.score


def test_of_few_samples_a_ratio_may_be_anything() -> None:
    assert alerts(go_on(known(ratio, SeriesKind.RATIO, weight=500.0), [0.5], weight=500.0)) == [True]
    assert alerts(go_on(known(ratio, SeriesKind.RATIO, weight=500.0), [0.5], weight=2.0)) == [False]
    one, other = (known(ratio, SeriesKind.RATIO, weight=500.0) for _ in range(2))
    assert go_on(one, [0.03], weight=math.nan) == go_on(other, [0.03], weight=1.0)
    assert go_on(one, [0.03], weight=math.inf, start=241) == go_on(other, [0.03], weight=1e12, start=241)
    assert go_on(one, [0.03], weight=-5.0, start=242) == go_on(other, [0.03], weight=1e-6, start=242)


def test_few_samples_widen_the_scale_of_a_level_as_the_root_of_their_number_and_that_of_a_count_not() -> None:
    for kind, wider in ((SeriesKind.LEVEL, 10.0), (SeriesKind.COUNT, 1.0)):
        one, other = (known(level, kind, weight=100.0) for _ in range(2))
        [many], [few] = go_on(one, [50.0], weight=100.0), go_on(other, [50.0], weight=1.0)
        assert many.scale is not None
        assert few.scale == pytest.approx(wider * many.scale, rel=0.01)


@pytest.mark.parametrize("at", [MONDAY + 400 * 86_400.0, MONDAY - 400 * 86_400.0, math.nan, math.inf])
def test_a_value_at_a_time_that_is_none_is_ranked_and_not_judged(at: float) -> None:
    series = known()
    before = series.state()
    verdict = series.observe(at, 500.0)
    assert (verdict.alert, verdict.expected, verdict.phase) == (False, None, "quiet")
    assert verdict.score > 0.8
    after = series.state()
    assert after["days"] == before["days"]
    assert go_on(series, [50.0])[0].expected == pytest.approx(50.0, abs=0.7)


def test_a_time_of_day_has_its_own_level() -> None:
    series = known(daily)
    for number, verdict in enumerate(go_on(series, usual(daily, 24))):
        assert verdict.expected == pytest.approx(daily(240 + number), abs=25)
        assert not verdict.alert
    assert alerts(go_on(series, [daily(6)] * 3, start=264 + 18))[-1], "what is usual at noon is not at night"


@pytest.mark.parametrize("sign", [1, -1])
def test_that_a_counter_starts_again_is_no_news_and_that_it_jumps_is(sign: int) -> None:
    def counts(number: int) -> float:
        return sign * counter(number)

    def anew(number: int) -> float:
        return counts(number - 240)

    series = known(counts)
    assert series.ramps
    found = go_on(series, usual(anew, 48))
    assert not any(alerts(found))
    assert found[1].expected == pytest.approx(anew(241), abs=1000), "and not 24,000 more"
    assert alerts(go_on(series, [anew(288) + sign * 50_000.0] * 3, start=288))[-1]


def sensitive(*, rises: bool) -> LiveSeries:
    """A series that is known well, as one that only ever rises or not, under a detector that tells much."""
    state = json.loads(history(level, SeriesKind.LEVEL, 24 * DAYS, 1.0))
    ramp = Ramp(Ramp.initial())
    for number in range(60):
        ramp.turn(float(number))
    if rises:
        state["now"]["ramp"] = ramp.state()
    return SeriesDetector(SeriesKind.LEVEL, sensitivity=36, window_seconds=HOUR).resume(state)


def test_so_it_does_where_it_falls_by_little() -> None:
    """By three scales: no value is far out by itself, all of the last dozen together are."""
    lower, higher = ([50.0 + by + noise(n) / 10 for n in range(10)] for by in (-3.4, 3.4))
    assert any(alerts(go_on(sensitive(rises=False), lower)))
    series = sensitive(rises=True)
    found = go_on(series, lower)
    assert min(each.deviation for each in found if each.deviation is not None) > -4
    assert not any(alerts(found))
    assert go_on(series, [46.6], start=250)[0].expected == pytest.approx(46.6, abs=0.7), "from there it goes on"
    assert any(alerts(go_on(sensitive(rises=True), higher))), "a rise is told"


def test_a_new_level_that_stays_for_a_day_is_learned_and_going_back_is_no_alarm() -> None:
    series = known()
    found = go_on(series, [level(n) + 40.0 for n in range(240, 280)])
    assert alerts(found)[:20] == [True] * 20
    assert not any(alerts(found)[26:])
    assert found[-1].expected == pytest.approx(90.0, abs=2)
    back = go_on(series, usual(level, 10, start=280), start=280)
    assert not any(alerts(back))
    assert back[-1].expected == pytest.approx(50.0, abs=2)


def test_of_a_count_a_new_level_is_a_part_of_the_old_one_at_all_times_of_day() -> None:
    series = known(daily, SeriesKind.COUNT)
    found = go_on(series, [0.3 * daily(n) for n in range(240, 300)])
    assert any(alerts(found))
    assert not any(alerts(found)[30:])
    for number in range(290, 300):
        assert found[number - 240].expected == pytest.approx(0.3 * daily(number), rel=0.35)


def test_of_what_was_never_there_a_new_level_is_what_comes() -> None:
    series = known(nothing, SeriesKind.COUNT)
    found = go_on(series, [400.0 + noise(n) for n in range(60)])
    assert alerts(found)[4:20] == [True] * 16
    assert not any(alerts(found)[40:])
    assert found[-1].expected == pytest.approx(400.0, abs=5)


def test_a_ratio_that_never_moved_is_told_in_the_third_window() -> None:
    """From the eleventh minute on, in windows of ten seconds."""
    for windows, told in ((66, True), (50, False)):
        judge = SeriesDetector(SeriesKind.RATIO, window_seconds=10.0)
        series = judge.resume(judge.initial())
        found = [series.observe(MONDAY + 10 * n, 0.0 if n < windows else 0.3, 400.0) for n in range(windows + 3)]
        assert alerts(found) == [False] * (windows + 2) + [told]


def test_a_level_that_stands_still_as_it_never_did_is_an_excursion() -> None:
    series = known()
    found = go_on(series, [50.05] * 14)
    assert alerts(found) == [False] * 11 + [True] * 3
    assert found[10].score > found[0].score
    assert not any(alerts(go_on(known(level, SeriesKind.COUNT), [50.05] * 14))), "counts may"


def test_it_says_that_it_is_warming_up_and_is_harder_to_move_while_it_is() -> None:
    series = detector(SeriesKind.LEVEL).resume(detector(SeriesKind.LEVEL).initial())
    assert series.observe(MONDAY, 50.0).warming_up
    assert go_on(known(hours=47), [50.0], start=47)[0].warming_up
    assert not go_on(known(hours=60), [50.0], start=60)[0].warming_up, "after two days"
    for hours, told in ((6, False), (30, False), (48, False), (76, True)):
        assert alerts(go_on(known(hours=hours), [100.0], start=hours)) == [told], "of three days one value is enough"
    assert not any(alerts(go_on(known(hours=6), [100.0] * 4, start=6))), "of twelve values nothing is told"


def test_what_the_first_day_showed_counts_little_once_days_are_known() -> None:
    """Before that nobody knows how days go. Twelve blocks are believed before anything was seen; two have ended on the
    first day, the third ends with it. What is seen while days are unknown counts 15%, and 15% of that once they are.
    """
    blocks = [sum(known(hours=hours).state()["now"]["excursion"]["tails"][0][1:]) for hours in (24, 26)]
    assert blocks[0] == pytest.approx(12 + 0.15 * 2, abs=0.02)
    assert blocks[1] == pytest.approx(12 + 0.15 * 0.15 * 2 + 1, abs=0.02)


def test_on_the_first_weekend_more_may_be_otherwise() -> None:
    """By 15% of what a day reaches over, which is 600: by 90."""
    friday, saturday = known(daily, hours=24 * 4 + 12), known(daily, hours=24 * 5 + 12)
    [one], [other] = go_on(friday, [daily(108)], start=108), go_on(saturday, [daily(132)], start=132)
    assert one.scale is not None
    assert other.scale is not None
    assert other.scale - one.scale == pytest.approx(90.0, rel=0.3)
    [later] = go_on(known(daily, hours=24 * 8 + 12), [daily(204)], start=204)
    assert later.scale == pytest.approx(one.scale, rel=1)


def test_a_novel_value_stays_one_for_a_while() -> None:
    """Else the second one would be no news. It is remembered after thirty values."""
    series = known()
    first = go_on(series, [53.5, *usual(level, 4, start=241)])[0].score
    assert go_on(series, [53.5], start=245)[0].score >= 0.9 * first
    go_on(series, usual(level, 40, start=246), start=246)
    assert go_on(series, [53.5], start=286)[0].score < 0.5 * first


def test_a_detector_gives_states_from_one_value_to_the_next() -> None:
    judge = detector(SeriesKind.LEVEL)
    living, state = known(), json.loads(history(level, SeriesKind.LEVEL, 240, 1.0))
    for number, value in enumerate([50.0, 90.0, None, 51.0]):
        at = MONDAY + (240 + number) * HOUR
        before = json.dumps(state)
        following, verdict = judge.observe(state, at, value)
        assert verdict == living.observe(at, value)
        assert json.dumps(state) == before
        state = json.loads(json.dumps(following))
    assert state == living.state()


def test_blocks_are_of_eight_windows_and_of_ten_minutes_at_least() -> None:
    assert (block_seconds(10.0), block_seconds(75.0), block_seconds(HOUR)) == (600.0, 600.0, 28_800.0)
