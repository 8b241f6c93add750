"""Events as messages of ``lineage.graph``: JSON, keyed by the id of the node or edge (``graph.schema.json``)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from stream_lineage.errors import DecodeError
from stream_lineage.model.graph import (
    LONGEST_DETAIL,
    MOST_DETAILS,
    Evidence,
    EvidenceClass,
    GraphEdge,
    GraphEvent,
    Node,
    NodeKind,
    legal,
)

VERSION = 1
MAX_MESSAGE_BYTES = 128 * 1024


def message_key(event: GraphEvent) -> bytes:
    return event.subject.id.encode()


def encode_event(event: GraphEvent) -> bytes:
    subject = event.subject
    edge = subject if isinstance(subject, GraphEdge) else None
    return orjson.dumps(
        {
            "version": VERSION,
            "id": subject.id,
            "node": node_to_json(subject) if isinstance(subject, Node) else None,
            "edge": None if edge is None else {"from": node_to_json(edge.source), "to": node_to_json(edge.target)},
            "evidence": evidence_to_json(event.evidence),
        }
    )


def decode_event(value: bytes) -> GraphEvent:
    """What ``encode_event`` wrote.

    Raises:
        DecodeError: the bytes are no event, or one of an unknown version.
    """
    if len(value) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"an event of {len(value)} bytes is beyond the bound of {MAX_MESSAGE_BYTES}")
    try:
        document = orjson.loads(value)
        if document["version"] != VERSION:
            raise DecodeError("an event of an unknown version")
        node, edge = document["node"], document["edge"]
        if (node is None) == (edge is None):
            raise DecodeError("an event is about a node or an edge")
        subject = (
            node_from_json(node)
            if edge is None
            else GraphEdge(node_from_json(edge["from"]), node_from_json(edge["to"]))
        )
        return GraphEvent(subject, _evidence(document["evidence"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DecodeError(f"not an event of the graph: {type(error).__name__}") from error


def node_to_json(node: Node) -> dict[str, Any]:
    return {"kind": node.kind.value, "namespace": node.namespace, "name": node.name, "field": node.field}


def node_from_json(document: Any) -> Node:
    texts = [document["namespace"], document["name"], document["field"]]
    if not all(isinstance(text, str) for text in texts[:2]) or not isinstance(texts[2], str | None):
        raise DecodeError("names are texts")
    return _node(document["kind"], *texts)


@lru_cache(maxsize=50_000)
def _node(kind: str, namespace: str, name: str, field: str | None) -> Node:
    """The same nodes come again and again."""
    return Node(NodeKind(kind), namespace, name, field)


def evidence_to_json(evidence: Evidence) -> dict[str, Any]:
    return {
        "class": evidence.by.value,
        "source": evidence.source,
        "first_seen": time_to_json(evidence.first_seen),
        "last_seen": time_to_json(evidence.last_seen),
        "withdrawn_at": None if evidence.withdrawn_at is None else time_to_json(evidence.withdrawn_at),
        "confidence": evidence.confidence,
        "detail": dict(evidence.detail),
    }


def time_to_json(at: datetime) -> str:
    """To the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(at: datetime) -> datetime:
    """The time as it will be read back."""
    at = at.astimezone(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _evidence(document: Any) -> Evidence:
    detail = document["detail"]
    confidence = float(document["confidence"])
    known = tuple(sorted(detail.items()))
    if not all(isinstance(value, str) and len(value) <= LONGEST_DETAIL for value in detail.values()):
        raise DecodeError("details are short texts")
    if len(known) > MOST_DETAILS or not legal(document["source"]):
        raise DecodeError("evidence says more than it may")
    if not 0 < confidence <= 1 or math.isnan(confidence):
        raise DecodeError("a confidence is above 0 and at most 1")
    withdrawn = document["withdrawn_at"]
    first, last = _time(document["first_seen"]), _time(document["last_seen"])
    if first > last:
        raise DecodeError("nothing is seen last before it is seen first")
    return Evidence(
        EvidenceClass(document["class"]),
        document["source"],
        first,
        last,
        confidence,
        known,
        None if withdrawn is None else _time(withdrawn),
    )


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise DecodeError("a time has no time zone")
    return milliseconds(at)
