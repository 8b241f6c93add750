"""If this failed, who goes on after a crash would judge otherwise, or a topic's fields be mixed up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from stream_lineage.detect.expectations import FieldExpectation, TopicExpectation
from stream_lineage.detect.metric_anomalies import TOPIC, MetricAnomalies, TopicMetrics
from stream_lineage.detect.metric_field import FORGOTTEN_WINDOWS
from stream_lineage.detect.window import MAX_FIELDS, FieldWindow, Window
from stream_lineage.model.finding import Finding

START = 1_767_571_200.0
FAULT = range(80, 90)
DETECTOR = MetricAnomalies(window_seconds=10.0)


def window(number: int, *paths: str, topic: str = "clicks", nulls: int = 0, records: int = 100) -> Window:
    fields = tuple(FieldWindow(path, records, nulls, 0) for path in paths)
    offsets = {0: 100 * number}
    return Window(
        "test", topic, START + 10 * number, 10.0, records=records, bytes=40 * records, lag_seconds=0.5,
        first_offsets=offsets, last_offsets={0: 100 * number + records - 1}, fields=fields if records else (),
    )  # fmt: skip


def windows(count: int = 120) -> Iterator[Window]:
    """A topic of two fields, of which one has nulls for a while."""
    for number in range(count):
        yield window(number, "user", "price", nulls=50 if number in FAULT else 0)


def told(findings: list[Finding]) -> list[tuple[str, str | None]]:
    return [(finding.kind, finding.phase) for finding in findings]


def parts(live: TopicMetrics) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps({name: live.part(name) for name in live.names}, allow_nan=False))
    return found


def test_a_fault_is_told_with_all_its_fields() -> None:
    live = DETECTOR.resume({}, None)
    found = [finding for each in windows() for finding in live.judge(each)]
    assert told(found) == [("null-ratio", "open"), ("null-ratio", "close")]
    assert sorted(change.path for change in found[0].changes) == ["price", "user"]
    assert found[0].first_offsets == {0: 8_000}, "where it began"
    assert live.names == [TOPIC, ".user", ".price"]
    assert live.series == 7 + 4, "seven of the topic, null and missing ratio of each field"
    assert live.last_record == START + 1200
    assert live.warming_up == 2, "the two that have ever moved"


def test_window_by_window_it_is_the_same() -> None:
    live, state = DETECTOR.resume({}, None), DETECTOR.initial()
    found: list[Finding] = []
    expected: list[Finding] = []
    for each in windows():
        expected += live.judge(each)
        state, findings = DETECTOR.judge(json.loads(json.dumps(state)), each, datetime.fromtimestamp(each.end, UTC))
        found += findings
    assert found == expected
    assert state["parts"] == parts(live)
    assert [finding for _, finding in DETECTOR.run(windows())] == expected


def test_topics_do_not_know_of_each_other() -> None:
    mixed = [each for n in range(120) for each in (
        window(n, "user", nulls=50 if n in FAULT else 0), window(n, "user", topic="orders"),
    )]  # fmt: skip
    found = [(each.topic, finding.topic) for each, finding in DETECTOR.run(mixed)]
    assert found == [("clicks", "clicks")] * 2


def test_whoever_goes_on_takes_in_what_was_judged_before_except_where_it_is_in_already() -> None:
    """The parts are stored at different times: here the one of a field after 60 windows, the others after 40."""
    whole = DETECTOR.resume({}, None)
    every = list(windows())
    stored: dict[str, Any] = {}
    for number, each in enumerate(every[:70]):
        whole.judge(each)
        if number == 39:
            stored = parts(whole)
        if number == 59:
            stored[".user"] = parts(whole)[".user"]
    again = DETECTOR.resume(stored, whole.episodes())
    for each in every[40:60]:
        again.catch_up(each, (".user",))
    for each in every[60:70]:
        again.catch_up(each, ())
    assert parts(again) == parts(whole)
    later = DETECTOR.resume(parts(whole), whole.episodes())
    later.catch_up(every[69], (TOPIC, ".user", ".price"))
    assert parts(later) == parts(whole)
    assert [finding for each in every[70:] for finding in again.judge(each)] == [
        finding for each in every[70:] for finding in whole.judge(each)
    ]


def test_an_excursion_lasts_while_nothing_comes_or_the_field_is_not_there() -> None:
    live = DETECTOR.resume({}, None)
    found = [finding for each in list(windows())[:84] for finding in live.judge(each)]
    assert told(found) == [("null-ratio", "open")]
    later = [window(84, records=0), window(85, "other"), window(86, records=0), window(87, "other")]
    assert [finding for each in later for finding in live.judge(each) if finding.phase == "close"] == []
    rest = [finding for n in range(88, 110) for finding in live.judge(window(n, "user", "price"))]
    assert told(rest) == [("null-ratio", "close")]


def test_while_nothing_comes_who_has_a_field_already_is_left_alone() -> None:
    live = DETECTOR.resume({}, None)
    for number in range(5):
        live.judge(window(number, "user", "price"))
    before = parts(live)
    live.catch_up(window(5, records=0), (TOPIC, ".user"))
    after = parts(live)
    assert {name for name in after if after[name] != before[name]} == {".price"}


def test_a_field_that_is_gone_for_a_day_has_no_part_any_more() -> None:
    live = DETECTOR.resume({}, None)
    live.judge(window(0, "user", "old"))
    stored = parts(live)
    stored[".old"]["unseen"] = FORGOTTEN_WINDOWS - 1
    live = DETECTOR.resume(stored, live.episodes())
    assert live.gone() == []
    live.judge(window(1, "user"))
    assert live.names == [TOPIC, ".user"]
    assert live.gone() == [".old"]
    assert live.gone() == [], "it is said once"


def test_so_many_fields_have_baselines() -> None:
    live = DETECTOR.resume({}, None)
    live.judge(window(0, *(f"f{number}" for number in range(MAX_FIELDS + 10))))
    assert len(live.names) == 1 + MAX_FIELDS
    assert f".f{MAX_FIELDS}" not in live.names


def test_what_is_declared_is_told_at_the_first_window_that_does_not_meet_it_each_by_itself() -> None:
    declared = TopicExpectation(
        rows_deviation=0.1, fields={"user": FieldExpectation(null_ratio=0.0), "price": FieldExpectation(null_ratio=0.9)}
    )
    live = MetricAnomalies(window_seconds=10.0, expectations={"clicks": declared}).resume({}, None)
    for number in range(30):
        assert live.judge(window(number, "user", "price")) == ()
    found = list(live.judge(window(30, "user", "price", nulls=1, records=80)))
    assert [(each.kind, each.phase, each.severity) for each in found] == [("expectation", "open", "critical")] * 2
    assert {each.changes[0].new for each in found} == {"80 records (20% off)", "null ratio 1.25%"}
    closed = live.judge(window(31, "user", "price"))
    assert {each.fingerprint for each in closed} == {each.fingerprint for each in found}
    assert live.judge(window(32, "user", "price", nulls=1))[0].phase == "open", "each time"
    other = MetricAnomalies(window_seconds=10.0, expectations={"orders": declared}).resume({}, None)
    assert other.judge(window(0, "user", nulls=1)) == ()


def test_what_is_muted_is_followed() -> None:
    live = DETECTOR.resume({}, None)
    found = [finding for each in list(windows())[:86] for finding in live.judge(each, lambda _: True)]
    assert found == []
    assert told(list(live.judge(list(windows())[86]))) == [("null-ratio", "open")]
