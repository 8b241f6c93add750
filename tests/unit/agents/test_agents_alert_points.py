"""If this failed, alerts would be missing in Grafana, counted twice after a crash, or blow up the number of series."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from stream_lineage.agents.alert_points import MAX_SUMMARY, alert_points
from stream_lineage.agents.alerts import Alert, Place, alert
from stream_lineage.model.finding import Finding, Severity

AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)


def told(place: str = "somewhere", **other: Any) -> Alert:
    values: dict[str, Any] = {
        "kind": "null-ratio",
        "severity": Severity.WARNING,
        "topic": "clicks",
        "field_path": "age",
        "summary": "clicks: age is null more often",
        "fingerprint": "f" * 32,
        "first_offsets": {0: 7},
        "phase": "open",
        "score": 0.5,
    }
    return alert(Finding(**{**values, **other}), "anomaly", Place(place, "broker:9092", AT), "http://ui")


def test_a_point_says_what_the_alert_says() -> None:
    made = told()
    [point] = alert_points([made])

    assert point.measurement == "lineage_alert"
    assert point.tags == {
        "cluster": "broker:9092", "topic": "clicks", "field": "age", "kind": "null-ratio", "severity": "warning",
        "phase": "open", "fingerprint": "f" * 32,
    }  # fmt: skip
    assert point.fields == {
        "alerts": 1, "score": 0.5, "summary": "clicks: age is null more often", "url": f"http://ui/alerts/{'f' * 32}",
        "event_id": made.event_id,
    }  # fmt: skip
    assert timedelta(0) <= point.time - AT < timedelta(milliseconds=1)


def test_what_an_alert_does_not_have_is_left_out() -> None:
    [point] = alert_points([told(field_path=None, phase=None, score=None, job="scorer")])

    assert point.tags["phase"] == "once"
    assert point.tags["job"] == "scorer"
    assert "field" not in point.tags
    assert "score" not in point.fields


def test_the_same_alert_is_the_same_point_and_another_one_is_another() -> None:
    def place(made: Alert) -> tuple[Any, ...]:
        [point] = alert_points([made])
        return tuple(sorted(point.tags.items())), point.time

    one = told()
    assert place(one) == place(dataclasses.replace(one))
    others = [told(f"elsewhere {n}") for n in range(5)]  # of the same problem within one millisecond
    assert len({place(each) for each in [one, *others]}) == 6


def test_tags_are_bounded_and_summaries_too() -> None:
    points = alert_points(told(f"place {n}", summary="x" * 5000, first_offsets={0: n}) for n in range(50))

    assert len({tuple(sorted(point.tags.items())) for point in points}) == 1
    assert {len(str(point.fields["summary"])) for point in points} == {MAX_SUMMARY}
