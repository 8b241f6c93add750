"""If this failed, two workers would tell the same, a worker would go on telling that has lost its part, or Kafka's
outages would lose messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from stream_lineage.agents.notifying import Notifying
from stream_lineage.agents.notifying import heard as heard_of
from stream_lineage.errors import DecodeError, KafkaUnavailable
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.notify.delivery import Delivery, DeliveryState, delivery_from
from stream_lineage.notify.desk import Desk
from stream_lineage.notify.sending import Heard, Later, Letter, Outcome, Sent
from stream_lineage.notify.targets import Notifications
from stream_lineage.provenance.incident_codec import incident_document

NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)
TARGETS = Notifications.model_validate(
    {"targets": [{"name": name, "kind": "webhook", "url": "https://a.example/"} for name in ("one", "two")]}
)


def heard(name: str) -> Heard:
    alert = {"kind": "k", "severity": "critical", "node": "dataset:kafka://b/t", "summary": "s"}
    document: dict[str, Any] = {
        "id": name, "state": "open", "revision": 1, "severity": "critical", "opened_at": NOW.isoformat(),
        "updated_at": NOW.isoformat(), "resolved_at": None, "breach": {"node": alert["node"]}, "cause": None,
        "related": [], "alerts": [alert],
    }  # fmt: skip
    return Heard(document, f"event-{name}", "kafka://b")


class Topic:
    """``lineage.incidents``, two messages at a time."""

    def __init__(self, *told: Heard) -> None:
        self.told = list(told)

    def end(self) -> int:
        return len(self.told)

    def read(self, start: int) -> tuple[list[tuple[int, Heard]], int]:
        found = list(enumerate(self.told))[start : start + 2]
        return found, start + len(found)


class Log:
    """``lineage.deliveries``."""

    def __init__(self) -> None:
        self.newest: dict[bytes, Delivery] = {}
        self.away = False

    def records(self) -> list[tuple[bytes, Delivery | None]]:
        return list(self.newest.items())

    def newer(self) -> list[tuple[bytes, Delivery | None]]:
        raise NotImplementedError

    def write(self, key: bytes, value: bytes | None) -> None:
        if self.away:
            raise KafkaUnavailable("away")
        self.newest.pop(key, None)
        if value is not None:
            self.newest[key] = delivery_from(value)


class Target:
    """Keeps what it is sent; ``open`` lets it answer."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.letters: list[Letter] = []
        self.outcome = outcome or Sent()
        self.came, self.open = threading.Semaphore(0), threading.Event()
        self.open.set()

    def send(self, letter: Letter) -> Outcome:
        self.letters.append(letter)
        self.came.release()
        assert self.open.wait(60)
        return self.outcome


class Worker:
    """One of several, on the same topics."""

    def __init__(self, topic: Topic, log: Log, targets: dict[str, Target], *, ready: bool = True) -> None:
        self.here, self.ready = True, ready
        self.notifying = Notifying(
            lambda: Desk(TARGETS, lambda _: (), timedelta(days=3), NOW - timedelta(days=1), chance=lambda: 1.0),
            targets, topic, log, here=lambda: self.here, ready=lambda: self.ready, now=lambda: NOW,
        )  # fmt: skip

    def until(self, condition: Callable[[], bool]) -> None:
        """Take turns until something holds."""
        for _ in range(3000):
            self.notifying.turn()
            if condition():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it never held")


def sent(log: Log, count: int) -> Callable[[], bool]:
    return lambda: sum(each.state is DeliveryState.SENT for each in log.newest.values()) == count


@pytest.fixture
def targets() -> dict[str, Target]:
    return {"one": Target(), "two": Target()}


def test_the_next_worker_tells_nothing_again(targets: dict[str, Target]) -> None:
    topic, log = Topic(heard("a"), heard("b"), heard("c")), Log()
    first = Worker(topic, log, targets)
    first.until(sent(log, 6))
    first.here = False
    first.notifying.turn()
    second = Worker(topic, log, targets)
    topic.told.append(heard("d"))
    second.until(sent(log, 8))
    first.here, second.here = True, False  # and back
    topic.told.append(heard("e"))
    first.until(sent(log, 10))
    second.notifying.turn()
    for target in targets.values():
        assert sorted(each.heard.id for each in target.letters) == ["a", "b", "c", "d", "e"]


def test_a_worker_that_does_not_have_the_partition_tells_nothing(targets: dict[str, Target]) -> None:
    log = Log()
    worker = Worker(Topic(heard("a")), log, targets)
    worker.here = False
    worker.notifying.turn()
    assert log.newest == {}
    worker.here, worker.ready = True, False  # nor does one that does not know the owners
    worker.notifying.turn()
    assert log.newest == {}


def test_owners_that_become_known_while_incidents_are_read_count(targets: dict[str, Target]) -> None:
    routes = [{"owners": ["team"], "targets": ["one"]}]
    file = TARGETS.model_dump(exclude_defaults=True) | {"routes": routes, "otherwise": ["two"]}
    known = False

    def owners(_: Any) -> tuple[str, ...]:
        nonlocal known
        was, known = known, True
        return ("team",) if was else ()

    log = Log()
    notifying = Notifying(
        lambda: Desk(Notifications.model_validate(file), owners, timedelta(days=3), NOW - timedelta(days=1)),
        targets, Topic(heard("a")), log, here=lambda: True, ready=lambda: known, now=lambda: NOW,
    )  # fmt: skip
    for _ in range(3000):
        notifying.turn()
        if sent(log, 1)():
            break
        threading.Event().wait(0.01)
    assert {name: len(target.letters) for name, target in targets.items()} == {"one": 1, "two": 0}


def test_it_is_noted_before_it_is_sent_so_that_the_next_one_knows(targets: dict[str, Target]) -> None:
    topic, log = Topic(heard("a")), Log()
    targets["one"].open.clear()
    worker = Worker(topic, log, targets)
    worker.until(lambda: bool(targets["one"].letters) and sent(log, 1)())
    assert log.newest[b"one/a"].trying
    worker.here = False  # it is gone while the target has not answered
    targets["one"].open.set()
    second = Worker(topic, log, targets)
    second.until(sent(log, 2))
    assert [each.again for each in targets["one"].letters] == [False, True]
    assert len(targets["two"].letters) == 1


def test_a_target_that_hangs_holds_up_no_other(targets: dict[str, Target]) -> None:
    targets["one"].open.clear()
    log = Log()
    worker = Worker(Topic(*(heard(name) for name in "abcd")), log, targets)
    worker.until(sent(log, 4))
    assert len(targets["one"].letters) == 1
    targets["one"].open.set()
    worker.until(sent(log, 8))


def test_nothing_is_sent_that_cannot_be_noted_and_nothing_is_lost(targets: dict[str, Target]) -> None:
    topic, log = Topic(heard("a")), Log()
    worker = Worker(topic, log, targets)
    log.away = True
    with pytest.raises(KafkaUnavailable):
        worker.until(lambda: False)
    assert not targets["one"].letters
    log.away = False
    worker.until(sent(log, 2))


def test_what_was_sent_is_noted_as_soon_as_that_can_be(targets: dict[str, Target]) -> None:
    topic, log = Topic(heard("a")), Log()
    worker = Worker(topic, log, targets)
    targets["one"].open.clear()
    targets["two"].open.clear()
    worker.notifying.turn()
    log.away = True
    for target in targets.values():
        assert target.came.acquire(timeout=60)
        target.open.set()
    with pytest.raises(KafkaUnavailable):
        worker.until(lambda: False)
    log.away = False
    worker.until(sent(log, 2))
    assert [len(each.letters) for each in targets.values()] == [1, 1]


def test_an_error_of_ours_is_a_failure_and_not_the_end_of_a_target(targets: dict[str, Target]) -> None:
    def broken(letter: Letter) -> Outcome:
        raise ZeroDivisionError

    targets["one"].send = broken  # type: ignore[method-assign]
    log = Log()
    worker = Worker(Topic(heard("a")), log, targets)
    worker.until(lambda: b"one/a" in log.newest and log.newest[b"one/a"].error != "")
    assert "ZeroDivisionError" in log.newest[b"one/a"].error


def test_metrics_count_each_target(targets: dict[str, Target]) -> None:
    targets["two"].outcome = Later("away")
    log = Log()
    worker = Worker(Topic(heard("a")), log, targets)
    worker.until(lambda: sent(log, 1)() and log.newest[b"two/a"].error == "away")
    worker.notifying.turn()
    samples = {
        (metric.name.removeprefix("stream_lineage_notify_"), *each.labels.values()): each.value
        for metric in worker.notifying.metrics()
        for each in metric.samples
    }  # fmt: skip
    assert samples["attempts_total", "one", "sent"] == 1
    assert samples["attempts_total", "two", "failed"] == 1
    assert (samples["waiting", "one"], samples["waiting", "two"]) == (0, 1)


def test_what_ended_while_nothing_can_be_noted_holds_up_no_target(targets: dict[str, Target]) -> None:
    topic, log = Topic(heard("a")), Log()
    for target in targets.values():
        target.open.clear()
    worker = Worker(topic, log, targets)
    worker.until(lambda: all(target.letters for target in targets.values()))
    log.away = True
    for target in targets.values():
        target.open.set()
    ended = worker.notifying._couriers._ended
    for _ in range(3000):
        if ended.qsize() == len(targets):  # both are taken in by one turn
            break
        threading.Event().wait(0.01)
    with pytest.raises(KafkaUnavailable):
        worker.notifying.turn()
    log.away = False
    topic.told.append(heard("b"))
    worker.until(sent(log, 4))
    assert {name: len(target.letters) for name, target in targets.items()} == {"one": 2, "two": 2}


@pytest.mark.parametrize("cause", [{}, {"ranking": [{"named": True}]}, {"ranking": None}, [1]])
def test_a_message_that_cannot_be_told_is_left_out_before_it_holds_up_others(cause: Any) -> None:
    member = Member("f", "e", "mean", Severity.WARNING, "t", None, None, "dataset:k/t", "off", NOW, NOW, once=False)
    breach = IncidentBreach("dataset:k/t", None, None, NOW)
    incident = Incident("a" * 32, IncidentState.OPEN, 1, Severity.WARNING, NOW, NOW, breach, (member,))
    document = incident_document(incident, "")

    class Message:
        def __init__(self, **changed: Any) -> None:
            self.document = {**document, **changed}

        def value(self) -> bytes:
            return orjson.dumps(self.document)

        def headers(self) -> list[tuple[str, bytes]]:
            return [("ce_id", b"1"), ("ce_source", b"kafka://b")]

    fine: Any = Message()
    assert heard_of(fine).id == "a" * 32
    bad: Any = Message(cause=cause)
    with pytest.raises(DecodeError):
        heard_of(bad)


def test_whose_an_incident_is_counts_as_of_when_that_is_known(targets: dict[str, Target]) -> None:
    routes = [{"owners": ["payments"], "targets": ["one"]}]
    document = {**TARGETS.model_dump(), "routes": routes, "otherwise": ["two"]}
    routed = Notifications.model_validate(document)
    ready, log = False, Log()
    notifying = Notifying(
        lambda: Desk(routed, lambda _: ("payments",) if ready else (), timedelta(days=3), NOW - timedelta(days=1)),
        targets, Topic(*(heard(name) for name in "abc")), log, here=lambda: True, ready=lambda: ready, now=lambda: NOW,
    )  # fmt: skip
    notifying.turn()  # more than it reads at once
    ready = True
    for _ in range(3000):
        notifying.turn()
        if sent(log, 3)():
            break
        threading.Event().wait(0.01)
    assert sorted(log.newest) == [b"one/a", b"one/b", b"one/c"]
