"""If this failed, what is recorded of a pipeline would not lead to the records that its outputs are made from."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping

import pytest
from collecting import Lab, eventually
from confluent_kafka import TopicPartition
from lineage_pipeline import Planted, Record, run_pipeline
from path_checks import paths_are_exact

from stream_lineage.model.record_edge import EdgeSource, ParentRange, RecordEdge
from stream_lineage.provenance.edge_codec import decode_edges
from stream_lineage.provenance.log import read_messages
from stream_lineage.sdk import Lineage, LineageProducer

pytestmark = pytest.mark.kafka


def recorded(lab: Lab) -> dict[Record, RecordEdge]:
    """Every committed edge. None is there twice."""
    reader = lab.consumer(enable_partition_eof=True, isolation_level="read_committed")
    found: dict[Record, RecordEdge] = {}
    try:
        for message in read_messages(reader, f"{lab.prefix}edges"):
            batch = decode_edges(message.value())
            assert message.key() == batch.topic.encode()
            for edge in batch.edges:
                place = (batch.topic, edge.partition, edge.offset)
                assert place not in found, place
                found[place] = edge
    finally:
        reader.close()
    return found


def sources_of(record: Record, edges: Mapping[Record, RecordEdge]) -> frozenset[Record]:
    """The records without an edge that a record goes back to."""
    found, seen, waiting = set(), {record}, [record]
    while waiting:
        place = waiting.pop()
        edge = edges.get(place)
        if edge is None:
            found.add(place)
            continue
        assert edge.exact
        above = {
            (parent.topic, parent.partition, offset)
            for parent in edge.parents
            for offset in range(parent.first_offset, parent.last_offset + 1)
        }
        waiting += above - seen
        seen |= above
    return frozenset(found)


def check(planted: Planted, edges: Mapping[Record, RecordEdge]) -> None:
    for record in planted.sampled(1_000):
        assert sources_of(record, edges) == planted.outputs[record], record
    assert {place for place in edges if place[0] in planted.topics} == planted.outputs.keys()
    assert {edges[place].run_id for place in planted.outputs} == {planted.run_id}
    assert all(edges[place].timestamp is not None for place in planted.outputs)


def test_what_a_pipeline_wrote_leads_back_to_its_sources_whatever_happens_to_collectors(lab: Lab) -> None:
    planted = run_pipeline(lab)
    copies = lab.topic("copies")
    write_others(lab, planted, copies)
    collector = lab.collect("--instance-id", "one", "--flush-max-records", "1000")
    eventually(lab.committed, 60, "something is committed")
    collector.kill()
    lab.collect_until_end("--instance-id", "one", "--edges-max-bytes", "20000")
    edges = recorded(lab)
    check(planted, edges)
    check_others({place[2]: edge for place, edge in edges.items() if place[0] == copies})
    paths_are_exact(lab, planted)


def headers_of(lab: Lab, record: Record) -> list[tuple[str, bytes | None]]:
    reader = lab.consumer()
    try:
        reader.assign([TopicPartition(*record)])
        message = reader.poll(30)
        return list(message.headers())
    finally:
        reader.close()


def write_others(lab: Lab, planted: Planted, topic: str) -> None:
    """Headers that other systems write, and such as nobody can read, or that were copied."""
    producer = lab.producer()
    place = planted.last_hop[0]

    def headers(prefix: str, partition: bytes, offset: bytes) -> list[tuple[str, bytes | None]]:
        return [(f"{prefix}topic", b"in"), (f"{prefix}partition", partition), (f"{prefix}offset", offset)]

    copied = headers_of(lab, place)
    written = [
        headers("streams.bootstrap.lineage.", b"1", b"7"),
        headers("k2k_", b"1", b"7"),
        headers("__connect.errors.", b"1", b"7"),
        headers("kafka_dlt-original-", struct.pack(">i", 1), struct.pack(">q", 7)),
        [*copied, *headers("__connect.errors.", b"1", b"7")],
        copied,
        [("lineage-parents", b"\x01\x00" + b"\xff" * 100)],
        [("lineage-parents", bytes(900_000))],
        [("traceparent", b"x"), ("a", None)],
        [],
    ]
    for own in written:
        producer.produce(topic, b"{}", headers=own)
    assert producer.flush(30) == 0
    sdk = LineageProducer({"bootstrap.servers": lab.bootstrap_servers}, lineage=Lineage(most_header_bytes=64))
    sdk.produce(topic, b"{}", parents=[("in", 0, number * number) for number in range(100)])
    assert sdk.flush(30) == 0


def check_others(found: Mapping[int, RecordEdge]) -> None:
    one = (ParentRange("in", 1, 7, 7),)
    sources = (EdgeSource.STREAMS_BOOTSTRAP, EdgeSource.LENSES_K2K, EdgeSource.CONNECT_DEAD_LETTER)
    assert [found[number].source for number in range(3)] == list(sources)
    assert [found[number].parents for number in (0, 2, 3, 4)] == [one] * 4
    assert found[1].parents == (ParentRange("in", 1, 7, 7, cluster=""),)
    assert (found[3].source, found[4].source) == (EdgeSource.SPRING_DEAD_LETTER, EdgeSource.CONNECT_DEAD_LETTER)
    assert Counter(edge.incomplete for edge in found.values()) == {False: 6, True: 3}
    assert found.keys() == {0, 1, 2, 3, 4, 5, 6, 7, 10}
    assert found[5].parents == found[6].parents == found[7].parents == ()
    assert found[10].widened
    assert (found[10].parents[0].first_offset, found[10].parents[-1].last_offset) == (0, 99 * 99)
