"""Evidence of the class ``header``: what records say of their own parents, as the collectors write it to
``lineage.edges``.

Our own header names the topic that it is for: a copy of it on another record says nothing. Headers of others have no
such check. What passes them on says that its records come from where the first one was, which is true, and perhaps not
the last step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from stream_lineage.graph.codec import milliseconds
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import Naming, edge
from stream_lineage.model.graph import Evidence, EvidenceClass, GraphEdge, GraphEvent, Node, NodeKind
from stream_lineage.model.record_edge import UNKNOWN_CLUSTER, EdgeSource, RecordEdge

CONFIDENCE: Mapping[EdgeSource, float] = {
    EdgeSource.LINEAGE: 1.0,
    EdgeSource.STREAMS_BOOTSTRAP: 0.9,
    EdgeSource.LENSES_K2K: 0.9,
    EdgeSource.CONNECT_DEAD_LETTER: 0.9,
    EdgeSource.SPRING_DEAD_LETTER: 0.9,
}
LEAST_PATIENCE = timedelta(hours=1)
"""An edge of which nothing has come for so long may be gone, where it has never paused for a fifth of it."""
UNKNOWN_PATIENCE = timedelta(days=7)
"""How long an edge is waited for whose rhythm is not known."""
LEARNING = timedelta(days=1)
"""A rhythm is known after so long."""
_PAUSES = 5
"""An edge is gone after so many times its longest pause."""
_BY_SOURCE = {source.value.lower().replace("_", "-"): source for source in EdgeSource}
_NAMES = {source: name for name, source in _BY_SOURCE.items()}


@dataclass(frozen=True, slots=True)
class BatchHead:
    """What a batch of record edges says before the edges themselves. ``sources`` are topics with their clusters, as
    in ``ParentRange``."""

    cluster: str
    topic: str
    observed_at: datetime
    sources: frozenset[tuple[str | None, str]]


@dataclass(slots=True)
class Flow:
    """Records of one topic that were made of records of another one, as far as this worker has seen."""

    first: dict[EdgeSource, datetime]
    last: datetime
    since: datetime
    looked_into: datetime
    longest: timedelta = field(default=timedelta(0))

    def patience(self) -> timedelta:
        if self.last - self.since < LEARNING:
            return UNKNOWN_PATIENCE
        return max(LEAST_PATIENCE, _PAUSES * self.longest)


class HeaderFlows:
    """``take`` batches, most of them by their heads alone."""

    def __init__(self, naming: Naming, refresh: timedelta) -> None:
        self._naming = naming
        self._refresh = refresh
        self._flows: dict[GraphEdge, Flow] = {}

    def wants(self, head: BatchHead) -> bool:
        """Whether the edges of this batch are needed to know whose headers they are from. They are large."""
        flows = [self._flows.get(each) for each in self._edges(head)]
        return any(flow is None or head.observed_at - flow.looked_into >= self._refresh for flow in flows)

    def take(self, head: BatchHead, edges: Iterable[RecordEdge] | None = None) -> None:
        """A batch; with its edges if it is wanted."""
        at = head.observed_at
        if edges is None:
            for each in self._edges(head):
                if (flow := self._flows.get(each)) is not None:
                    _seen(flow, at)
            return
        kinds: dict[tuple[str | None, str], set[EdgeSource]] = {}
        for record in edges:
            for parent in record.parents:
                kinds.setdefault((parent.cluster, parent.topic), set()).add(record.source)
        for source, found in kinds.items():
            link = self._edge(head, source)
            if link is None:
                continue
            flow = self._flows.get(link)
            if flow is None:
                flow = self._flows[link] = Flow({}, at, at, at)
            _seen(flow, at)
            flow.looked_into = max(flow.looked_into, at)
            for kind in found:
                flow.first[kind] = min(flow.first.get(kind, at), at)

    def events(self, graph: Graph, now: datetime, *, whole: bool) -> list[GraphEvent]:
        """What the graph does not know yet; where all that there is has been read, ``whole``, also what is gone."""
        found = []
        known = {(link, piece.source): piece for link, piece in _held(graph)}
        for link, flow in self._flows.items():
            for kind, first in flow.first.items():
                piece = known.get((link, _NAMES[kind]))
                if piece is None:
                    first = milliseconds(first)
                    last = max(first, milliseconds(flow.last))
                    said = Evidence(EvidenceClass.HEADER, _NAMES[kind], first, last, CONFIDENCE[kind])
                    found.append(GraphEvent(link, said))
                elif flow.last - piece.last_seen >= self._refresh:
                    found.append(GraphEvent(link, replace(piece, last_seen=milliseconds(flow.last))))
        if whole:
            found += self._gone(known, now)
        return found

    def drop(self) -> None:
        """Nothing was read."""
        self._flows.clear()

    def _gone(self, known: Mapping[tuple[GraphEdge, str], Evidence], now: datetime) -> Iterator[GraphEvent]:
        for (link, _), piece in known.items():
            flow = self._flows.get(link)
            last = piece.last_seen if flow is None else max(flow.last, piece.last_seen)
            patience = UNKNOWN_PATIENCE if flow is None else flow.patience()
            if now - last > patience:
                self._flows.pop(link, None)
                last = milliseconds(last)
                yield GraphEvent(link, replace(piece, last_seen=last, withdrawn_at=max(milliseconds(now), last)))

    def _edges(self, head: BatchHead) -> Iterator[GraphEdge]:
        for source in head.sources:
            if (found := self._edge(head, source)) is not None:
                yield found

    def _edge(self, head: BatchHead, source: tuple[str | None, str]) -> GraphEdge | None:
        """Null for what a topic is made of itself, what is nobody's and what has a name that nothing can have."""
        cluster, topic = source
        if cluster == UNKNOWN_CLUSTER:
            return None
        try:
            return edge(self._topic(head.cluster if cluster is None else cluster, topic),
                        self._topic(head.cluster, head.topic))  # fmt: skip
        except ValueError:
            return None

    def _topic(self, cluster: str, name: str) -> Node:
        return Node(NodeKind.DATASET, self._naming.namespaced(f"kafka://{cluster}"), name)


def read_since(graph: Graph, refresh: timedelta) -> datetime | None:
    """From when on batches may hold what the graph does not know yet; null: from the beginning."""
    last = max((piece.last_seen for _, piece in _held(graph)), default=None)
    return None if last is None else last - 2 * refresh


def _held(graph: Graph) -> Iterator[tuple[GraphEdge, Evidence]]:
    for event in graph.events():
        link, piece = event.subject, event.evidence
        ours = piece.by is EvidenceClass.HEADER and piece.source in _BY_SOURCE
        if ours and piece.holds and isinstance(link, GraphEdge):
            yield link, piece


def _seen(flow: Flow, at: datetime) -> None:
    if at > flow.last:
        flow.longest = max(flow.longest, at - flow.last)
        flow.last = at
    flow.since = min(flow.since, at)
