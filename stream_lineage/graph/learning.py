"""Whether an edge that shows for the first time is new, or was only never looked for before.

When headers are looked at for the first time, days of them are; when producers of a topic begin to write headers, what
it has always been made of shows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from stream_lineage.model.graph import EvidenceClass, GraphEdge, GraphEvent, Node

LEARNING = timedelta(hours=1)
"""What shows within so long of the beginning was there before."""


class Learning:
    """``news`` for each event, in the order in which they were written."""

    def __init__(self) -> None:
        self._written: dict[EvidenceClass, datetime] = {}
        self._into: dict[tuple[EvidenceClass, Node], datetime] = {}

    def news(self, event: GraphEvent, written: datetime) -> bool:
        """Whether what an event shows was first seen well after evidence of its class was first written to the graph,
        and after the first that led to the same node."""
        edge, by, first = event.subject, event.evidence.by, event.evidence.first_seen
        if not isinstance(edge, GraphEdge):
            return False
        begun = self._written.setdefault(by, written)
        into = self._into[by, edge.target] = min(first, self._into.get((by, edge.target), first))
        return first - max(begun, into) >= LEARNING
