"""If this failed, an answer would be called exact that leaves records out, or names some that are none."""

from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stream_lineage.cli.trace_tree import counted, drawn, mermaid
from stream_lineage.index.documents import inexact, trace_document
from stream_lineage.index.gap_rows import RemovedEdges
from stream_lineage.index.kept import Kept
from stream_lineage.index.layout import APPLICATION_ID, MIGRATIONS, WHOLE_AT, statements
from stream_lineage.index.path_tree import path_tree
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import Log, ProvenanceIndex
from stream_lineage.index.trace import Trace, trace
from stream_lineage.index.walk import Direction
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.record_edge import EdgeBatch, EdgeSource, ParentRange, RecordEdge
from stream_lineage.model.schema import OPAQUE, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.edge_codec import encode_edges
from stream_lineage.provenance.lookup import StoredRecord

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, 7, None, "clicks-value", 1, "ab" * 32)


def seen(topic: str, last: int = 99, *holes: int, at: datetime = NOW, topic_id: str = "id") -> Entry:
    gaps = tuple(MissingRange(hole, hole, MissingReason.COMPACTED) for hole in holes)
    span = OffsetSpan(0, 0, last, last + 1 - len(gaps), gaps)
    made = Observation(
        "o", ObservationKind.OBSERVATION, "prod", topic, topic_id, "c", at, KNOWN, OPAQUE, span.count, 0, 0, None,
        (span,), None, (),
    )  # fmt: skip
    return Entry("observations", encode_observation(made))


def edges(topic: str, *made: RecordEdge, left_out: int = 0, at: datetime = NOW, topic_id: str = "id") -> Entry:
    return Entry("edges", encode_edges(EdgeBatch("b", "prod", topic, topic_id, "c", at, made, left_out)), topic=topic)


def made_of(offset: int, topic: str, first: int, last: int | None = None, **more: Any) -> RecordEdge:
    return RecordEdge(0, offset, (ParentRange(topic, 0, first, first if last is None else last),), **more)


PIPELINE = (
    seen("in"), seen("mid"), seen("out"), seen("side"),
    edges("mid", *(made_of(n, "in", n) for n in range(100))),
    edges("out", *(made_of(n, "mid", n) for n in range(100))),
)  # fmt: skip
"""out 0 to 99 of mid 0 to 99 of in 0 to 99, all observed."""


def built(path: Path, *entries: Entry, left_out: int = 0) -> ProvenanceIndex:
    writer = IndexWriter(path / "i")
    assert writer.write(entries, {}) == left_out
    writer.close()
    return ProvenanceIndex(path / "i")


@dataclass(frozen=True)
class Case:
    """What an index holds beside, or instead of, the pipeline; and whether the path of a record is exact then, and of
    what a note says otherwise. ``kinds`` are those of the ends."""

    why: str
    entries: tuple[Entry, ...]
    record: tuple[str, int] = ("out", 5)
    direction: Direction = "upstream"
    depth: int | None = None
    says: str | None = None
    kinds: tuple[str, ...] = ("source",)
    unreadable: int = 0


DOWN: Direction = "downstream"
UNREADABLE = edges("in", RecordEdge(0, 5, (), incomplete=True))
CASES = [
    Case("everything is known", PIPELINE),
    Case("everything is known downstream", PIPELINE, ("in", 5), DOWN, kinds=("outcome",)),
    Case("deep enough", PIPELINE, depth=2),
    Case("not deep enough", PIPELINE, depth=1, says="goes on beyond", kinds=()),
    Case("deep enough, but the last one's header cannot be read", (*PIPELINE, UNREADABLE), depth=2, says=r"in\[0\]: 1 records have, or may have, parents", kinds=("unknown-parents",)),  # noqa: E501
    Case("the same without a depth", (*PIPELINE, UNREADABLE), says=r"in\[0\]: 1 records have", kinds=("unknown-parents",)),  # noqa: E501
    Case("another record's header cannot be read", (*PIPELINE, UNREADABLE), ("out", 6)),
    Case("downstream that one may be made of ours too", (*PIPELINE, UNREADABLE), ("in", 6), DOWN, says="in: records that do not name all", kinds=("outcome",)),  # noqa: E501
    Case("it is known to be made of ours", (*PIPELINE, edges("side", made_of(7, "in", 6, incomplete=True))), ("in", 6), DOWN, kinds=("outcome",)),  # noqa: E501
    Case("a collector had no room for edges of the source's topic", (*PIPELINE, edges("in", left_out=3)), says="in: what 3 records were made from was not recorded", kinds=("in-doubt",)),  # noqa: E501
    Case("no room, in a topic where no path ends", (*PIPELINE, edges("out", left_out=3))),
    Case("no room, in an earlier topic of that name", (*PIPELINE, edges("in", left_out=3, topic_id="before", at=NOW - timedelta(days=9))), ("in", 5)),  # noqa: E501
    Case("no room anywhere may be a child", (*PIPELINE, edges("side", left_out=3)), ("in", 5), DOWN, says="side: what 3 records", kinds=("outcome",)),  # noqa: E501
    Case("edges of the topic that nobody can read", (*PIPELINE, Entry("edges", b"junk", topic="in")), says="in: 1 messages that should say", kinds=("in-doubt",), unreadable=1),  # noqa: E501
    Case("edges of nobody knows which topic", (*PIPELINE, Entry("edges", b"junk")), says="1 messages that should say", kinds=("in-doubt",), unreadable=1),  # noqa: E501
    Case("edges of another topic that nobody can read", (*PIPELINE, Entry("edges", b"junk", topic="side")), unreadable=1),  # noqa: E501
    Case("the source was not observed", PIPELINE[1:], says=r"in\[0\]: 1 records at which the path ends were not observed", kinds=("not-observed",)),  # noqa: E501
    Case("what the path only passes need not be", (PIPELINE[0], *PIPELINE[4:])),
    Case("the source's offset held no record", (seen("in", 99, 4, 5), *PIPELINE[1:]), says="not observed", kinds=("not-observed",)),  # noqa: E501
    Case("another offset held none", (seen("in", 99, 4, 6), *PIPELINE[1:])),
    Case("it is copied from another cluster", (*PIPELINE, edges("side", RecordEdge(0, 1, (ParentRange("in", 0, 1, 1, cluster="far"),)))), ("side", 1), says="not observed", kinds=("not-observed",)),  # noqa: E501
    *(
        Case(f"headers of {source.value} name an ancestor", (*PIPELINE, edges("side", made_of(1, "in", 1, source=source))), ("side", 1), says=r"side\[0\]: 1 records have, or may have")  # noqa: E501
        for source in EdgeSource
        if source is not EdgeSource.LINEAGE
    ),
    Case("our own header names all", (*PIPELINE, edges("side", made_of(1, "in", 1))), ("side", 1)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_exact_is_said_of_what_is_and_of_nothing_else(tmp_path: Path, case: Case) -> None:
    with built(tmp_path, *case.entries, left_out=case.unreadable) as index, index.snapshot():
        found = trace(index, case.record[0], 0, case.record[1], case.direction, depth=case.depth)
        document = trace_document(index, found, Kept())
        assert document["exact"] is (case.says is None), document["notes"]
        assert tuple(dict.fromkeys(end["kind"] for end in document["ends"])) == case.kinds
        told(index, found, case.says)


def told(index: ProvenanceIndex, found: Trace, says: str | None) -> None:
    """The same in every form of the answer."""
    document, tree = trace_document(index, found, Kept()), path_tree(found, index.logs)
    screen = Console(file=io.StringIO(), width=1000)
    screen.print(drawn(tree, found, index.logs, Kept()))
    chart = mermaid(tree, found, index.logs, inexact(index, found))
    if says is None:
        assert inexact(index, found) == document["notes"] == []
        assert "not exact" not in counted(found) + chart
    else:
        assert "not exact" in counted(found)
        assert "not exact" in chart
        assert [note for note in document["notes"] if re.search(says, note)], document["notes"]


LIVES = [
    # when the output was written, when it was observed: minutes after the newest life of its parent was first observed
    (120, 120, True, "long after"),
    (2, 2, True, "clearly after"),
    (0.5, 0.5, False, "just after: clocks differ"),
    (0.5, 120, False, "written just after, observed long after"),
    (-30, 30, False, "written before, observed after: it may be of either"),
    (-30, -30, False, "the older life was not observed any more then"),
    (-90, -90, True, "well within the time of the older life"),
    (-90, 5, False, "written in the time of the older life, observed when the newest was current"),
    (None, 120, False, "nobody knows when it was written"),
]


@pytest.mark.parametrize(("written", "observed", "clear", "why"), LIVES, ids=[row[3] for row in LIVES])
def test_which_life_of_a_topic_is_meant(
    tmp_path: Path, written: float | None, observed: float, clear: bool, why: str
) -> None:
    again = NOW + timedelta(hours=2)  # the older life was observed from NOW on for an hour
    when = None if written is None else again + timedelta(minutes=written)
    made = edges("out", made_of(1, "in", 1, timestamp=when), at=again + timedelta(minutes=observed))
    lives = (
        seen("in", at=NOW, topic_id="old"),
        seen("in", at=NOW + timedelta(hours=1), topic_id="old"),
        seen("in", at=again, topic_id="new"),
    )
    with built(tmp_path, *lives, seen("out"), made) as index, index.snapshot():
        found = trace(index, "out", 0, 1)
        [ended] = found.ends
        assert index.logs[ended].topic_id == ("old" if observed < 0 else "new"), why
        assert found.exact is clear
        assert bool(found.walk.uncertain) is not clear
        told(index, found, None if clear else "in was deleted and made again")
        # The other way: the life that is meant has the child; the other may have, where that is not clear.
        for life in ("old", "new"):
            down = trace(index, "in", 0, 1, "downstream", topic_id=life)
            mine = life == index.logs[ended].topic_id
            assert (down.walk.count() == 1) is mine
            assert down.exact is clear


def test_edges_that_retention_took_are_missed_where_they_may_have_been(tmp_path: Path) -> None:
    """Of what was observed before the first edge that is left, nobody knows what it was made from."""
    writer = IndexWriter(tmp_path / "i")
    left = NOW + timedelta(days=1)
    removed = RemovedEdges(12, int(left.timestamp() * 1000))
    writer.write([], {}, removed=removed)
    writer.close()
    writer = IndexWriter(tmp_path / "i")  # another process goes on
    later = left + timedelta(hours=1)
    writer.write(
        [
            seen("old", 9, at=NOW),
            seen("new", 9, at=later),
            edges("new", made_of(1, "old", 1), made_of(2, "fresh", 2), at=later),
            seen("fresh", 9, at=later),
        ],
        {},
    )
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index, index.snapshot():
        assert trace(index, "new", 0, 2).exact
        found = trace(index, "new", 0, 1)
        assert [kind for _, kind, _ in found.ends_by_kind()] == ["in-doubt"]
        told(index, found, "up to 12 messages .* removed by retention")
        told(index, trace(index, "fresh", 0, 2, "downstream"), "up to 12 messages .* removed by retention")


@pytest.mark.parametrize("whole", ["2026-03-01T00:00:00", ""])
def test_an_index_that_retention_overtook_keeps_what_it_had_read_to_the_end(tmp_path: Path, whole: str) -> None:
    writer = IndexWriter(tmp_path / "i")
    writer.write(PIPELINE, {}, facts={WHOLE_AT: whole})
    after = RemovedEdges(3, int((NOW + timedelta(days=9)).timestamp() * 1000), overtaken=True)
    writer.write([seen("side", 200)], {}, removed=after)
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index, index.snapshot():
        assert index.whole_at() == (whole or None)
        told(index, trace(index, "out", 0, 5), None if whole else "up to 3 messages")
        told(index, trace(index, "side", 0, 150), "up to 3 messages")


def test_an_index_of_the_first_version_says_what_it_could_not(tmp_path: Path) -> None:
    with built(tmp_path, *PIPELINE, edges("side", made_of(1, "in", 1, source=EdgeSource.LENSES_K2K))) as index:
        rows = {name: index.rows(f"SELECT * FROM {name}") for name in first_tables()}  # noqa: S608
    for counter, says in (
        ("edges.left_out", "what 4 records"),
        ("unreadable.edges", "4 messages"),
        ("lost.edges", "up to 4"),
    ):
        path = tmp_path / counter
        with sqlite3.connect(path) as file:
            for statement in statements(MIGRATIONS[0]):
                file.execute(statement)
            for name, content in rows.items():
                if content:
                    file.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(content[0]))})", content)  # noqa: S608
            file.execute("UPDATE edge SET flags = flags & ~2")
            file.execute("INSERT OR REPLACE INTO counter VALUES (?, 4)", (counter,))
            file.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            file.execute("PRAGMA user_version = 1")
        file.close()
        IndexWriter(path).close()
        with ProvenanceIndex(path) as index, index.snapshot():
            told(index, trace(index, "out", 0, 5), says)
            assert trace(index, "side", 0, 1).walk.unknown


def first_tables() -> list[str]:
    return [part.split()[2] for part in statements(MIGRATIONS[0]) if part.split()[1] == "TABLE"]


def test_what_a_compacted_topic_still_has_is_known_of_what_was_read_again() -> None:
    log, ranges = Log("totals", "id", 0), Ranges.of([3, 8], [4, 9])

    def stored(offsets: Iterable[int]) -> dict[tuple[str, int, int], StoredRecord]:
        return {("totals", 0, offset): StoredRecord(*[None] * len(StoredRecord.__slots__)) for offset in offsets}

    def answer(read: Iterable[int], *, gone: Ranges | None = None, compacted: bool = True, unsure: bool = False) -> Any:
        return Kept(
            asked=True,
            records=stored(read),
            gone={} if gone is None else {1: gone},
            compacted={"totals"} if compacted else set(),
            unsure={"totals"} if unsure else set(),
        ).how_much(1, log, ranges)

    assert answer([3, 9], compacted=False) == "all"
    assert answer([3, 9]) == "compacted"
    assert answer([3, 4, 8, 9]) == "all"
    assert answer([8], gone=Ranges.single(0, 7)) == "compacted"
    assert answer([8, 9], gone=Ranges.single(0, 7)) == "some"
    assert answer([], gone=Ranges.single(0, 20)) == "none"
    assert answer([3, 9], compacted=False, unsure=True) is None


def test_many_holes_are_looked_up_as_few_are(tmp_path: Path) -> None:
    holes = list(range(1, 400, 2))
    with built(tmp_path, seen("in", 400, *holes)) as index:
        log = index.logs.number(Log("in", "id", 0))
        assert log is not None
        for wanted in (Ranges.single(10), Ranges.single(11), Ranges.single(0, 400), Ranges.of([5, 300], [8, 301])):
            expected = {offset for first, last in wanted for offset in range(first, last + 1)} & set(holes)
            assert {o for first, last in index.holes_in(log, wanted) for o in range(first, last + 1)} == expected
