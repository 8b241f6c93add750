"""If this failed, headers would be taken for what they do not say, or the edges of a flush would have no bound."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from stream_lineage.collect.batch import TopicBatch
from stream_lineage.collect.batch_parts import slices
from stream_lineage.collect.flush import Flush
from stream_lineage.collect.payloads import joined
from stream_lineage.collect.progress import PartitionProgress
from stream_lineage.collect.record_edges import EdgeCounts, FlushEdges, descendants_in
from stream_lineage.collect.schema_key import NULL_CODE, OPAQUE_CODE
from stream_lineage.model.record_edge import EdgeSource, ParentRange, RecordEdge
from stream_lineage.provenance.edge_codec import decode_edges
from stream_lineage.provenance.edge_writer import BatchHead
from stream_lineage.testing.observations import NOON
from stream_lineage.wire.lineage_headers import encode_parents
from stream_lineage.wire.parent_ranges import ParentRanges

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01".encode()


@dataclass
class Stamped:
    milliseconds: int = 1_000

    def timestamp(self) -> tuple[int, int]:
        return (1, self.milliseconds)


def header(topic: str, *parents: tuple[str, int, int]) -> tuple[str, bytes | None]:
    ranges = ParentRanges()
    for parent in parents:
        ranges.add(*parent)
    return ("lineage-parents", encode_parents(ranges, topic))


def seen(edges: FlushEdges, *records: list[tuple[str, bytes | None]], topic: str = "out") -> list[RecordEdge]:
    messages: list[Any] = [Stamped() for _ in records]
    descendants = descendants_in(messages, records)
    edges.see(topic, descendants, [0] * len(descendants), [each.place for each in descendants])
    head = BatchHead("eu", topic, None, "one", NOON)
    values = edges.by_topic[topic].messages(head, map(str, count())) if topic in edges.by_topic else ()
    return [edge for value in values for edge in decode_edges(value).edges]


def test_what_headers_say() -> None:
    edges = FlushEdges(10**6)
    found = seen(
        edges,
        [],
        [("a", b"1"), ("traceparent", b"x")],
        [
            header("out", ("in", 0, 7)),
            ("lineage-run", b"r"),
            ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),
        ],
        [header("elsewhere", ("in", 0, 7))],
        [header("elsewhere", ("in", 0, 7)), header("out", ("in", 0, 8))],
        [("lineage-parents", b"\x01"), ("lineage-run", b"\xff")],
        [("lineage-parents", None)],
        [("k2k_topic", b"in"), ("k2k_partition", b"0"), ("k2k_offset", b"no")],
        [("k2k_topic", b"in"), ("k2k_partition", b"0"), ("k2k_offset", b"5"), header("elsewhere", ("in", 0, 7))],
        [("k2k_topic", b"in"), ("k2k_partition", b"0"), ("k2k_offset", b"5"), header("out")],
    )
    assert [(edge.offset, edge.source, edge.incomplete, edge.parents) for edge in found] == [
        (2, EdgeSource.LINEAGE, False, (ParentRange("in", 0, 7, 7),)),
        (3, EdgeSource.LINEAGE, True, ()),
        (4, EdgeSource.LINEAGE, False, (ParentRange("in", 0, 8, 8),)),
        (5, EdgeSource.LINEAGE, True, ()),
        (6, EdgeSource.LINEAGE, True, ()),
        (8, EdgeSource.LENSES_K2K, False, (ParentRange("in", 0, 5, 5, cluster=""),)),
        (9, EdgeSource.LINEAGE, False, ()),
    ]
    assert [(edge.run_id, edge.trace_id) for edge in found[:3]] == [("r", TRACE), (None, None), (None, None)]
    assert edges.counts == EdgeCounts(edges=7, unreadable=2, copied=2)


def test_a_flush_comes_early_and_has_a_bound() -> None:
    edges = FlushEdges(2_000)
    record = [header("out", ("in", 0, 7))]
    seen(edges, *[record] * 10)
    assert not edges.full
    seen(edges, *[record] * 200)
    assert edges.full
    found = seen(edges, *[record] * 2_000)
    counts = edges.counts
    assert counts.left_out > 0
    assert counts.edges + counts.left_out == 2_210
    assert len(found) == counts.edges
    assert edges.bytes < 4 * 2_000 + 100
    assert edges.by_topic["out"].left_out == counts.left_out


def test_none_are_made_where_nobody_wants_them() -> None:
    edges = FlushEdges(0)
    assert seen(edges, [header("out", ("in", 0, 7))]) == []
    assert not edges.full


def test_records_that_were_read_before_or_are_not_ours_have_no_edge_twice() -> None:
    offsets = np.array([3, 4, 5, 6, 3, 4, 5], np.int64)
    records: list[Any] = [[header("out", ("in", 0, number))] if number % 2 == 0 else None for number in range(7)]
    messages: list[Any] = [Stamped() for _ in records]
    batch = TopicBatch(
        topic="out",
        partitions=np.array([0, 0, 0, 0, 1, 1, 1], np.int32),
        offsets=offsets,
        values=joined([b"x"] * 7),
        keys=joined([None] * 7),
        value_codes=np.full(7, OPAQUE_CODE, np.uint64),
        key_codes=np.full(7, NULL_CODE, np.uint64),
        sample=np.arange(7),
        timestamps=np.full(7, -1, np.int64),
        descendants=descendants_in(messages, records),
    )
    flush = Flush(0, 0.0, edges=FlushEdges(10**6))
    owned = PartitionProgress("out", 0, None, expected=5, position=5)
    for part in slices(batch, 2):
        flush.add(part, {("out", 0): owned}, 0)
    (value,) = flush.edges.by_topic["out"].messages(BatchHead("eu", "out", None, "one", NOON), iter(["a"]))
    found = [(edge.partition, edge.offset, edge.parents[0].first_offset) for edge in decode_edges(value).edges]
    assert found == [(0, 5, 2)]


def wide(topic_bytes: int, partitions: int, first: int = 0) -> bytes:
    """A header that names many partitions of one topic, in four bytes each."""
    places = ParentRanges(most_ranges=10**6)
    for partition in range(partitions):
        places.add("t" * topic_bytes, first + partition, 0)
    return encode_parents(places, "out", most_bytes=65_536)


def test_what_is_written_of_hostile_headers_is_what_was_counted() -> None:
    hostile = [wide(244, 1_000, first=number * 1_000) for number in range(30)]
    assert sum(map(len, hostile)) < 150_000
    edges = FlushEdges(500_000)
    for header_ in hostile:
        seen(edges, [("lineage-parents", header_)])
    head = BatchHead("eu", "out", None, "one", NOON)
    taken = sum(map(len, edges.by_topic["out"].messages(head, map(str, count()))))
    assert taken <= edges.bytes < 4 * 500_000 + 300_000
    assert taken > 1_500_000
    assert edges.counts.left_out > 20


def test_a_header_counts_by_what_it_takes_to_read_it() -> None:
    edges = FlushEdges(10**6)
    too_many = wide(1, 16_000)
    (edge,) = seen(edges, [("lineage-parents", too_many)])
    assert edge.incomplete
    assert edge.parents == ()
    assert edges.work > 10 * len(too_many)
    unreadable = FlushEdges(100_000)
    seen(unreadable, *[[("lineage-parents", too_many)]] * 30)
    assert unreadable.full
    assert unreadable.counts == EdgeCounts(edges=3, unreadable=3, left_out=27)
    copied = FlushEdges(10**6)
    seen(copied, [("lineage-parents", wide(1, 1_000))], topic="elsewhere")
    assert copied.counts.copied == 1
    assert copied.work >= 24_000


def test_run_ids_that_nobody_shows_are_not_held() -> None:
    edges = FlushEdges(10**6)
    runs = [bytes((97 + number,)) * 100_000 for number in range(3)]
    own = header("out", ("in", 0, 7))
    tracemalloc.start()
    try:
        found = seen(edges, *[[own, ("lineage-run", run * 1)] for run in runs])
        runs.clear()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [edge.run_id for edge in found] == [None] * 3
    assert not edges._runs
    assert held < 100_000


def test_parents_of_mirrored_records_are_of_the_cluster_that_they_came_from() -> None:
    edges = FlushEdges(10**6, {"out": "us"}.get)
    found = seen(edges, [header("out", ("in", 0, 7))], [header("out", ("in", 0, 7), ("in", 1, 8))])
    assert {parent.cluster for edge in found for parent in edge.parents} == {"us"}
    assert sum(len(edge.parents) for edge in found) == 3
