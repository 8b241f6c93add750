"""If this failed, the graph that the API and the commands begin with would not be the one that the topic says."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_lineage.errors import IndexUnusable
from stream_lineage.graph.codec import encode_event
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.picture import document, whole
from stream_lineage.index.graph_rows import GraphRows, graph_position, indexed_graph
from stream_lineage.index.layout import MIGRATIONS, migrate
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.index.writer import Entry, IndexWriter, Source
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind

T0 = datetime(2026, 3, 1, tzinfo=UTC)
A, B = Node(NodeKind.DATASET, "kafka://lab", "a>b"), Node(NodeKind.JOB, "kafka://lab", "j")
COLUMN = Node(NodeKind.COLUMN, "kafka://lab", "a>b", "x.y")
SUBJECTS = st.sampled_from([A, B, COLUMN, GraphEdge(A, B), GraphEdge(B, A), GraphEdge(A, COLUMN)])
TOPIC, LIFE = "lineage.graph", "life-1"


def at(minutes: int) -> datetime:
    return T0 + timedelta(minutes=minutes, milliseconds=7)


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    first, lasts, until = draw(st.integers(0, 2)), draw(st.integers(0, 9)), draw(st.none() | st.integers(0, 12))
    return Evidence(
        draw(st.sampled_from([EvidenceClass.HEADER, EvidenceClass.VALUES])),
        draw(st.sampled_from(["source", "other"])),
        at(first),
        at(first + lasts),
        draw(st.sampled_from([0.1 + 0.2, 0.8, 1.0])),
        draw(st.sampled_from([(), (("owner", "x"), ("é", "\u2028"))])),
        None if until is None else at(until),
    )


EVENTS = st.lists(st.builds(GraphEvent, SUBJECTS, evidence()), max_size=30)


def known(graph: Graph) -> Any:
    return document(whole(graph, at_least=0.0))


def entries(events: list[GraphEvent]) -> list[Entry]:
    return [Entry("graph", encode_event(each)) for each in events]


class InMemory:
    """What an index answers, of rows in memory."""

    path = Path("memory")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, values: Any = ()) -> list[Any]:
        return self._connection.execute(query, values).fetchall()


@given(EVENTS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_it_is_the_graph_of_the_events_at_any_time_however_often_they_came(events: Any, chance: Any) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    rows = GraphRows(connection)
    again = events[: len(events) // 2]
    chance.shuffle(again)
    for event in [*events, *again]:
        rows.add(encode_event(event))
    wanted = Graph(events)
    found = indexed_graph(InMemory(connection))  # type: ignore[arg-type]
    assert known(found) == known(wanted)
    assert (found.first, found.size, set(found.nodes)) == (wanted.first, wanted.size, set(wanted.nodes))
    for minute in range(0, 14, 2):
        assert known(found.as_of(at(minute))) == known(wanted.as_of(at(minute)))
    connection.close()


def said(subject: Any, first: int, last: int) -> GraphEvent:
    return GraphEvent(subject, Evidence(EvidenceClass.HEADER, "s", at(first), at(last), 1.0, ()))


def test_what_is_said_again_and_again_is_one_row(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    writer.write(entries([said(GraphEdge(A, B), 0, minute) for minute in range(500)]), {Source(TOPIC, 0, LIFE): 500})
    assert writer.write([Entry("graph", b"{}")], {Source(TOPIC, 0, LIFE): 501}) == 1
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        [view] = indexed_graph(index).edges()
        assert [(each.first_seen, each.last_seen) for each in view.evidence] == [(at(0), at(499))]
        rows = index.status().rows
        assert (rows["graph_subject"], rows["graph_evidence"]) == (1, 1)


def test_who_begins_with_it_knows_where_to_go_on(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    with ProvenanceIndex(tmp_path / "i") as index:
        assert graph_position(index, TOPIC) is None
        writer.write(entries([said(A, 0, 1)]), {Source(TOPIC, 0, LIFE): 1})
        assert graph_position(index, TOPIC) == (1, LIFE)
        # What cannot be read may be what a later version wrote: then the index does not have the whole graph.
        writer.write([Entry("graph", b"{}")], {Source(TOPIC, 0, LIFE): 2})
        assert graph_position(index, TOPIC) is None
    writer.close()


def test_an_index_of_before_reads_the_graph_from_its_beginning(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "i", isolation_level=None)
    before = [each for each in MIGRATIONS if "graph_evidence" not in each]
    migrate(connection, tuple(before))
    connection.execute("INSERT INTO position VALUES ('lineage.incidents', 0, 'x', 7)")
    connection.close()
    writer = IndexWriter(tmp_path / "i")
    assert writer.positions() == {("lineage.incidents", 0): (7, "x")}
    writer.write(entries([said(A, 0, 1)]), {Source(TOPIC, 0, LIFE): 1})
    writer.close()
    with ProvenanceIndex(tmp_path / "i") as index:
        assert indexed_graph(index).nodes == [A]


def test_damage_is_said(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "i")
    writer.write(entries([said(A, 0, 1)]), {})
    writer.close()
    with sqlite3.connect(tmp_path / "i") as connection:
        connection.execute("""UPDATE graph_subject SET document = '{"node": 3}'""")
    connection.close()
    with ProvenanceIndex(tmp_path / "i") as index, pytest.raises(IndexUnusable, match="graph"):
        indexed_graph(index)
