"""If this failed, a metric that breaks would go untold, a healthy one be told, or a restart change either."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stream_lineage.detect.detector import State
from stream_lineage.detect.metric_anomalies import MetricAnomalies
from stream_lineage.detect.shift.digest import POINTS
from stream_lineage.detect.window import MAX_FIELDS, FieldWindow, Window
from stream_lineage.model.finding import Finding

pytestmark = pytest.mark.unmeasured

DAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
SECONDS = 60.0
WARM = 4500
"""Windows of three days and some: baselines are no longer young."""
FAULT = range(WARM + 100, WARM + 120)
SHARES = {"click": 0.7, "view": 0.25, "buy": 0.05}
Break = Callable[[Window], Window]


def traffic(
    count: int = WARM + 160, *, fault: Break = lambda window: window, at: Container[int] = FAULT, seed: int = 7
) -> Iterator[Window]:
    """A click-stream with a daily rhythm; ``fault`` changes the windows of ``at``."""
    chance = np.random.default_rng(seed)
    offset = 0
    for number in range(count):
        start = DAY + number * SECONDS
        records = int(chance.poisson(800 * (1 + 0.5 * math.sin(2 * math.pi * start / 86_400))))
        kinds = {
            f"={name}": int(n)
            for name, n in zip(SHARES, chance.multinomial(records, list(SHARES.values())), strict=True)
            if n
        }
        nulls = int(chance.binomial(records, 0.02))
        user = FieldWindow("user", records, nulls, 0, distinct=records * (0.8 + 0.01 * chance.normal()))
        event = FieldWindow("event_type", records, 0, 0, types={"string": records}, items=kinds)
        mean = 50 + 10 * chance.normal() / math.sqrt(records)
        price = FieldWindow(
            "price", records, 0, 0, numbers=records, mean=mean, deviation=10.0, low=20 - abs(chance.normal()),
            high=80 + abs(chance.normal()), types={"number": records},
        )  # fmt: skip
        window = Window(
            "test", "clicks", start, SECONDS, records=records, bytes=records * 45, sampled=records,
            out_of_order=int(chance.binomial(records, 0.001)), lag_seconds=0.8 + 0.1 * chance.random(),
            profiled=records, keys=records * (0.6 + 0.01 * chance.normal()), first_offsets={0: offset},
            last_offsets={0: offset + records - 1}, fields=(user, event, price),
        )  # fmt: skip
        window = fault(window) if number in at else window
        offset += window.records
        yield window


def field(window: Window, path: str, **changes: object) -> Window:
    return replace(
        window, fields=tuple(replace(each, **changes) if each.path == path else each for each in window.fields)  # type: ignore[arg-type]
    )  # fmt: skip


def silence(window: Window) -> Window:
    return Window(window.cluster, window.topic, window.start, window.seconds)


def share(window: Window, ratio: float) -> int:
    return int(window.records * ratio)


def scroll(window: Window) -> Window:
    items = {"=click": share(window, 0.6), "=view": share(window, 0.25), "=buy": share(window, 0.05)}
    return field(window, "event_type", items={**items, "=scroll": share(window, 0.1)})


def hidden(window: Window) -> Window:
    return field(window, "event_type", items={"=click": share(window, 0.9), "#0123456789abcdef": share(window, 0.1)})


FAULTS: list[tuple[int, str, str | None, str, Break, int]] = [
    # number, kind, field, severity, what breaks, windows until it must be told
    (1, "null-ratio", "user", "critical", lambda w: field(w, "user", nulls=share(w, 0.5)), 3),
    (2, "missing-ratio", "user", "critical",
     lambda w: field(w, "user", missing=share(w, 0.4), distinct=share(w, 0.46)), 3),
    (3, "mean", "price", "warning", lambda w: field(w, "price", mean=80.0), 3),
    (4, "new-category", "event_type", "warning", scroll, 1),
    (5, "vanished-category", "event_type", "warning",
     lambda w: field(w, "event_type", items={"=click": share(w, 0.8), "=view": share(w, 0.2)}), 4),
    (6, "throughput", None, "critical", silence, 3),
    (7, "throughput", None, "critical", lambda w: replace(w, records=w.records * 20, bytes=w.bytes * 20), 3),
    (8, "event-time-lag", None, "critical", lambda w: replace(w, lag_seconds=45.0), 3),
    (9, "out-of-order-ratio", None, "critical", lambda w: replace(w, out_of_order=share(w, 0.4)), 3),
    (10, "duplicate-keys", None, "critical", lambda w: replace(w, keys=w.records * 0.1), 3),
    (11, "type-mix", "price", "critical",
     lambda w: field(w, "price", types={"number": share(w, 0.5), "string": share(w, 0.5)}), 3),
    (12, "range", "price", "warning", lambda w: field(w, "price", low=-400.0), 4),
    (13, "distinct-ratio", "user", "critical", lambda w: field(w, "user", distinct=w.records * 0.2), 3),
    (14, "bytes-per-record", None, "warning", lambda w: replace(w, bytes=w.bytes * 3), 3),
    (15, "undecoded-ratio", None, "critical", lambda w: replace(w, undecoded=w.records), 3),
]  # fmt: skip


def detector() -> MetricAnomalies:
    return MetricAnomalies(window_seconds=SECONDS)


@pytest.fixture(scope="module")
def warm() -> State:
    """The state after three healthy days."""
    live = detector().resume({}, None)
    for window in islice(traffic(), WARM):
        assert live.judge(window) == ()
    return json.loads(json.dumps({"parts": {n: live.part(n) for n in live.names}, "episodes": live.episodes()}))  # type: ignore[no-any-return]


def told(state: State, windows: Iterable[Window]) -> list[tuple[Window, Finding]]:
    """What is told from a state on."""
    live = detector().resume(state["parts"], state["episodes"])
    return [(window, finding) for window in windows for finding in live.judge(window)]


def later(fault: Break, at: Container[int] = FAULT, count: int = WARM + 160) -> list[Window]:
    return list(islice(traffic(count, fault=fault, at=at), WARM, None))


@pytest.mark.parametrize(
    ("number", "kind", "path", "severity", "fault", "windows"), FAULTS, ids=[str(row[0]) for row in FAULTS]
)
def test_truth_table(
    warm: State, number: int, kind: str, path: str | None, severity: str, fault: Break, windows: int
) -> None:
    traffic_ = later(fault)
    found = told(warm, traffic_)
    opened = found[0]

    assert [finding.phase for _, finding in found if finding.phase != "update"] == ["open", "close"], found
    assert (opened[1].kind, opened[1].field_path, opened[1].severity) == (kind, path, severity)
    assert 0 <= (opened[0].start - DAY) / SECONDS - FAULT.start < windows
    first = traffic_[FAULT.start - WARM]
    if first.records:
        assert opened[1].first_offsets == first.first_offsets
        assert opened[1].last_offsets == first.last_offsets
    assert {finding.fingerprint for _, finding in found} == {opened[1].fingerprint}
    assert 0 <= (found[-1][0].start - DAY) / SECONDS - FAULT.stop <= 7


def test_silence_is_told_with_the_offset_that_comes_next(warm: State) -> None:
    windows = later(silence)
    [(_, opened), *_] = told(warm, windows)

    assert opened.first_offsets == {0: windows[FAULT.start - 1 - WARM].last_offsets[0] + 1}
    assert opened.last_offsets == {}


def test_what_may_not_be_shown_is_not_shown(warm: State) -> None:
    [opened, *_] = [finding for _, finding in told(warm, later(hidden)) if finding.kind == "new-category"]

    assert "category #0123456789abcdef" in str(opened.changes[0].new)


def test_one_cause_is_one_alert_with_all_fields() -> None:
    def wide(window: Window, number: int) -> Window:
        nulls = share(window, 0.5) if number in range(1400, 1440) else window.fields[0].nulls
        fields = tuple(replace(window.fields[0], path=f"f{n}", nulls=nulls) for n in range(30))
        return replace(window, fields=fields)

    windows = [wide(window, number) for number, window in enumerate(traffic(1500))]
    found = [finding for _, finding in detector().run(windows)]

    assert [finding.phase for finding in found] == ["open", "close"]
    assert {change.path for change in found[-1].changes} == {f"f{n}" for n in range(30)}
    assert found[0].fingerprint == found[1].fingerprint


def test_the_same_fault_again_is_the_same_problem_and_a_flapping_one_is_told_once(warm: State) -> None:
    def nulls(window: Window) -> Window:
        return field(window, "user", nulls=share(window, 0.5))

    twice = {*range(WARM + 20, WARM + 30), *range(WARM + 150, WARM + 160)}
    flapping = {number for number in range(WARM + 20, WARM + 70) if number % 12 < 4}
    again = [finding for _, finding in told(warm, later(nulls, twice, WARM + 200))]

    assert [finding.phase for finding in again] == ["open", "close", "open", "close"]
    assert len({finding.fingerprint for finding in again}) == 1
    assert [finding.phase for _, finding in told(warm, later(nulls, flapping))] == ["open", "close"]


def test_a_topic_that_is_read_from_its_beginning_is_not_too_fast() -> None:
    """A collector that starts reads what waits, much faster than it was written."""
    backlog = [
        replace(each, records=each.records * 40, bytes=each.bytes * 40, lag_seconds=86_400.0 * (1 - n / 50))
        if n < 50
        else each
        for n, each in enumerate(traffic(1600))
    ]
    assert [finding.kind for _, finding in detector().run(backlog)] == []


def stepwise(state: State, windows: list[Window]) -> list[Finding]:
    """Window by window, with the state as JSON in between."""
    found: list[Finding] = []
    for window in windows:
        again = Window.from_json(json.loads(json.dumps(window.to_json())))
        state, findings = detector().judge(
            json.loads(json.dumps(state)), again, datetime.fromtimestamp(window.end, UTC)
        )
        found += findings
    return found


@pytest.mark.parametrize("number", [1, 4, 6, 12])
def test_a_state_that_was_stored_goes_on_alike(warm: State, number: int) -> None:
    windows = later(FAULTS[number - 1][4])[90:140]

    assert stepwise(warm, windows) == [finding for _, finding in told(warm, windows)] != []


wild = st.floats(allow_nan=True, allow_infinity=True) | st.just(1e308) | st.just(-1e308)
counts = st.integers(0, 2**62)
names = st.text(max_size=6)
fields_ = st.builds(
    FieldWindow, path=names, slots=counts, nulls=counts, missing=counts, distinct=st.none() | wild, numbers=counts,
    mean=st.none() | wild, deviation=st.none() | wild, low=st.none() | wild, high=st.none() | wild,
    types=st.dictionaries(names, counts, max_size=3), items=st.none() | st.dictionaries(names, counts, max_size=5),
    points=st.lists(wild, min_size=POINTS, max_size=POINTS) | st.lists(wild, max_size=2) | st.just([1.0] * POINTS),
    rank_error=st.floats(0, 1),
)  # fmt: skip
windows_ = st.builds(
    Window, cluster=st.just("test"), topic=st.just("clicks"), start=st.floats(0, 2e11), seconds=st.just(10.0),
    records=counts, bytes=counts, sampled=counts, out_of_order=counts,
    lag_seconds=st.none() | wild, profiled=counts, undecoded=counts,
    keys=st.none() | wild, first_offsets=st.dictionaries(st.integers(0, 5), counts, max_size=3),
    last_offsets=st.dictionaries(st.integers(0, 5), counts, max_size=3),
    fields=st.lists(fields_, max_size=4).map(tuple),
)  # fmt: skip


@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])
@given(st.lists(windows_, max_size=15))
def test_hostile_windows_break_nothing(windows: list[Window]) -> None:
    state = detector().initial()
    for window in windows:
        state, findings = detector().judge(state, window, datetime.now(UTC))
        for finding in findings:
            assert finding.topic == "clicks"
            assert finding.first_offsets
            assert len(finding.fingerprint) == 32
        assert json.loads(json.dumps(state, allow_nan=False)) == state


def test_the_state_is_bounded_whatever_comes() -> None:
    live = detector().resume({}, None)
    for number, window in enumerate(traffic(60)):
        items = {f"={number}-{n}": 3 for n in range(90)}
        fields = tuple(
            FieldWindow(f"f{number}-{n}", window.records, 0, 0, items=items if n == 0 else None) for n in range(40)
        )
        live.judge(replace(window, fields=(replace(window.fields[1], items=items), *fields)))

    assert len(live.names) == MAX_FIELDS + 1
    assert max(len(json.dumps(live.part(name))) for name in live.names) < 70_000


def seconds_of(count: int, pause: range, *, then: int = 300) -> list[Finding]:
    """What is told of a steady topic of windows of ten seconds that pauses, and of what waited."""
    live = MetricAnomalies(window_seconds=10).resume({}, None)
    chance = np.random.default_rng(5)
    told: list[Finding] = []
    waiting, offset = 0, 0
    for number in range(count + then):
        due = int(chance.poisson(500))
        if number in pause:
            waiting += due
            window = Window("test", "clicks", DAY + 10 * number, 10)
        else:
            records, waiting = due + waiting, 0
            lag = 0.5 + 10 * (number == pause.stop) * len(pause)
            offsets = {"first_offsets": {0: offset}, "last_offsets": {0: offset + records - 1}}
            window = Window("test", "clicks", DAY + 10 * number, 10, records=records, bytes=records * 40,
                            lag_seconds=lag, **offsets)  # fmt: skip
            offset += records
        told += live.judge(window)
    return told


def test_the_pause_of_a_deployment_is_not_told() -> None:
    assert seconds_of(2 * 8640, range(2 * 8640, 2 * 8640 + 3)) == []


def test_a_longer_pause_is() -> None:
    told = seconds_of(2 * 8640, range(2 * 8640, 2 * 8640 + 12), then=12)
    assert told[0].phase == "open"
    assert {change.kind for change in told[0].changes} & {"freshness", "throughput"}


def ten_second_windows(
    count: int, change: Callable[[Window, int], Window], *, rate: float = 120, seed: int = 11
) -> list[Finding]:
    """What is told of a topic with keys, identifiers and a new field's nulls, windows of ten seconds."""
    live, chance = MetricAnomalies(window_seconds=10).resume({}, None), np.random.default_rng(seed)
    told: list[Finding] = []
    for number in range(count):
        records = int(chance.poisson(rate))
        window = Window("test", "clicks", DAY + 10 * number, 10, records=records, bytes=records * 40,
                        lag_seconds=0.8 + 0.1 * chance.random(), sampled=records, profiled=records,
                        first_offsets={0: 1000 * number}, last_offsets={0: 1000 * number + records - 1},
                        fields=(FieldWindow("voucher", records, 0, 0),))  # fmt: skip
        told += live.judge(change(window, number))
    return told


def more(window: Window, factor: float) -> Window:
    return replace(window, records=int(window.records * factor), bytes=int(window.bytes * factor))


LATE = 2 * 8640
QUIET: list[tuple[int, str, Callable[[Window, int], Window]]] = [
    (1, "bursts of a minute", lambda w, n: more(w, 4) if n % 2100 in range(6) else w),
    (2, "a quarter more for good", lambda w, n: more(w, 1.25) if n > LATE else w),
    (3, "what waited for 20 s", lambda w, n: replace(w, lag_seconds=20.0) if n % 3000 == 2999 else w),
]
TOLD: list[tuple[int, str, Callable[[Window, int], Window], str, int]] = [
    (1, "twice as many that stay", lambda w, n: more(w, 2) if n >= LATE else w, "throughput", 14),
    (2, "twenty times as many", lambda w, n: more(w, 20) if n >= LATE else w, "throughput", 2),
    (3, "a third of them", lambda w, n: more(w, 0.33) if n >= LATE else w, "throughput", 3),
    (4, "late for more than three windows", lambda w, n: replace(w, lag_seconds=20.0) if n >= LATE else w,
     "event-time-lag", 3),
]  # fmt: skip


@pytest.mark.parametrize(("number", "why", "change"), QUIET, ids=[str(row[0]) for row in QUIET])
def test_what_is_no_fault_is_not_told(number: int, why: str, change: Callable[[Window, int], Window]) -> None:
    assert ten_second_windows(LATE + 2000, change) == [], why


@pytest.mark.parametrize(("number", "why", "change", "kind", "within"), TOLD, ids=[str(row[0]) for row in TOLD])
def test_what_is_one_is_told_soon(
    number: int, why: str, change: Callable[[Window, int], Window], kind: str, within: int
) -> None:
    assert ten_second_windows(LATE, change) == []
    [opened, *_] = ten_second_windows(LATE + within, change)
    assert opened.kind == kind, why


def test_a_field_that_goes_missing_on_the_first_day_is_told() -> None:
    def missing(window: Window, number: int) -> Window:
        half = window.records // 2
        return field(window, "voucher", missing=half) if 720 <= number < 760 else window

    told = ten_second_windows(800, missing)
    assert [(each.kind, each.phase) for each in told if each.phase != "update"] == [
        ("missing-ratio", "open"),
        ("missing-ratio", "close"),
    ]
    assert told == ten_second_windows(769, missing), "told as over within seven windows"
    assert ten_second_windows(723, missing) == told[:1]


def test_a_batch_that_was_never_seen_is_told_once() -> None:
    """A thousand times as many records have other shares of equal keys and values, which says nothing more."""
    chance = np.random.default_rng(12)
    live = MetricAnomalies(window_seconds=10).resume({}, None)
    told: list[Finding] = []
    for number in range(1500):
        records = int(chance.poisson(1200 if 720 <= number < 900 else 1.2))
        distinct = 9000 * (1 - math.exp(-records / 9000))
        sku = FieldWindow("sku", records, 0, 0, distinct=distinct, types={"string": records})
        told += live.judge(
            Window("test", "prices", DAY + 10 * number, 10, records=records, bytes=40 * records, keys=distinct,
                   profiled=records, first_offsets={0: number}, last_offsets={0: number},
                   fields=(sku,) if records else ())
        )  # fmt: skip
    assert [each.kind for each in told if each.phase == "open"] == ["throughput"]


def test_a_topic_of_rare_records_is_never_missed() -> None:
    live = MetricAnomalies(window_seconds=10).resume({}, None)
    told: list[Finding] = []
    for number in range(3000):
        records = int(number % 97 == 0)
        told += live.judge(
            Window("test", "audit", DAY + 10 * number, 10, records=records, bytes=90 * records,
                   first_offsets={0: number} if records else {}, last_offsets={0: number} if records else {})
        )  # fmt: skip
    assert [each for each in told if each.phase == "open"] == []
