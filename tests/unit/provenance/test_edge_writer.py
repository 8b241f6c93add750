"""If this failed, what the collector writes of edges would be read as others, or no broker would take it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.model.record_edge import EdgeBatch, EdgeSource, ParentRange, RecordEdge
from stream_lineage.provenance import edge_writer
from stream_lineage.provenance.edge_codec import decode_edges
from stream_lineage.provenance.edge_writer import BatchHead, EdgeWriter
from stream_lineage.wire.lineage_headers import decode_parents, encode_parents
from stream_lineage.wire.parent_ranges import ParentRanges

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEAD = BatchHead("eu", "scores", "id-1", "collector-0", datetime(2026, 3, 1, 12, tzinfo=UTC))
BROKERS_TAKE = 1_000_000
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ranges = st.tuples(
    st.sampled_from(["a", "clicks", "größe"]),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.booleans(),
    st.sampled_from([None, "", "eu", "us"]),
).map(lambda row: ParentRange(row[0], row[1], row[2], row[2] + row[3], row[4], row[5]))
edges = st.builds(
    RecordEdge,
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    parents=st.lists(ranges, max_size=4).map(tuple),
    source=st.sampled_from(EdgeSource),
    incomplete=st.booleans(),
    timestamp=st.none() | st.integers(0, 2**40).map(lambda number: EPOCH + timedelta(milliseconds=number)),
    run_id=st.none() | names,
    trace_id=st.none() | st.binary(min_size=16, max_size=16).map(bytes.hex),
)


def written(batch: list[RecordEdge], left_out: int = 0, schema_id: int | None = None) -> list[EdgeBatch]:
    writer = EdgeWriter()
    for edge in batch:
        timestamp = -1 if edge.timestamp is None else (edge.timestamp - EPOCH) // timedelta(milliseconds=1)
        writer.add(
            edge.partition,
            edge.offset,
            timestamp,
            edge.parents,
            source=edge.source,
            incomplete=edge.incomplete,
            run_id=edge.run_id,
            trace_id=edge.trace_id,
        )
    writer.left_out = left_out
    assert writer.edges == len(batch)
    values = list(writer.messages(HEAD, map(str, count()), schema_id=schema_id))
    assert all(len(value) < BROKERS_TAKE for value in values)
    return [decode_edges(value) for value in values]


def of_the_own_cluster(edge: RecordEdge) -> RecordEdge:
    parents = (replace(parent, cluster=None if parent.cluster == "eu" else parent.cluster) for parent in edge.parents)
    return replace(edge, parents=tuple(parents))


@given(st.lists(edges, max_size=5), st.integers(0, 9), st.none() | st.integers(1, 2**31 - 1))
def test_it_is_read_as_it_was_written(batch: list[RecordEdge], left_out: int, schema_id: int | None) -> None:
    found = written(batch, left_out, schema_id)
    assert len(found) == bool(batch or left_out)
    for read in found:
        assert (read.batch_id, read.cluster, read.topic, read.topic_id) == ("0", "eu", "scores", "id-1")
        assert (read.collector, read.observed_at, read.left_out) == ("collector-0", HEAD.observed_at, left_out)
        assert read.edges == tuple(map(of_the_own_cluster, batch))


def test_messages_are_of_a_size_that_brokers_take() -> None:
    many = [RecordEdge(0, number, (ParentRange("clicks", number % 6, number, number),)) for number in range(35_000)]
    found = written(many, left_out=3)
    assert len(found) > 1
    assert [edge for batch in found for edge in batch.edges] == many
    assert [batch.left_out for batch in found][-2:] == [0, 3]
    assert len({batch.batch_id for batch in found}) == len(found)


def test_a_small_header_that_takes_a_large_table_is_an_edge_without_parents() -> None:
    fits = RecordEdge(0, 1, (ParentRange("clicks", 0, 1, 1),))
    wide = [tuple(ParentRange(name * 249, place, 0, 0) for place in range(16_000)) for name in "abcd"]
    long = tuple(ParentRange("t", 0, 2**60 + number * 4, 2**60 + number * 4, False, "us") for number in range(32_000))
    hostile = [RecordEdge(0, 2 + number, parents) for number, parents in enumerate([*wide, long])]
    (found,) = written([fits, *hostile, fits])
    assert found.edges == (fits, *(RecordEdge(0, edge.offset, (), incomplete=True) for edge in hostile), fits)


def one_parent(offset: int, topic: str = "clicks", partition: int = 0) -> bytes:
    ranges = ParentRanges()
    ranges.add(topic, partition, offset)
    return encode_parents(ranges, "scores")


def test_a_single_parent_is_read_the_short_way_whoever_wrote_it() -> None:
    short, long = EdgeWriter(copied_from="us"), EdgeWriter(copied_from="us")
    check = crc32(b"scores")
    for number, (header, run_id) in enumerate(
        [(one_parent(7), None), (one_parent(2**40), "r"), (one_parent(9, "orders", 3), "s"), (one_parent(8), "r")]
    ):
        assert short.add_single(0, number, 5, header, check, run_id, None)
        long.add(0, number, 5, decode_parents(header).parents, run_id=run_id)
    assert short.size >= long.size > 0
    found = list(short.messages(HEAD, iter(["a"])))
    assert found == list(long.messages(HEAD, iter(["a"])))
    assert [edge.parents[0].cluster for edge in decode_edges(found[0]).edges] == ["us"] * 4


def test_what_is_no_single_parent_is_left_to_the_long_way() -> None:
    writer, check, whole = EdgeWriter(), crc32(b"scores"), one_parent(7)
    two, gap, incomplete = ParentRanges(), ParentRanges(), ParentRanges()
    for ranges, offsets in ((two, (1, 1)), (gap, (1, 9)), (incomplete, (1,))):
        for place, offset in enumerate(offsets):
            ranges.add("clicks", place if ranges is two else 0, offset)
    incomplete.incomplete = True
    headers = [
        b"",
        whole[:5],
        whole[:-1] + b"\x01",
        whole[:6] + b"\x02" + whole[7:],
        whole[:-2] + b"\x80\x00",
        whole[:7] + b"\x7f" + whole[8:],  # a name longer than the header
        whole + bytes(600),
        *(encode_parents(ranges, "scores") for ranges in (two, gap, incomplete)),
    ]
    assert [writer.add_single(0, 1, 5, header, check, None, None) for header in headers] == [False] * len(headers)
    assert not writer.add_single(0, 1, 5, whole, check + 1, None, None)
    assert not writer.add_single(0, 1, 5, whole[:8] + b"\xff" + whole[9:], check, None, None)
    assert writer.edges == 0
    assert list(writer.messages(HEAD, iter("a"))) == []


def test_only_so_many_beginnings_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_writer, "_MOST_SINGLES", 2)
    writer, check = EdgeWriter(), crc32(b"scores")
    for number in range(7):
        assert writer.add_single(0, number, 5, one_parent(7, partition=number % 4), check, None, None)
    (value,) = writer.messages(HEAD, iter("a"))
    assert [edge.parents[0].partition for edge in decode_edges(value).edges] == [0, 1, 2, 3, 0, 1, 2]


def test_a_name_that_takes_too_much_is_no_single_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_writer, "LARGEST_EDGE", 10)
    assert not EdgeWriter().add_single(0, 1, 5, one_parent(7), crc32(b"scores"), None, None)


def test_any_timestamp_can_be_read() -> None:
    writer = EdgeWriter()
    for timestamp in (-1, -(2**62), 2**62, 4_102_444_800_000, 0):
        writer.add(0, 1, timestamp, ())
    (value,) = writer.messages(HEAD, iter(["a"]))
    known = [edge.timestamp is not None for edge in decode_edges(value).edges]
    assert known == [False, False, False, True, True]


parents = st.lists(
    st.tuples(st.sampled_from(["a", "größe"]), st.integers(0, 200), st.integers(0, 300) | st.integers(0, 2**63 - 1)),
    min_size=1,
    max_size=2,
)
Row = tuple[list[tuple[str, int, int]], bool, bool]


@given(st.lists(st.tuples(parents, st.booleans(), st.booleans()), max_size=12))
def test_the_short_way_for_a_single_parent_comes_to_the_same(rows: list[Row]) -> None:
    short, long = EdgeWriter(), EdgeWriter()
    check = crc32(b"scores")
    for number, (named, incomplete, elsewhere) in enumerate(rows):
        ranges = ParentRanges()
        for parent in named:
            ranges.add(*parent)
        ranges.incomplete = incomplete
        header = encode_parents(ranges, "elsewhere" if elsewhere else "scores")
        single = len(set(named)) == 1 and not incomplete and not elsewhere
        assert short.add_single(0, number, 5, header, check, "r", None) is single
        if single:
            long.add(0, number, 5, decode_parents(header).parents, run_id="r")
    assert list(short.messages(HEAD, iter(["a"]))) == list(long.messages(HEAD, iter(["a"])))


@given(st.binary(max_size=30), st.booleans())
def test_the_short_way_takes_nothing_that_the_other_does_not(data: bytes, framed: bool) -> None:
    header = b"\x01\x00" + crc32(b"scores").to_bytes(4, "big") + b"\x01\x02a\x01\x00" + data if framed else data
    writer = EdgeWriter()
    if writer.add_single(0, 1, 5, header, crc32(b"scores"), None, None):
        (value,) = writer.messages(HEAD, iter(["a"]))
        assert decode_edges(value).edges[0].parents == decode_parents(header).parents
