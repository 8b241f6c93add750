"""If this failed, one cause would be many alerts, or what comes back, gets graver or is over be told wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from stream_lineage.detect.episodes import COOLDOWN_WINDOWS, JOIN_WINDOWS, Episodes
from stream_lineage.detect.excursion import RANKS, Excursion
from stream_lineage.detect.offset_trail import REMEMBERED, OffsetTrail
from stream_lineage.detect.window import Window
from stream_lineage.model.finding import Finding, Severity

START = 1_772_323_200.0  # 2026-03-01, 00:00 UTC
Found = dict[str, Excursion | None]


def excursion(
    metric: str = "null-ratio", path: str | None = "user", severity: Severity = Severity.WARNING, began: int = 0,
    score: float = 0.5,
) -> Excursion:  # fmt: skip
    return Excursion(metric, path, "2%", "50%", severity, began, score)


def found(*excursions: Excursion) -> Found:
    return {each.key: each for each in excursions}


NULLS = excursion()
GRAVE = replace(NULLS, severity=Severity.CRITICAL)
NOTHING: Found = {}


@dataclass
class Topic:
    """A topic of two partitions, ten records in each window and partition; the state goes through JSON each time."""

    options: dict[str, int] = field(default_factory=dict)
    state: dict[str, Any] | None = None
    trail: OffsetTrail = field(default_factory=OffsetTrail)
    number: int = 0

    def advance(
        self, each: Found, muted: Callable[[Finding], bool] = lambda _: False, *, empty: bool = False
    ) -> list[Finding]:
        first = {0: 10 * self.number, 1: 5_000 + 10 * self.number}
        window = Window(
            "test", "clicks", START + 10 * self.number, 10.0, records=20, first_offsets={} if empty else first,
            last_offsets={} if empty else {partition: offset + 9 for partition, offset in first.items()},
        )  # fmt: skip
        self.number += 1
        self.trail.observe(window)
        self.trail = OffsetTrail(json.loads(json.dumps(self.trail.state())))
        episodes = Episodes("metric", self.state, **self.options)
        told = episodes.advance(window, each, self.trail, muted)
        self.state = json.loads(json.dumps(episodes.state()))
        assert Episodes("metric", self.state, **self.options).open == episodes.open
        return told

    def run(self, windows: Iterable[Found]) -> list[Finding]:
        return [finding for each in windows for finding in self.advance(each)]

    def phases(self, windows: Sequence[Found]) -> list[tuple[int, str | None]]:
        return [(number, finding.phase) for number, each in enumerate(windows) for finding in self.advance(each)]


def test_it_opens_when_it_begins_and_is_over_when_it_is() -> None:
    windows = [NOTHING] * 3 + [found(NULLS)] * 5 + [NOTHING] * 3
    assert Topic().phases(windows) == [(3, "open"), (8, "close")]


def test_what_is_told_says_what_since_when_and_where() -> None:
    topic = Topic()
    topic.run([NOTHING] * 5)
    [opened] = topic.advance(found(replace(NULLS, began=2, score=0.87654)))
    assert (opened.kind, opened.severity, opened.topic, opened.field_path) == (
        "null-ratio", "warning", "clicks", "user",
    )  # fmt: skip
    assert opened.first_offsets == {0: 30, 1: 5_030}, "two windows before the sixth"
    assert opened.last_offsets == {0: 39, 1: 5_039}
    assert opened.score == 0.8765
    assert [(each.kind, each.path, each.old, each.new) for each in opened.changes] == [
        ("null-ratio", "user", "2%", "50%")
    ]
    assert opened.summary == (
        "clicks: null ratio of user is 50%, expected 2%; since 2026-03-01 00:00:30 UTC, partition 0 from offset 30, "
        "partition 1 from offset 5030"
    )
    [closed] = topic.advance(NOTHING)
    assert closed.summary == ("clicks: over, since 2026-03-01 00:00:30 UTC: null ratio of user was 50%, expected 2%")
    assert closed.last_offsets == {0: 59, 1: 5_059}, "the last window that was out"
    assert (closed.fingerprint, closed.first_offsets) == (opened.fingerprint, opened.first_offsets)


def test_where_nothing_ever_came_there_is_an_offset_all_the_same() -> None:
    [opened] = Topic().advance(found(excursion("throughput", None)), empty=True)
    assert opened.first_offsets == {0: 0}
    silent = Topic()
    silent.run([NOTHING] * 2)
    [opened] = silent.advance(found(excursion("throughput", None)), empty=True)
    assert (opened.first_offsets, opened.last_offsets) == ({0: 20, 1: 5_020}, {}), "the offsets that come next"
    [closed] = silent.advance(NOTHING)
    assert closed.last_offsets == {}
    assert opened.summary.startswith("clicks: throughput is 50%, expected 2%")


def test_what_began_long_before_began_in_the_oldest_window_that_is_known() -> None:
    topic = Topic()
    topic.run([NOTHING] * 40)
    [opened] = topic.advance(found(replace(NULLS, began=99)))
    assert opened.first_offsets == {0: 10 * (41 - REMEMBERED), 1: 5_000 + 10 * (41 - REMEMBERED)}


def test_what_begins_within_five_minutes_is_one_alert_under_the_name_of_the_first_in_rank() -> None:
    mean, lag = excursion("mean", "price"), excursion("event-time-lag", None)
    topic = Topic()
    [opened] = topic.advance(found(mean, NULLS))
    assert (opened.kind, opened.field_path) == ("null-ratio", None), "it is about several fields"
    assert RANKS.index("null-ratio") < RANKS.index("mean")
    assert topic.run([found(mean, NULLS)] * (JOIN_WINDOWS - 2)) == []
    assert topic.advance(found(mean, NULLS, lag)) == [], "it joins"
    other = excursion("range", "price")
    [second] = topic.advance(found(mean, NULLS, lag, other))
    assert (second.phase, second.kind) == ("open", "range"), "after five minutes it is another problem"
    assert second.fingerprint != opened.fingerprint
    [closed] = topic.advance(found(other))
    assert [each.kind for each in closed.changes] == ["null-ratio", "mean", "event-time-lag"]
    assert closed.kind == "null-ratio"
    assert "; with it mean of price, event time lag" in closed.summary


def test_an_alert_is_over_when_all_of_it_is() -> None:
    mean = excursion("mean", "price")
    windows = [found(NULLS, mean), found(mean), found(NULLS), NOTHING]
    assert Topic().phases(windows) == [(0, "open"), (3, "close")]


def test_one_that_goes_on_with_nothing_new_to_be_said_is_still_there() -> None:
    assert Topic().phases([found(NULLS), {NULLS.key: None}, {NULLS.key: None}, NOTHING]) == [(0, "open"), (3, "close")]
    assert Topic().phases([{NULLS.key: None}] * 3) == [], "there is nothing to begin with"


def test_it_is_told_again_when_it_gets_graver_and_not_when_it_gets_better() -> None:
    topic = Topic()
    assert topic.phases([found(NULLS), found(GRAVE), found(GRAVE), found(NULLS), NOTHING]) == [
        (0, "open"), (1, "update"), (4, "close"),
    ]  # fmt: skip
    told = Topic().run([found(NULLS), found(GRAVE), found(NULLS), NOTHING])
    assert [each.severity for each in told] == ["warning", "critical", "critical"]
    joined = Topic().run([found(NULLS), found(NULLS, excursion("mean", "price", Severity.CRITICAL))])
    assert [each.phase for each in joined] == ["open", "update"], "by what joins it, too"


def test_a_problem_that_comes_back_within_ten_minutes_is_told_if_it_is_graver_or_stays() -> None:
    flapping = [found(NULLS), NOTHING, NOTHING, found(NULLS), NOTHING, found(NULLS), NOTHING]
    assert Topic().phases(flapping) == [(0, "open"), (1, "close")]
    graver = [found(NULLS), NOTHING, NOTHING, found(GRAVE), NOTHING]
    assert Topic().phases(graver) == [(0, "open"), (1, "close"), (3, "open"), (4, "close")]
    stays = [found(NULLS), NOTHING, *[found(NULLS)] * (COOLDOWN_WINDOWS + 5)]
    assert Topic().phases(stays) == [(0, "open"), (1, "close"), (1 + COOLDOWN_WINDOWS, "open")]
    later = [found(NULLS), *[NOTHING] * (COOLDOWN_WINDOWS + 1), found(NULLS)]
    assert Topic().phases(later) == [(0, "open"), (1, "close"), (COOLDOWN_WINDOWS + 2, "open")]


def test_the_same_cause_is_the_same_problem_each_time() -> None:
    one, *_ = Topic().run([NOTHING, found(NULLS)])
    other, *_ = Topic().run([NOTHING] * 7 + [found(excursion("mean", "price"), NULLS)])
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 32


def test_what_is_muted_is_told_when_it_no_longer_is_if_it_is_still_there() -> None:
    topic = Topic()
    told = [topic.advance(found(NULLS), (lambda _: True) if number < 3 else (lambda _: False)) for number in range(5)]
    assert [[each.phase for each in findings] for findings in told] == [[], [], [], ["open"], []]
    muted = Topic()
    assert muted.advance(found(NULLS), lambda _: True) == []
    assert muted.advance(NOTHING) == [], "nobody has heard of it"
    assert muted.advance(found(NULLS)) != [], "so it does not come back"


def test_declared_expectations_are_told_each_by_itself_and_each_time() -> None:
    low = Excursion("expectation", "price", "min at least 0", "min -1", Severity.CRITICAL, 0, 1.0)
    high = Excursion("expectation", "price", "max at most 9", "max 10", Severity.CRITICAL, 0, 1.0)
    topic = Topic({"join_windows": 0, "cooldown_windows": 0})
    told = topic.run([{"min price": low, "max price": high}, {"max price": high}, NOTHING, {"max price": high}])
    assert [(each.phase, each.changes[0].old) for each in told] == [
        ("open", "max at most 9"), ("open", "min at least 0"), ("close", "min at least 0"), ("close", "max at most 9"),
        ("open", "max at most 9"),
    ]  # fmt: skip
    assert told[0].fingerprint != told[1].fingerprint
    assert told[0].fingerprint == told[4].fingerprint


def many(count: int, first: int = 0) -> Found:
    return found(*(excursion(path=f"f{number:03}") for number in range(first, first + count)))


def test_of_many_excursions_of_one_cause_some_are_listed_and_none_is_another_alert() -> None:
    topic = Topic()
    [opened] = topic.advance(many(120))
    assert len(opened.changes) == 50
    assert "; with it null ratio of f001, null ratio of f002, null ratio of f003, null ratio of f004 and 115 more" in (
        opened.summary
    )
    assert topic.run([many(120)] * (3 * JOIN_WINDOWS)) == []
    assert topic.state is not None
    assert len(json.dumps(topic.state)) < 20_000
    [second] = topic.advance(many(120) | found(excursion("mean", "price")))
    assert second.kind == "mean"
    # What was left out and is over may begin anew.
    topic.run([many(60)] * JOIN_WINDOWS)
    assert [each.phase for each in topic.advance(many(120))] == ["open"]


def test_a_state_of_before_counts_what_was_left_out() -> None:
    topic = Topic()
    topic.run([many(60)] * 2)
    assert topic.state is not None
    topic.state["episodes"][0]["left_out"] = 10
    assert [each.phase for each in topic.run([many(50), NOTHING])] == ["close"]


def test_there_are_only_so_many_episodes_and_memories_of_them() -> None:
    topic = Topic({"join_windows": 0, "cooldown_windows": 0})
    assert len(topic.advance(many(80))) == 50
    assert topic.advance(many(80)) == []
    spread = Topic({"join_windows": 1})
    assert spread.run([many(number) for number in range(1, 51)])[-1].phase == "open"
    assert spread.advance(many(51)) == [], "what comes then belongs to the latest"
    trail, cooling = OffsetTrail(), Episodes("metric", cooldown_windows=10_000, join_windows=1)
    for number in range(600):
        window = Window("test", "clicks", START + 10 * number, 10.0)
        trail.observe(window)
        cooling.advance(window, many(1, number), trail)
    assert len(cooling.state()["cooldowns"]) == 500


def test_a_state_is_bounded_however_much_begins_at_once() -> None:
    topic = Topic()
    topic.advance(many(900))
    assert len(json.dumps(topic.state)) < 30_000
    assert [each.phase for each in topic.run([NOTHING])] == ["close"]


@pytest.mark.parametrize(("partitions", "told"), [(4, "partition 3 from offset 3"), (6, "and 2 more partitions")])
def test_of_many_partitions_four_are_named(partitions: int, told: str) -> None:
    trail = OffsetTrail()
    offsets = {number: number for number in range(partitions)}
    window = Window("test", "clicks", START, 10.0, first_offsets=offsets, last_offsets=offsets)
    trail.observe(window)
    [opened] = Episodes("metric").advance(window, found(NULLS), trail)
    assert opened.summary.endswith(told)
