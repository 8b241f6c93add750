"""If this failed, a topic that falls silent would go untold, or a deployment, a burst or a backlog page somebody."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from stream_lineage.detect.excursion import Excursion
from stream_lineage.detect.metric_topic import TopicBaselines
from stream_lineage.detect.series.detector import SeriesDetector
from stream_lineage.detect.series.kind import SeriesKind
from stream_lineage.detect.window import Window
from stream_lineage.model.finding import Severity

START = 1_767_571_200.0
NARROW, WIDE = 10.0, 3600.0
NOISE = [random.Random(number).uniform(-1, 1) for number in range(400)]
Found = dict[str, Excursion | None]


class Topic:
    """A topic in one window after the other: ``usual`` is what windows are like where nothing else is said."""

    def __init__(self, seconds: float = NARROW, sensitivity: float = 0.05, **usual: Any) -> None:
        self.seconds, self.usual = seconds, usual
        self.detectors = {
            kind: SeriesDetector(kind, sensitivity=sensitivity, window_seconds=seconds) for kind in SeriesKind
        }
        self.number = 0
        self.resume(None)

    def resume(self, state: dict[str, Any] | None) -> None:
        self.live = TopicBaselines(self.detectors, state)

    def stored(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(json.dumps(self.live.state(), allow_nan=False))
        return state

    def see(self, **changes: Any) -> Found:
        """One window; as many records as usual come in it."""
        members = {"records": 100, **self.usual, **changes}
        if members["records"]:
            members.setdefault("bytes", members["records"] * 40)
            members.setdefault("lag_seconds", 0.5)
        else:
            members = {"records": 0}
        window = Window("test", "clicks", START + self.seconds * self.number, self.seconds, **members)
        self.number += 1
        if self.number % 20 == 0:
            self.resume(self.stored())
        return self.live.observe(window)

    def warm(self, count: int = 40) -> Topic:
        for _ in range(count):
            assert self.see() == {}
        return self

    def quiet(self, count: int) -> Topic:
        """So many windows without a record, of which nothing is asked."""
        for _ in range(count):
            self.see(records=0)
        return self


def test_a_topic_that_has_always_been_there_is_missed_after_a_minute() -> None:
    topic = Topic().warm()
    found = [topic.see(records=0) for _ in range(8)]
    assert ["freshness" in each for each in found] == [False] * 5 + [True] * 3
    told = found[6]["freshness"]
    assert told == Excursion("freshness", None, "at most 10 s", "70 s without a record", Severity.CRITICAL, 6, 1.0)
    assert topic.see() == {}, "it is over with the first record"
    assert topic.live.last_record == START + 10 * 49


def test_one_that_nobody_knows_yet_is_not_missed() -> None:
    assert [Topic().warm(20).see(records=0) for _ in range(9)][-1] == {}
    seldom = Topic().warm(30)
    for _ in range(30):
        seldom.see(records=0)
        seldom.see()
    assert all("freshness" not in seldom.see(records=0) for _ in range(7)), "nor one that is often empty"


def test_after_a_longer_pause_it_is_missed_after_three_times_its_longest() -> None:
    topic = Topic().warm(400).quiet(5)
    topic.warm(200)
    found = [topic.see(records=0) for _ in range(16)]
    assert ["freshness" in each for each in found] == [False] * 14 + [True] * 2
    assert found[15]["freshness"] is not None
    assert found[15]["freshness"].expected == "at most 50 s"


def test_one_silence_that_was_told_is_not_how_the_topic_is() -> None:
    topic = Topic().warm(200).quiet(60)
    for _ in range(200):
        assert all(each is None for each in topic.see().values())
    found = [topic.see(records=0) for _ in range(8)]
    assert ["freshness" in each for each in found] == [False] * 5 + [True] * 3


def test_the_pause_of_a_deployment_and_what_waited_for_its_end_are_no_news() -> None:
    topic = Topic().warm(200)
    for _ in range(3):
        assert topic.see(records=0) == {}
        assert topic.live.waited
    for number in range(4):
        assert topic.see(records=400 if number == 0 else 100) == {}
        assert topic.live.waited
    assert topic.live.usual_records == 100.0, "what waited is not what is usual"
    topic.see()
    assert not topic.live.waited


def test_a_pause_that_goes_on_is_none() -> None:
    topic = Topic().warm(60).quiet(3)
    assert topic.live.waited
    topic.see(records=0)
    assert not topic.live.waited


def test_what_was_written_long_before_it_is_read_says_nothing_of_how_much_comes() -> None:
    topic = Topic()
    for number in range(50):
        assert topic.see(records=4_000, lag_seconds=86_400.0 * (1 - number / 50)) == {}
        assert topic.live.usual_records is None
    topic.warm(40)
    assert topic.live.usual_records == 100.0


def test_a_topic_that_is_always_late_is_taken_as_it_is_after_an_hour() -> None:
    topic = Topic(lag_seconds=5_000.0)
    topic.warm(355)
    assert topic.live.usual_records is None
    topic.warm(30)
    assert topic.live.usual_records == 100.0


def test_a_collector_that_comes_back_reads_what_waited_and_that_is_not_judged() -> None:
    topic = Topic().warm(60).quiet(2)
    for lag in (900.0, 600.0, 300.0, math.inf):
        assert "throughput" not in topic.see(records=5_000, lag_seconds=lag)
    topic.see()
    assert topic.live.usual_records == 100.0


def test_what_is_read_late_for_long_does_not_become_how_late_records_are() -> None:
    topic = Topic().warm(60)
    for _ in range(100):
        topic.see(records=5_000, lag_seconds=900.0)
    topic.see(records=5_000, lag_seconds=100.0)
    assert topic.live.usual_records is None, "it still catches up: how much is read says nothing"


def test_records_without_timestamps_are_taken_as_they_come() -> None:
    topic = Topic(lag_seconds=None).warm(60)
    assert topic.live.usual_records == 100.0
    assert "event-time-lag" not in {key for key, (value, *_) in topic.stored()["series"].items() if value is not None}


RATIOS: list[tuple[int, str, dict[str, Any], dict[str, Any], tuple[str, str, str] | None]] = [
    # number, metric, what is usual, what changes, what is told
    (1, "undecoded-ratio", {"profiled": 100}, {"profiled": 60, "undecoded": 40}, ("0%", "40%", "critical")),
    (2, "undecoded-ratio", {"profiled": 60, "undecoded": 40}, {"profiled": 100}, None),  # that is better
    (3, "out-of-order-ratio", {"sampled": 100}, {"out_of_order": 20}, ("0%", "20%", "warning")),
    (4, "out-of-order-ratio", {"sampled": 9_000}, {"out_of_order": 160}, None),  # less than 2%
    (5, "duplicate-keys", {"keys": 80.0}, {"keys": 40.0}, ("20%", "60%", "critical")),
    (6, "duplicate-keys", {"keys": 80.0}, {"keys": 100.0}, ("20%", "0%", "warning")),
    (7, "duplicate-keys", {"keys": 80.0}, {"keys": 89.0}, None),  # less than a tenth
    (8, "duplicate-keys", {"keys": 100.0}, {"keys": 500.0}, None),  # an estimate of more keys than records
]


@pytest.mark.parametrize(("number", "metric", "usual", "changes", "told"), RATIOS, ids=[str(row[0]) for row in RATIOS])
def test_ratios_that_never_moved_are_told_in_the_third_window(
    number: int, metric: str, usual: dict[str, Any], changes: dict[str, Any], told: tuple[str, str, str] | None
) -> None:
    topic = Topic(**{"undecoded": 0, "profiled": 0, **usual}).warm(70)
    changes = {"undecoded": 0, **changes}
    assert [topic.see(**changes).get(metric) for _ in range(2)] == [None, None]
    found = topic.see(**changes)
    assert set(found) <= {metric}
    each = found.get(metric)
    assert (None if each is None else (each.expected, each.actual, each.severity.value)) == told


def test_of_many_times_as_many_records_the_part_of_equal_keys_is_another() -> None:
    topic = Topic(keys=80.0).warm(70)
    assert [topic.see(records=700, keys=80.0) for _ in range(4)] == [{}] * 4
    assert any(Topic(keys=80.0).warm(70).see(records=400, keys=80.0) is not None for _ in range(1))


def test_after_a_pause_neither_order_nor_keys_are_judged() -> None:
    topic = Topic(keys=80.0, sampled=100).warm(200).quiet(2)
    assert [topic.see(keys=10.0, out_of_order=90) for _ in range(3)] == [{}] * 3
    assert any(topic.see(keys=10.0, out_of_order=90) for _ in range(3))


@cache
def history(size: float) -> str:
    """Ten days of windows of an hour, in which everything wobbles a little."""
    topic = Topic(WIDE)
    for noise in NOISE[:240]:
        assert topic.see(**wobbling(noise, size)) == {}
    return json.dumps(topic.stored())


def wobbling(noise: float, size: float = 60.0) -> dict[str, Any]:
    records = int(1000 + size * noise)
    return {"records": records, "bytes": records * (40 + noise), "lag_seconds": 1.0 + 0.3 * noise}


def known(sensitivity: float = 0.05, size: float = 60.0) -> Topic:
    topic = Topic(WIDE, sensitivity)
    topic.number = 240
    topic.resume(json.loads(history(size)))
    return topic


def told(topic: Topic, windows: Sequence[dict[str, Any]], metric: str) -> list[str]:
    """What is said of a metric in each window: nothing, that it goes on, or how grave it is."""
    said = []
    for number, changes in enumerate(windows):
        found = topic.see(**{**wobbling(NOISE[240 + number]), **changes})
        each = found.get(metric)
        said.append("" if metric not in found else "on" if each is None else each.severity.value)
    return said


def test_far_fewer_records_are_told_at_once_and_more_when_they_last_or_are_ten_times_as_many() -> None:
    assert told(known(), [{"records": 300}], "throughput") == ["warning"]
    assert told(known(), [{"records": 5}], "throughput") == ["critical"]
    assert told(known(), [{"records": 3000}] * 2, "throughput") == ["on", "warning"], "after two minutes"
    assert told(known(), [{"records": 20_000}], "throughput") == ["critical"]
    assert told(known(), [{"records": 1400}] * 3, "throughput") == ["on"] * 3, "less than half as many again"
    assert told(known(), [{"records": 850}] * 3, "throughput")[0] in ("", "on"), "nor a fifth less"


def test_no_records_at_all_are_critical_and_what_is_out_goes_on_meanwhile() -> None:
    topic = known()
    assert told(topic, [{"bytes": 200_000}], "bytes-per-record") == ["warning"]
    found = topic.see(records=0)
    assert found["throughput"] is not None
    assert found["throughput"].severity is Severity.CRITICAL
    assert found["bytes-per-record"] is None


def test_a_fall_that_is_little_by_little_is_told_when_it_has_lasted() -> None:
    """What comes after a burst is less than it was in it, and is no fall: not before the seventh window."""
    said = told(known(36, size=150.0), [{"records": 700}] * 16, "throughput")
    first = next(number for number, each in enumerate(said) if each == "warning")
    assert first >= 6
    assert "on" in said[:first]


def test_sizes_have_a_unit_and_are_never_critical() -> None:
    found = known().see(records=1000, bytes=1_000_000, lag_seconds=1.0)["bytes-per-record"]
    assert found is not None
    assert found.severity is Severity.WARNING
    assert (found.expected.endswith(" bytes"), found.actual) == (True, "1,000 bytes")


def test_lateness_is_told_at_once_where_it_is_grave_and_else_in_the_third_window() -> None:
    [first] = [known().see(**{**wobbling(0.0), "lag_seconds": 45.0})["event-time-lag"]]
    assert first is not None
    assert (first.actual, first.severity) == ("45 s", Severity.CRITICAL)
    assert told(known(), [{"lag_seconds": 20.0}] * 3, "event-time-lag") == ["on", "on", "critical"]
    assert set(told(known(), [{"lag_seconds": 5.5}] * 3, "event-time-lag")) <= {"", "on"}, "less than five seconds"


def test_a_topic_that_is_often_empty_is_missed_when_that_is_rare_for_it() -> None:
    """An hour of silence now and then, seldom two."""
    topic = Topic(WIDE)
    for number in range(240):
        changes = {"records": 0} if number % 8 in (3, 4 + number % 3) else wobbling(NOISE[number])
        topic.see(**changes)
    found = [topic.see(records=0) for _ in range(14)]
    first = next(number for number, each in enumerate(found) if each.get("freshness") is not None)
    assert first >= 1
    assert found[first]["freshness"].actual.endswith(" s")  # type: ignore[union-attr]


def test_an_excursion_goes_on_while_a_collector_catches_up() -> None:
    topic = known()
    assert told(topic, [{"records": 300}], "throughput") == ["warning"]
    assert told(topic, [{"records": 300, "lag_seconds": 7200.0}], "throughput") == ["on"]


def test_it_says_how_many_series_there_are_and_how_many_are_young() -> None:
    assert Topic().live.series == 7
    assert Topic().live.last_record == 0.0
    topic = Topic().warm(30)
    assert topic.live.warming_up == 0, "what never moved is as it always is"
    topic.see(records=101, bytes=4040)
    assert topic.live.warming_up == 1
    settled = known()
    settled.see(**wobbling(0.1))
    assert settled.live.warming_up == 0
