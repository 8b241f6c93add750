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
from stream_lineage.notify.hook_record import ActionRecord, ActionState, action_from
from stream_lineage.notify.hook_rules import Hooks
from stream_lineage.notify.sending import Heard

NOW = datetime(2026, 11, 2, 10, tzinfo=UTC)
HOOKS = Hooks.model_validate(
    {
        "hooks": [
            {
                "name": "run", "mode": "live", "on": ["opened"], "most_per_hour": 50,
                "command": {"arguments": ["/bin/true"]},
            }
        ]
    }
)  # fmt: skip


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

    def reader(self) -> Reader:
        """As one worker has it."""
        return Reader(self)

    def write(self, key: bytes, value: bytes | None) -> None:
        if self.away:
            raise KafkaUnavailable("away")
        assert value is not None
        self.written.append(action_from(value))

    def of(self, name: str) -> list[str]:
        return [each.state.value for each in self.written if each.incident == name]


class Reader:
    """Of ``lineage.actions``: reads on from where it was."""

    def __init__(self, log: Log) -> None:
        self._log, self._at = log, 0
        self.before_write: Callable[[], object] = lambda: None
        self.after_write: Callable[[], object] = lambda: None

    def records(self) -> list[tuple[bytes, ActionRecord | None]]:
        self._at = 0
        return self.newer()

    def newer(self) -> list[tuple[bytes, ActionRecord | None]]:
        if self._log.away:
            raise KafkaUnavailable("away")
        found = self._log.written[self._at :]
        self._at += len(found)
        return [(each.id.encode(), each) for each in found]

    def write(self, key: bytes, value: bytes | None) -> None:
        self.before_write()
        self._log.write(key, value)
        self.after_write()


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
        self.log = log.reader()
        self.hooking = Hooking(
            lambda: HookDesk(HOOKS, lambda _: ()), action, topic, self.log,
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


@pytest.mark.parametrize("moment", ["before it notes", "after it has noted"])
def test_a_worker_that_stood_still_and_lost_its_part_without_knowing_does_nothing_twice(moment: str) -> None:
    """Both believe that it is theirs. The first one stands still around its note until the other one has ended."""
    topic, log, action = Topic(heard("a")), Log(), Action()
    first, second = Worker(topic, log, action), Worker(topic, log, action)

    def other() -> None:
        first.log.before_write = first.log.after_write = lambda: None
        second.until(lambda: log.of("a")[-1:] in (["done"], ["unknown"]))

    if moment == "before it notes":
        first.log.before_write = other
    else:
        first.log.after_write = other
    first.hooking.turn()
    topic.told.append(heard("b"))
    first.until(lambda: "done" in log.of("b"))
    second.hooking.turn()
    if moment == "before it notes":
        assert log.of("a") == ["begun", "done", "begun"]
        assert [each.by for each in log.written[:2]] == [log.written[0].by] * 2 != [log.written[2].by] * 2
        assert action.done == ["a", "b"]
    else:  # whoever goes on cannot know whether it was done
        assert log.of("a") == ["begun", "unknown"]
        assert action.done == ["b"]


def test_two_workers_that_both_believe_that_it_is_theirs_do_each_thing_once() -> None:
    topic, log, action = Topic(), Log(), Action()
    workers = [Worker(topic, log, action) for _ in range(2)]
    names = [f"{number}" for number in range(20)]
    for name in names:
        topic.told.append(heard(name))
        for each in workers:
            each.hooking.turn()

    def all_done() -> bool:
        workers[1].hooking.turn()
        return {each.incident for each in log.written if each.state is ActionState.DONE} == set(names)

    workers[0].until(all_done)
    assert sorted(action.done) == sorted(names)


def test_what_was_noted_and_cannot_be_read_back_is_done_later() -> None:
    topic, log, action = Topic(heard("a")), Log(), Action()
    worker = Worker(topic, log, action)
    worker.log.after_write = lambda: setattr(log, "away", True)
    with pytest.raises(KafkaUnavailable):
        worker.hooking.turn()
    assert not action.done
    worker.log.after_write, log.away = (lambda: None), False
    worker.until(lambda: log.of("a") == ["begun", "begun", "done"])
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
