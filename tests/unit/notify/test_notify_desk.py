"""If this failed, people would hear of an incident twice, of its end never, or of old ones when a target is added."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stream_lineage.notify.delivery import Delivery, DeliveryState, delivery_from
from stream_lineage.notify.desk import KEPT, NEWS, Desk
from stream_lineage.notify.sending import Heard, Later, Letter, Outcome, Refused, Sent
from stream_lineage.notify.targets import Notifications, Target

T0 = datetime(2026, 11, 2, 10, tzinfo=UTC)
WEBHOOK = {"name": "hook", "kind": "webhook", "url": "https://a.example/", "pause_seconds": 0}
SLACK = {"name": "chat", "kind": "slack", "channel": "C1", "token": {"env": "T"}, "pause_seconds": 2}
INCOMING = {"name": "in", "kind": "slack-webhook", "url": {"env": "U"}, "pause_seconds": 0}
Pair = tuple[Target, Letter]


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def heard(revision: int, state: str, *, name: str = "i", opened: float = 0, over: float | None = None) -> Heard:
    alert = {"kind": "null-ratio", "severity": "critical", "node": "dataset:kafka://b/scores", "summary": "s"}
    document = {
        "id": name, "state": state, "revision": revision, "severity": "critical", "opened_at": at(opened).isoformat(),
        "updated_at": at(opened).isoformat(), "resolved_at": None if over is None else at(over).isoformat(),
        "breach": {"node": alert["node"]}, "cause": None, "related": [], "alerts": [alert],
    }  # fmt: skip
    return Heard(document, f"{name}-{revision}", "kafka://b")


def desk(*targets: dict[str, Any], since: float = -10, **file: Any) -> Desk:
    found = Notifications.model_validate({"targets": targets, **file})
    return Desk(found, lambda _: (), timedelta(days=3), at(since), chance=lambda: 1.0)


def sent(made: Desk, seconds: float, outcome: Outcome | None = None) -> list[str]:
    """Send what is due; whose it was, and of which revision."""
    said = []
    for parcel in made.due(at(seconds)):
        letter = parcel.letter
        made.begun(parcel, at(seconds))
        made.ended(parcel, outcome or Sent({"ts": "1"}), at(seconds))
        said.append(f"{parcel.name} {letter.heard.id}-{letter.heard.revision} {letter.event}")
    return said


def test_each_change_is_told_once_and_only_the_newest() -> None:
    made = desk(WEBHOOK)
    made.take(heard(1, "open"))
    assert sent(made, 1) == ["hook i-1 opened"]
    assert sent(made, 2) == []
    made.take(heard(2, "updated"))
    made.take(heard(3, "root-cause"))
    made.take(heard(2, "updated"))
    assert sent(made, 3) == ["hook i-3 cause"]
    made.take(heard(4, "resolved", over=60))
    assert sent(made, 61) == ["hook i-4 resolved"]
    made.take(heard(5, "reopened"))
    assert sent(made, 70) == ["hook i-5 reopened"]


def test_what_comes_during_a_pause_is_told_together_after_it() -> None:
    made = desk(SLACK)
    made.take(heard(1, "open"))
    assert sent(made, 1) == ["chat i-1 opened"]
    made.take(heard(2, "updated"))
    assert sent(made, 2.5) == []
    made.take(heard(3, "root-cause"))
    assert sent(made, 3.1) == ["chat i-3 cause"]


def test_a_change_keeps_the_reference_of_the_message_that_is_there() -> None:
    made = desk(SLACK)
    made.take(heard(1, "open"))
    sent(made, 1, Sent({"channel": "C", "ts": "7"}))
    made.take(heard(2, "root-cause"))
    [(_, letter)] = made.due(at(10))
    assert letter.reference == {"channel": "C", "ts": "7"}


def test_an_incoming_webhook_tells_of_the_opening_with_its_cause_and_of_the_end() -> None:
    made = desk(INCOMING)
    made.take(heard(1, "open"))
    assert sent(made, 10) == []  # waits for the cause
    made.take(heard(2, "root-cause"))
    assert sent(made, 11) == ["in i-2 cause"]
    made.take(heard(3, "root-cause"))
    made.take(heard(4, "updated"))
    assert sent(made, 30) == []
    made.take(heard(5, "resolved", over=90))
    assert sent(made, 91) == ["in i-5 resolved"]


def test_an_incoming_webhook_waits_no_longer_than_it_should() -> None:
    made = desk(INCOMING)
    made.take(heard(1, "open"))
    assert sent(made, 14.9) == []
    assert sent(made, 15.1) == ["in i-1 opened"]


@pytest.mark.parametrize(
    ("told", "state", "over", "now", "since", "expected"),
    [
        ("not over, old, a target that is new", "root-cause", None, 90_000, 89_000, 1),
        ("over before the target was there", "resolved", 60, 100, 70, 0),
        ("over before it could be told", "resolved", 60, 100, -10, 1),
        ("over for too long", "resolved", 60, 60 + NEWS.total_seconds() + 1, -10, 0),
    ],
)
def test_of_what_a_target_that_never_heard_of_an_incident_is_told(
    told: str, state: str, over: float | None, now: float, since: float, expected: int
) -> None:
    made = desk(WEBHOOK, since=since)
    made.take(heard(3, state, over=over))
    assert len(sent(made, now)) == expected, told


def test_after_a_restart_nothing_is_told_again_and_what_was_begun_may_have_arrived() -> None:
    before = desk(SLACK, WEBHOOK)
    before.take(heard(1, "open"))
    kept: dict[bytes, Delivery] = {}
    for parcel in before.due(at(1)):
        begun = before.begun(parcel, at(1))
        kept[begun.key] = begun
        if parcel.name == "hook":
            ended = before.ended(parcel, Sent(), at(1))
            kept[ended.key] = ended
    after = desk(SLACK, WEBHOOK)
    for each in kept.values():
        after.load(delivery_from(each.to_bytes()))
    after.take(heard(1, "open"))
    [(target, letter)] = after.due(at(50))
    assert (target.name, letter.again) == ("chat", True)


def test_a_target_that_fails_is_tried_later_and_later_and_not_before_it_says() -> None:
    made = desk(WEBHOOK)
    made.take(heard(1, "open"))
    made.take(heard(1, "open", name="other"))
    now, pauses = 1.0, []
    for _ in range(12):
        assert len(sent(made, now, Later("away"))) == 1
        step = 0.0
        while not made.due(at(now + step)):
            step += 0.25
        pauses.append(step)
        now += step
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(1)
    assert pauses[-1] == pytest.approx(300)
    sent(made, now, Later("busy", 1000.0))
    assert made.due(at(now + 999)) == []
    assert len(made.due(at(now + 1001))) == 1


def test_one_message_that_fails_for_ever_holds_up_no_other() -> None:
    made = desk(WEBHOOK)
    made.take(heard(1, "open", name="bad"))
    now, said = 2.0, []
    for number in range(6):
        if number == 3:  # later than the last attempt on the other one
            made.take(heard(1, "open", name="good", opened=now - 1))
        for parcel in made.due(at(now)):
            made.begun(parcel, at(now))
            name = parcel.letter.heard.id
            made.ended(parcel, Later("500") if name == "bad" else Sent(), at(now))
            said.append(name)
        now += 400
    assert said == ["bad", "bad", "bad", "good", "bad", "bad"]


def test_it_is_dead_after_days_and_a_later_change_is_tried_again() -> None:
    made = desk(WEBHOOK)
    made.take(heard(1, "open"))
    days = 3 * 86_400
    sent(made, 1, Later("away"))
    assert made.deliveries["hook", "i"].state is DeliveryState.WAITING
    sent(made, days + 2, Later("away"))
    dead = made.deliveries["hook", "i"]
    assert (dead.state, dead.error, made.counts["hook"].dead) == (DeliveryState.DEAD, "away", 1)
    assert made.due(at(days + 5000)) == []
    made.take(heard(2, "resolved", over=days + 5001))
    assert sent(made, days + 5002) == ["hook i-2 resolved"]
    assert made.deliveries["hook", "i"].failing_since is None


def test_what_is_refused_is_not_tried_again_until_it_changes() -> None:
    made = desk(WEBHOOK)
    made.take(heard(1, "open"))
    assert len(sent(made, 1, Refused("it answered 400"))) == 1
    assert sent(made, 1000) == []
    made.take(heard(2, "root-cause"))
    assert sent(made, 1001) == ["hook i-2 cause"]
    assert (made.counts["hook"].refused, made.counts["hook"].sent) == (1, 1)


@pytest.mark.parametrize(("outcome", "again"), [(Later("x", unsent=True), False), (Later("x", unsent=False), True)])
def test_what_may_have_arrived_is_known(outcome: Later, again: bool) -> None:
    made = desk(SLACK)
    made.take(heard(1, "open"))
    sent(made, 1, outcome)
    [(_, letter)] = made.due(at(100))
    assert letter.again is again


def test_a_target_has_one_message_at_a_time_and_others_do_not_wait_for_it() -> None:
    made = desk(WEBHOOK, {**WEBHOOK, "name": "other"})
    for name in ("a", "b"):
        made.take(heard(1, "open", name=name))
    first = made.due(at(1))
    assert sorted(target.name for target, _ in first) == ["hook", "other"]
    hook = next(parcel for parcel in first if parcel.name == "hook")
    made.begun(hook, at(1))
    assert [target.name for target, _ in made.due(at(2))] == ["other"]
    assert made.waiting == {"hook": 2, "other": 2}
    made.let_go(hook)
    assert sorted(target.name for target, _ in made.due(at(2))) == ["hook", "other"]


def test_routes_by_owner_and_severity_and_otherwise() -> None:
    made = desk(
        WEBHOOK, {**WEBHOOK, "name": "pay"}, {**WEBHOOK, "name": "rest"},
        routes=[{"owners": ["Pay*"], "severity": "warning", "targets": ["pay"]},
                {"owners": ["nobody"], "targets": ["hook"]}],
        otherwise=["rest"],
    )  # fmt: skip
    made.owners_of = lambda nodes: ("payments",) if "dataset:kafka://b/scores" in nodes else ()
    made.take(heard(1, "open"))
    assert sent(made, 1) == ["pay i-1 opened"]
    information = heard(1, "open", name="small")
    made.take(replace(information, document={**information.document, "severity": "info"}))
    assert sent(made, 2) == ["rest small-1 opened"]


def test_what_was_told_long_ago_is_forgotten_once_it_is_over() -> None:
    made = desk(WEBHOOK)
    made.take(heard(1, "open"))
    sent(made, 1)
    assert made.outdated(at(1) + KEPT * 2) == []  # it is not over
    made.take(heard(2, "resolved", over=10))
    sent(made, 11)
    made.due(at(11) + NEWS * 2)
    assert made.outdated(at(11) + KEPT / 2) == []
    assert [each.incident for each in made.outdated(at(11) + KEPT * 2)] == ["i"]
    assert made.deliveries == {}
