"""If this failed, observations that Faust drops in a rebalance would be lost without a word."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.agents.deliveries import PATIENCE_SECONDS, START, Deliveries


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_arrives_in_order_is_taken_whatever_offsets_are_skipped() -> None:
    deliveries = Deliveries(Clock())
    deliveries.fetched(0, [5, 6, 9])
    deliveries.fetched(1, [100])
    deliveries.fetched(0, [30])

    assert [deliveries.arrived(*place) for place in ((0, 5), (1, 100), (0, 6), (0, 9), (0, 30))] == ["take"] * 5


def test_a_dropped_record_is_noticed_and_read_again() -> None:
    clock = Clock()
    deliveries = Deliveries(clock)
    deliveries.fetched(0, [1, 2, 3, 4, 5])
    assert deliveries.arrived(0, 1) == "take"
    assert deliveries.arrived(0, 3) == "rewind"
    deliveries.restarted(0)
    assert deliveries.arrived(0, 4) == "pass"  # was on its way when it was sought
    deliveries.fetched(0, [1, 2, 3])
    assert [deliveries.arrived(0, offset) for offset in (1, 2, 3)] == ["take"] * 3


def test_the_first_record_after_an_assignment_may_be_the_one_that_is_dropped() -> None:
    deliveries = Deliveries(Clock())
    deliveries.restarted_all()
    deliveries.fetched(0, [7, 8])
    assert deliveries.arrived(0, 8) == "rewind"


def test_a_rewind_that_does_nothing_is_asked_for_again() -> None:
    clock = Clock()
    deliveries = Deliveries(clock)
    deliveries.fetched(0, [1, 2, 3, 4])
    assert deliveries.arrived(0, 2) == "rewind"
    assert deliveries.arrived(0, 3) == "pass"
    clock.now += PATIENCE_SECONDS
    assert deliveries.arrived(0, 4) == "rewind"


def test_after_a_rebalance_everything_starts_where_it_is_sought_to() -> None:
    deliveries = Deliveries(Clock())
    deliveries.fetched(0, [1, 2])
    assert deliveries.arrived(0, 1) == "take"
    deliveries.expect_start()
    assert deliveries.arrived(0, 2) == "rewind"
    deliveries.restarted(0)
    deliveries.fetched(0, [1])
    assert deliveries.arrived(0, 1) == "take"


def test_the_last_record_may_be_the_one_that_is_dropped() -> None:
    clock = Clock()
    deliveries = Deliveries(clock)
    assert not deliveries.overdue()
    deliveries.fetched(0, [1, 2])
    assert deliveries.arrived(0, 1) == "take"
    clock.now += PATIENCE_SECONDS - 1
    assert not deliveries.overdue()
    clock.now += 1
    assert deliveries.overdue()
    assert not deliveries.overdue(), "once is enough for a while"
    deliveries.restarted(0)
    deliveries.fetched(0, [1, 2])
    assert [deliveries.arrived(0, offset) for offset in (1, 2)] == ["take", "take"]
    clock.now += 100
    assert not deliveries.overdue()


@settings(max_examples=300, deadline=None)
@given(
    visible=st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True).map(sorted),
    chunks=st.lists(st.integers(1, 5), min_size=1, max_size=20),
    fates=st.lists(st.sampled_from(["arrive", "arrive", "arrive", "drop", "seek"]), max_size=60),
)
def test_whatever_is_dropped_or_sought_all_is_taken_in_order(
    visible: list[int], chunks: list[int], fates: list[str]
) -> None:
    """A partition, a queue that loses records, and a worker that commits what it has taken."""
    clock = Clock()
    deliveries = Deliveries(clock)
    taken: list[int] = []
    queue: list[int] = []
    position = 0
    fate = iter(fates)
    for turn in range(1000):
        clock.now += 1
        size = chunks[turn % len(chunks)]
        fetched = visible[position : position + size]
        position += len(fetched)
        deliveries.fetched(0, fetched)
        queue += fetched
        if not queue and taken == visible:
            break
        if not queue:  # all was dropped and nothing follows
            clock.now += PATIENCE_SECONDS
            assert deliveries.overdue()
            deliveries.restarted(0)
            position = len(taken)
        while queue:
            happens = next(fate, "arrive")
            offset = queue.pop(0)
            if happens == "drop":
                continue
            if happens == "seek":  # by Faust, of its own accord, with records on their way
                deliveries.restarted(0)
                position = len(taken)
            verdict = deliveries.arrived(0, offset)
            if verdict == "rewind":
                deliveries.restarted(0)
                position = len(taken)
            elif verdict == "take":
                if offset in taken:
                    continue  # read again: harmless
                assert offset == visible[len(taken)], "a record before it was lost"
                taken.append(offset)
    assert taken == visible
    assert START < 0
