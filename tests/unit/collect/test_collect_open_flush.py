"""If this failed, a schema that is new or back would wait for a whole flush before anybody is told, or writers that
alternate would have a flush written for each change, or grow one without bounds."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stream_lineage.collect import open_flush
from stream_lineage.collect.batch import TopicBatch
from stream_lineage.collect.ledger import Ledger
from stream_lineage.collect.open_flush import FlushBounds, OpenFlush
from stream_lineage.collect.payloads import joined
from stream_lineage.collect.progress import PartitionProgress
from stream_lineage.collect.schema_key import NULL_CODE, SchemaCodes

OLD, NEW = (4 << 32) | 7, (4 << 32) | 8


class Recording:
    """Records arrive at times that the test sets; flushes are written at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spans: int = 10_000) -> None:
        self.now = 1_000.0
        self.written: list[float] = []
        self.offsets: dict[tuple[str, int], int] = {}
        self.progress: dict[tuple[str, int], PartitionProgress] = {}
        clock = SimpleNamespace(monotonic=lambda: self.now, time=time.time)
        monkeypatch.setattr(open_flush, "time", clock)
        monkeypatch.setattr(open_flush, "topic_batches", lambda messages, *_: messages)
        pipeline: Any = SimpleNamespace(
            observation_bytes=65_536, backlog=0, era=0, failure=None, keeps=lambda _: False,
            feed=lambda *_: None, seal=lambda _: self.written.append(self.now),
        )  # fmt: skip
        self.flush = OpenFlush(
            pipeline=pipeline, ledger=Ledger(), codes=SchemaCodes(), bounds=FlushBounds(1.0, 10_000, 1 << 30, spans),
            stopping=threading.Event(),
        )  # fmt: skip

    def arrive(self, code: int, topic: str = "t", partition: int = 0) -> None:
        """A record under this schema."""
        place = topic, partition
        self.progress.setdefault(place, PartitionProgress(topic, partition, "id", None, None))
        offset = self.offsets[place] = self.offsets.get(place, -1) + 1
        batch = TopicBatch(
            topic, np.array([partition], np.int32), np.array([offset], np.int64), joined([b"x"]), joined([None]),
            np.array([code], np.uint64), np.array([NULL_CODE], np.uint64), np.array([0]), np.array([-1], np.int64),
        )  # fmt: skip
        messages: Any = [batch]
        self.flush.record(messages, self.progress)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            self.flush.write_when_due()

    def seconds_until_written(self) -> float:
        began, before = self.now, len(self.written)
        while len(self.written) == before:
            self.pass_time(0.01)
        return self.written[-1] - began


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    return Recording(monkeypatch)


def test_a_schema_that_is_new_is_written_soon(recording: Recording) -> None:
    recording.arrive(OLD)
    assert recording.seconds_until_written() < 0.3
    recording.arrive(OLD)
    assert recording.seconds_until_written() == pytest.approx(1.0, abs=0.05)
    recording.arrive(NEW)
    assert recording.seconds_until_written() < 0.3


def test_a_schema_that_is_back_is_written_soon(recording: Recording) -> None:
    for code in (OLD, NEW):
        for _ in range(20):
            recording.arrive(code)
            recording.pass_time(1.0)
    recording.pass_time(2.0)
    recording.arrive(OLD)
    assert recording.seconds_until_written() < 0.3


def test_a_topic_that_was_silent_is_not_back(recording: Recording) -> None:
    recording.arrive(OLD)
    recording.pass_time(30.0)
    recording.arrive(OLD)
    assert recording.seconds_until_written() == pytest.approx(1.0, abs=0.05)


def test_writers_that_alternate_do_not_bring_flushes_early(recording: Recording) -> None:
    for code in (OLD, NEW):
        recording.arrive(code)
        recording.pass_time(2.0)
    recording.written.clear()
    for number in range(600):
        recording.arrive((OLD, NEW)[number % 2])
        recording.pass_time(0.1)
    assert len(recording.written) <= 61


def test_writers_that_alternate_have_a_flush_written_for_each_so_many_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording(monkeypatch, spans=50)
    for number in range(500):
        recording.arrive((OLD, NEW)[number % 2])
        recording.flush.write_when_due()
    assert len(recording.written) == 10


def test_many_topics_that_go_back_bring_a_flush_early_now_and_then(recording: Recording) -> None:
    for code in (OLD, NEW):
        for number in range(100):
            recording.arrive(code, f"t{number}")
        recording.pass_time(20.0)
    recording.written.clear()
    for number in range(100):
        recording.arrive(OLD, f"t{number}")
        recording.pass_time(0.25)
    assert len(recording.written) <= 25 / 1.0 + 25 / 2.0
