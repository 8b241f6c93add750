"""If this failed, backtests would credit a detector with incidents that it missed, or with being early."""

from __future__ import annotations

from typing import cast

import pytest

from stream_lineage.detect.series.audit import MONTH_SECONDS, Alarm, Audit, Incident, alarms, audited
from stream_lineage.detect.series.live_series import LiveSeries
from stream_lineage.detect.series.verdict import Verdict

OUTAGE, DELAY = Incident(100.0, 200.0, "outage"), Incident(300.0, 350.0, "delay")


class Says:
    """A series of which it is known at which times it is in an excursion."""

    def __init__(self, alert_at: set[float]) -> None:
        self.alert_at = alert_at

    def observe(self, at: float, value: float | None, weight: float = 1.0) -> Verdict:
        alert = at in self.alert_at
        return Verdict(0.0, alert, None, None, None, False, "open" if alert else "quiet")


def told(*at: float) -> list[Alarm]:
    return alarms(cast(LiveSeries, Says(set(at))), [(10.0 * number, 1.0, 1.0) for number in range(10)])


def test_an_alarm_lasts_from_what_opened_it_to_the_last_value_that_was_out_of_line() -> None:
    assert told() == []
    assert told(20.0, 30.0, 40.0, 70.0) == [Alarm(20.0, 40.0), Alarm(70.0, 70.0)]
    assert told(0.0, 80.0, 90.0) == [Alarm(0.0, 0.0), Alarm(80.0, 90.0)], "one may be on at the end"


@pytest.mark.parametrize(
    ("told", "right", "delays"),
    [
        ([], 0, ()),
        ([Alarm(120, 130)], 1, (20.0,)),
        ([Alarm(90, 110)], 1, (0.0,)),  # it was on when the incident began
        ([Alarm(200, 210)], 1, (100.0,)),  # both ends count
        ([Alarm(50, 100)], 1, (0.0,)),
        ([Alarm(50, 99), Alarm(201, 299)], 0, ()),
        ([Alarm(150, 160), Alarm(120, 125)], 2, (20.0,)),  # the first of them
        ([Alarm(150, 310)], 1, (50.0, 0.0)),  # one alarm for two incidents
        ([Alarm(10, 20), Alarm(320, 330)], 1, (20.0,)),
    ],
)
def test_alarms_held_against_incidents(told: list[Alarm], right: int, delays: tuple[float, ...]) -> None:
    found = audited(told, [OUTAGE, DELAY], 0.0, 1000.0)
    assert found == Audit(len(told), right, 2, len(delays), delays, 1000.0)


def test_what_was_not_watched_does_not_count() -> None:
    assert audited([], [OUTAGE, DELAY], 201.0, 299.0).incidents == 0
    assert audited([], [OUTAGE, DELAY], 200.0, 299.0).incidents == 1
    assert audited([], [OUTAGE], 10.0, 5.0).seconds == 0.0


def test_rates() -> None:
    found = Audit(alarms=8, right=6, incidents=5, found=3, delays=(10.0, 0.0, 40.0), seconds=MONTH_SECONDS / 2)
    assert found.precision == 0.75
    assert found.recall == 0.6
    assert found.median_delay_seconds == 10.0
    assert found.false_per_month == 4.0


def test_of_nothing_there_are_no_rates() -> None:
    found = audited([], [], 0.0, 0.0)
    assert (found.precision, found.recall, found.median_delay_seconds, found.false_per_month) == (None,) * 4


def test_series_are_added_up() -> None:
    one = Audit(2, 1, 3, 1, (5.0,), 100.0)
    other = Audit(1, 1, 1, 1, (7.0,), 50.0)
    assert one + other == Audit(3, 2, 4, 2, (5.0, 7.0), 150.0)
