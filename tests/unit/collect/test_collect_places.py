"""If this failed, thousands of partitions would be asked for at once, or start where another of them stands."""

from __future__ import annotations

from typing import Any

from confluent_kafka import TopicPartition

from stream_lineage.collect.places import Places
from stream_lineage.provenance.chain import Head


class Group:
    """Has committed for each partition its number times ten, with a head."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.asked.append(len(partitions))
        found = []
        for where in reversed(partitions):
            offset = where.partition * 10
            metadata = Head(bytes(32), offset, "id").to_metadata()
            found.append(TopicPartition(where.topic, where.partition, offset, metadata))
        return found


class Facts:
    def topic_ids(self, topics: list[str]) -> dict[str, str | None]:
        return dict.fromkeys(topics, "id")

    def log_starts(self, partitions: Any) -> dict[Any, int]:
        return dict.fromkeys(partitions, 0)

    log_ends = log_starts


def test_committed_offsets_are_asked_in_portions() -> None:
    group = Group()
    places = Places(group, Facts(), lambda keys: {}, start_from_end=False)  # type: ignore[arg-type]
    wanted = [("orders", number) for number in range(20_000)]
    found = places.find(wanted)
    assert [place.progress.key for place in found] == wanted
    assert all(place.committed and place.offset == place.progress.partition * 10 for place in found)
    assert max(group.asked) <= 1_000
    assert sum(group.asked) == 20_000
