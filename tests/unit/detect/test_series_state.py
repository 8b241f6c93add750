"""If this fails, a series' state is lost or grows on its way through a table, or a strange number ends an agent."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind

pytestmark = pytest.mark.unmeasured

START = 1_767_571_200.0
MOST_BYTES = 24_000

times = st.one_of(
    st.floats(0, 5e6).map(lambda off: START + off), st.floats(), st.sampled_from([START, START + 3e7, START - 3e7])
)
values = st.one_of(
    st.none(), st.floats(), st.integers(0, 5).map(float), st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -0.0])
)
weights = st.one_of(st.just(1.0), st.floats())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(list(SeriesKind)),
    st.sampled_from([0.001, 10.0, 300.0, 86_400.0, 1e9]),
    st.lists(st.tuples(times, values, weights), min_size=1, max_size=60),
)
def test_any_numbers_are_taken_and_both_ways_are_equal(
    kind: SeriesKind, window: float, given_values: list[tuple[float, float | None, float]]
) -> None:
    detector = SeriesDetector(kind, window_seconds=window)
    state = detector.initial()
    living = detector.resume(detector.initial())
    was_open = False
    for at, value, weight in given_values:
        state, verdict = detector.observe(json.loads(json.dumps(state, allow_nan=False)), at, value, weight)
        assert verdict == living.observe(at, value, weight)
        assert 0 <= verdict.score <= 1
        for number in (verdict.expected, verdict.scale, verdict.deviation):
            assert number is None or math.isfinite(number)
        assert verdict.phase == ("open" if verdict.alert else "close" if was_open else "quiet")
        was_open = verdict.alert
    assert json.dumps(state) == json.dumps(living.state())


@pytest.mark.parametrize("kind", list(SeriesKind))
@pytest.mark.parametrize("window", [10.0, 300.0, 3600.0])
def test_resumed_at_any_time_it_goes_on_alike_and_stays_small(kind: SeriesKind, window: float) -> None:
    random = np.random.default_rng(21)
    detector = SeriesDetector(kind, window_seconds=window)
    whole = detector.resume(detector.initial())
    parted = detector.resume(detector.initial())
    largest = 0
    for index in range(6_000):
        at = START + index * window
        value = 40 + 10 * math.sin(at / 13_751) + random.normal(0, 2) + (60 if 4_000 <= index < 4_300 else 0)
        value = abs(value) / 200 if kind is SeriesKind.RATIO else value
        if index % 97 == 0:
            text = json.dumps(parted.state(), allow_nan=False)
            largest = max(largest, len(text))
            parted = detector.resume(json.loads(text))
        assert parted.observe(at, value, 500.0) == whole.observe(at, value, 500.0)
    assert largest < MOST_BYTES


def test_ten_thousand_distinct_extremes_stay_bounded() -> None:
    random = np.random.default_rng(22)
    detector = SeriesDetector(SeriesKind.LEVEL, window_seconds=60.0)
    series = detector.resume(detector.initial())
    for index in range(10_000):
        series.observe(START + 60.0 * index, float(random.normal() * 10.0 ** random.integers(-300, 300)))
    assert len(json.dumps(series.state(), allow_nan=False)) < MOST_BYTES


def test_parts_that_did_not_change_are_the_same_objects() -> None:
    detector = SeriesDetector(SeriesKind.COUNT, window_seconds=10.0)
    state = detector.initial()
    kept = dict.fromkeys(("days", "spread", "novelty"), 0)
    count = 3_000
    for index in range(count):
        following, _ = detector.observe(state, START + index * 10.0, float(30 + index * 7 % 11))
        for name in kept:
            kept[name] += following[name] is state[name]
        state = following
    assert kept["days"] > 0.95 * count
    assert kept["spread"] > 0.95 * count
    assert kept["novelty"] > 0.9 * count
    assert len(json.dumps(state["now"])) < 6_144


def test_a_state_that_was_given_is_not_changed() -> None:
    detector = SeriesDetector(SeriesKind.LEVEL, window_seconds=300.0)
    state = detector.initial()
    for index in range(300):
        before = json.dumps(state)
        following, _ = detector.observe(state, START + index * 300.0, float(index % 7))
        assert json.dumps(state) == before
        state = following


def test_more_sensitive_finds_at_least_as_soon() -> None:
    random = np.random.default_rng(23)
    values = 50 + random.normal(0, 2, 3_000)
    values[2_800:] += 9
    opened = []
    for sensitivity in (0.001, 0.1, 10.0):
        detector = SeriesDetector(SeriesKind.LEVEL, sensitivity=sensitivity, window_seconds=300.0)
        series = detector.resume(detector.initial())
        alerts = [series.observe(START + index * 300.0, value).alert for index, value in enumerate(values.tolist())]
        opened.append(next((index for index, alert in enumerate(alerts) if alert and index >= 2_800), 3_000))
    assert opened == sorted(opened, reverse=True)
    assert opened[-1] < 2_810


def test_a_value_that_stands_still_is_found_where_none_did() -> None:
    random = np.random.default_rng(24)
    values = 50 + random.normal(0, 2, 4_000)
    values[3_000:3_100] = values[3_000]
    detector = SeriesDetector(SeriesKind.LEVEL, window_seconds=300.0)
    series = detector.resume(detector.initial())
    alerts = [series.observe(START + index * 300.0, value).alert for index, value in enumerate(values.tolist())]
    assert not any(alerts[:3_005])
    assert alerts.index(True) <= 3_012
    assert not any(alerts[3_110:])
