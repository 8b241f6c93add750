"""If this failed, an index would be lost, mixed up or taken for whole: by a crash, an upgrade, damage on the disk."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.errors import IndexBusy, IndexUnusable, NotFound
from stream_lineage.index.file import open_reader, open_writer, replace_contents, sole_writer
from stream_lineage.index.layout import APPLICATION_ID, MIGRATIONS, migrate
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log, ProvenanceIndex
from stream_lineage.index.writer import Entry, Feed, IndexWriter, Source
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE, PLAIN_JSON, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan, joined_ranges
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.spans import SpanIndex, TopicEpoch

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KNOWN = SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, 7, None, "clicks-value", 1, "ab" * 32)
WAITING = SchemaReference(SchemaType.NONE, Framing.CONFLUENT_PREFIX, 7, unresolved=True)


def observation(
    *spans: OffsetSpan,
    schema: SchemaReference = KNOWN,
    topic_id: str | None = "id",
    kind: ObservationKind = ObservationKind.OBSERVATION,
) -> Observation:
    records = sum(span.count for span in spans)
    return Observation(
        "o", kind, "prod", "clicks", topic_id, "c1", NOW, schema, OPAQUE, records, 0, 0, None, spans, None, ()
    )  # fmt: skip


def entry(*spans: OffsetSpan, schema: SchemaReference = KNOWN) -> Entry:
    return Entry("observations", encode_observation(observation(*spans, schema=schema)))


def span(first: int, last: int, *missing: int, partition: int = 0) -> OffsetSpan:
    gaps = joined_ranges(MissingRange(offset, offset, MissingReason.COMPACTED) for offset in missing)
    return OffsetSpan(partition, first, last, last - first + 1 - len(missing), gaps)


@st.composite
def logs(draw: st.DrawFn) -> list[Observation]:
    """What collectors write: every offset of two partitions in one span, in any order and cut anywhere, under schemas
    that may be known only later; of two lives of the topic."""
    out: list[Observation] = []
    for topic_id in draw(st.sampled_from([("a",), ("a", "b"), (None,)])):
        for partition in (0, 1):
            bounds = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=12)))
            for first, stop in pairwise(bounds):
                schema = draw(st.sampled_from([KNOWN, PLAIN_JSON, WAITING]))
                missing = sorted(draw(st.sets(st.integers(first, stop - 1), max_size=3)))
                own = span(first, stop - 1, *missing, partition=partition)
                out.append(observation(own, schema=schema, topic_id=topic_id))
    if draw(st.booleans()):
        resolved = SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, 7, None, "clicks-value", 2, "cd" * 32)
        out.append(observation(schema=resolved, kind=ObservationKind.RESOLUTION))
    return draw(st.permutations(out))


@settings(max_examples=30)
@given(written=logs(), size=st.integers(1, 10))
def test_spans_are_those_of_the_log(
    tmp_path_factory: pytest.TempPathFactory, written: list[Observation], size: int
) -> None:
    path = tmp_path_factory.mktemp("index") / "i"
    oracle = SpanIndex()
    for start in range(0, len(written), size):
        writer = IndexWriter(path)  # each time another process
        entries = [Entry("observations", encode_observation(each)) for each in written[start : start + size]]
        assert writer.write(entries, {}) == 0
        writer.close()
    for each in written:
        oracle.add(each)
    with ProvenanceIndex(path) as index:
        assert set(index.epochs()) == set(oracle.epochs())
        for epoch in oracle.epochs():
            merged = list(oracle.merged(epoch))
            assert list(index.spans(epoch)) == merged
            for one in merged:
                log = index.logs.number(Log("clicks", epoch.topic_id, one.span.partition))
                assert log is not None
                for offset in range(one.span.first_offset, one.span.last_offset + 1):
                    assert index.span_at(log, "clicks", offset) == (one.schema, one.key_schema)
                    gap = next((g for g in one.span.missing if g.first_offset <= offset <= g.last_offset), None)
                    found = index.hole_at(log, offset)
                    assert (found is None) == (gap is None)
                assert index.span_at(log, "clicks", 61) is None


def test_the_newest_word_on_an_offset_counts(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    assert writer.write([entry(span(0, 99, 10, 50)), entry(span(40, 59), schema=PLAIN_JSON)], {}) == 0
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        rows = [
            (s.span.first_offset, s.span.last_offset, s.schema, s.span.count)
            for s in index.spans(TopicEpoch("clicks", "id"))
        ]
        assert rows == [(0, 39, KNOWN, 39), (40, 59, PLAIN_JSON, 20), (60, 99, KNOWN, 40)]
        assert index.status().counts["overlaps"] == 1


def test_positions_and_rows_come_together_or_not_at_all(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    place = Source("lineage.observations", 0, "t")
    writer.write([entry(span(0, 9))], {place: 1})
    with pytest.raises(RuntimeError, match="killed"):
        writer.write(killed_after([entry(span(10, 19)), entry(span(20, 29), schema=PLAIN_JSON)]), {place: 3})
    assert writer.positions() == {("lineage.observations", 0): (1, "t")}
    # It goes on where it was, and knows nothing of what it had begun.
    writer.write([entry(span(10, 19), schema=PLAIN_JSON)], {place: 2})
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        found = [(s.span.first_offset, s.span.last_offset) for s in index.spans(TopicEpoch("clicks", "id"))]
        assert found == [(0, 9), (10, 19)]


def killed_after(entries: list[Entry]) -> Iterator[Entry]:
    yield from entries
    raise RuntimeError("killed")


def test_garbage_is_counted_and_left_out(tmp_path: Path) -> None:
    far = 2**63 - 1
    hostile = Observation(
        "o", ObservationKind.OBSERVATION, "c", "clicks", None, "c", NOW, KNOWN, OPAQUE, 1, 0, 0, None,
        (OffsetSpan(0, far, far, 1),), None, (),
    )  # fmt: skip
    junk = [b"", b"\x00", b"\xc3\x01" + bytes(40), b"[]", b"null", b'{"topic": 1}', encode_observation(hostile)]
    writer = IndexWriter(tmp_path / "i")
    feeds: tuple[Feed, ...] = ("observations", "edges", "alerts")
    for feed in feeds:
        assert writer.write([Entry(feed, value) for value in junk], {}) == len(junk)
        assert writer.write([Entry(feed, value) for value in junk] + [entry(span(0, 9))], {}) == len(junk)
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        assert index.status().counts["unreadable.edges"] == 2 * len(junk)
        assert index.status().rows["span"] == 1


def test_files_that_are_no_index(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as absent:
        open_reader(tmp_path / "none")
    assert "index rebuild" in str(absent.value.hint)

    (tmp_path / "text").write_text("this is no database, and never was " * 200)
    for open_ in (open_reader, open_writer):
        with pytest.raises(IndexUnusable, match="damaged") as damaged:
            open_(tmp_path / "text")
        assert "index rebuild" in str(damaged.value.hint)

    other = tmp_path / "metrics.sqlite"
    with sqlite3.connect(other) as foreign:
        foreign.execute("CREATE TABLE point (x)")
    before = other.read_bytes()
    for open_ in (open_reader, open_writer):
        with pytest.raises(IndexUnusable, match="another program"):
            open_(other)
    IndexWriter(tmp_path / "fresh").close()
    with pytest.raises(IndexUnusable, match="another program"):
        replace_contents(tmp_path / "fresh", other)
    assert other.read_bytes() == before


def test_damage_inside_the_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "i"
    writer = IndexWriter(path)
    writer.write([entry(span(n * 10, n * 10 + 9), schema=(KNOWN, PLAIN_JSON)[n % 2]) for n in range(3000)], {})
    writer.close()
    content = bytearray(path.read_bytes())
    for page in range(30, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(IndexUnusable, match="damaged") as said, ProvenanceIndex(path) as index:
        list(index.spans(TopicEpoch("clicks", "id")))
    assert "index rebuild" in str(said.value.hint)
    # A new one takes its place.
    fresh = IndexWriter(tmp_path / "fresh")
    fresh.write([entry(span(0, 9))], {})
    fresh.close()
    replace_contents(tmp_path / "fresh", path)
    with ProvenanceIndex(path) as index:
        assert len(list(index.spans(TopicEpoch("clicks", "id")))) == 1
    (tmp_path / "text").write_text("no database at all" * 1000)
    replace_contents(tmp_path / "fresh", tmp_path / "text")
    with ProvenanceIndex(tmp_path / "text") as index:
        assert index.status().rows["span"] == 1


def test_versions(tmp_path: Path) -> None:
    path = tmp_path / "i"
    writer = IndexWriter(path)
    writer.write([entry(span(0, 9))], {})
    writer.close()
    connection = sqlite3.connect(path, isolation_level=None)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)

    # The next version adds a column. A step that fails half-way leaves the file as it was.
    broken = "ALTER TABLE run ADD COLUMN job TEXT; INSERT INTO nowhere VALUES (1)"
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*MIGRATIONS, broken))
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert "job" not in connection.execute("SELECT sql FROM sqlite_master WHERE name = 'run'").fetchone()[0]
    assert migrate(connection, (*MIGRATIONS, "ALTER TABLE run ADD COLUMN job TEXT")) == len(MIGRATIONS)
    assert connection.execute("SELECT count(*) FROM span").fetchone() == (1,)
    connection.close()

    for open_ in (open_reader, open_writer):
        with pytest.raises(IndexUnusable, match="later version") as later:
            open_(path)
        assert "index rebuild" in str(later.value.hint)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 0")
    connection.commit()
    connection.close()
    with pytest.raises(IndexUnusable, match="earlier version"):
        open_reader(path)


def test_a_snapshot_is_of_one_moment_and_the_next_knows_new_names(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    writer.write([entry(span(0, 9))], {})
    with ProvenanceIndex(tmp_path / "i") as index:
        with index.snapshot():
            before = len(index.logs)
            writer.write([entry(span(0, 9, partition=5)), entry(span(10, 19))], {})
            assert [s.span.last_offset for s in index.spans(TopicEpoch("clicks", "id"))] == [9]
        with index.snapshot():
            assert len(index.logs) == before + 1
            assert [s.span.last_offset for s in index.spans(TopicEpoch("clicks", "id"))] == [19, 9]
    writer.close()


def test_one_writes(tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path / "i"),
        pytest.raises(IndexBusy, match="another process"),
        sole_writer(tmp_path / "i"),
    ):
        pass
    with sole_writer(tmp_path / "i"):
        pass


def test_who_reads_while_it_is_made_anew_sees_one_of_the_two(tmp_path: Path) -> None:
    path = tmp_path / "i"
    for name, schema in (("i", KNOWN), ("fresh", PLAIN_JSON)):
        writer = IndexWriter(tmp_path / name)
        writer.write([entry(span(n * 20, n * 20 + 9), schema=schema) for n in range(2000)], {})
        writer.close()
    seen: list[set[str]] = []
    stop = threading.Event()

    def read() -> None:
        with ProvenanceIndex(path) as index:
            while not stop.is_set():
                with index.snapshot():
                    log = index.logs.number(Log("clicks", "id", 0))
                    assert log is not None
                    found = index.schemas_of(log, "clicks", Ranges.single(0, 40_000))
                    assert sum(part.count for part, _, _ in found) == 20_000
                    seen.append({schema.type.value for _, schema, _ in found})

    thread = threading.Thread(target=read)
    thread.start()
    try:
        while not seen:
            pass
        replace_contents(tmp_path / "fresh", path)
        count = len(seen)
        while len(seen) < count + 3 and thread.is_alive():
            pass
    finally:
        stop.set()
        thread.join()
    assert seen[0] == {"AVRO"}
    assert seen[-1] == {"JSON"}
    assert all(len(types) == 1 for types in seen)
