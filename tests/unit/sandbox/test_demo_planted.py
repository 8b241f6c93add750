"""If this failed, the demo would claim to have found its fault when it was not, or deny it when it was."""

from __future__ import annotations

from typing import Any

import pytest

from stream_lineage.sandbox.demo.alert import Alert
from stream_lineage.sandbox.demo.incident import Incident
from stream_lineage.sandbox.demo.planted import cause_differences, incident_of, judge
from stream_lineage.sandbox.demo.report import Acknowledged
from stream_lineage.sandbox.demo.scenarios import DROP, LATE, NULLS, SCENARIOS, SCHEMA, UNIT_CHANGE, Scenario

BAD = {0: 205, 1: 240, 2: 254}


def alert(**changed: Any) -> Alert:
    members: dict[str, Any] = {
        "id": "1",
        "fingerprint": "f",
        "kind": "schema-drift",
        "severity": "critical",
        "topic": "customers",
        "field": "age",
        "phase": None,
        "summary": "customers: something changed",
        "verdict": "none",
        "changes": (("type-changed", "age", "int", "string"),),
        "first_offsets": dict(BAD),
        "arrived": 0.0,
    }
    return Alert(**{**members, **changed})


def test_exactly_what_was_acknowledged() -> None:
    verdict = judge(SCHEMA, BAD, [alert()])
    assert verdict.exact
    assert verdict.matches == (0, 1, 2)
    assert verdict.differences == ()


def test_an_update_holds_all_that_is_known() -> None:
    first = alert(first_offsets={1: 240})
    assert not judge(SCHEMA, BAD, [first]).exact
    assert judge(SCHEMA, BAD, [first, alert(id="2")]).exact
    assert judge(SCHEMA, BAD, [first, alert(id="2")]).alert == alert(id="2")


NOBODY = "no alert says that customer.age turns from int to string"
# number, what was acknowledged, the alerts, what must be said
TABLE: list[tuple[int, dict[int, int], list[Alert], str]] = [
    (1, BAD, [], NOBODY),
    (2, BAD, [alert(first_offsets={0: 205, 1: 240})], "partition 2: the first bad record is at 254"),
    (3, BAD, [alert(first_offsets={**BAD, 1: 241})], "partition 1: the alert says 241, the first bad record is at 240"),
    (4, BAD, [alert(first_offsets={**BAD, 1: 239})], "partition 1: the alert says 239, the first bad record is at 240"),
    (5, {0: 205, 1: 240}, [alert()], "no bad record was acknowledged in partition 2"),
    (6, BAD, [alert(topic="clicks")], NOBODY),
    (7, BAD, [alert(kind="mixed-versions")], NOBODY),
    (
        8,
        BAD,
        [alert(changes=(("type-changed", "age", "int", "long"),))],
        NOBODY,
    ),
    (9, BAD, [alert(), alert(fingerprint="g", topic="clicks")], "an alert about schemas that nothing explains"),
    (10, BAD, [alert(), alert(fingerprint="g")], "under another fingerprint"),
    (11, {}, [alert()], "partition 0: the alert says 205, but no bad record was acknowledged"),
]


@pytest.mark.parametrize(("number", "acknowledged", "alerts", "said"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_what_differs_is_said(number: int, acknowledged: dict[int, int], alerts: list[Alert], said: str) -> None:
    verdict = judge(SCHEMA, acknowledged, alerts)
    assert not verdict.exact
    assert any(said in difference for difference in verdict.differences), verdict.differences


def test_a_wrong_offset_is_no_match() -> None:
    assert judge(SCHEMA, BAD, [alert(first_offsets={**BAD, 1: 239})]).matches == (0, 2)


def test_jobs_reports_are_told_from_their_other_output() -> None:
    reported = Acknowledged("customers", 2, 4711)
    assert Acknowledged.from_line(reported.line()) == reported
    assert Acknowledged.from_line("%4|1795377174.144|GETPID|crm-sync#producer-1| ...") is None
    assert Acknowledged.from_line('{"event": "something"}') is None


def metric_alert(scenario: Scenario, **changed: Any) -> Alert:
    """Of the scenario's fault, as it is told where nothing is wrong with the telling."""
    members = {
        "kind": min(scenario.alerts), "topic": scenario.topic.name, "field": scenario.field, "phase": "open",
        "changes": (), "verdict": None, **changed,
    }  # fmt: skip
    return alert(**members)


@pytest.mark.parametrize("scenario", [NULLS, DROP, UNIT_CHANGE, LATE], ids=lambda each: each.name)
def test_a_metric_is_told_from_the_window_on_in_which_it_began(scenario: Scenario) -> None:
    real = dict.fromkeys(range(scenario.topic.partitions), 100) if scenario.marked else {}
    before = dict.fromkeys(range(scenario.topic.partitions), 96)
    assert judge(scenario, real, [metric_alert(scenario, first_offsets=before)]).exact
    for wrong in ({"topic": "features"}, {"field": "age"}, {"kind": "out-of-order-ratio"}):
        assert judge(scenario, real, [metric_alert(scenario, first_offsets=before, **wrong)]).alert is None
    unsent = judge(scenario, {0: 100}, [metric_alert(scenario, first_offsets=before)])
    assert unsent.exact is not scenario.marked
    effect = metric_alert(scenario, first_offsets=before, fingerprint="g", topic="features")
    assert judge(scenario, real, [effect, metric_alert(scenario, first_offsets=before)]).besides == (effect,)


def incident(
    scenario: Scenario, number: int = 1, *causes: dict[str, Any], alerts: tuple[str, ...] = ("f",)
) -> Incident:
    ranking = [{"node": scenario.topic.name, "metric": min(scenario.metrics, default="mean"), "field": scenario.field,
                "confidence": 0.9, "path": [scenario.topic.name], "named": True,
                "evidence": ["schema-drift at customers"], **each} for each in causes]  # fmt: skip
    cause = {"ranking": ranking, "sentence": "so it is"}
    return Incident("i", "root-cause", number, {"cause": cause, "alerts": [{"fingerprint": f} for f in alerts]}, 0.0)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda each: each.name)
def test_a_cause_is_right_by_node_field_and_metric(scenario: Scenario) -> None:
    assert cause_differences(scenario, incident(scenario, 1, {})) == []
    assert cause_differences(scenario, incident(scenario)) == ["no cause is named: so it is"]
    assert cause_differences(scenario, incident(scenario, 1, {"named": False}))
    for wrong in ({"node": "features"}, {"field": "other"}):
        assert cause_differences(scenario, incident(scenario, 1, wrong))
    assert bool(cause_differences(scenario, incident(scenario, 1, {"metric": "other"}))) is (scenario is not SCHEMA)
    assert cause_differences(scenario, incident(scenario, 1, {}, {"node": "predictions"})) == [
        "predictions is named too"
    ]


def test_a_schema_is_no_cause_without_its_change() -> None:
    assert cause_differences(SCHEMA, incident(SCHEMA, 1, {"evidence": ["mean is far off"]}))


def test_the_incident_is_the_newest_revision_of_the_one_with_the_planted_alert() -> None:
    wrong = incident(SCHEMA, 1, {"node": "features"})
    right = incident(SCHEMA, 2, {})
    assert incident_of(SCHEMA, [wrong], [alert()]) == wrong
    assert incident_of(SCHEMA, [right, wrong], [alert()]) == right
    assert incident_of(SCHEMA, [incident(SCHEMA, 3, {}, alerts=("g",))], [alert()]) is None
    assert incident_of(SCHEMA, [right], []) is None
