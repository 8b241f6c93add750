"""If this failed, a trace would name records that are no source, or leave out records that are one."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log, ProvenanceIndex
from stream_lineage.index.walk import walk
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.provenance.edge_codec import encode_edges

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Record = tuple[str, int, int]


def batch(topic: str, edges: Iterable[RecordEdge], at: datetime = NOW, topic_id: str | None = "id") -> Entry:
    made = EdgeBatch("b", "prod", topic, topic_id, "c1", at, tuple(edges))
    return Entry("edges", encode_edges(made))


def edge(offset: int, *parents: ParentRange, partition: int = 0, incomplete: bool = False) -> RecordEdge:
    return RecordEdge(partition, offset, parents, incomplete=incomplete)


def one(topic: str, offset: int, last: int | None = None, partition: int = 0, widened: bool = False) -> ParentRange:
    return ParentRange(topic, partition, offset, offset if last is None else last, widened)


def records(index: ProvenanceIndex, found: Mapping[int, Ranges]) -> set[Record]:
    """One by one: the oracle knows nothing of ranges."""
    return {
        (index.logs[log].topic, index.logs[log].partition, offset)
        for log, ranges in found.items()
        for first, last in ranges
        for offset in range(first, last + 1)
    }


def number(index: ProvenanceIndex, topic: str, partition: int = 0, topic_id: str | None = "id") -> int:
    for each in (topic_id, None):
        if (found := index.logs.number(Log(topic, each, partition))) is not None:
            return found
    raise AssertionError(f"{topic} is not known")


def closure(parents: Mapping[Record, set[Record]], start: Record) -> set[Record]:
    """Everything above a record, by looking at one record after the other."""
    found: set[Record] = set()
    todo = [start]
    while todo:
        for parent in parents.get(todo.pop(), ()):
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found - {start}


def inverted(parents: Mapping[Record, set[Record]]) -> dict[Record, set[Record]]:
    out: dict[Record, set[Record]] = {}
    for record, above in parents.items():
        for parent in above:
            out.setdefault(parent, set()).add(record)
    return out


TOPICS = ("a", "b", "c", "d")
PARENTS = st.lists(
    st.tuples(st.sampled_from(TOPICS), st.integers(0, 1), st.integers(0, 30), st.integers(0, 6)), max_size=3
)


@st.composite
def edges_of_a_pipeline(draw: st.DrawFn) -> dict[Record, list[ParentRange]]:
    """Stretches in which outputs go along with their parents, and others in which they do not. Topics may feed
    themselves, and each other in a ring."""
    found: dict[Record, list[ParentRange]] = {}
    for _ in range(draw(st.integers(1, 6))):
        topic, partition, start = draw(st.sampled_from(TOPICS)), draw(st.integers(0, 1)), draw(st.integers(0, 25))
        length, stride = draw(st.integers(1, 12)), draw(st.sampled_from([None, 0, 1, 2, 3]))
        source, source_partition, base = (
            draw(st.sampled_from(TOPICS)),
            draw(st.integers(0, 1)),
            draw(st.integers(0, 20)),
        )
        for i in range(length):
            record = (topic, partition, start + i)
            if stride is None:
                ranges = [ParentRange(t, p, first, first + more) for t, p, first, more in draw(PARENTS)]
            elif stride == 0:
                ranges = [ParentRange(source, source_partition, base, base + 3)]
            else:
                first = base + i * stride
                ranges = [ParentRange(source, source_partition, first, first + stride - 1)]
            found.setdefault(record, []).extend(ranges)
    return found


@settings(max_examples=40)
@given(planted=edges_of_a_pipeline(), chosen=st.randoms(use_true_random=False), batches=st.integers(1, 4))
def test_every_walk_is_exact(
    tmp_path_factory: pytest.TempPathFactory,
    planted: dict[Record, list[ParentRange]],
    chosen: random.Random,
    batches: int,
) -> None:
    path = tmp_path_factory.mktemp("index") / "index.sqlite"
    writer = IndexWriter(path)
    for part in range(batches):
        for topic in TOPICS:
            rows = sorted((r, p) for r, p in planted.items() if r[0] == topic)
            size = -(-len(rows) // batches)
            mine = rows[part * size : (part + 1) * size]
            if mine:
                edges = [RecordEdge(record[1], record[2], tuple(parents)) for record, parents in mine]
                assert writer.write([batch(topic, edges)], {}) == 0
    writer.close()
    parents: dict[Record, set[Record]] = {
        record: {(r.topic, r.partition, o) for r in ranges for o in range(r.first_offset, r.last_offset + 1)}
        for record, ranges in planted.items()
    }
    children = inverted(parents)
    directions: list[tuple[Literal["upstream", "downstream"], Mapping[Record, set[Record]]]] = [
        ("upstream", parents), ("downstream", children),
    ]  # fmt: skip
    with ProvenanceIndex(path) as index:
        for direction, neighbours in directions:
            for start in chosen.sample(sorted(neighbours), min(4, len(neighbours))):
                log = number(index, start[0], start[1])
                found = walk(index, {log: Ranges.single(start[2])}, direction)
                expected = closure(neighbours, start)
                assert records(index, found.reached) == expected
                everything = {start, *expected}
                assert records(index, found.ends) == {r for r in everything if not neighbours.get(r)}
                assert not found.cut
                assert not found.uncertain
                hop = {start}
                for distance, ranges in enumerate(found.hops, 1):
                    assert distance <= len(everything)
                    hop = {parent for record in hop for parent in neighbours.get(record, ())}
                    assert records(index, ranges) <= hop


def test_what_is_in_order_takes_one_row(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    copies = [edge(offset, one("in", offset + 7)) for offset in range(1000)]
    windows = [edge(offset, one("in", offset * 100, offset * 100 + 99)) for offset in range(50)]
    fan_out = [edge(offset, one("in", 5)) for offset in range(200)]
    joins = [edge(offset, one("left", offset), one("right", offset + 3)) for offset in range(100)]
    for start in (0, 500):
        writer.write([batch("copies", copies[start : start + 500])], {})
    writer.close()
    writer = IndexWriter(tmp_path / "i")  # another process goes on where this one was
    writer.write([batch("windows", windows[:20]), batch("windows", windows[20:])], {})
    writer.write([batch("fan", fan_out), batch("joins", joins)], {})
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        assert index.status().rows["edge"] == 1 + 1 + 1 + 2
        found = walk(index, {number(index, "windows"): Ranges.single(7)})
        assert records(index, found.reached) == {("in", 0, offset) for offset in range(700, 800)}


def test_widened_ranges_are_said_to_be(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    writer.write(
        [
            batch("out", [edge(0, one("mid", 10, 20, widened=True), one("mid", 15))]),
            batch("mid", [edge(offset, one("in", offset)) for offset in range(30)]),
        ],
        {},
    )
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        found = walk(index, {number(index, "out"): Ranges.single(0)})
        every = set(range(10, 21))
        assert records(index, found.reached) == {(topic, 0, offset) for topic in ("mid", "in") for offset in every}
        sure = {10, 15, 20}
        doubtful = {(topic, 0, offset) for topic in ("mid", "in") for offset in every - sure}
        assert records(index, found.uncertain) == doubtful
        for offset in every:
            down = walk(index, {number(index, "in"): Ranges.single(offset)}, "downstream")
            assert records(index, down.reached) == {("mid", 0, offset), ("out", 0, 0)}
            assert records(index, down.uncertain) == (set() if offset in sure else {("out", 0, 0)})


def test_a_topic_that_was_made_again_is_another(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    later = NOW + timedelta(days=1)
    writer.write(
        [
            batch("in", [edge(0, one("raw", 1))], NOW, "first"),
            batch("in", [edge(0, one("raw", 2))], later, "second"),
            batch("out", [edge(0, one("in", 0))], NOW + timedelta(hours=1)),
            batch("out", [edge(1, one("in", 0))], later + timedelta(hours=1)),
        ],
        {},
    )
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        out = number(index, "out")
        for offset, raw in ((0, 1), (1, 2)):
            found = walk(index, {out: Ranges.single(offset)})
            assert records(index, found.reached) == {("in", 0, 0), ("raw", 0, raw)}
        for topic_id, child in (("first", 0), ("second", 1)):
            down = walk(index, {number(index, "in", 0, topic_id): Ranges.single(0)}, "downstream")
            assert records(index, down.reached) == {("out", 0, child)}
        both = {number(index, "in", 0, topic_id): Ranges.single(0) for topic_id in ("first", "second")}
        assert records(index, walk(index, both, "downstream").reached) == {("out", 0, 0), ("out", 0, 1)}
        assert index.logs.current("in", 0) == number(index, "in", 0, "second")


def test_records_of_other_clusters_are_not_ours(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    parents = [ParentRange("in", 0, 1, 1, cluster=cluster) for cluster in (None, "prod", "elsewhere", "")]
    writer.write([batch("in", [edge(1, one("raw", 5))]), batch("out", [edge(0, *parents)])], {})
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        found = walk(index, {number(index, "out"): Ranges.single(0)})
        reached = {(index.logs[log].cluster, index.logs[log].topic) for log in found.reached}
        assert reached == {(None, "in"), (None, "raw"), ("elsewhere", "in"), ("?", "in")}
        ends = {(index.logs[log].cluster, index.logs[log].topic) for log in found.ends}
        assert ends == {(None, "raw"), ("elsewhere", "in"), ("?", "in")}


def test_depth_and_size_are_bounded_and_said(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    # An aggregate that cites its own last output besides what came.
    total = [
        edge(offset, *([one("total", offset - 1)] if offset else []), one("in", offset * 3)) for offset in range(50)
    ]
    writer.write([batch("total", total), batch("lost", [edge(0, incomplete=True)])], {})
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        start = {number(index, "total"): Ranges.single(49)}
        found = walk(index, start, depth=2)
        assert records(index, found.reached) == {("total", 0, 48), ("total", 0, 47), ("in", 0, 147), ("in", 0, 144)}
        assert found.cut
        assert records(index, found.ends) == {("in", 0, 147), ("in", 0, 144)}
        whole = walk(index, start, depth=60)
        assert not whole.cut
        assert records(index, whole.ends) == {("in", 0, offset * 3) for offset in range(50)}
        assert walk(index, start, most_strips=10).cut
        lost = walk(index, {number(index, "lost"): Ranges.single(0)})
        assert records(index, lost.unknown) == {("lost", 0, 0)}
        assert not lost.reached


@pytest.mark.parametrize("count", [5, 200])
@pytest.mark.parametrize("direction", ["upstream", "downstream"])
def test_many_ranges_are_asked_for_as_few_are(
    tmp_path: Path, direction: Literal["upstream", "downstream"], count: int
) -> None:
    """However they are handed over to SQLite: one by one, as a table, or those that are alike as one text."""
    chance = random.Random(count)
    planted = {("out", 1, offset): [one("in", 2 * offset, 2 * offset + 1, 1)] for offset in range(600)}  # in order
    for offset in range(300):
        few = 80 if offset == 6 else chance.choice([1, 2])
        firsts = chance.sample(range(900), few)
        planted["out", 0, offset] = [one("in", n, n + chance.choice([0, 0, 3, 40])) for n in firsts]
    writer = IndexWriter(tmp_path / "i")
    writer.write(
        [batch("out", [RecordEdge(p, o, tuple(parents)) for (_, p, o), parents in sorted(planted.items())])], {}
    )
    writer.close()
    above: dict[Record, set[Record]] = {
        record: {(r.topic, r.partition, o) for r in ranges for o in range(r.first_offset, r.last_offset + 1)}
        for record, ranges in planted.items()
    }
    neighbours = above if direction == "upstream" else inverted(above)
    singles = {6, *chance.sample(range(0, 300, 3), count // 2)}
    pairs = {first + more for first in chance.sample(range(301, 899, 4), count // 2) for more in (0, 1)}
    wanted = singles | ({500, 501, 502} if direction == "upstream" else pairs)
    topic = "out" if direction == "upstream" else "in"
    with ProvenanceIndex(tmp_path / "i") as index:
        start = {number(index, topic, p): Ranges.of(sorted(wanted), sorted(wanted)) for p in (0, 1)}
        found = walk(index, start, direction, depth=1)
        expected = {far for p in (0, 1) for o in wanted for far in neighbours.get((topic, p, o), ())}
        assert records(index, found.reached) == expected
        assert not found.cut
        rows = len(found.strips)
        assert walk(index, start, direction, most_strips=rows).reached == found.reached
        assert walk(index, start, direction, most_strips=rows - 1).cut
