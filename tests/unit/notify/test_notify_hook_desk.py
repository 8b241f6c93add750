"""If this failed, a hook would do something twice, that nobody asked for, or without a trace."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stream_lineage.notify.hook_desk import NEWS, Act, Done, HookDesk
from stream_lineage.notify.hook_record import ActionRecord, ActionState, action_from
from stream_lineage.notify.hook_rules import Hooks
from stream_lineage.notify.sending import Heard

T0 = datetime(2026, 11, 2, 10, tzinfo=UTC)
COMMAND = {"name": "rerun", "mode": "live", "command": {"arguments": ["/bin/true"]}}
PAUSE = {"name": "pause", "mode": "live", "connect": {"connector": "sink"}}
NODE = "dataset:kafka://b/orders"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def heard(revision: int, state: str, *, name: str = "i", told: float = 0, reopened: int = 0, confidence: float = 0.9,
          severity: str = "critical", kind: str = "null-ratio") -> Heard:  # fmt: skip
    alert = {"kind": kind, "severity": severity, "node": NODE, "summary": "s"}
    named = {"node": "orders", "metric": "m", "field": None, "confidence": confidence, "named": True}
    cause = {"ranking": [named]} if state in ("root-cause", "resolved") else None
    return Heard(
        {
            "id": name, "state": state, "revision": revision, "severity": severity, "updated_at": at(told).isoformat(),
            "resolved_at": None, "reopened": reopened, "breach": {"node": NODE}, "cause": cause, "related": [NODE],
            "alerts": [alert],
        },
        f"{name}-{revision}", "kafka://b",
    )  # fmt: skip


def desk(*hooks: dict[str, Any]) -> HookDesk:
    return HookDesk(Hooks.model_validate({"hooks": hooks}), lambda nodes: ("payments",) if NODE in nodes else ())


def turn(made: HookDesk, seconds: float, done: Done | None = None) -> list[str]:
    """Do what is due; what was noted."""
    said = []
    for act in made.due(at(seconds)):
        record = made.begun(act, at(seconds))
        made.load(record)  # as it is read back
        said.append(f"{record.id} {record.state}")
        if record.state is ActionState.BEGUN:
            said.append(made.ended(act, done or Done(ok=True, result="fine"), at(seconds)).state.value)
    return said


def test_an_action_is_done_once_for_a_change_and_again_when_the_incident_comes_back() -> None:
    made = desk(COMMAND)
    made.take(heard(1, "open"))
    assert turn(made, 1) == []  # only when the cause is known
    made.take(heard(2, "root-cause"))
    assert turn(made, 2) == ["rerun/i/cause/0 begun", "done"]
    made.take(heard(3, "root-cause", told=3))
    assert turn(made, 4) == []
    made.take(heard(6, "root-cause", told=5, reopened=1))
    assert turn(made, 6) == ["rerun/i/cause/1 begun", "done"]


def test_without_being_told_that_it_is_meant_nothing_is_done() -> None:
    made = desk({key: value for key, value in COMMAND.items() if key != "mode"})
    made.take(heard(2, "root-cause"))
    assert turn(made, 2) == ["rerun/i/cause/0 dry-run"]
    assert turn(made, 3) == []


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({"nodes": ["orders"]}, True), ({"nodes": ["orders-*"]}, False), ({"owners": ["payments"]}, True),
        ({"owners": ["growth"]}, False), ({"kinds": ["null-*"]}, True), ({"kinds": ["schema-*"]}, False),
        ({"severity": "critical"}, True), ({"min_confidence": 0.9}, True), ({"min_confidence": 0.91}, False),
    ],
)  # fmt: skip
def test_only_incidents_that_are_meant_start_it(when: dict[str, Any], fits: bool) -> None:
    made = desk({**COMMAND, "when": when})
    made.take(heard(2, "root-cause"))
    assert bool(turn(made, 2)) is fits


def test_too_many_are_noted_and_left() -> None:
    made = desk({**COMMAND, "most_per_hour": 2})
    for number in range(4):
        made.take(heard(2, "root-cause", name=f"i{number}", told=number))
    noted = turn(made, 5)
    assert sum("begun" in each for each in noted) == 2
    assert sum("limited" in each for each in noted) == 2
    made.take(heard(2, "root-cause", name="later", told=3700))
    assert turn(made, 3701) == ["rerun/later/cause/0 begun", "done"]


def test_the_bound_and_what_was_done_hold_over_a_restart() -> None:
    first = desk({**COMMAND, "most_per_hour": 1})
    first.take(heard(2, "root-cause"))
    [act] = first.due(at(1))
    log = [first.begun(act, at(1)), first.ended(act, Done(ok=True, result=""), at(2))]
    second = desk({**COMMAND, "most_per_hour": 1})
    for each in log:
        second.load(action_from(each.to_bytes()))
    assert second.left_over(at(3)) == []
    second.take(heard(2, "root-cause"))
    second.take(heard(2, "root-cause", name="other"))
    assert turn(second, 3) == ["rerun/other/cause/0 limited"]


@pytest.mark.parametrize(("hook", "again"), [(COMMAND, False), (PAUSE, True)])
def test_what_a_worker_that_is_gone_began_is_not_done_again_unless_that_is_no_harm(
    hook: dict[str, Any], again: bool
) -> None:
    first = desk(hook)
    first.take(heard(2, "root-cause"))
    [act] = first.due(at(1))
    begun = first.begun(act, at(1))
    second = desk(hook)
    second.load(begun)
    assert [each.state for each in second.left_over(at(2))] == [ActionState.LATER if again else ActionState.UNKNOWN]
    second.take(heard(2, "root-cause"))
    assert bool(turn(second, 3)) is again


@pytest.mark.parametrize("order", [*itertools.permutations(["begun by a", "begun by b", "done by a"])])
def test_of_all_that_was_noted_of_an_action_one_begin_counts(order: tuple[str, ...]) -> None:
    """Whoever reads the notes in whatever order they have: the first one that begins, before any end."""
    begun = {by: ActionRecord("run", "i", "cause", 0, ActionState.BEGUN, at(1), "", "", by=by) for by in "ab"}
    done = replace(begun["a"], state=ActionState.DONE)
    noted = {"begun by a": begun["a"], "begun by b": begun["b"], "done by a": done}
    claims = []
    for by, record in begun.items():
        made = desk(COMMAND)
        made.by = by
        for name in order[: order.index(f"begun by {by}") + 1]:
            made.load(noted[name])
        claims += [by] if made.claimed(record) else []
    assert claims == {"begun": [order[0][-1]], "done ": []}[order[0][:5]]


def test_a_worker_does_not_begin_what_another_one_does() -> None:
    mine, other = desk(COMMAND), desk(COMMAND)
    mine.by, other.by = "mine", "other"
    for each in (mine, other):
        each.take(heard(2, "root-cause"))
    [act] = other.due(at(1))
    mine.load(other.begun(act, at(1)))
    assert list(mine.due(at(2))) == []
    mine.load(other.ended(act, Done(ok=False, result="rebalancing", again=True), at(3)))
    assert [each.record.id for each in mine.due(at(9))] == [act.record.id]


def test_what_was_noted_and_not_read_back_may_be_begun_again_by_the_same_worker() -> None:
    made = desk(COMMAND)
    made.by = "me"
    made.take(heard(2, "root-cause"))
    [act] = made.due(at(1))
    noted = made.begun(act, at(1))
    made.let_go(act)  # Kafka did not answer
    made.load(noted)
    [again] = made.due(at(2))
    record = made.begun(again, at(2))
    made.load(record)
    assert made.claimed(record)


def test_what_could_not_be_done_is_tried_again_until_it_is_old() -> None:
    made = desk(PAUSE)
    made.take(heard(2, "root-cause"))
    away = Done(ok=False, result="rebalancing", again=True)
    now, states = 1.0, []
    while now < NEWS.total_seconds() + 600:
        states += turn(made, now, away)[1:]
        now += 1
    assert set(states[:-1]) == {"later"}
    assert states[-1] == "failed"
    assert made.counts["pause", "failed"] == 1


@pytest.mark.parametrize(
    ("hook", "done", "state"),
    [
        (COMMAND, Done(ok=False, result="exit code 1"), "failed"),
        (COMMAND, Done(ok=False, result="x", unsure=True), "unknown"),
        (PAUSE, Done(ok=False, result="x", unsure=True), "later"),
        (PAUSE, Done(ok=False, result="404"), "failed"),
        (PAUSE, Done(ok=False, result="429", again=True, wait_seconds=5000), "failed"),
    ],
)
def test_how_an_action_may_end(hook: dict[str, Any], done: Done, state: str) -> None:
    made = desk(hook)
    made.take(heard(2, "root-cause"))
    assert turn(made, 1, done)[1] == state


def test_what_is_old_starts_nothing() -> None:
    made = desk(COMMAND)
    made.take(heard(2, "root-cause"))
    assert turn(made, NEWS.total_seconds() + 1) == []


def test_a_hook_does_one_thing_at_a_time() -> None:
    made = desk(COMMAND, PAUSE)
    for name in ("a", "b"):
        made.take(heard(2, "root-cause", name=name))
    begun: list[Act] = []
    for act in made.due(at(1)):
        made.begun(act, at(1))
        begun.append(act)
    assert sorted(act.hook.name for act in begun) == ["pause", "rerun"]
    assert list(made.due(at(2))) == []
    made.let_go(begun[0])
    assert [act.hook.name for act in made.due(at(2))][:1] == [begun[0].hook.name]


def test_a_record_comes_back_as_it_was() -> None:
    record = ActionRecord("h", "i", "cause", 1, ActionState.FAILED, at(1), "run", "critical", "exit code 1", 0.25, "me")
    assert action_from(record.to_bytes()) == record


def test_an_incident_that_became_part_of_another_is_not_over_for_a_hook() -> None:
    made = desk({**PAUSE, "name": "resume", "on": ["resolved"], "connect": {"connector": "sink", "do": "resume"}})
    merged = heard(3, "resolved", name="merged")
    made.take(Heard({**merged.document, "merged_into": "older"}, "e", "kafka://b"))
    assert turn(made, 1) == []
    made.take(heard(5, "resolved", name="older"))
    assert turn(made, 2) == ["resume/older/resolved/0 begun", "done"]
