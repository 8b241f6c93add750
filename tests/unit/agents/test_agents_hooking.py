"""If this failed, two workers would do the same, or something be done that nobody can find in the audit log."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from stream_lineage.agents.hooking import Hooking
from stream_lineage.errors import KafkaUnavailable
from stream_lineage.notify.hook_desk import Act, Done, HookDesk
from stream_lineage.notify.hook_record import ActionRecord, action_from
from stream_lineage.notify.hook_rules import Hooks
from stream_lineage.notify.sending import Heard

NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)
HOOKS = Hooks.model_validate(
    {"hooks": [{"name": "run", "mode": "live", "on": ["opened"], "command": {"arguments": ["/bin/true"]}}]}
)


def heard(name: str) -> Heard:
    alert = {"kind": "k", "severity": "critical", "node": "dataset:kafka://b/t", "summary": "s"}
    document: dict[str, Any] = {
        "id": name, "state": "open", "revision": 1, "severity": "critical", "updated_at": NOW.isoformat(),
        "reopened": 0, "breach": {"node": alert["node"]}, "cause": None, "related": [], "alerts": [alert],
    }  # fmt: skip
    return Heard(document, f"event-{name}", "kafka://b")


class Topic:
    def __init__(self, *told: Heard) -> None:
        self.told = list(told)

    def end(self) -> int:
        return len(self.told)

    def read(self, start: int) -> tuple[list[tuple[int, Heard]], int]:
        found = list(enumerate(self.told))[start : start + 1]
        return found, start + len(found)


class Log:
    """``lineage.actions``."""

    def __init__(self) -> None:
        self.written: list[ActionRecord] = []
        self.away = False

    def records(self) -> list[tuple[bytes, ActionRecord | None]]:
        return [(each.id.encode(), each) for each in self.written]

    def write(self, key: bytes, value: bytes | None) -> None:
        if self.away:
            raise KafkaUnavailable("away")
        assert value is not None
        self.written.append(action_from(value))

    def of(self, name: str) -> list[str]:
        return [each.state.value for each in self.written if each.incident == name]


class Action:
    """Counts, and ends when it is let."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self.began = threading.Semaphore(0)

    def __call__(self, act: Act) -> Done:
        self.done.append(act.heard.id)
        self.began.release()
        assert self.open.wait(60)
        return Done(ok=True, result="fine")


class Worker:
    def __init__(self, topic: Topic, log: Log, action: Callable[[Act], Done]) -> None:
        self.here, self.ready = True, True
        self.hooking = Hooking(
            lambda: HookDesk(HOOKS, lambda _: ()), action, topic, log,
            here=lambda: self.here, ready=lambda: self.ready, now=lambda: NOW,
        )  # fmt: skip

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(3000):
            self.hooking.turn()
            if condition():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it never held")


def test_it_is_done_once_over_two_workers_and_noted_before_and_after() -> None:
    topic, log, action = Topic(heard("a")), Log(), Action()
    first, second = Worker(topic, log, action), Worker(topic, log, action)
    second.here = False
    first.until(lambda: log.of("a") == ["begun", "done"])
    second.hooking.turn()
    first.here, second.here = False, True
    topic.told.append(heard("b"))
    second.until(lambda: log.of("b") == ["begun", "done"])
    first.hooking.turn()
    assert action.done == ["a", "b"]


def test_what_runs_while_another_worker_takes_over_is_not_run_again_and_its_end_is_noted() -> None:
    topic, log, action = Topic(heard("a")), Log(), Action()
    action.open.clear()
    first, second = Worker(topic, log, action), Worker(topic, log, action)
    first.hooking.turn()
    assert action.began.acquire(timeout=60)
    first.here = False
    second.until(lambda: log.of("a") == ["begun", "unknown"])
    action.open.set()
    first.until(lambda: log.of("a") == ["begun", "unknown", "done"])
    assert action.done == ["a"]


def test_what_cannot_be_noted_is_not_done() -> None:
    topic, log, action = Topic(heard("a")), Log(), Action()
    worker = Worker(topic, log, action)
    log.away = True
    with pytest.raises(KafkaUnavailable):
        worker.hooking.turn()
    assert not action.done
    log.away = False
    worker.until(lambda: log.of("a") == ["begun", "done"])


def test_an_error_of_ours_is_noted_and_ends_nothing_else() -> None:
    def broken(act: Act) -> Done:
        if act.heard.id == "a":
            raise ZeroDivisionError
        return Done(ok=True, result="fine")

    topic, log = Topic(heard("a"), heard("b")), Log()
    worker = Worker(topic, log, broken)
    worker.until(lambda: log.of("b") == ["begun", "done"])
    assert log.of("a") == ["begun", "unknown"]
    [metric] = worker.hooking.metrics()
    assert {each.labels["state"]: each.value for each in metric.samples} == {"unknown": 1, "done": 1}


def test_until_owners_are_known_nothing_is_done() -> None:
    log = Log()
    worker = Worker(Topic(heard("a")), log, Action())
    worker.ready = False
    worker.hooking.turn()
    assert log.written == []
