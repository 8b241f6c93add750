"""If this failed, a sensitivity would be suggested that misses incidents, or that tells of more than is bearable."""

from __future__ import annotations

import pytest

from stream_lineage.detect.series.audit import MONTH_SECONDS, Alarm
from stream_lineage.detect.series.labelled import (
    Caught,
    LabelledIncident,
    Outcome,
    SeriesName,
    Watched,
    outcome,
    suggested,
)

NULLS = SeriesName("orders", "null_ratio", "amount")
ROWS = SeriesName("orders", "records")
OTHER = SeriesName("clicks", "records")
REAL = LabelledIncident("real", 100.0, 200.0, True, frozenset({"orders"}))
FALSE = LabelledIncident("false", 300.0, 350.0, False, frozenset({"orders"}))
OPEN = LabelledIncident("open", 500.0, 550.0, None, frozenset({"orders"}))

# number, alarms by series, incidents caught with by whom and after what, missed, told again, false alarms
TABLE: list[tuple[int, dict[SeriesName, list[Alarm]], list[Caught], int, int, dict[str, int]]] = [
    (1, {ROWS: []}, [], 1, 0, {}),
    (2, {ROWS: [Alarm(120, 130)]}, [Caught("real", ROWS, 20.0)], 0, 0, {}),
    (3, {ROWS: [Alarm(90, 110)]}, [Caught("real", ROWS, 0.0)], 0, 0, {}),
    (4, {ROWS: [Alarm(150, 160)], NULLS: [Alarm(110, 160)]}, [Caught("real", NULLS, 10.0)], 0, 0, {}),
    (5, {ROWS: [Alarm(20, 99.9)]}, [], 1, 0, {"records": 1}),
    (6, {ROWS: [Alarm(200, 210)]}, [Caught("real", ROWS, 100.0)], 0, 0, {}),
    (7, {OTHER: [Alarm(120, 130)]}, [], 1, 0, {"records": 1}),
    (8, {ROWS: [Alarm(310, 320)]}, [], 1, 1, {"records": 1}),
    (9, {ROWS: [Alarm(510, 520)]}, [], 1, 0, {}),
    (10, {ROWS: [Alarm(190, 310)]}, [Caught("real", ROWS, 90.0)], 0, 1, {}),
    (11, {NULLS: [Alarm(110, 160)], ROWS: [Alarm(150, 160)]}, [Caught("real", NULLS, 10.0)], 0, 0, {}),
    (12, {NULLS: [Alarm(120, 130)], ROWS: [Alarm(120, 130)]}, [Caught("real", NULLS, 20.0)], 0, 0, {}),
    (13, {NULLS: [Alarm(1, 2), Alarm(3, 4)], OTHER: [Alarm(1, 2)]}, [], 1, 0, {"null_ratio": 2, "records": 1}),
]


@pytest.mark.parametrize("row", TABLE, ids=[str(row[0]) for row in TABLE])
def test_alarms_against_incidents(
    row: tuple[int, dict[SeriesName, list[Alarm]], list[Caught], int, int, dict[str, int]],
) -> None:
    _, told, caught, missed, again, false = row
    found = outcome(0.05, [Watched(name, alarms, 0.0, 1000.0) for name, alarms in told.items()], [FALSE, OPEN, REAL])
    assert list(found.caught) == caught
    assert (len(found.missed), len(found.repeated)) == (missed, again)
    assert found.false_by_metric == false
    assert found.false_alarms == sum(false.values())


def test_rates_are_of_all_series_and_of_one() -> None:
    watched = [Watched(each, [Alarm(1, 2)], 0.0, MONTH_SECONDS / 2) for each in (ROWS, OTHER)]
    found = outcome(1.0, watched, [])
    assert (found.false_per_month, found.false_per_series_month) == (4.0, 2.0)
    nothing = outcome(1.0, [], [REAL])
    assert (nothing.false_per_month, nothing.false_per_series_month, nothing.median_delay_seconds) == (None, None, None)


def of(sensitivity: float, caught: int, false: int, delay: float = 10.0) -> Outcome:
    found = tuple(Caught(str(number), ROWS, delay) for number in range(caught))
    return Outcome(sensitivity, found, (), (), false, {}, MONTH_SECONDS, MONTH_SECONDS)


@pytest.mark.parametrize(
    ("outcomes", "bearable", "best"),
    [
        ([of(0.05, 3, 0), of(0.5, 5, 4), of(5, 6, 40)], 10, 0.5),
        ([of(0.05, 3, 0), of(0.5, 5, 4), of(5, 6, 40)], 100, 5),
        ([of(0.05, 3, 0), of(0.5, 3, 4)], 10, 0.05),
        ([of(0.05, 3, 2), of(0.5, 3, 2, delay=5.0)], 10, 0.5),
        ([of(0.5, 3, 2), of(0.05, 3, 2)], 10, 0.05),
        ([of(0.05, 3, 2), of(50, 3, 2)], 10, 50),
        ([of(0.05, 3, 20)], 10, None),
        ([], 10, None),
    ],
)
def test_what_catches_most_within_what_is_bearable_is_suggested(
    outcomes: list[Outcome], bearable: float, best: float | None
) -> None:
    found = suggested(outcomes, bearable, 50.0)
    assert (None if found is None else found.sensitivity) == best
