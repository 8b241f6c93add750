"""If this failed, records would name wrong parents or forget some, or a hostile header could stop who reads it."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.errors import DecodeError
from stream_lineage.model.record_edge import ParentRange
from stream_lineage.wire.lineage_headers import (
    DEFAULT_MOST_BYTES,
    LARGEST_HEADER,
    decode_parents,
    encode_parents,
    one_parent_prefix,
    run_id,
    trace_id,
    unknown_parents,
    varint,
)
from stream_lineage.wire.parent_ranges import ParentRanges

VECTORS = json.loads((Path(__file__).parents[3] / "docs" / "specs" / "header-vectors.json").read_text())
Record = tuple[str | None, str, int, int]
"""Cluster, topic, partition, offset."""


def ranges_of(rows: Iterable[dict[str, Any]]) -> tuple[ParentRange, ...]:
    return tuple(ParentRange(**row) for row in rows)


def the_set(parents: Iterable[ParentRange]) -> ParentRanges:
    out = ParentRanges()
    out.update(parents)
    return out


def offsets(parents: Iterable[ParentRange]) -> list[Record]:
    return [
        (parent.cluster, parent.topic, parent.partition, offset)
        for parent in parents
        for offset in range(parent.first_offset, parent.last_offset + 1)
    ]


@pytest.mark.parametrize("vector", VECTORS["headers"], ids=lambda vector: str(vector["name"]))
def test_vectors(vector: dict[str, Any]) -> None:
    given_ = ranges_of(vector["parents"])
    most = vector.get("most_bytes", DEFAULT_MOST_BYTES)
    header = bytes.fromhex(vector["hex"])
    assert encode_parents(the_set(given_), vector["written_to"], most_bytes=most) == header
    assert encode_parents(the_set(reversed(given_)), vector["written_to"], most_bytes=most) == header
    read = decode_parents(header)
    expected = vector.get("read", {"parents": vector["parents"], "incomplete": False})
    assert read.parents == ranges_of(expected["parents"])
    assert read.incomplete is expected["incomplete"]
    assert read.belongs_to(vector["written_to"])
    assert not read.belongs_to(vector["written_to"] + ".dlq")


@pytest.mark.parametrize("vector", VECTORS["unreadable"], ids=lambda vector: str(vector["name"]))
def test_unreadable_vectors(vector: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode_parents(bytes.fromhex(vector["hex"]))


def test_the_one_that_the_specification_spells_out() -> None:
    spelled = bytes.fromhex("01 00 0750375e 01 0c 636c69636b73 01 03 01 e807 02")
    assert decode_parents(spelled).parents == (ParentRange("clicks", 3, 1000, 1001),)
    assert spelled.hex(" ").replace(" ", "") in {vector["hex"] for vector in VECTORS["headers"]}
    text = (Path(__file__).parents[3] / "docs" / "specs" / "headers.md").read_text()
    assert "01 00 0750375e 01 0c 636c69636b73 01 03 01 e807 02" in text


places = st.tuples(st.sampled_from([None, "", "eu"]), st.sampled_from(["a", "clicks", "größe"]), st.integers(0, 3))
records = st.lists(st.tuples(places, st.one_of(st.integers(0, 60), st.integers(2**62, 2**62 + 20))), max_size=80).map(
    lambda rows: [(*place, offset) for place, offset in rows]
)


@given(records)
def test_below_the_cap_all_and_no_others(rows: list[Record]) -> None:
    parents = ParentRanges()
    for cluster, topic, partition, offset in rows:
        parents.add(topic, partition, offset, cluster=cluster)
    read = decode_parents(encode_parents(parents, "out"))
    assert not any(parent.widened for parent in read.parents)
    assert not read.incomplete
    found = offsets(read.parents)
    assert len(found) == len(set(found))
    assert set(found) == set(rows)
    assert len(parents) == len(read.parents)


@given(records, st.integers(32, 120))
def test_above_the_cap_nothing_is_forgotten_silently(rows: list[Record], most: int) -> None:
    parents = ParentRanges()
    for cluster, topic, partition, offset in rows:
        parents.add(topic, partition, offset, cluster=cluster)
    header = encode_parents(parents, "out", most_bytes=most)
    assert len(header) <= most
    read = decode_parents(header)
    wanted = set(rows)
    covered = {
        row
        for row in wanted
        for parent in read.parents
        if (parent.cluster, parent.topic, parent.partition) == row[:3]
        and parent.first_offset <= row[3] <= parent.last_offset
    }
    assert read.incomplete or covered == wanted
    assert not read.incomplete or covered < wanted
    for parent in read.parents:
        place = (parent.cluster, parent.topic, parent.partition)
        assert {(*place, parent.first_offset), (*place, parent.last_offset)} <= wanted
        if not parent.widened:
            assert set(offsets([parent])) <= wanted
        elif parent.length < 1_000:
            assert not set(offsets([parent])) <= wanted


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12), st.booleans()), max_size=30)


@given(spans, st.sampled_from([4, 64]))
def test_a_set_of_ranges_in_any_order(rows: list[tuple[int, int, bool]], most: int) -> None:
    parents = ParentRanges(most_ranges=most)
    exact: set[int] = set()
    every: set[int] = set()
    for first, more, widened in rows:
        parents.add("a", 0, first, first + more, widened=widened)
        own = set(range(first, first + more + 1))
        every |= own
        exact |= own if not widened or more < 2 else {first, first + more}
    kept = list(parents)
    assert len(kept) == len(parents) <= most
    assert all(a.last_offset < b.first_offset for a, b in pairwise(kept))
    covered = {offset for parent in kept for offset in range(parent.first_offset, parent.last_offset + 1)}
    assert every <= covered
    for parent in kept:
        inside = set(range(parent.first_offset, parent.last_offset + 1))
        assert parent.widened or inside <= exact


def test_the_smallest_gaps_are_closed_and_no_more_than_needed() -> None:
    parents = ParentRanges()
    for offset in range(0, 30_000, 3):
        parents.add("clicks", offset % 2, offset * 7)
    assert len(parents) <= 4096
    fitting = ParentRanges()
    for offset in range(1_200):
        fitting.add("clicks", 0, offset * 5)
    assert all(not parent.widened for parent in decode_parents(encode_parents(fitting, "out")).parents)
    fitting.add("clicks", 0, 10**12)
    for offset in range(1_000):
        fitting.add("clicks", 0, 10**9 + offset * 9)
    header = encode_parents(fitting, "out")
    read = decode_parents(header).parents
    assert DEFAULT_MOST_BYTES - 4 <= len(header) <= DEFAULT_MOST_BYTES
    widened = [parent for parent in read if parent.widened]
    assert widened
    assert max(parent.last_offset for parent in widened) < 10**9
    assert read[-1] == ParentRange("clicks", 0, 10**12, 10**12)


def test_a_thousand_contiguous_parents_take_no_more_than_200_bytes() -> None:
    parents = ParentRanges()
    for offset in range(1_000):
        parents.add("a-topic-with-a-name-that-is-rather-long", offset % 6, 5_000_000_000 + offset // 6)
    header = encode_parents(parents, "out")
    assert len(header) <= 200
    assert len(offsets(decode_parents(header).parents)) == 1_000


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1), st.none() | st.just("eu"))
def test_the_short_way_for_one_parent_is_the_same(offset: int, partition: int, cluster: str | None) -> None:
    parents = ParentRanges()
    parents.add("clicks", partition, offset, cluster=cluster)
    prefix = one_parent_prefix("scores", "clicks", partition, cluster)
    assert prefix + varint(offset) + b"\0" == encode_parents(parents, "scores")


@given(st.binary(max_size=80))
def test_whatever_the_bytes_are(data: bytes) -> None:
    for value in (data, b"\x01\x00\0\0\0\0" + data):
        with contextlib.suppress(DecodeError):
            read = decode_parents(value)
            assert all(0 <= parent.first_offset <= parent.last_offset < 2**63 for parent in read.parents)


def test_a_large_header_costs_no_more_than_its_size() -> None:
    largest = b"\x01\x00\0\0\0\0\x01\x02a\x01\x00" + varint(30_000) + b"\x00\x00" * 30_000
    tracemalloc.start()
    assert len(decode_parents(largest).parents) == 30_000
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.reset_peak()
    for value in (bytes(LARGEST_HEADER + 1), b"\x01" + bytes(2**20), b"\x01\x00\0\0\0\0" + b"\xff" * 2**20):
        with pytest.raises(DecodeError):
            decode_parents(value)
    tracemalloc.stop()


def test_coordinates_that_cannot_be_are_refused() -> None:
    for topic, partition, first, last in (
        ("", 0, 0, 0),
        ("a", -1, 0, 0),
        ("a", 2**31, 0, 0),
        ("a", 0, -1, 0),
        ("a", 0, 2, 1),
        ("a", 0, 0, 2**63),
    ):
        with pytest.raises(ValueError, match="coordinates"):
            ParentRanges().add(topic, partition, first, last)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"nightly-7", "nightly-7"),
        ("größe".encode(), "größe"),
        (None, None),
        (b"", None),
        (b"\xff", None),
        (b"a\nb", None),
        (b"x" * 201, None),
    ],
)
def test_run_ids(value: bytes | None, expected: str | None) -> None:
    assert run_id(value) == expected


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-what-will-be", TRACE),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-b7ad6b7169203331", None),
        ("", None),
    ],
)
def test_trace_ids(value: str, expected: str | None) -> None:
    assert trace_id(value.encode()) == expected
    assert trace_id(None) is None


def test_the_header_that_only_says_that_there_are_parents() -> None:
    incomplete = ParentRanges()
    incomplete.incomplete = True
    assert unknown_parents("scores") == encode_parents(incomplete, "scores") == bytes.fromhex("0101 0750375e 00")
    assert decode_parents(unknown_parents("scores")).incomplete
