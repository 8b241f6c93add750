"""If this failed, a job would be said to write what another one writes."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.agents.describe_producers import DescribeProducers, DescribeProducersResponse, active_producers
from stream_lineage.agents.graph_watch import WRITES_SECONDS, GraphWatch
from stream_lineage.agents.transactions import committed_groups
from stream_lineage.graph.from_transactions import Producers
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming


def batch(producer: int, keys: list[bytes], *, transactional: bool = True) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=int(transactional), producer_id=producer, producer_epoch=0,
        base_sequence=0, batch_size=100_000,
    )  # fmt: skip
    for number, key in enumerate(keys):
        builder.append(number, 1_700_000_000_000, key, b"v", [])
    return bytes(builder.build())


def commit(group: str, version: int = 1) -> bytes:
    """As Kafka writes it: version, group, topic, partition."""
    name, topic = group.encode(), b"orders"
    return struct.pack(f">hh{len(name)}sh{len(topic)}si", version, len(name), name, len(topic), topic, 0)


def test_groups_are_found_by_the_producer_that_commits_for_them() -> None:
    records = (
        batch(7, [commit("enrich"), commit("enrich")])
        + batch(8, [commit("other", 0), commit("member", 2), b"", b"\x00\x01\x00\x50abc", commit("ünï")])
        + batch(9, [commit("plain")], transactional=False)
    )
    assert set(committed_groups(records)) == {(7, "enrich"), (8, "other"), (8, "ünï")}
    assert list(committed_groups(b"")) == []


@given(st.binary(max_size=40))
def test_no_key_is_too_strange(key: bytes) -> None:
    assert all(producer == 1 for producer, _ in committed_groups(batch(1, [key])))


def test_the_request_and_its_answer_are_as_the_protocol_has_them() -> None:
    request = DescribeProducers({"ab": [0, 3]}).prepare({61: (0, 0)})
    # Compact lengths are one more than what follows; each structure ends with its tagged fields: none.
    assert request.encode() == b"\x02\x03ab\x03\0\0\0\0\0\0\0\3\0\0"
    producer = struct.pack(">qiiqiq", 4711, 0, 3, 1_700_000_000_000, -1, -1) + b"\0"
    partition = struct.pack(">ih", 3, 0) + b"\0" + b"\x02" + producer + b"\0"
    refused = struct.pack(">ih", 0, 29) + b"\0" + b"\x01" + b"\0"
    answer = struct.pack(">i", 0) + b"\x02\x03ab" + b"\x03" + partition + refused + b"\0" + b"\0"
    found = list(active_producers(DescribeProducersResponse.decode(answer)))
    assert found == [("ab", 3, 0, frozenset({4711})), ("ab", 0, 29, frozenset())]


def test_what_a_transaction_showed_counts_for_a_week() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    names = naming("test", [], {"enrich-v2": "enrich"})
    watch, graph, told = GraphWatch([], names, clock=lambda: now), Graph(), []
    seen = Producers({1: frozenset({"enrich-v2"})}, {1: frozenset({"out"})})
    for hour in range(9 * 24):
        now += 3600
        watch.transactions(seen if hour < 3 else Producers({}, {}))
        for event in watch.events(graph, []):
            graph.take(event)
            if not event.evidence.holds:
                told.append(hour)
    assert [view.edge.id for view in graph.as_of(datetime(2026, 3, 5, tzinfo=UTC)).edges()] == [
        "job:kafka://test/enrich>dataset:kafka://test/out"
    ]
    assert told == [int(WRITES_SECONDS / 3600) + 2]
