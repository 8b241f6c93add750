"""If this failed, a worker would not see its own notes in a topic that was made anew: hooks would do nothing more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stream_lineage.agents import own_log
from stream_lineage.agents.own_log import OwnLog


class Written:
    def __init__(self, offset: int, value: bytes) -> None:
        self._offset, self._value = offset, value

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return self._value

    def error(self) -> None:
        return None


class Topic:
    """Of one partition, and whoever reads it: each reader begins where it is told to."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self._place = 0

    def get_watermark_offsets(self, _: Any, timeout: float) -> tuple[int, int]:
        return 0, len(self.values)

    def assign(self, places: list[Any]) -> None:
        self._place = max(places[0].offset, 0)

    def consume(self, most: int, timeout: float) -> list[Written]:
        found = [Written(offset, value) for offset, value in enumerate(self.values)][self._place : self._place + most]
        self._place += len(found)
        return found

    def close(self) -> None:
        pass


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = Topic()
    monkeypatch.setattr(own_log, "consumer", lambda *_: made)
    return made


def log() -> OwnLog[str]:
    settings: Any = SimpleNamespace(topic=lambda name: f"lineage.{name}")
    return OwnLog(settings, "group", "actions", bytes.decode)


def test_what_is_newer_is_read_once(topic: Topic) -> None:
    reads = log()
    topic.values = [b"a", b"b", b"c"]
    assert [value for _, value in reads.records()] == ["a", "b", "c"]
    assert reads.newer() == []
    topic.values += [b"d"]
    assert reads.newer() == [(b"key", "d")]
    assert [value for _, value in reads.records()] == ["a", "b", "c", "d"]


def test_a_topic_that_was_made_anew_is_read_from_its_beginning(topic: Topic) -> None:
    reads = log()
    topic.values = [b"a", b"b", b"c"]
    reads.records()
    topic.values = [b"ours"]
    assert reads.newer() == [(b"key", "ours")]
    assert reads.newer() == []
