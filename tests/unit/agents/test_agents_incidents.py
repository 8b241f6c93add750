"""If this failed, alerts that belong together would be several incidents, or one would never be over."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from stream_lineage.agents.alert_points import alert_points
from stream_lineage.agents.alerts import Alert, Place, alert
from stream_lineage.agents.incident_life import AlertRead, Standing, alert_read
from stream_lineage.agents.incident_watch import IncidentWatch, Portion
from stream_lineage.detect.expectations import FieldExpectation, TopicExpectation
from stream_lineage.detect.window import FieldWindow, Window
from stream_lineage.errors import DecodeError
from stream_lineage.model.finding import Finding, Phase, SchemaChange, Severity
from stream_lineage.model.schema_files import schema_text

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATHS = {
    "raw": {"clean", "scores", "left", "right"}, "clean": {"raw", "scores"}, "scores": {"raw", "clean"}, "other": set(),
    "left": {"raw"}, "right": {"raw"},
}  # fmt: skip
VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_text("incident.schema.json")))


def read(
    topic: str, seconds: float, phase: Phase | None = "open", severity: Severity = Severity.CRITICAL, kind: str = "mean"
) -> AlertRead:
    fingerprint = hashlib.sha256(f"{kind}{topic}".encode()).hexdigest()[:32]
    finding = Finding(
        kind, severity, topic, "amount", f"{topic}: {kind} is off", fingerprint,
        {0: 5}, phase=phase, changes=(SchemaChange(kind, "ctr", "1", "2"),),
    )  # fmt: skip
    made = alert(finding, "anomaly", Place(f"{topic}{seconds}", "lab", NOW + timedelta(seconds=seconds)), "http://ui")
    return alert_read(made.value, made.event_id)


def standing(of: AlertRead) -> Standing:
    return Standing(of.topic, frozenset(PATHS[of.topic]))


class World:
    """A table, a clock, and what was published."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()
        self.rows: dict[bytes, bytes] = {}
        self.told: list[Alert] = []
        self.offset = 0
        self.watch = self.started()

    def started(self) -> IncidentWatch:
        return IncidentWatch("lab", "http://ui", clock=lambda: self.now)

    def keep(self, outcomes: Any) -> list[dict[str, Any]]:
        found = []
        for partition, outcome in outcomes:
            assert partition == 0
            self.told += outcome.alerts
            for row in outcome.changed:
                if row.value is None:
                    del self.rows[row.key]
                else:
                    self.rows[row.key] = row.value
            found += [json.loads(each.value) for each in outcome.alerts]
        for each in found:
            VALIDATOR.validate(each)
        return found

    def read(self, *alerts: AlertRead) -> list[dict[str, Any]]:
        self.now = max(self.now, *(each.observed_at.timestamp() + 1 for each in alerts)) if alerts else self.now
        numbered = tuple((self.offset + number, each) for number, each in enumerate(alerts))
        self.offset += len(alerts)
        return self.keep(self.watch.judge([Portion("anomaly", numbered, self.offset)], standing, self.rows))

    def answer(self, verdict: str, node: str = "raw") -> list[dict[str, Any]]:
        due = self.watch.due()
        assert due is not None
        ranked = {"node": node, "metric": "mean", "field": "amount", "onset": 1.0, "onset_interval": [0, 1],
                  "confidence": 0.9, "named": verdict == "root-cause", "path": [node], "evidence": []}  # fmt: skip
        cause = {"verdict": verdict, "sentence": f"{verdict} {node}.", "ranking": [ranked], "rejected": [],
                 "affected": [], "affected_count": 0, "settle": [], "notes": []}  # fmt: skip
        related = (node,) if verdict == "root-cause" else ()
        return self.keep(self.watch.explained(due.id, cause, related, self.rows))


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_on_one_path_is_one_incident_and_what_is_not_is_another(world: World) -> None:
    [opened] = world.read(read("scores", 0))
    assert (opened["state"], opened["breach"]["metric"], opened["breach"]["node"]) == ("open", "mean", "scores")
    updated, other = world.read(read("raw", 5), read("other", 6))
    assert (updated["id"], updated["state"], updated["revision"]) == (opened["id"], "updated", 2)
    assert [each["topic"] for each in updated["alerts"]] == ["scores", "raw"]
    assert (other["state"], other["id"] != opened["id"]) == ("open", True)
    [late] = world.read(read("clean", 5 + 16 * 60))
    assert late["id"] not in (opened["id"], other["id"])
    assert world.read(read("clean", 1000, severity=Severity.INFO, kind="range")) == []


def test_the_cause_comes_in_time_or_people_are_told(world: World) -> None:
    world.read(read("scores", 0))
    assert world.watch.due() is None  # points of the time are still coming
    world.now += 4
    assert world.answer("inconclusive") == []
    assert world.watch.due() is None
    world.now = NOW.timestamp() + 29
    [escalated] = world.answer("inconclusive")
    assert escalated["state"] == "escalated"
    assert escalated["cause"]["verdict"] == "inconclusive"
    assert world.watch.due() is None
    # More is known: it is looked at again, and named.
    [updated] = world.read(read("raw", 60))
    assert updated["state"] == "updated"
    world.now += 4
    [found] = world.answer("root-cause")
    assert (found["state"], found["related"]) == ("root-cause", ["raw"])
    assert found["cause_after_seconds"] == pytest.approx(65, abs=0.1)
    world.now += 21
    assert world.answer("root-cause") == []  # confirmed
    assert world.watch.due() is None


def test_another_cause_that_is_found_later_is_told(world: World) -> None:
    world.read(read("scores", 0))
    world.now += 4
    assert world.answer("root-cause", "clean")[0]["state"] == "root-cause"
    world.now += 21
    [found] = world.answer("root-cause", "raw")
    assert (found["state"], found["related"]) == ("root-cause", ["raw"])


def test_the_first_bad_records_are_told_once_and_looked_for_again_when_it_comes_back(world: World) -> None:
    beyond = {"first_bad": [], "first_bad_notes": ["none"], "located": "None.", "columns": [], "consumer_groups": [],
              "replay": []}  # fmt: skip

    def placed(name: str, cause: dict[str, Any]) -> list[dict[str, Any]]:
        return world.keep(world.watch.placed(name, cause, beyond, world.rows))

    world.read(read("scores", 0))
    world.now += 4
    [known] = world.answer("root-cause")
    name, cause = known["id"], known["cause"]
    assert world.watch.unplaced(name)
    assert placed(name, {**cause, "ranking": [{**cause["ranking"][0], "node": "another"}]}) == []
    world.watch = world.started()  # and another worker goes on
    world.read()
    assert world.watch.unplaced(name)
    world.now += 4
    assert world.answer("root-cause") == []
    [told] = placed(name, cause)
    assert (told["state"], told["revision"], told["cause"]["located"]) == ("root-cause", known["revision"] + 1, "None.")
    assert not world.watch.unplaced(name)
    assert placed(name, cause) == []
    world.read(read("clean", 10))
    world.now += 4
    [again] = world.answer("root-cause")
    assert again["cause"]["located"] == "None."  # it is the same cause
    world.read(read("scores", 20, "close"), read("clean", 20, "close"))
    world.now += 100
    [over] = world.read()
    assert over["state"] == "resolved"
    [back] = world.read(read("scores", 200))
    assert (back["state"], "located" in back["cause"]) == ("reopened", False)
    assert world.watch.unplaced(name)


def test_what_is_told_and_kept_is_never_larger_than_a_message(world: World) -> None:
    bad = {"cause": "raw", "topic": "raw", "partition": 0, "offset": 3, "exact": True, "first": 3, "last": 3,
           "by": "values", "timestamp": None, "why": "w"}  # fmt: skip
    beyond = {"first_bad": [bad] * 20_000, "first_bad_notes": [], "located": "", "columns": [], "consumer_groups": [],
              "replay": []}  # fmt: skip
    world.read(read("scores", 0))
    world.now += 4
    [known] = world.answer("root-cause")
    [told] = world.keep(world.watch.placed(known["id"], known["cause"], beyond, world.rows))
    assert 0 < len(told["cause"]["first_bad"]) < 20_000
    assert "of first_bad" in told["cause"]["notes"][-1]
    assert max(len(each) for each in [*world.rows.values(), *(each.value for each in world.told)]) < 1_000_000
    world.watch = world.started()  # what was kept is enough for another worker
    world.now += 30
    assert [each["state"] for each in world.read(read("clean", 40))] == ["updated"]


def test_two_that_turn_out_to_be_one_are_one_by_an_alert_of_both(world: World) -> None:
    [left], [right] = world.read(read("left", 0)), world.read(read("right", 1, severity=Severity.WARNING))
    assert left["id"] != right["id"]
    _, closed, one = world.read(read("raw", 5))
    assert (closed["id"], closed["state"], closed["merged_into"]) == (right["id"], "resolved", left["id"])
    assert (one["id"], one["state"], one["merged_into"]) == (left["id"], "updated", None)
    assert [each["topic"] for each in one["alerts"]] == ["left", "raw", "right"]
    assert one["severity"] == "critical"
    world.now += 4
    assert world.answer("root-cause")[0]["id"] == left["id"]
    assert world.watch.due() is None  # nobody asks about the other one any more
    world.watch = world.started()  # and another worker goes on
    [graver] = world.read(read("right", 60))
    assert (graver["id"], graver["alerts"][2]["severity"]) == (left["id"], "critical")
    world.read(*(read(each, 70, "close") for each in ("left", "raw", "right")))
    world.now += 100
    [over] = world.read()
    assert (over["id"], over["state"]) == (left["id"], "resolved")
    [back] = world.read(read("right", 300))
    assert (back["id"], back["state"]) == (left["id"], "reopened")
    assert len({each.event_id for each in world.told}) == len(world.told)


def test_two_that_broke_by_something_else_stay_two_where_both_lead_to_an_alert(world: World) -> None:
    [left], [right] = world.read(read("left", 0)), world.read(read("right", 1))
    world.now += 4
    world.answer("root-cause", node="left")
    world.answer("root-cause", node="right")
    [joined] = world.read(read("raw", 6))
    assert (joined["id"], [each["topic"] for each in joined["alerts"]]) == (left["id"], ["left", "raw"])
    world.now += 4
    [known] = world.answer("root-cause", node="left")
    assert (known["id"], known["merged_into"]) == (left["id"], None)
    [still] = world.read(read("right", 30, "close"))
    assert (still["id"], still["cause"]["ranking"][0]["node"]) == (right["id"], "right")


def test_two_that_turn_out_to_be_one_are_one_by_what_broke_first(world: World) -> None:
    [left], [right] = world.read(read("left", 0)), world.read(read("right", 1))
    [other] = world.read(read("other", 2))
    world.now += 4
    [known] = world.answer("root-cause")
    assert (known["id"], known["state"]) == (left["id"], "root-cause")
    second = world.answer("root-cause")
    assert [(each["id"], each["state"], each["merged_into"]) for each in second] == [
        (right["id"], "root-cause", None), (right["id"], "resolved", left["id"]), (left["id"], "root-cause", None),
    ]  # fmt: skip
    assert [each["topic"] for each in second[-1]["alerts"]] == ["left", "right"]
    [apart] = world.answer("root-cause", node="other")
    assert (apart["id"], apart["state"]) == (other["id"], "root-cause")


def test_it_is_over_a_minute_after_all_of_it_and_comes_back(world: World) -> None:
    [opened] = world.read(read("scores", 0))
    world.read(read("raw", 5))
    world.read(read("scores", 60, "close"))
    world.now += 3600
    assert world.read() == []
    world.read(read("raw", 3700, "close"))
    assert world.read() == []
    world.now = NOW.timestamp() + 3761
    [over] = world.read()
    assert (over["state"], over["id"]) == ("resolved", opened["id"])
    assert over["resolved_at"] is not None
    [again] = world.read(read("raw", 4000))
    assert (again["state"], again["id"], again["reopened"]) == ("reopened", opened["id"], 1)
    world.read(read("raw", 4100, "close"))
    world.now += 61
    assert world.read()[0]["state"] == "resolved"
    world.now += 3 * 3600
    assert world.read() == []
    assert not [key for key in world.rows if key.startswith(b"incident/")]
    [new] = world.read(read("raw", 20_000))
    assert new["id"] != opened["id"]


def test_what_happens_at_a_moment_is_over_by_itself(world: World) -> None:
    [opened] = world.read(read("raw", 0, None, kind="schema-drift"))
    assert opened["breach"]["metric"] is None
    world.now += 29 * 60
    assert world.read() == []
    world.now += 3 * 60
    assert world.read()[0]["state"] == "resolved"


def test_what_is_measured_is_explained_where_a_schema_opened_it(world: World) -> None:
    world.read(read("raw", 0, None, kind="schema-drift"))
    [joined] = world.read(read("scores", 5))
    assert joined["breach"] == {"node": "scores", "metric": "mean", "field": "amount", "at": "2026-03-01T12:00:05.000Z"}
    assert read("scores", 0, kind="pushed-metric").metric == "ctr"


def test_another_worker_goes_on_under_the_same_ids(world: World) -> None:
    first = [read("scores", 0), read("raw", 5)]
    world.read(first[0])
    before = dict(world.rows)
    told = world.read(first[1])
    ids = [each.event_id for each in world.told]
    # What it told was not noted any more: the next worker reads the alert again.
    world.rows, world.offset, world.watch = before, world.offset - 1, world.started()
    assert world.read(first[1]) == told
    assert [each.event_id for each in world.told] == [*ids, ids[-1]]
    # It explains what nobody has explained.
    world.watch = world.started()
    world.read()
    world.now += 4
    assert world.answer("root-cause")[0]["id"] == told[0]["id"]
    # What was taken in is not taken in again.
    world.watch = world.started()
    assert (
        world.keep(world.watch.judge([Portion("anomaly", ((0, first[0]), (1, first[1])), 2)], standing, world.rows))
        == []
    )


def test_old_alerts_open_nothing(world: World) -> None:
    world.now += 2 * 3600
    assert world.read(read("raw", 0)) == []
    assert b"incident-offset/anomaly" in world.rows


def test_each_state_is_a_point(world: World) -> None:
    world.read(read("scores", 0))
    world.now += 4
    world.answer("root-cause")
    opened, found = alert_points(world.told)
    assert opened.measurement == "lineage_incident"
    assert opened.tags == {
        "cluster": "lab",
        "incident": found.tags["incident"],
        "kind": "mean",
        "state": "open",
        "severity": "critical",
    }
    assert (opened.fields["named"], opened.fields["age_seconds"], found.fields["named"]) == (0, 0.0, 1)
    assert opened.time < found.time
    assert "detect_seconds" not in opened.fields
    assert found.fields["detect_seconds"] == NOW.timestamp() - 1.0  # the answer's onset
    assert (found.fields["cause_metric"], found.fields["first_topic"]) == ("mean", "scores")
    assert (found.tags["state"], found.fields["cause"], found.fields["cause_after_seconds"]) == (
        "root-cause",
        "raw",
        5.0,
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"topic": ""}, {"topic": "a\nb"}, {"severity": "huge"}, {"observed_at": "today"}, {"job": ""},
        {"field_path": "a" * 1_001}, {"kind": "a" * 1_001},
    ],
)  # fmt: skip
def test_what_is_no_alert_is_left_out(changed: dict[str, str]) -> None:
    finding = Finding("mean", Severity.WARNING, "raw", None, "off", "f" * 32, {})
    made = alert(finding, "anomaly", Place("1", "lab", NOW), "http://ui")
    assert alert_read(made.value, made.event_id).topic == "raw"
    with pytest.raises(DecodeError):
        alert_read(json.dumps({**json.loads(made.value), **changed}).encode(), made.event_id)


def test_a_declared_expectation_is_explained_by_its_metric() -> None:
    declared = TopicExpectation(
        rows_deviation=0.1,
        schema_hashes=frozenset({"a" * 64}),
        fields={"amount": FieldExpectation(0.02, 0.0, low=0.0, high=10.0, values=frozenset("A"))},
    )
    field = FieldWindow("amount", 100, 50, 10, low=-1.0, high=11.0, items={"=B": 40})
    window = Window("lab", "orders", 0.0, 10.0, records=100, schemas=("b" * 64,), fields=(field,))
    found = {}
    for name, unmet in declared.unmet(window, 200.0).items():
        assert unmet is not None
        change = SchemaChange("expectation", unmet.path or "", unmet.expected, unmet.actual)
        finding = Finding(
            "expectation", Severity.CRITICAL, "orders", unmet.path, "off", "f" * 32, {}, changes=(change,)
        )
        made = alert(finding, "anomaly", Place("1", "lab", NOW), "http://ui")
        found[name] = alert_read(made.value, made.event_id).metric
    assert found == {
        "rows": "records", "schema": None, "null ratio amount": "null_ratio", "missing ratio amount": "missing_ratio",
        "min amount": "min", "max amount": "max", "in amount": "distinct",
    }  # fmt: skip
