"""If this failed, a baseline would be made of other records than were asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stream_lineage.collect.range_bounds import At, Bound, Each, Everywhere, chosen_ranges, parse_bound
from stream_lineage.errors import NotFound

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STARTS, ENDS = {0: 0, 1: 50, 2: 7}, {0: 200, 1: 90, 2: 7}


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("150", Everywhere(150)),
        ("0:100-200,1:50-", Each({0: (100, 200), 1: (50, None)})),
        ("0:100, 1:50", Each({0: (100, None), 1: (50, None)})),
        ("7:3-3", Each({7: (3, 3)})),
        ("now", At(NOW)),
        ("2h ago", At(NOW - timedelta(hours=2))),
        ("1.5d ago", At(NOW - timedelta(hours=36))),
        ("90 s ago", At(NOW - timedelta(seconds=90))),
        ("2026-02-28", At(datetime(2026, 2, 28, tzinfo=UTC))),
        ("2026-02-28T10:30", At(datetime(2026, 2, 28, 10, 30, tzinfo=UTC))),
        ("2026-02-28T10:30:00+02:00", At(datetime(2026, 2, 28, 8, 30, tzinfo=UTC))),
    ],
)
def test_what_is_understood(text: str, bound: Bound) -> None:
    assert parse_bound(text, NOW) == bound


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "-5", "0:", "0:5-3", "0:1,0:2", "a:1", "0:1-2-3", "99999999999h ago", "1e3", "²", "0:1,x",
     "1" * 30],
)  # fmt: skip
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"understood|empty|twice"):
        parse_bound(text, NOW)


def ranges(begin: str | None, end: str | None, at: dict[int, int] | None = None) -> dict[int, tuple[int, int]]:
    bounds = [None if text is None else parse_bound(text, NOW) for text in (begin, end)]
    return chosen_ranges("t", bounds[0], bounds[1], STARTS, ENDS, lambda _: at or {})


def test_ranges() -> None:
    everything = {0: (0, 200), 1: (50, 90)}
    assert ranges(None, None) == everything
    assert ranges("100", None) == {0: (100, 200)}
    assert ranges("60", "80") == {0: (60, 81), 1: (60, 81)}
    assert ranges("0", "1000") == everything  # as far as each goes
    assert ranges("0:100-150,1:50-", None) == {0: (100, 151), 1: (50, 90)}
    assert ranges("0:100-150", "0:120") == {0: (100, 121)}
    assert ranges(None, "0:10") == {0: (0, 11)}
    assert ranges("0:10", "20") == {0: (10, 21)}
    assert ranges("2h ago", None, {0: 30, 1: 70, 2: -1}) == {0: (30, 200), 1: (70, 90)}
    assert ranges(None, "2h ago", {0: 30, 1: -1}) == {0: (0, 30), 1: (50, 90)}  # no record is so late
    assert ranges("0:10", "2h ago", {0: 30}) == {0: (10, 30)}


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        ("3:0", None, "has no partition 3"),
        ("1:0-60", None, "does not hold offsets 0 to 60"),  # retention has taken them
        ("0:0-200", None, "does not hold offsets 0 to 200"),  # not written yet
        ("0:100", "0:50", "is empty"),
        ("500", None, "no offset of t lies in that range"),
        ("80", "60", "no offset of t lies in that range"),
        ("0:1", "1:60", "no offset of t lies in that range"),
        ("2:7", None, "is empty"),
    ],
)
def test_ranges_that_the_log_does_not_hold(begin: str, end: str | None, said: str) -> None:
    with pytest.raises(NotFound, match=said):
        ranges(begin, end)
