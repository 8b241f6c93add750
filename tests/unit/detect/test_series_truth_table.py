"""If this fails, a kind of series that is harmless raises alerts, or one that is not raises none.

The table: windows of five minutes (or as the row says), a generator with its seed, what is expected, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.series.verdict import Verdict

pytestmark = pytest.mark.unmeasured

WINDOW = 300.0
DAY = 288
START = 1_767_571_200.0  # Monday, 2026-01-05, 00:00 UTC
FAULT = 20 * DAY + 130
DAYS = 24
Values = list[float | None]


@dataclass(frozen=True)
class Judged:
    verdicts: list[Verdict]

    def opened(self, first: int = 0, last: int | None = None) -> list[int]:
        """The windows in which an alert opened."""
        before = [False, *(each.alert for each in self.verdicts)]
        found = [index for index, each in enumerate(self.verdicts) if each.alert and not before[index]]
        return [index for index in found if first <= index <= (len(before) if last is None else last)]


def judge(
    values: NDArray[np.float64] | Values,
    kind: SeriesKind = SeriesKind.LEVEL,
    weights: NDArray[np.float64] | None = None,
    window: float = WINDOW,
) -> Judged:
    detector = SeriesDetector(kind, window_seconds=window)
    series = detector.resume(detector.initial())
    given = [1.0] * len(values) if weights is None else weights.tolist()
    return Judged(
        [
            series.observe(START + index * window, None if value is None else float(value), weight)
            for index, (value, weight) in enumerate(zip(values, given, strict=True))
        ]
    )


def noise(random: np.random.Generator, count: int, memory: float) -> NDArray[np.float64]:
    """Standard normal, each value holding ``memory`` of the one before."""
    steps = random.normal(0, np.sqrt(1 - memory**2), count)
    values = np.empty(count)
    values[0] = random.normal()
    for index in range(1, count):
        values[index] = memory * values[index - 1] + steps[index]
    return values


def times(days: int = DAYS) -> NDArray[np.float64]:
    return np.arange(days * DAY) / DAY


def traffic(random: np.random.Generator, rate: float = 300, weekend: float = 0.6) -> NDArray[np.float64]:
    day = times()
    curve = np.exp(0.7 * np.sin(2 * np.pi * (day - 0.3))) * np.where(day % 7 >= 5, weekend, 1.0)
    return random.poisson(rate * curve * np.exp(0.08 * noise(random, len(day), 0.9))).astype(float)


def level(random: np.random.Generator, memory: float = 0.8, size: float = 2.0) -> NDArray[np.float64]:
    return 50 + size * noise(random, DAYS * DAY, memory)


Generator = Callable[[np.random.Generator], NDArray[np.float64]]


def constant(_: np.random.Generator) -> NDArray[np.float64]:
    return np.full(DAYS * DAY, 7.0)


def heavy(random: np.random.Generator) -> NDArray[np.float64]:
    return np.exp(0.5 * noise(random, DAYS * DAY, 0.3))


def bursts(random: np.random.Generator) -> NDArray[np.float64]:
    values = level(random)
    at = np.flatnonzero(random.random(len(values)) < 0.02)
    values[at] += 20 * (1 + random.pareto(3, len(at)))
    return values


def slow_drift(random: np.random.Generator) -> NDArray[np.float64]:
    return level(random) + times() * 1.0  # half a standard deviation a day


def walk(random: np.random.Generator) -> NDArray[np.float64]:
    return 100 + np.cumsum(random.normal(0, 0.05, DAYS * DAY)) + random.normal(0, 1, DAYS * DAY)


def daily_spike(random: np.random.Generator) -> NDArray[np.float64]:
    values = level(random)
    for day in range(DAYS):
        start = day * DAY + 24
        values[start : start + 2] += 80
    return values


def batch(random: np.random.Generator) -> NDArray[np.float64]:
    part = times() % 1
    return np.where((part > 0.1) & (part < 0.2), 60.0, 5.0) + random.normal(0, 1, DAYS * DAY)


def rare_events(random: np.random.Generator) -> NDArray[np.float64]:
    return (random.random(DAYS * DAY) < 0.02).astype(float)


def sine(random: np.random.Generator) -> NDArray[np.float64]:
    return 20 * np.sin(2 * np.pi * times()) + random.normal(0, 0.3, DAYS * DAY)


QUIET: list[tuple[str, Generator, SeriesKind, str]] = [
    ("autocorrelated level", level, SeriesKind.LEVEL, "noise, however its neighbours hang together"),
    ("traffic with weekends", traffic, SeriesKind.COUNT, "days and weekends are learned"),
    ("traffic as a level", traffic, SeriesKind.LEVEL, "without being told that they are counts"),
    ("constant", constant, SeriesKind.LEVEL, "nothing happens"),
    ("heavy tail", heavy, SeriesKind.LEVEL, "large values are usual here"),
    ("bursts", bursts, SeriesKind.LEVEL, "single windows burst once in four hours"),
    ("slow drift", slow_drift, SeriesKind.LEVEL, "the reference follows"),
    ("random walk", walk, SeriesKind.LEVEL, "there is no level to return to"),
    ("daily spike", daily_spike, SeriesKind.LEVEL, "what happens every night is no surprise"),
    ("batch job", batch, SeriesKind.LEVEL, "on and off by the clock"),
    ("rare events", rare_events, SeriesKind.COUNT, "mostly zero, now and then one"),
    ("smooth season", sine, SeriesKind.LEVEL, "little noise on a large daily curve"),
]


@pytest.mark.parametrize(("name", "generator", "kind", "why"), QUIET, ids=[row[0] for row in QUIET])
@pytest.mark.parametrize("seed", [1, 2])
def test_harmless_series_raise_nothing_once_they_are_known(
    name: str, generator: Generator, kind: SeriesKind, why: str, seed: int
) -> None:
    judged = judge(generator(np.random.default_rng(seed)), kind)
    assert judged.opened(4 * DAY) == [], why
    assert len(judged.opened(0, 4 * DAY)) <= 2, "young memory"


def shifted(by: float, windows: int = 40) -> Callable[[NDArray[np.float64]], None]:
    def plant(values: NDArray[np.float64]) -> None:
        values[FAULT : FAULT + windows] += by

    return plant


def scaled(by: float, windows: int = 40) -> Callable[[NDArray[np.float64]], None]:
    def plant(values: NDArray[np.float64]) -> None:
        values[FAULT : FAULT + windows] = np.round(values[FAULT : FAULT + windows] * by)

    return plant


FAULTS: list[tuple[str, Generator, Callable[[NDArray[np.float64]], None], SeriesKind, int, str]] = [
    ("level shift up", level, shifted(20), SeriesKind.LEVEL, 1, "ten standard deviations"),
    ("level shift down", level, shifted(-20), SeriesKind.LEVEL, 1, "to both sides"),
    ("small shift that lasts", level, shifted(9), SeriesKind.LEVEL, 12, "less at a time, but it lasts"),
    ("traffic stops", traffic, scaled(0), SeriesKind.COUNT, 2, "zero is a value"),
    ("traffic falls to a third", traffic, scaled(0.3), SeriesKind.COUNT, 2, "against the same time of day"),
    ("traffic doubles", traffic, scaled(2.5), SeriesKind.COUNT, 2, "likewise"),
    ("constant moves", constant, shifted(1), SeriesKind.LEVEL, 3, "a series that never moved"),
    ("one extreme value", level, shifted(60, 1), SeriesKind.LEVEL, 0, "far out where nothing ever was"),
    ("heavy tail shifts", heavy, shifted(12), SeriesKind.LEVEL, 3, "single values may be large, not all of them"),
    ("within the daily range", sine, lambda values: values.__setitem__(slice(FAULT, FAULT + 30), 18.0),
     SeriesKind.LEVEL, 2, "a value of another time of day"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "generator", "plant", "kind", "within", "why"), FAULTS, ids=[row[0] for row in FAULTS]
)
@pytest.mark.parametrize("seed", [3, 4])
def test_faults_are_found_soon(
    name: str,
    generator: Generator,
    plant: Callable[[NDArray[np.float64]], None],
    kind: SeriesKind,
    within: int,
    why: str,
    seed: int,
) -> None:
    values = generator(np.random.default_rng(seed))
    plant(values)
    judged = judge(values, kind)
    assert judged.opened(FAULT, FAULT + within), why
    assert judged.opened(4 * DAY, FAULT - 1) == []
    assert not judged.verdicts[-1].alert, "and it ends"


def test_missing_data_is_not_zero() -> None:
    values = traffic(np.random.default_rng(5))
    missing: Values = list(values)
    missing[FAULT : FAULT + 40] = [None] * 40
    judged = judge(missing, SeriesKind.COUNT)
    assert judged.opened(4 * DAY) == []
    assert all(each.score == 0.0 and each.expected is None for each in judged.verdicts[FAULT : FAULT + 40])
    values[FAULT : FAULT + 40] = 0
    assert judge(values, SeriesKind.COUNT).opened(FAULT, FAULT + 2)


@pytest.mark.parametrize("windows", [12, DAY // 2, 3 * DAY, 30 * DAY])
def test_a_gap_raises_nothing(windows: int) -> None:
    detector = SeriesDetector(SeriesKind.COUNT, window_seconds=WINDOW)
    series = detector.resume(detector.initial())
    values = traffic(np.random.default_rng(6))
    for index, value in enumerate(values.tolist()):
        late = windows if index >= 14 * DAY else 0
        if 14 * DAY <= index < 14 * DAY + windows % (7 * DAY) and windows < 7 * DAY:
            continue  # what was not delivered; afterwards the clock shows what it should
        at = START + (index + (late if windows >= 7 * DAY else 0)) * WINDOW
        shown = series.observe(at, value)
        if index > 4 * DAY and windows < 7 * DAY:
            assert not shown.alert


def test_a_level_shift_that_lasts_becomes_normal_and_the_next_one_is_found() -> None:
    values = level(np.random.default_rng(7))
    values[10 * DAY :] += 25
    values[18 * DAY :] += 25
    judged = judge(values)
    first, second = judged.opened(4 * DAY)
    assert 10 * DAY <= first <= 10 * DAY + 1
    assert 18 * DAY <= second <= 18 * DAY + 1
    assert not judged.verdicts[12 * DAY].alert
    assert judged.verdicts[13 * DAY].expected == pytest.approx(75, abs=4)


def test_going_back_to_the_old_normal_is_no_alarm() -> None:
    values = level(np.random.default_rng(8))
    values[10 * DAY : 13 * DAY] += 25
    judged = judge(values)
    assert len(judged.opened(4 * DAY)) == 1
    assert judged.verdicts[-1].expected == pytest.approx(50, abs=4)


def test_the_second_occurrence_is_found_like_the_first() -> None:
    values = level(np.random.default_rng(9))
    for start in (10 * DAY, 12 * DAY + 100):
        values[start : start + 20] += 25
    opened = judge(values).opened(4 * DAY)
    assert [start // DAY for start in opened] == [10, 12]


def test_small_samples_are_not_believed() -> None:
    random = np.random.default_rng(10)
    records = np.full(DAYS * DAY, 400.0)
    values = random.binomial(400, 0.02, DAYS * DAY) / 400
    few, many = records.copy(), records.copy()
    few[FAULT : FAULT + 6] = 2
    values[FAULT : FAULT + 6] = 0.5
    assert judge(values, SeriesKind.RATIO, few).opened(4 * DAY) == []
    assert judge(values, SeriesKind.RATIO, many).opened(FAULT, FAULT + 2)


def test_what_is_certain_but_too_small_to_matter_raises_nothing() -> None:
    random = np.random.default_rng(11)
    records = np.full(DAYS * DAY, 1e6)
    values = random.binomial(1_000_000, 0.001, DAYS * DAY) / 1e6
    values[FAULT : FAULT + 40] += 0.005
    assert judge(values, SeriesKind.RATIO, records).opened(4 * DAY) == []
    values[FAULT : FAULT + 40] += 0.02
    assert judge(values, SeriesKind.RATIO, records).opened(FAULT, FAULT + 2)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_counter_that_resets_is_no_news_and_one_that_jumps_is(sign: int) -> None:
    random = np.random.default_rng(12)
    values = sign * np.cumsum(random.poisson(30, DAYS * DAY)).astype(float)
    for start in (2 * DAY + 77, 5 * DAY + 12, 5 * DAY + 40, FAULT):
        values[start:] -= values[start]
    assert judge(values).opened(DAY) == []
    values[FAULT + DAY :] += sign * 200_000
    assert judge(values).opened(FAULT + DAY, FAULT + DAY + 3)


def test_a_daily_curve_is_no_counter() -> None:
    values = sine(np.random.default_rng(17))
    values[FAULT : FAULT + 12] -= 15
    assert judge(values).opened(FAULT, FAULT + 3)


def test_the_edges_of_a_batch_are_no_news_from_the_second_night_on() -> None:
    """On the first night a batch is a surprise; how it begins and ends between two half hours is none any more."""
    random = np.random.default_rng(18)
    times_ = np.arange(6 * 8640) % 8640
    rate = np.where((times_ >= 720) & (times_ < 900), 1200.0, 1.2)
    values = random.poisson(rate).astype(float)
    assert judge(values, SeriesKind.COUNT, window=10.0).opened(8640 + 1000) == []


def test_every_weekday_may_have_its_own_level() -> None:
    random = np.random.default_rng(20)
    weekday = (times() // 1).astype(int) % 7
    values = np.array([100.0, 180, 60, 140, 220, 20, 80])[weekday] + 3 * noise(random, DAYS * DAY, 0.5)
    judged = judge(values)
    for day in range(17, 21):  # two weeks of every day are known
        middle = slice(day * DAY + DAY // 3, day * DAY + 2 * DAY // 3)
        expected = [each.expected for each in judged.verdicts[middle] if each.expected is not None]
        assert np.median(expected) == pytest.approx(np.median(values[middle]), abs=6), day


def test_bursts_do_not_hide_a_fall() -> None:
    random = np.random.default_rng(19)
    rate = np.full(8 * 8640, 120.0)
    for start in random.integers(0, 7 * 8640, 25):
        rate[start : start + int(random.integers(3, 10))] *= random.uniform(2, 5)
    rate[7 * 8640 + 4000 :] *= 0.35
    values = random.poisson(rate).astype(float)
    assert judge(values, SeriesKind.COUNT, window=10.0).opened(7 * 8640 + 4000, 7 * 8640 + 4003)


def test_a_ratio_that_never_moved_is_told_on_its_first_day_when_it_does() -> None:
    values = np.zeros(DAY)
    values[24 * 6 : 24 * 6 + 30] = 0.3
    judged = judge(values, SeriesKind.RATIO, np.full(DAY, 400.0))
    assert judged.opened() == [24 * 6 + 2]
    assert not judged.verdicts[24 * 6 + 36].alert, "and it is over soon after"


@pytest.mark.parametrize("place", [*range(-6, 9), 60, 120])
def test_a_fault_is_told_on_the_first_day_wherever_in_the_half_hour_it_begins(place: int) -> None:
    """Deployments and batches begin on the hour. ``place``: of the fault's first window of ten seconds, after it."""
    random = np.random.default_rng(30)
    history, samples = 110, 500
    for _ in range(20):
        ratio = np.full(history + 60, 0.02)
        ratio[history : history + 20] = 0.4
        values = random.binomial(samples, ratio) / samples
        start = START + 3600.0 + (place - history) * 10
        detector = SeriesDetector(SeriesKind.RATIO, window_seconds=10.0)
        series = detector.resume(detector.initial())
        verdicts = [series.observe(start + index * 10, float(value), samples) for index, value in enumerate(values)]
        assert Judged(verdicts).opened() == [history + 2]
        assert not verdicts[history + 26].alert


def test_one_wrong_timestamp_changes_nothing() -> None:
    values = level(np.random.default_rng(13))
    detector = SeriesDetector(SeriesKind.LEVEL, window_seconds=WINDOW)
    one, other = detector.resume(detector.initial()), detector.resume(detector.initial())
    for index, value in enumerate(values.tolist()):
        at = START + index * WINDOW
        assert one.observe(at, value).alert == other.observe(at, value).alert
        if index % 500 == 499:
            stray = one.observe(at + 366 * 86_400, value)
            assert stray.expected is None
            one.observe(at - 366 * 86_400, value)
    assert one.observe(at + WINDOW, 50.0).expected == pytest.approx(other.observe(at + WINDOW, 50.0).expected, abs=0.01)


def test_warming_up_is_said_and_the_bar_is_higher() -> None:
    random = np.random.default_rng(14)
    values = level(random)
    values[100:110] += 12
    values[FAULT : FAULT + 10] += 12
    judged = judge(values)
    assert judged.verdicts[0].warming_up
    assert judged.verdicts[DAY].warming_up
    assert not judged.verdicts[3 * DAY].warming_up
    assert judged.opened(0, 4 * DAY) == []
    assert judged.opened(FAULT, FAULT + 9)


@pytest.mark.parametrize("window", [10.0, 60.0, 900.0, 3600.0, 86_400.0])
def test_any_width_of_windows(window: float) -> None:
    random = np.random.default_rng(15)
    count = 5 * DAY if window > 80_000 else max(6_000, int(6 * 86_400 / window))
    values = 50 + 2 * noise(random, min(count, 60_000), 0.5)
    start = len(values) - 50
    values[start : start + 12] += 25
    judged = judge(values, window=window)
    assert judged.opened(start, start + 3)
    assert [each for each in judged.opened(0, start - 1) if each * window > 4 * 86_400] == []


def test_the_score_ranks_the_unusual_first() -> None:
    values = traffic(np.random.default_rng(16))
    values[FAULT : FAULT + 6] = values.max() * 1.6
    scores = np.array([each.score for each in judge(values, SeriesKind.COUNT).verdicts])
    assert int(np.argmax(scores[4 * DAY :])) + 4 * DAY in range(FAULT, FAULT + 8)
    assert scores.min() >= 0
    assert scores.max() <= 1
