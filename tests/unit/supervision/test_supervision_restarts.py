"""If this failed, a role that died would stay dead, or one that cannot work would be started again for ever."""

from __future__ import annotations

import pytest

from stream_lineage.supervision.restarts import Restarts

# number, ends (exit code, uptime in seconds) and what follows each: seconds to wait, or null for giving up
TABLE: list[tuple[int, list[tuple[int, float, float | None]]]] = [
    (1, [(1, 3, None)]),  # refused at once: a setting is wrong
    (2, [(2, 1, None)]),  # wrong usage
    (3, [(137, 3, 1.0), (137, 3, 2.0), (137, 3, None)]),  # crashes at once, again and again
    (4, [(137, 3, 1.0), (1, 3, None)]),
    (5, [(1, 90, 1.0)]),  # it had been up: Kafka went away
    (6, [(137, 100, 1.0), *[(1, 12, wait) for wait in (2.0, 4.0, 8.0, 16.0, 30.0, 30.0)]]),  # it stays away
    (7, [(1, 100, 1.0), (1, 5, 2.0), (137, 100, 1.0), (75, 5, 2.0)]),  # up in between: counted anew
    (8, [(0, 5, 1.0)]),  # nobody asked it to end
]


@pytest.mark.parametrize(("number", "ends"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_when_it_is_started_again(number: int, ends: list[tuple[int, float, float | None]]) -> None:
    restarts = Restarts()
    assert [restarts.after(code, uptime) for code, uptime, _ in ends] == [wait for _, _, wait in ends]


def test_many_failures_do_not_overflow() -> None:
    restarts = Restarts(established=True)
    assert {restarts.after(1, 1.0) for _ in range(3_000)} == {1.0, 2.0, 4.0, 8.0, 16.0, 30.0}
