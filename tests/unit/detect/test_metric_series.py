"""If this failed, a metric would be forgotten while it stands still, or an alert say a wrong beginning or gravity."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from stream_lineage.detect.metric_series import MetricSeries, amount, percentage
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.verdict import Verdict
from stream_lineage.model.finding import Severity

START = 1_767_571_200.0
DETECTORS = {kind: SeriesDetector(kind, window_seconds=10.0) for kind in SeriesKind}


def series(kind: SeriesKind = SeriesKind.LEVEL, state: list[Any] | None = None) -> MetricSeries:
    return MetricSeries(DETECTORS[kind], kind, state)


def go_on(known: MetricSeries, values: Sequence[float | None], start: int = 0) -> list[Verdict | None]:
    return [known.observe(START + 10 * (start + n), value, 400.0) for n, value in enumerate(values)]


def stored(known: MetricSeries, kind: SeriesKind = SeriesKind.LEVEL) -> MetricSeries:
    return series(kind, json.loads(json.dumps(known.state(), allow_nan=False)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (12.0, "12"), (0.0123456, "0.01235"), (999.94, "999.9"), (1000.0, "1,000"),
        (-1234567.8, "-1,234,568"), (1e14, "100,000,000,000,000"), (1.2345e20, "1.234e+20"),
        (math.inf, "inf"), (math.nan, "nan"),
    ],
)  # fmt: skip
def test_numbers_are_shown_with_four_digits(value: float, text: str) -> None:
    assert amount(value) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.0, "0%"), (0.02534, "2.53%"), (0.5, "50%"), (1.0, "100%")])
def test_ratios_are_shown_in_percent(ratio: float, text: str) -> None:
    assert percentage(ratio) == text


def test_what_is_as_always_is_one_value_and_nothing_is_said() -> None:
    known = series()
    assert go_on(known, [None, math.nan, math.inf, 7.0, 7.0, None, 7.0]) == [None] * 7
    assert known.state() == [7.0, START + 30, START + 60, 3, pytest.approx(400.0)]
    assert not known.alert
    assert not known.ramps
    again = stored(known)
    assert go_on(again, [7.0], start=7) == [None]
    assert again.state()[3] == 4


def test_from_its_first_move_on_it_is_judged_as_if_all_those_values_had_been_seen() -> None:
    known, judged = series(), DETECTORS[SeriesKind.LEVEL].resume(DETECTORS[SeriesKind.LEVEL].initial())
    go_on(known, [7.0] * 100)
    for number in range(100):
        judged.observe(START + 10 * number, 7.0, 400.0)
    [verdict] = go_on(known, [9.0], start=100)
    expected = judged.observe(START + 1000, 9.0, 400.0)
    assert verdict is not None
    assert verdict.expected == expected.expected == 7.0
    assert verdict.scale == pytest.approx(expected.scale)
    again = stored(known)
    assert go_on(again, [7.0, None], start=101) == go_on(known, [7.0, None], start=101)


def test_it_is_retold_in_brief() -> None:
    """The last three days of a month in two hundred values: it is no longer young."""
    known = series()
    for number in range(1000):
        known.observe(START + 2592 * number, 7.0, 400.0)
    verdict = known.observe(START + 2592 * 1000, 9.0, 400.0)
    assert verdict is not None
    assert not verdict.warming_up
    one = series()
    go_on(one, [7.0])
    [first] = go_on(one, [9.0], start=1)
    assert first is not None
    assert (first.expected, first.warming_up) == (7.0, True)


def test_a_value_of_before_the_last_one_is_not_as_always() -> None:
    known = series()
    go_on(known, [7.0] * 3)
    assert known.observe(START, 7.0) is not None


def alerting(deviations: Sequence[float]) -> MetricSeries:
    """A series with these deviations, the latest first."""
    return series(state=[DETECTORS[SeriesKind.LEVEL].initial(), list(deviations), True])


@pytest.mark.parametrize(
    ("deviations", "began"),
    [
        ([], 0),
        ([9.0], 0),
        ([9.0, 0.0, 0.0], 0),
        ([9.0, 8.0, 7.0, 0.1], 2),
        ([9.0, 8.0, 0.1, 7.0, 0.1, 0.1, 9.0], 3),  # one window in between may be well
        ([9.0, 0.1, 0.1, 9.0], 0),  # two may not
        ([-9.0, 9.0, -9.0], 2),  # what is off to the other side is another thing
        ([20.0, 5.9, 6.1], 2),  # three tenths of what it is now, at least
        ([20.0, 6.1, 5.9], 1),
        ([3.0, 1.9, 2.0], 2),  # and two scales
        ([3.0, 2.0, 1.9], 1),
    ],
)
def test_when_what_is_now_an_excursion_began(deviations: list[float], began: int) -> None:
    assert alerting(deviations).began() == began


@pytest.mark.parametrize(
    ("kind", "expected", "value", "severity"),
    [
        (SeriesKind.RATIO, 0.1, 0.39, Severity.WARNING),
        (SeriesKind.RATIO, 0.1, 0.41, Severity.CRITICAL),
        (SeriesKind.RATIO, 0.9, 0.5, Severity.CRITICAL),
        (SeriesKind.COUNT, 100.0, 11.0, Severity.WARNING),
        (SeriesKind.COUNT, 100.0, 9.0, Severity.CRITICAL),
        (SeriesKind.COUNT, 100.0, 1010.0, Severity.WARNING),
        (SeriesKind.COUNT, 100.0, 1011.0, Severity.CRITICAL),
        (SeriesKind.LEVEL, 10.0, 59.0, Severity.WARNING),
        (SeriesKind.LEVEL, 10.0, 60.0, Severity.CRITICAL),
        (SeriesKind.LEVEL, 10.0, -40.0, Severity.CRITICAL),
    ],
)
def test_how_grave_it_is(kind: SeriesKind, expected: float, value: float, severity: Severity) -> None:
    verdict = Verdict(0.7, True, expected, 1.0, 9.0, False, "open")
    told = series(kind).excursion("some-metric", "a.b", verdict, value)
    assert (told.severity, told.metric, told.path, told.score, told.began) == (severity, "some-metric", "a.b", 0.7, 0)
    show = percentage if kind is SeriesKind.RATIO else amount
    assert (told.expected, told.actual) == (show(expected), show(value))


def test_a_ratio_that_never_moved_is_in_an_excursion_from_the_third_window_on() -> None:
    known = series(SeriesKind.RATIO)
    found = go_on(known, [0.0] * 70 + [0.3] * 4)
    assert [each is not None and each.alert for each in found] == [False] * 72 + [True] * 2
    assert known.alert
    assert known.began() == 3
    assert stored(known, SeriesKind.RATIO).alert
