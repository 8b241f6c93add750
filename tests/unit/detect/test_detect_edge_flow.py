"""If this failed, a join that drops half of its rows would be silent, or a job that only lags would page somebody."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import orjson
import pytest

from stream_lineage.detect.edge_flow import JobFlow, flows
from stream_lineage.detect.edge_habit import Habit
from stream_lineage.detect.edge_minutes import Minutes
from stream_lineage.detect.window import FieldWindow, Window
from stream_lineage.model.edge import Edge
from stream_lineage.model.finding import Finding

START = 1_772_323_200.0
WINDOW = 10.0
HOUR = 360
EDGE = Edge("enrich", "orders", "enriched")


@dataclass
class Job:
    """A job in the small: rows wait in a queue, and come out as often, and with nulls as often, as it says.

    ``keeps``: out of how many rows that go in one comes out, on average. ``runs``: whether it works in a window.
    ``lag``: windows that a row takes. ``nulls``: share in what goes in, ``loses``: share of values that it loses.
    """

    rate: Callable[[int], float] = lambda _: 200.0
    keeps: Callable[[int], float] = lambda _: 0.8
    runs: Callable[[int], bool] = lambda _: True
    lag: Callable[[int], int] = lambda _: 0
    nulls: Callable[[int], float] = lambda _: 0.02
    loses: Callable[[int], float] = lambda _: 0.0
    observed_late: Callable[[int], float] = lambda _: 0.5
    seed: int = 1
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def windows(self, count: int) -> Iterator[tuple[Window, Window]]:
        waiting: deque[tuple[int, int, int]] = deque()
        first = [0, 0]
        for n in range(count):
            rows = self.about(self.rate(n))
            nulls = self.part(rows, self.nulls(n))
            waiting.append((n, rows, nulls))
            out = lost = 0
            if self.runs(n):
                while waiting and waiting[0][0] <= n - self.lag(n):
                    _, came, without = waiting.popleft()
                    keeps = self.keeps(n)
                    kept = sum(self.part(came, min(max(keeps - whole, 0.0), 1.0)) for whole in range(3))
                    out += kept
                    had = round(kept * without / came) if came else 0
                    lost += had + self.part(kept - had, self.loses(n))
            yield (
                self.window("orders", n, rows, nulls, first, 0, self.observed_late(n)),
                self.window("enriched", n, out, lost, first, 1, 0.5),
            )

    def window(self, topic: str, n: int, rows: int, nulls: int, first: list[int], side: int, late: float) -> Window:
        at, first[side] = first[side], first[side] + rows
        return Window(
            "test", topic, START + n * WINDOW, WINDOW, records=rows, lag_seconds=late if rows else None,
            first_offsets={0: at} if rows else {}, last_offsets={0: at + rows - 1} if rows else {},
            fields=(FieldWindow("user", rows, nulls, 0),) if rows else (),
        )  # fmt: skip

    def about(self, mean: float) -> int:
        return max(0, round(self.chance.gauss(mean, mean**0.5))) if mean else 0

    def part(self, rows: int, share: float) -> int:
        return min(rows, max(0, round(self.chance.gauss(rows * share, (rows * share * (1 - share)) ** 0.5))))


def told(
    job: Job, count: int, edge: Edge = EDGE, *, restart: bool = False, skip: Callable[[int], bool] = lambda _: False
) -> list[tuple[float, Finding]]:
    """What is told of ``count`` windows, with the number of the window at which the minute ends that it is of."""
    flow = JobFlow([edge])
    found: list[tuple[float, Finding]] = []
    for n, pair in enumerate(job.windows(count)):
        for window in pair:
            if window.topic == "enriched" and skip(n):
                continue
            found += flow.take(window)
        if restart and n % 7 == 0:
            flow = JobFlow([edge], state=orjson.loads(orjson.dumps(flow.state())))
    return [((at - START) / WINDOW, finding) for at, finding in found]


def phases(found: Sequence[tuple[float, Finding]]) -> list[tuple[str, str | None]]:
    return [(finding.kind, finding.phase) for _, finding in found]


def between(first: int, last: int, then: float, else_: float) -> Callable[[int], float]:
    return lambda n: then if first <= n < last else else_


AT = HOUR
"""Windows: where the trouble begins, after an hour."""

QUIET: list[tuple[str, Job]] = [
    ("nothing is wrong", Job()),
    ("a filter that keeps little", Job(keeps=lambda _: 0.03)),
    ("a fan-out that always was", Job(keeps=lambda _: 2.5)),
    ("traffic that doubles", Job(rate=between(AT, AT + 300, 400, 200))),
    ("traffic that stops and comes again", Job(rate=between(AT, AT + 60, 0, 200))),
    ("a trickle", Job(rate=lambda _: 3.0)),
    ("the job stands still for a minute and a half and catches up", Job(runs=lambda n: not AT <= n < AT + 9)),
    ("rows take 15 minutes longer, little by little", Job(lag=lambda n: min(max(0, (n - AT) // 40), 15))),
    ("nulls rise on both sides", Job(nulls=between(AT, AT + 200, 0.4, 0.02))),
    ("nulls rise on both sides, and rows take a minute",
     Job(nulls=between(AT, AT + 200, 0.4, 0.02), lag=lambda _: 6)),
    ("the collector of the input was away for half an hour, and reads what has waited",
     Job(rate=lambda n: 0 if AT <= n < AT + 180 else 2000 if AT + 180 <= n < AT + 198 else 200,
         keeps=lambda n: 0.8 if n < AT or n > AT + 198 else 0.08,
         observed_late=lambda n: 900.0 if AT + 180 <= n < AT + 198 else 0.5)),
]  # fmt: skip


@pytest.mark.parametrize(("what", "job"), QUIET, ids=[row[0] for row in QUIET])
def test_what_raises_nothing(what: str, job: Job) -> None:
    assert phases(told(job, AT + 600)) == []


# What happens from the second hour on; kind, severity, and after how many windows at most it is told.
FOUND: list[tuple[str, Job, str, str, int]] = [
    ("a join starts to drop half", Job(keeps=between(AT, 9999, 0.4, 0.8)), "edge-drop", "critical", 54),
    ("a filter drops all", Job(keeps=between(AT, 9999, 0.0, 0.8)), "edge-drop", "critical", 30),
    ("the job dies: one side is silent", Job(runs=lambda n: n < AT), "edge-drop", "critical", 30),
    ("a fifth is dropped", Job(keeps=between(AT, 9999, 0.64, 0.8)), "edge-drop", "warning", 120),
    ("everything comes twice", Job(keeps=between(AT, 9999, 1.6, 0.8)), "edge-fan-out", "critical", 30),
    ("values get lost", Job(loses=between(AT, 9999, 0.2, 0.0)), "edge-nulls", "warning", 24),
    ("a filter that kept little keeps nothing", Job(keeps=between(AT, 9999, 0.0, 0.05)), "edge-drop", "critical", 60),
]  # fmt: skip


@pytest.mark.parametrize(("what", "job", "kind", "severity", "within"), FOUND, ids=[row[0] for row in FOUND])
def test_what_is_found(what: str, job: Job, kind: str, severity: str, within: int) -> None:
    found = told(job, AT + 240)
    assert phases(found)[0] == (kind, "open")
    at, finding = found[0]
    assert AT < at <= AT + within
    assert {each.kind for _, each in found} == {kind}
    assert finding.severity == severity
    assert (finding.job, finding.topic) == ("enrich", "enriched")
    assert finding.field_path == ("user" if kind == "edge-nulls" else None)
    assert "job enrich: enriched: " in finding.summary


def test_a_drop_says_what_was_and_what_is_and_since_when_and_where_and_closes_when_it_is_over() -> None:
    job = Job(keeps=between(AT, AT + 120, 0.4, 0.8))
    marks = [out.first_offsets[0] for n, (_, out) in enumerate(Job(keeps=job.keeps).windows(AT + 1)) if n == AT]
    found = told(job, AT + 400)
    assert phases(found) == [("edge-drop", "open"), ("edge-drop", "close")]
    opened = found[0][1]
    [change] = opened.changes
    before, after = float((change.old or "").split()[0]), float((change.new or "").split()[0])
    assert before == pytest.approx(0.8, rel=0.05)
    assert after == pytest.approx(0.4, rel=0.1)
    assert change.path == "orders -> enriched"
    assert opened.first_offsets == {0: marks[0]}
    assert "since 2026-03-01 01:00:00 UTC" in opened.summary
    assert found[0][1].fingerprint == found[1][1].fingerprint


@pytest.mark.parametrize("into", range(6))
def test_wherever_within_a_minute_it_begins_what_is_now_is_not_mixed_with_what_was(into: int) -> None:
    found = told(Job(keeps=between(AT + into, 9999, 0.4, 0.8)), AT + 60)
    [change] = found[0][1].changes
    assert float((change.new or "").split()[0]) == pytest.approx(0.4, rel=0.08)
    assert float((change.old or "").split()[0]) == pytest.approx(0.8, rel=0.03)


def test_a_restart_between_any_two_windows_changes_nothing() -> None:
    job = Job(keeps=between(AT, AT + 120, 0.4, 0.8))
    assert told(job, AT + 240, restart=True) == told(Job(keeps=job.keeps), AT + 240)


def test_a_window_that_comes_again_changes_nothing() -> None:
    job = Job(keeps=between(AT, AT + 120, 0.4, 0.8))
    flow = JobFlow([EDGE])
    found: list[tuple[float, Finding]] = []
    passed: list[Window] = []
    for pair in job.windows(AT + 240):
        for window in pair:
            passed.append(window)
            found += flow.take(window)
            for again in passed[-5:]:
                assert flow.take(again) == []
    assert phases(found) == [("edge-drop", "open"), ("edge-drop", "close")]


def test_what_nobody_has_seen_is_not_taken_for_nothing() -> None:
    """The worker that has the output's windows is away for twenty minutes, from within a minute to within another."""
    assert phases(told(Job(), AT + 400, skip=lambda n: AT + 3 <= n < AT + 124)) == []


def test_a_minute_of_which_a_part_was_not_seen_is_not_known() -> None:
    minutes = Minutes({"orders": None, "enriched": None})
    found = []
    for n in range(24):
        for topic in ("orders", "enriched"):
            if topic == "orders" or n != 8:
                found += minutes.add(Window("test", topic, START + n * WINDOW, WINDOW, records=5))
    assert [(minute.start - START, sorted(minute.sides)) for minute in found] == [
        (0, ["enriched", "orders"]), (60, ["orders"]), (120, ["enriched", "orders"]), (180, ["enriched", "orders"])
    ]  # fmt: skip
    assert {side.records for minute in found for side in minute.sides.values()} == {30}


def test_a_lag_that_was_made_good_before_is_allowed_for() -> None:
    """Standing still for eight minutes is told the first time, and known from then on."""
    stops = [AT + 400 * n for n in range(5)]
    found = told(Job(runs=lambda n: not any(at <= n < at + 48 for at in stops)), AT + 2200)
    opened = [at for at, finding in found if finding.phase == "open"]
    assert len(opened) == 1
    assert all(finding.kind == "edge-drop" for _, finding in found)


def test_a_declared_ratio_is_exact_from_the_first_minutes_on() -> None:
    exact = Edge("copy", "orders", "enriched", ratio=1.0, within=0.05)
    assert phases(told(Job(keeps=lambda _: 1.0), 300, exact)) == []
    found = told(Job(keeps=lambda _: 0.9), 300, exact)
    assert phases(found)[0] == ("edge-drop", "open")
    assert found[0][1].severity == "critical"
    assert "expected 1 within 5% rows out per row in" in found[0][1].summary


def test_a_declared_lag_is_allowed_for() -> None:
    slow = Edge("enrich", "orders", "enriched", lag_seconds=900)
    assert phases(told(Job(runs=lambda n: not AT <= n < AT + 80), AT + 400, slow)) == []


def joined(count: int, *, left: Callable[[int], float], right: Callable[[int], float],
           keeps: Callable[[int], float]) -> list[tuple[str, str | None]]:  # fmt: skip
    """A join of ``orders`` with ``users``: a row for each order that it keeps."""
    edges = [Edge("join", "orders", "enriched"), Edge("join", "users", "enriched")]
    flow = JobFlow(edges)
    found = []
    others = Job(rate=right, seed=9).windows(count)
    for (order, out), (user, _) in zip(Job(rate=left, keeps=keeps).windows(count), others, strict=True):
        users = Window("test", "users", user.start, WINDOW, records=user.records, lag_seconds=0.5)
        for window in (order, users, out):
            found += flow.take(window)
    return [(finding.kind, finding.phase) for _, finding in found]


def test_an_input_that_grows_alone_is_no_fault_of_the_join() -> None:
    usual: Callable[[int], float] = lambda _: 100.0  # noqa: E731
    assert joined(AT + 240, left=usual, right=between(AT, AT + 120, 400, 50), keeps=lambda _: 0.9) == []
    assert joined(AT + 240, left=usual, right=lambda _: 50.0, keeps=between(AT, AT + 120, 0.3, 0.9)) == [
        ("edge-drop", "open"), ("edge-drop", "close")
    ]  # fmt: skip


@pytest.mark.unmeasured
def test_a_day_of_a_job_whose_traffic_and_ratio_follow_the_day_raises_nothing() -> None:
    day = 8640

    def wave(n: int) -> float:
        return abs(n % day - day / 2) / (day / 2)

    job = Job(rate=lambda n: 20 + 300 * wave(n), keeps=lambda n: 0.5 + 0.3 * wave(n + day // 3), lag=lambda _: 1)
    assert phases(told(job, 2 * day)) == []


def test_the_state_is_bounded() -> None:
    flow = JobFlow([EDGE])
    sizes = []
    for n, pair in enumerate(Job(runs=lambda n: n % 30 < 20).windows(4000)):
        for window in pair:
            flow.take(window)
        if n % 1000 == 999:
            sizes.append(len(orjson.dumps(flow.state())))
    assert sizes[-1] < 40_000


def test_fields_that_are_mapped_are_compared_and_no_others() -> None:
    """Here the output calls it otherwise; ``user`` is lost as well, and nobody asked for it."""
    edge = Edge("enrich", "orders", "enriched", fields={"user": "customer"})
    flow = JobFlow([edge])
    found: list[Finding] = []
    for into, out in Job(loses=between(AT, AT + 120, 0.5, 0.0)).windows(AT + 240):
        customer = replace(out, fields=tuple(f for each in out.fields for f in (replace(each, path="customer"), each)))
        for window in (into, customer):
            found += [finding for _, finding in flow.take(window)]
    assert [(each.kind, each.phase, each.field_path) for each in found] == [
        ("edge-nulls", "open", "customer"), ("edge-nulls", "close", "customer"),
    ]  # fmt: skip
    assert "orders -> enriched, user -> customer" in found[0].summary


def test_each_job_has_its_flow_and_goes_on_from_its_state() -> None:
    other = Edge("archive", "orders", "archived")
    jobs = flows([EDGE, other, Edge("enrich", "users", "enriched")])
    assert {job: flow.topics for job, flow in jobs.items()} == {
        "enrich": {"orders", "users", "enriched"}, "archive": {"orders", "archived"},
    }  # fmt: skip
    alone = flows([EDGE])["enrich"]
    for pair in Job().windows(60):
        for window in pair:
            alone.take(window)
    again = flows([EDGE, other], states={"enrich": alone.state()})
    assert again["enrich"].state() == alone.state()
    assert again["archive"].state() == flows([other])["archive"].state()


def test_a_minute_that_was_given_up_stays_so() -> None:
    """A worker was away for more than an hour: the others were not waited for so long."""
    minutes = Minutes({"orders": None, "enriched": None})
    found = []
    for n in range(0, 6 * 70):
        found += minutes.add(Window("test", "orders", START + n * WINDOW, WINDOW, records=5))
    assert [sorted(minute.sides) for minute in found] == [["orders"]] * 10
    assert minutes.add(Window("test", "enriched", START, WINDOW, records=5)) == []
    later = minutes.add(Window("test", "enriched", START + 6 * 12 * WINDOW, WINDOW, records=5))
    assert all(sorted(minute.sides) == ["orders"] for minute in later)
    assert len(orjson.dumps(minutes.state())) < 50_000


def test_of_fields_that_nobody_named_some_are_counted() -> None:
    minutes = Minutes({"orders": None})
    fields = tuple(FieldWindow(f"f{number:02}", 10, 1, 2) for number in range(70))
    found = []
    for n in range(6):
        found += minutes.add(Window("test", "orders", START + n * WINDOW, WINDOW, records=10, fields=fields))
    [minute] = found
    assert len(minute.sides["orders"].fields) == 60
    assert minute.sides["orders"].share("f00") == (0.3, 60)
    assert minute.sides["orders"].share("f69") is None


def test_what_an_edge_is_like_is_learned_anew_where_it_stays_otherwise() -> None:
    habit = Habit()
    for _ in range(60):
        habit.learn(0.8, off=False)
    for minute in range(360):
        assert habit.off(0.4, 0.05)
        habit.learn(0.4, off=True)
        assert habit.mean == pytest.approx(0.4 if minute == 359 else 0.8)
    assert not habit.off(0.8, 0.05), "of which nothing is known at first"
    for _ in range(20):
        habit.learn(0.4, off=False)
    assert habit.off(0.8, 0.05)
    assert not habit.off(0.44, 0.05)
    assert Habit(habit.state()).state() == habit.state()
