"""If this failed, a topic of ours would be read with holes, or large messages would be held by the hundred."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_lineage.agents.one_partition import OnePartition
from stream_lineage.errors import KafkaUnavailable

MEGABYTE = 1_000_000


class Written:
    def __init__(self, offset: int, size: int) -> None:
        self._offset, self._size = offset, size

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return bytes(self._size)

    def error(self) -> None:
        return None


class Log:
    """A partition of messages of one size; ``fails``: the number of the call that no broker answers."""

    def __init__(self, messages: int, size: int, fails: int = 0) -> None:
        self.messages = [Written(offset, size) for offset in range(messages)]
        self.place = 0
        self.calls = 0
        self.fails = fails

    def assign(self, places: list[Any]) -> None:
        self.place = max(places[0].offset, 0)

    def consume(self, most: int, timeout: float) -> list[Any]:
        self.calls += 1
        if self.calls == self.fails:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        found = self.messages[self.place : self.place + most]
        self.place += len(found)
        return found


def feed(log: Any) -> OnePartition[int]:
    return OnePartition(log, "lineage.openlineage", lambda message: len(message.value() or b""))


@pytest.mark.parametrize(("messages", "size"), [(0, 10), (7, 10), (1_203, 10), (90, MEGABYTE), (3, 20 * MEGABYTE)])
def test_all_is_read_in_portions_that_are_bounded(messages: int, size: int) -> None:
    reading, offset, offsets = feed(Log(messages, size)), 0, []
    for _ in range(messages + 1):
        found, offset = reading.read(offset)
        offsets += [each for each, _ in found]
        assert len(found) <= 500
        assert sum(each for _, each in found) < 8 * MEGABYTE + 20 * size
    assert offsets == list(range(messages))


def test_what_fails_midway_is_read_again() -> None:
    reading = feed(Log(50, 10, fails=2))
    with pytest.raises(KafkaUnavailable):
        reading.read(0)
    found, offset = reading.read(0)
    assert ([each for each, _ in found], offset) == (list(range(50)), 50)
