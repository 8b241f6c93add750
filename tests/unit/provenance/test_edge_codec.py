"""If this failed, record edges could not be read back, or a hostile message among them could end their readers."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.model.record_edge import EdgeBatch, EdgeSource, ParentRange, RecordEdge
from stream_lineage.provenance.edge_codec import MAX_BATCH_BYTES, decode_edges, decode_head, encode_edges

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "edge.avsc").read_text())
PARSED = fastavro.parse_schema(copy.deepcopy(SCHEMA))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
OFFSETS = st.integers(0, 2**62)
TIMES = st.integers(0, 4_102_444_800_000).map(
    lambda milliseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
)
ranges = st.tuples(
    TEXTS, st.integers(0, 2**31 - 1), OFFSETS, st.integers(0, 2**40), st.booleans(), st.none() | TEXTS
).map(lambda row: ParentRange(row[0], row[1], row[2], row[2] + row[3], row[4], row[5]))
edges = st.builds(
    RecordEdge,
    partition=st.integers(0, 2**31 - 1),
    offset=OFFSETS,
    parents=st.lists(ranges, max_size=4).map(tuple),
    source=st.sampled_from(EdgeSource),
    incomplete=st.booleans(),
    timestamp=st.none() | TIMES,
    run_id=st.none() | TEXTS,
    trace_id=st.none() | st.binary(min_size=16, max_size=16).map(bytes.hex),
)
batches = st.builds(
    EdgeBatch,
    batch_id=TEXTS,
    cluster=TEXTS,
    topic=TEXTS,
    topic_id=st.none() | TEXTS,
    collector=TEXTS,
    observed_at=TIMES,
    edges=st.lists(edges, max_size=4).map(tuple),
    left_out=st.integers(0, 2**40),
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = EdgeBatch(
    batch_id="b",
    cluster="eu",
    topic="scores",
    topic_id="id",
    collector="one",
    observed_at=NOON,
    edges=(
        RecordEdge(0, 7, (ParentRange("clicks", 1, 5, 9), ParentRange("clicks", 2, 5, 5)), run_id="r", timestamp=NOON),
        RecordEdge(0, 8, (ParentRange("clicks", 1, 5, 900, widened=True),), run_id="r"),
    ),
)


@given(batches, st.none() | st.integers(1, 2**31 - 1))
def test_what_is_written_is_read(batch: EdgeBatch, schema_id: int | None) -> None:
    assert decode_edges(encode_edges(batch, schema_id=schema_id)) == batch


def test_the_schema_file_says_what_is_written() -> None:
    record = fastavro.schemaless_reader(io.BytesIO(encode_edges(ONE)[10:]), PARSED, None)
    assert record["sources"] == [
        {"cluster": None, "topic": "clicks", "partition": 1},
        {"cluster": None, "topic": "clicks", "partition": 2},
    ]
    assert record["runs"] == ["r"]
    assert [edge["parents"] for edge in record["edges"]] == [
        [
            {"source": 0, "first_offset": 5, "more": 4, "widened": False},
            {"source": 1, "first_offset": 5, "more": 0, "widened": False},
        ],
        [{"source": 0, "first_offset": 5, "more": 895, "widened": True}],
    ]
    assert [edge["timestamp"] for edge in record["edges"]] == [int(NOON.timestamp() * 1000), -1]
    symbols = next(
        field["type"]["symbols"]
        for field in next(f for f in SCHEMA["fields"] if f["name"] == "edges")["type"]["items"]["fields"]
        if field["name"] == "source"
    )
    assert symbols == [source.value for source in EdgeSource]


def test_exact_is_neither_widened_nor_incomplete() -> None:
    first, second = ONE.edges
    assert first.exact
    assert not second.exact
    assert second.widened
    assert not replace(first, incomplete=True).exact


@pytest.mark.parametrize("schema_id", [None, 3])
def test_the_head_of_a_batch_is_read_without_its_edges(schema_id: int | None) -> None:
    value = encode_edges(replace(ONE, left_out=3), schema_id=schema_id)
    head, sources = decode_head(value)
    assert head == replace(ONE, edges=(), left_out=0)
    assert sources == {(None, "clicks")}
    assert decode_edges(value) == replace(ONE, left_out=3)
    for end in range(20):
        with pytest.raises(DecodeError):
            decode_head(value[:end])


@pytest.mark.parametrize("read", [decode_edges, decode_head])
def test_a_batch_of_a_time_that_nobody_can_write_down_is_an_error(read: Any) -> None:
    record = fastavro.schemaless_reader(io.BytesIO(encode_edges(ONE)[10:]), PARSED, None)
    record["observed_at"] = 2**62
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED, record)
    with pytest.raises(DecodeError, match="OverflowError"):
        read(encode_edges(ONE)[:10] + out.getvalue())


@given(st.binary(max_size=200))
def test_hostile_bytes_are_an_error_and_nothing_else(data: bytes) -> None:
    for framing in (b"", b"\x00" + struct.pack(">I", 1), encode_edges(ONE)[:10]):
        with contextlib.suppress(DecodeError):
            decode_edges(framing + data)


def test_changed_bytes_are_an_error_and_nothing_else() -> None:
    whole = encode_edges(ONE)
    for place in range(10, len(whole)):
        for byte in (0x00, 0x01, 0x7F, 0xFF):
            with contextlib.suppress(DecodeError):
                decode_edges(whole[:place] + bytes((byte,)) + whole[place + 1 :])
        with pytest.raises(DecodeError):
            decode_edges(whole[:place])
    with pytest.raises(DecodeError):
        decode_edges(whole + b"\x00")
    with pytest.raises(DecodeError):
        decode_edges(b"\x00\x00\x00\x00\x01" + bytes(MAX_BATCH_BYTES))


def test_a_time_that_nobody_can_write_down_is_none() -> None:
    record = fastavro.schemaless_reader(io.BytesIO(encode_edges(ONE)[10:]), PARSED, None)
    record["edges"][0]["timestamp"] = 2**62
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED, record)
    assert decode_edges(encode_edges(ONE)[:10] + out.getvalue()).edges[0].timestamp is None
