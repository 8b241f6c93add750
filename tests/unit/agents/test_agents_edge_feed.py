"""If this failed, the graph would fall behind the record edges, miss partitions, or take an outage for their end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_lineage.agents import edge_feed
from stream_lineage.agents.edge_feed import PARTITIONS_SECONDS, EdgeFeed
from stream_lineage.agents.graph_evidence import GraphEvidence
from stream_lineage.agents.graph_watch import REFRESH, GraphWatch
from stream_lineage.errors import KafkaUnavailable
from stream_lineage.graph.from_headers import HeaderFlows
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.provenance.edge_codec import encode_edges

NAMES = naming("test", [])
EDGES = encode_edges(
    EdgeBatch("id", "test", "out", None, "c", datetime.now(UTC), (RecordEdge(0, 1, (ParentRange("a", 0, 1, 2),)),))
)


class Message:
    def __init__(self, partition: int, offset: int, failure: int | None = None) -> None:
        self._place, self._failure = (partition, offset), failure

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def value(self) -> bytes | None:
        return EDGES if self._failure is None else None

    def error(self) -> Any:
        return None if self._failure is None else KafkaError(self._failure)


class Log:
    """A consumer of a topic with so many messages in each partition; the last of each is a transaction's mark."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = list(sizes)
        self.away = self.stuck = False
        self.at: dict[int, int] = {}
        self.ended: dict[int, int] = {}

    def list_topics(self, topic: str, timeout: float) -> Any:
        class Found:
            partitions = dict.fromkeys(range(len(self.sizes)))

        class All:
            topics = {topic: Found}  # noqa: RUF012

        return All

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, 0) for each in places]

    def assign(self, places: list[TopicPartition]) -> None:
        self.at = {each.partition: max(0, each.offset) for each in places}

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return 0, self.sizes[place.partition]

    def consume(self, count: int, timeout: float) -> list[Message]:
        found: list[Message] = []
        for partition, at in self.at.items():
            size = self.sizes[partition]
            if self.stuck:
                break
            until = min(size - 1, at + count - len(found))
            found += [Message(partition, each) for each in range(at, until)]
            self.at[partition] = until
            if until == size - 1 and self.ended.get(partition) != size:
                self.ended[partition] = size
                found.append(Message(partition, size, KafkaError._PARTITION_EOF))
        return found


class Read:
    def __init__(self, log: Log) -> None:
        self.now, self.count = 0.0, 0
        self.feed = EdgeFeed(log, "edges", clock=lambda: self.now)
        self.feed.start(None)

    def look(self) -> tuple[bool, int]:
        before = self.count
        return self.feed.read(lambda _: False, self._one), self.count - before

    def _one(self, *_: Any) -> None:
        self.count += 1


def test_an_outage_is_not_the_end() -> None:
    log = Log(10, 5)
    read = Read(log)
    assert read.look() == (True, 13)
    log.sizes = [12, 5]
    log.stuck = True  # the brokers are back, and nothing has come yet
    assert read.look() == (False, 0)
    log.away = True
    with pytest.raises(KafkaUnavailable):
        read.look()
    log.away = log.stuck = False
    assert read.look() == (True, 2)


def test_partitions_that_are_added_later_are_read() -> None:
    log = Log(10)
    read = Read(log)
    assert read.look() == (True, 9)
    log.sizes.append(8)
    assert read.look() == (True, 0)
    read.now = PARTITIONS_SECONDS
    assert read.look() == (True, 7), "and nothing twice"


def test_a_look_goes_on_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_feed, "_PORTIONS", 2)  # one reading is 1,000
    log = Log(3_001)
    headers = HeaderFlows(NAMES, REFRESH)
    wants, heads = headers.wants, 0

    def counted(head: Any) -> bool:
        nonlocal heads
        heads += 1
        return heads == 1 and wants(head)

    headers.wants = counted  # type: ignore[method-assign]
    feed = EdgeFeed(log, "edges")
    evidence = GraphEvidence(GraphWatch([], NAMES), headers, feed, Any, None, None, None)  # type: ignore[arg-type]
    asyncio.run(evidence.look(Graph(), ["a", "out"], []))
    assert evidence.whole
    assert heads == 3_000
    [event] = evidence.events(Graph(), ["a", "out"])
    assert event.subject.source.name == "a"  # type: ignore[union-attr]
