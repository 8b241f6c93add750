"""If this failed, the agents would go on with half of what they know, or end because a broker did not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stream_lineage.agents import looks as module
from stream_lineage.agents.looks import Looks
from stream_lineage.errors import KafkaUnavailable


class App:
    """Its timers are run by the test."""

    def __init__(self) -> None:
        self.rebalancing = self.in_recovery = False
        self.timers: list[tuple[float, Callable[[], Awaitable[None]]]] = []
        self.crashes: list[BaseException] = []

    def timer(self, seconds: float) -> Callable[[Callable[[], Awaitable[None]]], None]:
        return lambda turn: self.timers.append((seconds, turn))

    async def crash(self, error: BaseException) -> None:
        self.crashes.append(error)

    def turn(self) -> None:
        [(_, turn)] = self.timers
        asyncio.run(turn())  # type: ignore[arg-type]


class Source:
    """Gives what the test has put into it, and raises what is an error."""

    def __init__(self, *found: Any) -> None:
        self.found = list(found)
        self.judged: list[Any] = []

    async def read(self) -> Any:
        item = self.found.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    async def judge(self, item: Any) -> None:
        if item == "bad":
            raise KafkaUnavailable("alerts cannot be published")
        self.judged.append(item)


def reading(source: Source, **more: Any) -> tuple[App, Looks]:
    app = App()
    looks = Looks(app)
    looks.reading(2.0, source.read, source.judge, unread="cannot be read", fails="cannot be judged", **more)
    return app, looks


def test_what_cannot_be_read_now_is_said_once_and_read_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(KafkaUnavailable("away"), KafkaUnavailable("away"), "found", KafkaUnavailable("away"))
    app, _ = reading(source)
    for _ in range(3):
        app.turn()
    assert source.judged == ["found"]
    assert caplog.messages == ["cannot be read"]
    assert not app.crashes

    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module.SAID_AGAIN_SECONDS)
    app.turn()
    assert caplog.messages == ["cannot be read"] * 2


@pytest.mark.parametrize("found", [ValueError("a defect"), "bad"])
def test_a_look_that_fails_ends_the_worker(caplog: pytest.LogCaptureFixture, found: Any) -> None:
    app, _ = reading(Source(found))
    with pytest.raises((ValueError, KafkaUnavailable)) as raised:
        app.turn()
    assert app.crashes == [raised.value]
    assert caplog.messages == ["cannot be judged"]


def test_nothing_is_looked_at_before_its_time() -> None:
    source = Source("found")
    app, looks = reading(source, when=lambda: looks.settled)
    for name in ("rebalancing", "in_recovery"):
        setattr(app, name, True)
        app.turn()
        setattr(app, name, False)
    assert source.judged == []
    app.turn()
    assert source.judged == ["found"]


def test_a_trouble_is_said_without_what_it_may_hold_of_others(caplog: pytest.LogCaptureFixture) -> None:
    looks = Looks(App())
    looks.trouble("cannot be read", ValueError("payload 4711"))
    looks.trouble("cannot be written", ValueError("payload 4711"))
    assert caplog.messages == ["cannot be read", "cannot be written"]
    assert "4711" not in str([vars(record) for record in caplog.records])
