"""If this failed, the demo would show another cause than the incident's, or another way back than the plan's."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stream_lineage.agents.alert_rules import read_alert_rules
from stream_lineage.agents.incident_watch import incident_message
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident as Told
from stream_lineage.model.incident import IncidentBreach, IncidentState, Member
from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.incident import Incident
from stream_lineage.sandbox.demo.picture import incident_lines, message_lines, plan_lines
from stream_lineage.sandbox.demo.roles import alert_rules
from stream_lineage.sandbox.demo.scenarios import DROP, SCENARIOS, Scenario
from stream_lineage.sandbox.demo.watch import Watch
from stream_lineage.sandbox.demo.way_back import Plan, arguments

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NODE = "dataset:kafka://lab/customers"


class Message:
    def __init__(self, value: bytes) -> None:
        self._value = value

    def value(self) -> bytes:
        return self._value


def read(cause: dict[str, Any] | None) -> Incident:
    """As the agents write it, as the demo reads it."""
    member = Member(
        "f" * 32, "e", "null-ratio", Severity.CRITICAL, "customers", "country", None, NODE, "nulls", AT, AT, once=False
    )
    told = Told(
        "a" * 32, IncidentState.ROOT_CAUSE if cause else IncidentState.OPEN, 3, Severity.CRITICAL, AT, AT,
        IncidentBreach(NODE, "null_ratio", "country", AT), (member,), cause, 4.5, (NODE,),
    )  # fmt: skip
    message: Any = Message(incident_message(told, "lab", "http://ui").value)
    return Incident.from_message(message)


def named(**changed: Any) -> dict[str, Any]:
    ranked = {
        "node": "customers", "metric": "null_ratio", "field": "country", "onset": 1.0, "onset_interval": [0.0, 1.0],
        "confidence": 0.8, "named": True, "path": ["customers", "features"], "evidence": ["it is at 0.6, usual was 0"],
    }  # fmt: skip
    return {
        "verdict": "root-cause", "sentence": "customers broke.", "ranking": [ranked, {**ranked, "named": False}],
        "rejected": [], "affected": [{"node": "features", "kind": "dataset", "hops": 1}], "affected_count": 1,
        "settle": [], "notes": [], **changed,
    }  # fmt: skip


def test_an_incident_is_read_as_it_was_written() -> None:
    incident = read(named())
    assert (incident.id, incident.state, incident.revision) == ("a" * 32, "root-cause", 3)
    assert incident.fingerprints == {"f" * 32}
    [cause] = incident.causes
    assert (cause.node, cause.metric, cause.field, cause.confidence) == ("customers", "null_ratio", "country", 0.8)
    lines = [line.plain for line in incident_lines(incident, {})]
    assert lines == [
        "customers broke.",
        "broke first   customers  null_ratio of country, confidence 0.80",
        "way           customers > features",
        "  it is at 0.6, usual was 0",
        "also hit      features",
    ]
    assert any("customers (null_ratio of country)" in line.plain for line in message_lines(incident, "http://ui"))


def test_first_bad_records_stand_beside_what_was_acknowledged() -> None:
    found = [
        {"topic": "customers", "partition": 0, "offset": 5, "exact": True},
        {"topic": "customers", "partition": 1, "offset": None, "exact": False},
        {"topic": "features", "partition": 0, "offset": 9, "exact": True},
    ]
    incident = read(named(first_bad=found))
    assert incident.first_bad == {0: 5}
    assert incident.located
    assert not read(named()).located
    unsaid = read(named(first_bad=[], first_bad_notes=["no record is bad by itself"], located="None is bad by itself."))
    assert "first bad     None is bad by itself." in [line.plain for line in incident_lines(unsaid, {})]
    shown = [line.plain.split() for line in incident_lines(incident, {0: 6})]
    assert ["partition", "0", "5", "acknowledged", "to", "the", "producer", "at", "6", "DIFFERENT"] in shown


def test_what_is_not_known_yet_is_said() -> None:
    incident = read(None)
    assert incident.causes == ()
    assert [line.plain for line in incident_lines(incident, {})] == ["What broke first is sought."]
    unknown = read(named(ranking=[], sentence="Nobody knows.", settle=["Metrics of it."], affected=[]))
    assert [line.plain for line in incident_lines(unknown, {})] == ["Nobody knows.", "to settle it  Metrics of it."]


def test_a_plan_shows_what_is_read_again() -> None:
    partition = {"topic": "customers", "partition": 1, "committed": 90, "target": 70, "again": 20}
    stays = {**partition, "partition": 2, "target": None, "again": 0}
    document = {
        "groups": [
            {"group": "builder", "partitions": [{**partition, "verdict": "reset"}, {**stays, "verdict": "gone"}]}
        ],
        "notes": ["so"],
    }  # fmt: skip
    [line] = plan_lines(Plan.of(document))
    assert line.plain.split() == ["builder", "customers[1]", "90", "->", "70", "reads", "20", "again"]
    assert "nothing is to be reset" in plan_lines(Plan())[0].plain
    assert plan_lines(Plan(failed="no broker"))[0].plain == "no plan: no broker"
    many = Plan(Plan.of(document).rows * 12)
    assert plan_lines(many)[-1].plain == "and 3 partitions more"


def test_the_plan_is_asked_for_from_the_first_bad_offsets_on() -> None:
    asked = list(arguments("customers", {1: 7, 0: 5}, "h:1", Path("/i")))
    assert asked[:4] == ["replay", "customers", "0:5", "1:7"]
    assert "--execute" not in asked


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda each: each.name)
def test_the_service_takes_the_rules_that_the_demo_writes(scenario: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps(alert_rules(AT, scenario)))
    rules = read_alert_rules(path)
    assert {each.topic for each in rules.deploys} == {"predictions"} | ({"clicks"} if scenario is DROP else set())
    assert set(rules.expected()) == ({"clicks"} if scenario is DROP else set())
    latest = max(each.until for each in rules.deploys)
    assert latest - AT < timedelta(seconds=scenario.healthy_seconds) or scenario is not DROP, "the fault is told of"


def test_what_is_over_or_was_told_before_is_not_about_the_fault() -> None:
    watch = Watch("127.0.0.1:1")
    told = [metric(1.0, "open"), metric(2.0, "close"), metric(3.0, "open")]
    watch._alerts.extend(told)
    assert watch.alerts() == (told[0], told[2])
    assert watch.alerts(1.5) == (told[2],)


def metric(arrived: float, phase: str) -> Alert:
    return Alert("i", "f", "throughput", "warning", "clicks", None, phase, "fewer", None, (), {}, arrived)
