"""If this failed, an incident that its topic does not take would stop the agents, again and again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from stream_lineage.agents import faust_app
from stream_lineage.agents.alerts import Alert, Topic
from stream_lineage.agents.faust_app import FaustOutlet


class Taking:
    """A topic that takes so many bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: list[bytes] = []

    async def send(self, *, key: bytes, value: bytes, headers: Any) -> Any:
        sent = asyncio.get_running_loop().create_future()
        if len(value) > self.most:
            sent.set_exception(MessageSizeTooLargeError())
        else:
            self.taken.append(value)
            sent.set_result(None)
        return sent


def outlet(monkeypatch: pytest.MonkeyPatch, topic: Taking) -> FaustOutlet:
    monkeypatch.setattr(faust_app, "StateTable", lambda *_, **__: None)
    app = SimpleNamespace(
        topic=lambda *_, **__: topic, tables=SimpleNamespace(add=lambda table: table, beacon=None)
    )  # fmt: skip
    settings: Any = SimpleNamespace(topic=lambda name: name)
    return FaustOutlet(app, settings, 1)


def told(channel: Topic, *sizes: int) -> list[Alert]:
    return [Alert(channel, f"event-{size}", b"key", b"x" * size, ()) for size in sizes]


def test_an_incident_that_is_too_large_for_its_topic_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Taking(100)
    out = outlet(monkeypatch, topic)
    asyncio.run(out.publish(told("incident", 10, 101, 100)))
    assert [len(value) for value in topic.taken] == [10, 100]
    assert out.published == {"incident": 2}


def test_an_alert_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Taking(100)
    out = outlet(monkeypatch, topic)
    with pytest.raises(MessageSizeTooLargeError):
        asyncio.run(out.publish(told("drift", 10, 101, 100)))
    assert [len(value) for value in topic.taken] == [10]
