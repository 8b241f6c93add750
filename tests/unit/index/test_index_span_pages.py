"""If this failed, whoever reads spans page by page while they change would miss offsets, or get them twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stream_lineage.index.pages import topic_lives
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.span_pages import SpanPlace, span_logs, span_page
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.schema import OPAQUE, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.documents import span_document

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD, NEW = (
    SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, n, None, "clicks-value", n, f"{n}{n}" * 32)
    for n in (1, 2)
)
HOLES = {4: (MissingRange(42, 44, MissingReason.COMPACTED), MissingRange(46, 46, MissingReason.TRANSACTION))}


def seen(life: str, partition: int, number: int, *, length: int = 10, days: int = 0) -> Entry:
    first = number * 10
    gaps = HOLES.get(number, ()) if partition == 0 else ()
    count = length - sum(gap.length for gap in gaps)
    made = Observation(
        "o", ObservationKind.OBSERVATION, "prod", "clicks", life, "c", NOW + timedelta(days=days),
        (OLD, NEW)[number % 2], OPAQUE, count, 0, 0, None,
        (OffsetSpan(partition, first, first + length - 1, count, gaps),), None, (),
    )  # fmt: skip
    return Entry("observations", encode_observation(made))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two lives of two partitions of six spans, ten offsets each."""
    where = tmp_path / "index.sqlite"
    lives = [(life, days) for days, life in enumerate(("one", "two"))]
    write(where, *(seen(life, p, n, days=days) for life, days in lives for p in (0, 1) for n in range(6)))
    return where


def write(where: Path, *entries: Entry) -> None:
    writer = IndexWriter(where)
    assert writer.write(list(entries), {}) == 0
    writer.close()


def remove(where: Path, statement: str) -> None:
    """As a rebuild does from topics of which retention has removed the beginning."""
    connection = sqlite3.connect(where)
    connection.execute(statement)
    connection.commit()
    connection.close()


def pages(
    where: Path, most: int, meanwhile: Callable[[int], None] = lambda _: None, **asked: Any
) -> Iterator[dict[str, Any]]:
    after: SpanPlace | None = None
    for number in range(1000):
        with ProvenanceIndex(where) as index, index.snapshot():
            logs = span_logs(index, topic_lives(index, "clicks"), asked.get("partition"), after)
            items, after = span_page(index, logs, most, offset=asked.get("offset", 0), after=after)
        assert len(items) <= most
        assert len(items) == most or after is None
        yield from items
        if after is None:
            return
        meanwhile(number)
    raise AssertionError("there is no end")


def offsets(items: Iterator[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [
        (each["topic_id"], each["partition"], offset)
        for each in items
        for offset in range(each["first_offset"], each["last_offset"] + 1)
    ]


ALL = [(life, partition, offset) for life in ("one", "two") for partition in (0, 1) for offset in range(60)]


@pytest.mark.parametrize("most", [1, 2, 5, 6, 7, 12, 24, 100])
def test_pages_together_are_all_there_is(path: Path, most: int) -> None:
    with ProvenanceIndex(path) as index:
        expected = [
            span_document(each, epoch.topic_id) for epoch in index.epochs("clicks") for each in index.spans(epoch)
        ]
    assert len(expected) == 24
    assert [each["missing"] for each in expected if each["missing"]] != []
    assert list(pages(path, most)) == expected
    of_one = [each for each in expected if each["partition"] == 1 and each["last_offset"] >= 35]
    assert list(pages(path, most, partition=1, offset=35)) == of_one


@pytest.mark.parametrize("most", [1, 3, 6, 7])
def test_what_is_removed_between_pages_moves_nothing(path: Path, most: int) -> None:
    removals = iter(
        [
            "DELETE FROM span WHERE log = 1 AND first_offset < 30",
            "DELETE FROM span WHERE log = 1 AND first_offset < 50",
            "DELETE FROM epoch WHERE topic_id = 'one'",
        ]
    )

    def meanwhile(_: int) -> None:
        if (statement := next(removals, None)) is not None:
            remove(path, statement)

    found = offsets(pages(path, most, meanwhile))
    assert len(found) == len(set(found))
    assert found == sorted(found)
    kept = [each for each in ALL if each[0] == "two"]
    assert [each for each in found if each[0] == "two"] == kept
    assert set(found) <= set(ALL)


def test_what_becomes_longer_goes_on_where_the_page_ended(path: Path) -> None:
    def longer(number: int) -> None:
        if number == 11:  # the one that ended with the last span of a partition
            write(path, seen("one", 1, 5, length=15))

    found = list(pages(path, 1, longer))
    assert offsets(iter(found)) == sorted([*ALL, *(("one", 1, offset) for offset in range(60, 65))])
    assert [each["count"] for each in found if each["first_offset"] == 60] == [5]


def test_a_page_that_goes_on_within_a_span_tells_of_the_holes_that_are_left(path: Path) -> None:
    with ProvenanceIndex(path) as index, index.snapshot():
        [life, _] = topic_lives(index, "clicks")
        after = SpanPlace(0, "one", 0, 42)
        [rest], following = span_page(index, span_logs(index, [life], 0, after), 1, after=after)
    assert (rest["first_offset"], rest["last_offset"], rest["count"]) == (43, 49, 4)
    assert [(each["first_offset"], each["last_offset"]) for each in rest["missing"]] == [(43, 44), (46, 46)]
    assert following is not None
    assert following[1:] == ("one", 0, 49)
