"""If this failed, a partition that cannot be read would be asked for without end, or never again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.collect.quarantine import Quarantine
from stream_lineage.collect.standstill import STILL_SECONDS, Standstill
from stream_lineage.errors import KafkaUnavailable


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def progress(position: int, partition: int = 0) -> PartitionProgress:
    return PartitionProgress("orders", partition, "id", position, position)


def test_pauses_grow_up_to_the_longest() -> None:
    clock = Clock()
    quarantine = Quarantine(retry_seconds=30, clock=clock)
    state = progress(7)
    pauses = []
    for _ in range(8):
        case = quarantine.take(state, 7, "damaged")
        assert case.tries_at is not None
        pauses.append(case.tries_at - clock.now)
        clock.now = case.tries_at - 0.01
        assert quarantine.due() == []
        clock.now = case.tries_at
        assert quarantine.due() == [case]
        case.tries_at = None
        assert quarantine.due() == []
        assert quarantine.passed() == []
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_case_is_told_once_and_closed_when_it_has_been_read_on() -> None:
    quarantine = Quarantine(retry_seconds=30, clock=Clock())
    state = progress(7)
    news = [quarantine.take(state, 7, "damaged").news for _ in range(4)]
    assert news == [False, True, False, False]
    assert quarantine.held == {("orders", 0): state}
    case = next(iter(quarantine))
    assert case.letter() == case.letter()
    assert (case.letter().offset, case.letter().kind, case.letter().role) == (7, "unreadable", "record")
    case.tries_at = None
    state.position = 9
    assert quarantine.passed() == [case]
    assert len(quarantine) == 0
    assert quarantine.take(state, 9, "damaged").failures == 1


def test_trouble_further_on_is_another_case() -> None:
    quarantine = Quarantine(retry_seconds=30, clock=Clock())
    for _ in range(5):
        quarantine.take(progress(7), 7, "damaged")
    assert quarantine.take(progress(12), 12, "damaged").failures == 1


def test_a_run_with_an_end_waits_for_three_tries() -> None:
    quarantine = Quarantine(retry_seconds=30, clock=Clock())
    assert quarantine.given_up
    given_up = []
    for _ in range(3):
        quarantine.take(progress(7), 7, "damaged")
        given_up.append(quarantine.given_up)
    assert given_up == [False, False, True]
    next(iter(quarantine)).tries_at = None  # being tried once more
    assert not quarantine.given_up


# Standing still


@dataclass
class Brokers:
    """High watermarks as fetches tell them, ends as brokers tell them, and what was asked."""

    watermarks: dict[PartitionId, int]
    ends: dict[PartitionId, int]
    away: bool = False
    asked: list[list[PartitionId]] = field(default_factory=list)

    def get_watermark_offsets(self, where: object, *, cached: bool) -> tuple[int, int]:
        assert cached
        return 0, self.watermarks[(where.topic, where.partition)]  # type: ignore[attr-defined]

    def log_ends(self, keys: Iterable[PartitionId]) -> dict[PartitionId, int]:
        self.asked.append(list(keys))
        if self.away:
            raise KafkaUnavailable("away")
        return {key: self.ends[key] for key in self.asked[-1]}


def watched(brokers: Brokers, clock: Clock) -> Standstill:
    return Standstill(brokers, brokers.log_ends, clock=clock)  # type: ignore[arg-type]


KEY = ("orders", 0)


def test_who_stands_still_before_more_is_found() -> None:
    clock, state = Clock(), progress(7)
    brokers = Brokers({KEY: 12}, {KEY: 12})
    standstill = watched(brokers, clock)
    found = []
    for second in range(int(STILL_SECONDS) + 4):
        clock.now = second
        found += standstill.found({KEY: state}, busy=False)
    assert found == [KEY]
    assert brokers.asked == [[KEY]]


@given(
    ends=st.tuples(st.integers(7, 9), st.integers(7, 9)),
    away=st.booleans(),
    busy=st.sets(st.integers(0, 60), max_size=3),
    moves=st.sets(st.integers(0, 60), max_size=6),
)
def test_nobody_else_is(ends: tuple[int, int], away: bool, busy: set[int], moves: set[int]) -> None:
    """Nobody who moves, who is at an end or before an open transaction, who has to wait, or whose broker is away."""
    clock, state = Clock(), progress(7)
    brokers = Brokers({KEY: ends[0]}, {KEY: ends[1]}, away)
    standstill = watched(brokers, clock)
    quiet_since = 0
    for second in range(60):
        clock.now = second
        if second in moves:
            state.position = (state.position or 0) + 1
        if second in moves or second in busy:
            quiet_since = second
        for _ in standstill.found({KEY: state}, busy=second in busy):
            assert second - quiet_since >= STILL_SECONDS - 2
            assert min(ends) > (state.position or 0)
            assert not away
    assert len(brokers.asked) <= 60 / 10 + 1
