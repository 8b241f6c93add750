"""If this failed, a consumer group that stalls would be silent, or one that is well would page somebody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
import pytest

from stream_lineage.detect.detector import State
from stream_lineage.detect.group_lag import GroupLag, usual_pause
from stream_lineage.detect.group_window import LOOKS, GroupWindow
from stream_lineage.model.finding import Finding
from stream_lineage.model.group import GroupLook, PartitionRead

SECONDS = 10.0
Step = tuple[int, int] | tuple[int, int, bool]
"""Committed, end, and whether the group is empty."""


@dataclass
class Watched:
    """One group and topic, look by look; the state goes through JSON each time, as it does in the table."""

    state: State
    window: GroupWindow
    detector: GroupLag
    at: float = 1_000_000.0

    def look(self, *reads: tuple[int, int], empty: bool = False) -> tuple[Finding, ...]:
        self.at += SECONDS
        partitions = {number: PartitionRead(*read) for number, read in enumerate(reads)}
        look = GroupLook("billing", "orders", self.at, empty, partitions)
        state, found = self.detector.judge(orjson.loads(orjson.dumps(self.state)), self.window, look)
        self.state = state
        return found

    def steps(self, steps: Sequence[Step]) -> list[tuple[int, str, str | None]]:
        """Number of the look, kind and phase of all that is told."""
        told = []
        for number, (committed, end, *empty) in enumerate(steps):
            found = self.look((committed, end), empty=bool(empty and empty[0]))
            told += [(number, each.kind, each.phase) for each in found]
        return told


def watched() -> Watched:
    detector = GroupLag("test")
    return Watched(detector.initial(), GroupWindow(SECONDS), detector)


def told(steps: Sequence[Step]) -> list[tuple[int, str, str | None]]:
    return watched().steps(steps)


N = LOOKS
WELL: list[Step] = [(100 * n, 100 * n + 20) for n in range(N)]
AT, END = 100 * (N - 1), 100 * (N - 1) + 20


def more(step: Callable[[int], Step], count: int) -> list[Step]:
    return [step(n) for n in range(1, count + 1)]


# 1. What happens after ten looks at a group that is well; 2. what is told, by the number of the look; 3. why.
TABLE: list[tuple[str, list[Step], list[tuple[int, str, str | None]]]] = [
    ("well", more(lambda n: (AT + 100 * n, END + 100 * n), 40), []),
    ("nothing comes and all is read", more(lambda _: (END, END), 40), []),
    ("nothing comes, all is read and the group is gone to sleep", more(lambda _: (END, END, True), 40), []),
    # The commit marker of a transaction is nothing to read.
    ("nothing comes, and the last offset is a mark", more(lambda _: (END - 1, END), 40), []),
    ("one commit for many records, now and then", more(lambda n: (AT + n // 5 * 500, END + 100 * n), 60), []),
    ("lag grows at some steps and shrinks at others",
     more(lambda n: (AT + 60 * n - n % 3 * 25, END + 100 * n), 30), []),
    ("stalled: the window is full of the same commit",
     more(lambda n: (AT, END + 100 * n), 12), [(2 * N - 2, "group-stalled", "open")]),
    ("stalled although nothing more comes", more(lambda _: (AT, END), 12), [(2 * N - 2, "group-stalled", "open")]),
    ("stalled, then read on",
     [*more(lambda n: (AT, END + 100 * n), 12), *more(lambda n: (AT + 900 * n, END + 1200 + 100 * n), 3)],
     [(2 * N - 2, "group-stalled", "open"), (N + 12, "group-stalled", "close")]),
    ("stalled after one commit while its lag grew: not taken for falling behind",
     [(AT + 105, END + 100), *more(lambda n: (AT + 106, END + 101 + 10 * n), 11)],
     [(2 * N, "group-stalled", "open")]),
    ("stopped: no members, and what waits grows",
     more(lambda n: (AT, END + 100 * n, True), 12), [(2 * N - 2, "group-stopped", "open")]),
    ("no members, and what waits does not grow", more(lambda _: (AT, END, True), 30), []),
    ("stalled, then its members leave: graver",
     [*more(lambda n: (AT, END + 100 * n), 11), *more(lambda n: (AT, END + 1100 + 100 * n, True), 10)],
     [(2 * N - 2, "group-stalled", "open")]),
    ("stopped, then the topic falls silent: it is not over",
     [*more(lambda n: (AT, END + 100 * n, True), 12), *more(lambda _: (AT, END + 1200, True), 30)],
     [(2 * N - 2, "group-stopped", "open")]),
    ("falls behind at every step",
     more(lambda n: (AT + 40 * n, END + 100 * n), 11), [(N + 8, "group-lagging", "open")]),
    ("falls behind, then stalls: graver",
     [*more(lambda n: (AT + 40 * n, END + 100 * n), 10), *more(lambda n: (AT + 400, END + 1000 + 100 * n), 11)],
     [(N + 8, "group-lagging", "open"), (N + 18, "group-stalled", "update")]),
    ("falls behind, then catches up: over when the lag is what it was a window before",
     [
         *more(lambda n: (AT + 40 * n, END + 100 * n), 10),  # lags of 80 to 620
         *more(lambda n: (AT + 400 + 300 * n, END + 1000 + 100 * n), 9),  # 420, 220 (200 before), 20 (260 before)
     ],
     [(N + 8, "group-lagging", "open"), (N + 12, "group-lagging", "close")]),
    ("rewound: told once, and read again without another word",
     more(lambda n: (100 + 400 * n, END + 20 * n), 8), [(N, "group-rewound", None)]),
    ("the topic is made anew", more(lambda n: (10 * n, 10 * n + 5), 20), []),
]  # fmt: skip


@pytest.mark.parametrize(("what", "after", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_truth_table(what: str, after: list[Step], expected: list[tuple[int, str, str | None]]) -> None:
    found = told([*WELL, *after])
    if what.startswith("stalled, then its members leave"):
        assert found[: len(expected)] == expected
        assert [each[1:] for each in found[1:]] == [("group-stopped", "update")]
    else:
        assert found == expected


def test_a_group_that_was_left_behind_long_ago_is_not_told() -> None:
    assert told([(50, 100 + 10 * n, True) for n in range(60)]) == []


def test_a_group_that_always_was_behind_and_reads_is_not_told() -> None:
    assert told([(100 * n, 1_000_000 + 100 * n) for n in range(60)]) == []


def test_one_partition_of_many_that_stalls_is_found_and_named() -> None:
    group = watched()
    found = []
    for n in range(40):
        found += group.look((100 * n, 100 * n + 5), (min(100 * n, 500), 100 * n + 5), (0, 0))
    [finding] = found
    assert (finding.kind, finding.phase) == ("group-stalled", "open")
    assert finding.first_offsets == {1: 500}
    assert list(finding.last_offsets) == [1]
    assert finding.job == "billing"
    assert "partition 1 from offset 500" in finding.summary


def test_a_poll_that_finds_the_same_state_does_not_write_it() -> None:
    group = watched()
    for n in range(20):
        group.look((100 * n, 100 * n + 5))
    before = group.state
    look = GroupLook("billing", "orders", group.at + SECONDS, False, {0: PartitionRead(2000, 2005)})
    after, _ = group.detector.judge(before, group.window, look)
    assert after is before


def test_a_batch_that_pauses_is_known_after_three_times() -> None:
    """Twenty looks of reading nothing, one of reading all, again and again."""
    steps: list[Step] = [(n // 20 * 2000, 100 * n + 50) for n in range(400)]
    opened = [number for number, _, phase in told(steps) if phase == "open"]
    assert len(opened) <= 4
    assert max(opened) < 120


def test_two_outages_are_no_habit() -> None:
    assert usual_pause([[0.0, 5000.0], [1000.0, 6000.0]], 2000.0) == 0.0
    assert usual_pause([[0.0, 5000.0], [1000.0, 6000.0], [1500.0, 300.0]], 2000.0) == 450.0
    assert usual_pause([[0.0, 5000.0], [1000.0, 6000.0], [1500.0, 300.0]], 300_000.0) == 0.0


def test_after_a_restart_an_open_problem_is_neither_told_again_nor_closed_before_it_is_over() -> None:
    group = watched()
    found = group.steps([*WELL, *more(lambda n: (AT, END + 100 * n), 12)])
    assert len(found) == 1
    group.window = GroupWindow(SECONDS)
    assert group.steps(more(lambda n: (AT, END + 2000 + 100 * n), N + 5)) == []
    group.window = GroupWindow(SECONDS)
    assert group.steps(more(lambda n: (AT, END + 5000 + 100 * n), 3)) == []
    assert group.steps(more(lambda n: (AT + 500 * n, END + 6000 + 10 * n), 2)) == []  # too soon to know
    assert [each[1:] for each in group.steps([(END + 9000, END + 9000)])] == [("group-stalled", "close")]


def test_a_group_that_is_gone_closes_what_is_open() -> None:
    group = watched()
    group.steps([*WELL, *more(lambda n: (AT, END + 100 * n), 12)])
    state, [finding] = group.detector.gone(group.state, "billing", "orders")
    assert (finding.kind, finding.phase) == ("group-stalled", "close")
    assert group.detector.gone(state, "billing", "orders")[1] == ()


def test_what_is_muted_is_told_when_it_no_longer_is_if_it_is_still_there() -> None:
    group = watched()
    group.steps(WELL)
    found: list[Finding] = []
    for n in range(30):
        group.at += SECONDS
        look = GroupLook("billing", "orders", group.at, False, {0: PartitionRead(AT, END + 100 * n)})
        group.state, now = group.detector.judge(group.state, group.window, look, lambda _, muted=n < 20: muted)
        found += now
    assert [each.phase for each in found] == ["open"]


def test_lag_in_seconds_is_how_long_ago_the_log_ended_there() -> None:
    window = GroupWindow(SECONDS)
    for n in range(8):
        window.add(GroupLook("g", "t", 100.0 + 10 * n, False, {0: PartitionRead(450, 100 + 100 * n)}))
    # The log ended at 450 half way between the looks at 130 s (400) and 140 s (500); it is 170 s now.
    assert window.lag_seconds(0) == pytest.approx(35.0)
    older = GroupWindow(SECONDS)
    for n in range(3):
        older.add(GroupLook("g", "t", 10.0 * n, False, {0: PartitionRead(0, 1000 + 100 * n)}))
    # 1,200 behind, at 10 a second.
    assert older.lag_seconds(0) == pytest.approx(120.0)
    still = GroupWindow(SECONDS)
    still.add(GroupLook("g", "t", 0.0, False, {0: PartitionRead(0, 1000), 1: PartitionRead(7, 7)}))
    assert still.lag_seconds(0) is None
    assert still.lag_seconds(1) == 0.0


def test_a_problem_that_was_muted_all_the_time_and_is_over_was_none() -> None:
    group = watched()
    group.steps(WELL)
    for read in [*(PartitionRead(AT, END + 100 * n) for n in range(12)), PartitionRead(END + 2_000, END + 2_000)]:
        group.at += SECONDS
        look = GroupLook("billing", "orders", group.at, False, {0: read})
        group.state, found = group.detector.judge(group.state, group.window, look, lambda _: True)
        assert found == ()
    assert group.state["episode"] is None


def test_a_rewind_that_is_muted_is_not_told() -> None:
    group = watched()
    group.steps(WELL)
    look = GroupLook("billing", "orders", group.at + SECONDS, False, {0: PartitionRead(5, END)})
    _, found = group.detector.judge(group.state, group.window, look, lambda finding: finding.kind == "group-rewound")
    assert found == ()


def test_a_partition_of_which_nothing_is_known_any_more_stalls_no_longer() -> None:
    """What a group has committed of a partition expires, or somebody deletes it."""
    group = watched()
    found = []
    for n in range(40):
        reads = [(100 * n, 100 * n + 5), (min(100 * n, 500), 100 * n + 5)]
        found += group.look(*reads[: 1 if n > 30 else 2])
    assert [each.phase for each in found] == ["open", "close"]
    assert group.window.partitions.keys() == {0}


def test_a_group_falls_behind_as_a_whole_where_no_partition_does_so_all_the_time() -> None:
    """Of two partitions each is read more at every other look, and both together never enough."""
    group = watched()
    found = []
    for n in range(30):
        end = 100 * n
        one, other = (int(end - 60 * n - (40 if n % 2 == side else 0)) for side in (0, 1))
        found += group.look((max(one, 0), end + 5), (max(other, 0), end + 5))
    assert [(each.kind, each.phase) for each in found] == [("group-lagging", "open")]
    assert set(found[0].first_offsets) == {0, 1}


def test_a_group_that_is_never_more_than_a_mark_behind_is_well() -> None:
    """A lag of one is the mark of a transaction, which nobody can read, sometimes of more with what came just now."""
    assert told([(100 * n, 100 * n + 1 + 3 * (n % 2)) for n in range(40)]) == []
    assert told([(100, 101 + 3 * (n % 5 != 0)) for n in range(40)]) == []
