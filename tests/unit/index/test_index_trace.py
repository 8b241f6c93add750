"""If this failed, a trace would blame records for alerts about others, or drown people in what it has found."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stream_lineage.cli.trace_tree import drawn, mermaid
from stream_lineage.errors import NotFound
from stream_lineage.index.documents import trace_document
from stream_lineage.index.kept import Kept
from stream_lineage.index.path_tree import Branch, path_tree
from stream_lineage.index.ranges import Ranges
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.trace import Trace, trace
from stream_lineage.index.writer import Entry, IndexWriter
from stream_lineage.model.observation import Observation, ObservationKind
from stream_lineage.model.record_edge import EdgeBatch, ParentRange, RecordEdge
from stream_lineage.model.schema import OPAQUE, Framing, SchemaReference, SchemaType
from stream_lineage.model.span import MissingRange, MissingReason, OffsetSpan
from stream_lineage.provenance.codec import encode_observation
from stream_lineage.provenance.edge_codec import encode_edges

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OLD, NEW = (
    SchemaReference(SchemaType.AVRO, Framing.CONFLUENT_PREFIX, n, None, "clicks-value", n, f"{n}{n}" * 32)
    for n in (1, 2)
)


def seen(topic: str, first: int, last: int, schema: SchemaReference = OLD, gap: int | None = None) -> Entry:
    gaps = () if gap is None else (MissingRange(gap, gap, MissingReason.COMPACTED),)
    span = OffsetSpan(0, first, last, last - first + 1 - len(gaps), gaps)
    made = Observation(
        "o", ObservationKind.OBSERVATION, "prod", topic, "id", "c", NOW, schema, OPAQUE, span.count, 0, 0, None,
        (span,), None, (),
    )  # fmt: skip
    return Entry("observations", encode_observation(made))


def edges(topic: str, rows: Iterable[tuple[int, Iterable[ParentRange]]]) -> Entry:
    made = tuple(RecordEdge(0, offset, tuple(parents)) for offset, parents in rows)
    return Entry("edges", encode_edges(EdgeBatch("b", "prod", topic, "id", "c", NOW, made)))


def alert(minute: int, first: dict[str, int], last: dict[str, int] | None = None, **more: Any) -> Entry:
    at = (NOW + timedelta(minutes=minute)).isoformat()
    document = {
        "kind": "mean", "severity": "warning", "phase": "open", "summary": "far off", "topic": "clicks",
        "field_path": None, "after": None, "fingerprint": "f" * 32, "first_offsets": first, "last_offsets": last or {},
        "observed_at": at, **more,
    }  # fmt: skip
    return Entry("alerts", json.dumps(document).encode(), f"{minute}{document['phase']}{document['fingerprint']}")


def built(path: Path, *entries: Entry) -> ProvenanceIndex:
    writer = IndexWriter(path / "i")
    assert writer.write(entries, {}) == 0
    writer.close()
    return ProvenanceIndex(path / "i")


@dataclass(frozen=True)
class Case:
    """Alerts, and the offsets of ``clicks`` among 0 to 99 for which they are told. From 50 on the schema is the new
    one."""

    why: str
    alerts: tuple[Entry, ...]
    told: tuple[int, int] | None


ABOUT_NEW: dict[str, Any] = {"kind": "schema-drift", "phase": None, "after": {"fingerprint": NEW.fingerprint, "id": 2}}
CASES = [
    Case("from its first offset on, as long as it lasts", (alert(0, {"0": 30}),), (30, 99)),
    Case("up to the offset at which it was closed", (alert(0, {"0": 30}), alert(9, {"0": 30}, {"0": 60}, phase="close")), (30, 60)),  # noqa: E501
    Case("an update is no other alert", (alert(0, {"0": 30}), alert(1, {"0": 20}, phase="update")), (20, 99)),
    Case("what has an end of its own", (alert(0, {"0": 30}, {"0": 39}, kind="data-loss", phase=None),), (30, 39)),
    Case("another partition is not concerned", (alert(0, {"1": 0}),), None),
    Case("another topic is not concerned", (alert(0, {"0": 0}, topic="orders"),), None),
    Case("one about a schema, for records of that schema", (alert(0, {"0": 10}, **ABOUT_NEW),), (50, 99)),
    Case("without a fingerprint, by its id", (alert(0, {"0": 10}, phase=None, after={"id": 1}),), (10, 49)),
    Case("closed by another alert's end it is not", (alert(0, {"0": 30}), alert(9, {"0": 3}, {"0": 4}, phase="close", fingerprint="e" * 32)), (30, 99)),  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_alerts_are_told_of_the_records_that_they_are_about(tmp_path: Path, case: Case) -> None:
    index = built(tmp_path, seen("clicks", 0, 49), seen("clicks", 50, 99, NEW), *case.alerts)
    with index:
        told = [offset for offset in range(100) if trace(index, "clicks", 0, offset).alerts]
        expected = [] if case.told is None else list(range(case.told[0], case.told[1] + 1))
        assert told == expected
        if told:
            [hit] = trace(index, "clicks", 0, told[0]).alerts
            assert hit.offset == told[0]


@pytest.fixture(scope="module")
def scattered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvenanceIndex]:
    """One record of 10,000 scattered ones, each of which has a parent of its own; one that cites itself; and two lone
    ones."""
    parents = [ParentRange("mid", 0, offset * 3, offset * 3) for offset in range(10_000)]
    own = [(n, [ParentRange("total", 0, n - 1, n - 1)] if n else []) for n in range(100)]
    total = [(n, [*cited, ParentRange("in", 0, n * 7, n * 7)]) for n, cited in own]
    lone = [ParentRange('evil"]\n--> x;\x1b[31m', 0, 5, 5), ParentRange("lone", 0, 4, 5)]
    with built(
        tmp_path_factory.mktemp("index"),
        edges("out", [(0, [*parents, ParentRange("total", 0, 99, 99), *lone])]),
        edges(
            "mid", [(n * 3, [ParentRange("in", 0, (n * 7919) % 40_000, (n * 7919) % 40_000)]) for n in range(10_000)]
        ),
        edges("total", total),
    ) as index:
        yield index


def branches(root: Branch) -> list[Branch]:
    return [root, *(each for child in root.children for each in branches(child))]


def test_ten_thousand_sources_are_a_few_lines_and_all_are_in_the_document(scattered: ProvenanceIndex) -> None:
    with scattered.snapshot():
        index = scattered
        found = trace(index, "out", 0, 0)
        assert found.walk.count() > 20_000 - 100
        text, chart = shown(found, index)
        assert len(text.splitlines()) < 15
        assert max(map(len, text.splitlines())) < 200
        assert "mid: 10,000 records" in text
        assert "99 of them made by one another" in text
        assert text.count("total") == 1
        assert "lone[0]@4" in text
        assert "lone[0]@5" in text
        assert "\x1b" not in text + chart
        assert chart.splitlines()[0] == "flowchart LR"
        for line in chart.splitlines()[1:]:
            assert line.count('"') in (0, 2), line
        document = trace_document(index, found, Kept())
        listed = {(row["topic"], o) for row in document["records"] for a, b in row["ranges"] for o in range(a, b + 1)}
        expected = {("mid", n * 3) for n in range(10_000)} | {("in", (n * 7919) % 40_000) for n in range(10_000)}
        expected |= (
            {("total", n) for n in range(100)} | {("in", n * 7) for n in range(100)} | {("lone", 4), ("lone", 5)}
        )
        assert {place for place in listed if not place[0].startswith("evil")} == expected
        json.dumps(document)
        pairs = {
            (edge["output"]["topic"], edge["output"]["first_offset"] + i, edge["parent"]["first_offset"] + i)
            for edge in document["edges"]
            if edge["parents_each"] == 1
            for i in range(edge["output"]["last_offset"] - edge["output"]["first_offset"] + 1)
        }
        assert {(n * 3, (n * 7919) % 40_000) for n in range(10_000)} == {pair[1:] for pair in pairs if pair[0] == "mid"}


def shown(found: Trace, index: ProvenanceIndex) -> tuple[str, str]:
    tree = path_tree(found, index.logs)
    screen = Console(file=io.StringIO(), width=10_000)
    screen.print(drawn(tree, found, index.logs, Kept()))
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue(), mermaid(tree, found, index.logs)


def test_every_record_is_in_the_tree_when_there_is_room(scattered: ProvenanceIndex) -> None:
    with scattered.snapshot():
        index = scattered
        found = trace(index, "out", 0, 0)
        everything: dict[int, Ranges] = {}
        for branch in branches(path_tree(found, index.logs)):
            for log, ranges in branch.records.items():
                everything[log] = everything.get(log, Ranges.empty()) | ranges
        del everything[found.number]
        assert everything == found.walk.reached
        small = path_tree(found, index.logs, most_branches=3)
        assert len(branches(small)) <= 4
        assert any(branch.more for branch in branches(small))


def test_what_the_index_does_not_know(tmp_path: Path) -> None:
    with built(
        tmp_path, seen("clicks", 0, 49, gap=7), edges("late", [(500, [ParentRange("clicks", 0, 1, 1)])])
    ) as index:
        for topic, partition, offset, says in (
            ("nothing", 0, 0, "nothing is known of"),
            ("clicks", 3, 0, "nothing is known of"),
            ("clicks", 0, 50, "nothing that was observed"),
            ("clicks", 0, 7, "holds no record: compacted"),
        ):
            with pytest.raises(NotFound, match=says):
                trace(index, topic, partition, offset)
        assert trace(index, "clicks", 0, 49).walk.reached == {}
        # An edge was recorded, but no span: what is known is told.
        assert trace(index, "late", 0, 500).start.schema is None
        assert trace(index, "late", 0, 500).walk.count() == 1
