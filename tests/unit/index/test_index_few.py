"""If this failed, paths of single records, which are worked on as plain numbers, would differ from those of many."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from stream_lineage.index import strip_table
from stream_lineage.index.ranges import Ranges, union
from stream_lineage.index.strip_table import Table, by_log, cut_outputs, cut_parents
from stream_lineage.index.strips import WIDENED
from stream_lineage.index.walk import _by_log

BOUNDS = [(first, last) for first, last in product(range(6), range(6)) if first <= last]
SETS = [
    Ranges.empty(),
    *(Ranges.single(*each) for each in BOUNDS),
    Ranges.of([0, 4], [1, 5]),
    Ranges.of([1, 3], [1, 3]),
]


def offsets(ranges: Ranges) -> set[int]:
    return {offset for first, last in ranges for offset in range(first, last + 1)}


def test_sets_of_one_range_are_sets() -> None:
    for one, other in product(SETS, SETS):
        mine, theirs = offsets(one), offsets(other)
        for found, expected in (
            (one & other, mine & theirs),
            (one - other, mine - theirs),
            (one | other, mine | theirs),
        ):
            assert offsets(found) == expected
            assert found == Ranges.of(sorted(expected), sorted(expected))
            assert bool(found) == bool(expected)
        assert offsets(union([one, other])) == mine | theirs
    for one in SETS:
        assert one.count == len(offsets(one))
        assert offsets(union([one])) == offsets(one)
    assert union([]) == Ranges.empty()


def strip(chance: random.Random) -> tuple[int, ...]:
    """A strip that a range of outputs and one of parents meet."""
    outputs, width = chance.randint(1, 5), chance.randint(0, 3)
    parents = outputs * width or chance.randint(1, 9)
    out, parent = chance.randint(0, 9), chance.randint(0, 9)
    more = (chance.choice([0, WIDENED]), 1, 2, 3, 4, 5)
    return (7, out, out + outputs - 1, 8, parent, parent + parents - 1, width, *more)


@pytest.mark.parametrize("side", ["outputs", "parents"])
def test_a_strip_is_cut_alike_alone_and_among_others(side: str) -> None:
    chance = random.Random(5)
    for _ in range(500):
        row = strip(chance)
        low, high = row[1:3] if side == "outputs" else row[4:6]
        first = chance.randint(low - 3, high)
        last = chance.randint(max(first, low), high + 3)
        table, one, other = np.array([row]), np.array([first]), np.array([last])
        among = (cut_outputs if side == "outputs" else cut_parents)(table, one, other).tolist()
        alone = (strip_table._cut_output if side == "outputs" else strip_table._cut_parent)((first, last, *row))
        assert among == [list(alone)]


def test_a_table_of_one_row_is_by_partition_as_any() -> None:
    chance = random.Random(6)
    for count in (0, 1, 2, 5):
        table: Table = np.array([strip(chance) for _ in range(count)], np.int64).reshape(-1, 13)
        for columns in ((0, 1, 2), (3, 4, 5)):
            assert _by_log(table, *columns) == by_log(*table[:, columns].T)
