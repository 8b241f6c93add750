"""If this failed, deploys would not be marked in Grafana, or InfluxDB would be sent points that it must refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from stream_lineage.agents.alert_rules import AlertRules
from stream_lineage.agents.deploy_points import DeployPoints

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rules(*begins: timedelta, reason: str = "") -> AlertRules:
    windows = [
        {"topic": f"orders-{n}*", "from": NOON + begin, "to": NOON + begin + timedelta(hours=1), "reason": reason}
        for n, begin in enumerate(begins)
    ]
    return AlertRules.model_validate({"deploys": windows})


def test_a_window_is_a_point_once_it_has_begun() -> None:
    now = [NOON]
    deploys = DeployPoints(
        rules(timedelta(minutes=-5), timedelta(minutes=5)).deploys, "c", timedelta(days=1), lambda: now[0]
    )

    [first] = deploys.due()
    assert (first.measurement, first.time) == ("lineage_deploy", NOON - timedelta(minutes=5))
    assert first.tags == {"cluster": "c", "topic": "orders-0*"}
    assert first.fields == {"reason": "deploy", "until": "2026-03-01T12:55:00.000Z"}
    assert deploys.due() == []
    now[0] += timedelta(minutes=5)
    [second] = deploys.due()
    assert second.tags["topic"] == "orders-1*"


def test_what_the_store_would_not_keep_is_left_out() -> None:
    old = rules(timedelta(days=-2), timedelta(hours=-2), reason="release 7").deploys
    [point] = DeployPoints(old, "c", timedelta(days=1), lambda: NOON).due()

    assert point.tags["topic"] == "orders-1*"
    assert point.fields["reason"] == "release 7"
