"""If this failed, downstream answers would be called exact by what Kafka said before the question, or never come."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stream_lineage.errors import KafkaUnavailable
from stream_lineage.index.writer import IndexWriter, Source
from stream_lineage.serve.ports import Ends
from stream_lineage.serving import lineage as serving
from stream_lineage.serving.index_pool import IndexPool
from stream_lineage.serving.lineage import LiveLineage
from stream_lineage.serving.own_ends import OwnEnds
from stream_lineage.settings import load_settings

LONG = 60.0
PLACE = ("lineage.edges", 0)


class Kafka:
    """Answers with how often it was asked, as soon as it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def __call__(self) -> Ends:
        self.asked += 1
        number = self.asked
        self.begun.release()
        assert self.let.acquire(timeout=LONG)
        return {PLACE: number}


def waiting(ends: OwnEnds, found: list[Any]) -> threading.Thread:
    thread = threading.Thread(target=lambda: found.append(ends.asked(LONG)))
    thread.start()
    return thread


def test_whoever_comes_while_kafka_is_asked_gets_the_next_answer() -> None:
    kafka, first, later = Kafka(), [], []  # type: ignore[var-annotated]
    ends = OwnEnds(kafka)
    threads = [waiting(ends, first)]
    assert kafka.begun.acquire(timeout=LONG)
    threads += [waiting(ends, later) for _ in range(5)]
    kafka.let.release()
    threads[0].join(LONG)  # before there can be another answer
    kafka.let.release(10)
    for thread in threads:
        thread.join(LONG)
    assert first == [{PLACE: 1}]
    assert [each[PLACE] >= 2 for each in later] == [True] * 5


def test_where_kafka_does_not_answer_nothing_is_known_and_later_it_is_asked_again() -> None:
    answers: list[Any] = [KafkaUnavailable("away"), ValueError("unheard of"), {PLACE: 7}]

    def ask() -> Ends:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[no-any-return]

    ends = OwnEnds(ask)
    assert ends.asked(LONG) is None
    assert ends.asked(LONG) is None
    assert ends.asked(LONG) == {PLACE: 7}
    kafka = Kafka()
    assert OwnEnds(kafka).asked(0.0) is None
    kafka.let.release()


def test_downstream_is_exact_as_soon_as_the_index_has_what_kafka_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.sqlite"
    settings = load_settings({"index_path": str(path), "bootstrap_servers": "127.0.0.1:1"}, {})
    writer = IndexWriter(path)
    writer.write([], {Source(*PLACE, "x"): 5})
    monkeypatch.setattr(serving, "own_ends", lambda *_: {PLACE: 9, ("lineage.keys", 0): 0})
    nothing: Any = None
    lineage = LiveLineage(settings, nothing, nothing, IndexPool(path))

    def doubts(direction: Any) -> list[str]:
        with lineage.index() as index:
            return list(lineage.doubts(index, direction, datetime.now(UTC), lineage_ends))

    deadline = time.monotonic() + LONG
    while (lineage_ends := lineage.caught_up(0.1)) is None:  # nobody reads on, and Kafka may take longer than that
        assert time.monotonic() < deadline
    assert lineage_ends == {PLACE: 9, ("lineage.keys", 0): 0}
    assert doubts("downstream") == ["the index has not read 4 messages of our own topics yet"]
    assert "may lack" in doubts("upstream")[0]
    reading = threading.Thread(target=lambda: writer.write([], {Source(*PLACE, "x"): 9}))
    reading.start()
    lineage_ends = lineage.caught_up(LONG)
    assert doubts("downstream") == []
    reading.join()
    writer.close()
    lineage.close()
