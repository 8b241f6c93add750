"""If this failed, what others send as events would end the agents, or be charted by one that may not any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stream_lineage.agents.graph_upkeep import wire_openlineage
from stream_lineage.agents.looks import Looks
from stream_lineage.errors import KafkaUnavailable


class App:
    """Its timer is run by the test."""

    def __init__(self) -> None:
        self.turns: list[Callable[[], Awaitable[None]]] = []
        self.crashes: list[BaseException] = []

    def timer(self, _: float) -> Callable[[Callable[[], Awaitable[None]]], None]:
        return self.turns.append

    async def crash(self, error: BaseException) -> None:
        self.crashes.append(error)


class Worker:
    """All that a look touches. ``held`` is lost in the middle of a look where ``loses`` says so."""

    def __init__(self, *looks: Any, loses: bool = False, refuses: bool = False) -> None:
        self.looks, self.loses, self.refuses = list(looks), loses, refuses
        self.held = self.settled = self.whole = True
        self.charted: list[Any] = []
        self.said: list[str] = []
        self.app = App()
        this: Any = self
        wire_openlineage(Looks(self.app), this, this, this, this)

    def when_lost(self, call: Callable[[], object]) -> None: ...

    def ask(self, question: Any) -> Any: ...

    def look(self, _: Any) -> Any:
        found = self.looks.pop(0)
        self.held = not self.loses
        if isinstance(found, Exception):
            raise found
        return found

    async def chart(self, events: Any) -> None:
        if self.refuses:
            raise KafkaUnavailable("the graph cannot be written")
        self.charted += events

    def written(self) -> None:
        self.said.append("written")

    def drop(self) -> None:
        self.said.append("dropped")

    def turn(self) -> None:
        [turn] = self.app.turns
        asyncio.run(turn())  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [KafkaUnavailable("away"), ValueError("unheard of"), RecursionError()])
def test_whatever_a_look_raises_the_agents_go_on(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(error, error, ["edge"])
    for _ in range(3):
        worker.turn()
    assert (worker.charted, worker.said, worker.app.crashes) == (["edge"], ["written"], [])
    assert [message for message in caplog.messages if "cannot be read" in message] == [
        "events of OpenLineage cannot be read"
    ]


def test_a_look_without_news_is_done_too() -> None:
    worker = Worker([])
    worker.turn()
    assert (worker.charted, worker.said) == ([], ["written"])


def test_what_was_found_is_dropped_by_a_worker_that_lost_its_place() -> None:
    worker = Worker(["edge"], loses=True)
    worker.turn()
    assert (worker.charted, worker.said) == ([], ["dropped"])


def test_nothing_is_looked_at_by_others() -> None:
    worker = Worker()
    worker.settled = False
    worker.turn()
    worker.settled, worker.whole = True, False
    worker.turn()
    assert worker.said == []


def test_what_cannot_be_charted_ends_the_worker_and_does_not_count_as_written() -> None:
    worker = Worker(["edge"], refuses=True)
    with pytest.raises(KafkaUnavailable):
        worker.turn()
    assert (worker.said, [type(each) for each in worker.app.crashes]) == ([], [KafkaUnavailable])
