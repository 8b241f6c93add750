"""The lineage graph in the index: what is known of each node and edge, merged as the graph itself merges it.

``lineage.graph`` says the same evidence again and again as long as it holds. Here each thing that was said is one row,
with when it was said first and last: what leads to the same graph, for any time that is asked about.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from stream_lineage.errors import IndexUnusable
from stream_lineage.graph.codec import decode_event, node_from_json, node_to_json
from stream_lineage.graph.graph import Graph
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, Subject

if TYPE_CHECKING:
    from stream_lineage.index.reader import ProvenanceIndex

_SUBJECT = "INSERT INTO graph_subject (subject, document) VALUES (?, ?) ON CONFLICT DO NOTHING"
_EVIDENCE = (
    "INSERT INTO graph_evidence SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM graph_subject WHERE subject = ?"
    " ON CONFLICT DO UPDATE SET said_first = min(said_first, excluded.said_first),"
    " said_last = max(said_last, excluded.said_last),"
    " withdrawn = max(coalesce(withdrawn, excluded.withdrawn), coalesce(excluded.withdrawn, withdrawn))"
)


class GraphRows:
    """Writes events inside a transaction that somebody else opens and commits, in any order, each as often as it
    comes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, body: bytes) -> None:
        """Keep what a message says.

        Raises:
            DecodeError: it is no event.
        """
        event = decode_event(body)
        said = event.evidence
        name = event.subject.id
        self._connection.execute(_SUBJECT, (name, orjson.dumps(_document(event.subject)).decode()))
        self._connection.execute(
            _EVIDENCE,
            (
                said.by.value, said.source, _ms(said.first_seen), said.confidence,
                orjson.dumps(dict(said.detail)).decode(), _ms(said.last_seen), _ms(said.last_seen),
                None if said.withdrawn_at is None else _ms(said.withdrawn_at), name,
            ),
        )  # fmt: skip


def indexed_graph(index: ProvenanceIndex) -> Graph:
    """The graph as the index has it, nodes and edges in the order in which they came.

    Raises:
        IndexUnusable: the index is damaged.
    """
    graph = Graph()
    try:
        subjects = {number: _subject(text) for number, text in index.rows("SELECT id, document FROM graph_subject")}
        for row in index.rows("SELECT * FROM graph_evidence ORDER BY subject"):
            number, by, source, first_seen, confidence, detail, said_first, said_last, withdrawn = row
            for said in {said_first, said_last}:
                evidence = Evidence(
                    EvidenceClass(by), source, _time(first_seen), _time(said), confidence,
                    tuple(sorted(orjson.loads(detail).items())), None if withdrawn is None else _time(withdrawn),
                )  # fmt: skip
                graph.take(GraphEvent(subjects[number], evidence))
    except (KeyError, TypeError, ValueError) as error:
        raise IndexUnusable(
            f"the provenance index {index.path} is damaged: the graph in it cannot be read",
            hint="`stream-lineage index rebuild` makes it again from Kafka.",
        ) from error
    return graph


def graph_position(index: ProvenanceIndex, topic: str) -> tuple[int, str] | None:
    """Up to where the topic of the graph was read, and the id that it had; null where it was not, or not all of what it
    said could be read.

    Raises:
        IndexUnusable: the index is damaged.
    """
    if index.rows("SELECT 1 FROM counter WHERE name = 'unreadable.graph' AND value > 0"):
        return None
    rows = index.rows("SELECT next_offset, topic_id FROM position WHERE topic = ? AND number = 0", (topic,))
    return None if not rows else (int(rows[0][0]), str(rows[0][1]))


def _document(subject: Subject) -> dict[str, object]:
    if isinstance(subject, Node):
        return {"node": node_to_json(subject)}
    return {"from": node_to_json(subject.source), "to": node_to_json(subject.target)}


def _subject(text: str) -> Subject:
    document = orjson.loads(text)
    if "node" in document:
        return node_from_json(document["node"])
    return GraphEdge(node_from_json(document["from"]), node_from_json(document["to"]))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
