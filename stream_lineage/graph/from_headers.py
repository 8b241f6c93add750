"""Evidence of the class ``header``: what records say of their own parents, as the collectors write it to
``lineage.edges``.

Our own header names the topic that it is for: a copy of it on another record says nothing. Headers of others have no
such check. What passes them on says that its records come from where the first one was, which is true, and perhaps not
the last step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

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
"""What an output was observed without for so long may be gone, where it has never paused for a fifth of it."""
UNKNOWN_PATIENCE = timedelta(days=7)
"""How long an edge is waited for whose rhythm is not known."""
LEARNING = timedelta(days=1)
"""A rhythm is known after so long."""
MOST_PARENTS = 500
"""Edges that lead to one topic. Records that name more are not believed."""
MOST_NEW = 1_000
"""New edges that are told in one look. The others are told in the next ones."""
_PAUSES = 5
"""An edge is gone after so many times its longest pause, and so many batches of its output."""
_LEAST_STEP = LEAST_PATIENCE / _PAUSES
_MOST_ASKED = 20
"""Sources that are asked for in one look whether they are silent."""
_MOST_LINKED = 20_000
_NEVER = datetime.min.replace(tzinfo=UTC)
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


Records = Callable[[str, datetime, datetime], bool]
"""Whether a topic of the watched cluster got records between two times."""


@dataclass(slots=True)
class Flow:
    """Records of one topic that were made of records of another one, as far as this worker has seen; ``first`` is empty
    where it knows of them from the graph alone. ``absent`` is for how long the output was observed without them since
    ``last``."""

    first: dict[EdgeSource, datetime]
    last: datetime
    since: datetime
    looked_into: datetime
    longest: timedelta = field(default=timedelta(0))
    absent: timedelta = field(default=timedelta(0))

    def patience(self) -> timedelta:
        if self.last - self.since < LEARNING:
            return UNKNOWN_PATIENCE
        return max(LEAST_PATIENCE, _PAUSES * self.longest)

    def seen(self, at: datetime) -> None:
        if not self.first:
            self.since = self.last = at
        elif at > self.last:
            self.longest = max(self.longest, at - self.last)
            self.last = at
        else:
            self.since = min(self.since, at)
            return
        self.absent = timedelta(0)


@dataclass(slots=True)
class _Output:
    """A topic with what it is made of; ``last`` is when it was observed last with records that say so."""

    last: datetime
    flows: dict[GraphEdge, Flow] = field(default_factory=dict)


class HeaderFlows:
    """``know``, then ``take`` batches, most of them by their heads alone.

    An edge is gone when its output went on being observed without it, while records went on coming to its source: no
    time passes where nobody observes, and of what is silent nothing is said."""

    def __init__(self, naming: Naming, refresh: timedelta) -> None:
        self._naming = naming
        self._refresh = refresh
        self._topics: frozenset[str] = frozenset()
        self._ever: set[str] = set()
        self._outputs: dict[Node, _Output] = {}
        self._observed: datetime | None = None
        self._linked = lru_cache(_MOST_LINKED)(self._link)  # names are looked into, which takes most of a batch's time
        self.left_out: Counter[str] = Counter()
        """By output, how often a parent was no edge: there is no such topic, or there are too many of them."""

    def know(self, graph: Graph, topics: Iterable[str]) -> None:
        """What the graph holds, and which topics of the cluster we may see. Before each reading of batches."""
        self._topics = frozenset(topics)
        self._ever |= self._topics
        held: dict[GraphEdge, datetime] = {}
        newest: dict[Node, datetime] = {}
        for link, piece in _held(graph):
            held[link] = max(held.get(link, piece.last_seen), piece.last_seen)
            newest[link.target] = max(newest.get(link.target, piece.last_seen), piece.last_seen)
        for link, last in held.items():
            output = self._outputs.setdefault(link.target, _Output(newest[link.target]))
            if link not in output.flows:
                flow = output.flows[link] = Flow({}, last, last, _NEVER)
                # What other edges show of the output counts, and never alone.
                flow.absent = min(newest[link.target] - last, flow.patience() * (_PAUSES - 1) / _PAUSES)

    def wants(self, head: BatchHead) -> bool:
        """Whether the edges of this batch are needed to know whose headers they are from. They are large."""
        for link in self._edges(head):
            output = self._outputs.get(link.target)
            flow = None if output is None else output.flows.get(link)
            if flow is None or head.observed_at - flow.looked_into >= self._refresh:
                return True
        return False

    def take(self, head: BatchHead, edges: Iterable[RecordEdge] | None = None) -> None:
        """A batch; with its edges if it is wanted."""
        at = head.observed_at
        self._observed = at if self._observed is None else max(self._observed, at)
        kinds: dict[tuple[str | None, str], set[EdgeSource]] = {}
        for record in edges or ():
            for parent in record.parents:
                kinds.setdefault((parent.cluster, parent.topic), set()).add(record.source)
        shown: set[GraphEdge] = set()
        for source in head.sources:
            link = self._edge(head, source)
            if link is None:
                continue
            output = self._outputs.get(link.target)
            if not self._possible(link, output):
                self.left_out[head.topic] += 1
                continue
            shown.add(link)
            if source not in kinds:
                if output is not None and (flow := output.flows.get(link)) is not None:
                    flow.seen(at)
                continue
            output = self._outputs.setdefault(link.target, _Output(at))
            flow = output.flows.setdefault(link, Flow({}, at, at, at))
            flow.seen(at)
            flow.looked_into = max(flow.looked_into, at)
            for kind in kinds[source]:
                flow.first[kind] = min(flow.first.get(kind, at), at)
        self._missed(head, shown)

    def events(self, graph: Graph, now: datetime, *, whole: bool, records: Records) -> list[GraphEvent]:
        """What the graph does not know yet; where all that there is has been read, ``whole``, also what is gone."""
        found = []
        new = 0
        known = {(link, piece.source): piece for link, piece in _held(graph)}
        for link, flow in [each for output in self._outputs.values() for each in output.flows.items()]:
            for kind, first in flow.first.items():
                piece = known.get((link, _NAMES[kind]))
                if piece is not None:
                    if flow.last - piece.last_seen >= self._refresh:
                        found.append(GraphEvent(link, replace(piece, last_seen=milliseconds(flow.last))))
                elif new < MOST_NEW:
                    new += 1
                    first = milliseconds(first)
                    last = max(first, milliseconds(flow.last))
                    said = Evidence(EvidenceClass.HEADER, _NAMES[kind], first, last, CONFIDENCE[kind])
                    found.append(GraphEvent(link, said))
        if whole:
            gone = set(self._gone({link for link, _ in known}, records))
            for (link, _), piece in known.items():
                if link in gone:
                    end = max(milliseconds(now), piece.last_seen)
                    found.append(GraphEvent(link, replace(piece, withdrawn_at=end)))
        return found

    def drop(self) -> None:
        """Nothing was read."""
        self._outputs.clear()
        self._observed = None

    def _missed(self, head: BatchHead, shown: set[GraphEdge]) -> None:
        """An output was observed with these edges, and without its others."""
        try:
            output = self._outputs.get(self._topic(head.cluster, head.topic))
        except ValueError:
            return
        if output is None or head.observed_at <= output.last:
            return
        pause = head.observed_at - output.last
        output.last = head.observed_at
        for link, flow in output.flows.items():
            if link not in shown:
                # In a long pause nobody may have observed: no more than a step of it counts.
                flow.absent += pause if pause <= _LEAST_STEP else min(pause, self._patience(link, flow) / _PAUSES)

    def _gone(self, held: set[GraphEdge], records: Records) -> Iterator[GraphEdge]:
        asked = 0
        for output in self._outputs.values():
            for link, flow in list(output.flows.items()):
                patience = self._patience(link, flow)
                if link not in held:
                    continue
                if self._deleted(link.target):
                    gone = self._observed is not None and self._observed - flow.last > patience
                elif flow.absent < patience:
                    continue
                elif self._deleted(link.source) or not self._visible(link.source):
                    gone = True
                elif asked < _MOST_ASKED:
                    asked += 1
                    step = patience / _PAUSES  # what came last may be under way, what came first too
                    gone = records(link.source.name, flow.last + step, output.last - step)
                    if not gone:
                        flow.absent = timedelta(0)
                else:
                    gone = False
                if gone:
                    del output.flows[link]
                    yield link

    def _patience(self, link: GraphEdge, flow: Flow) -> timedelta:
        """Of a topic of another cluster, or one that we may not see, nobody can say here whether it is silent."""
        patience, source = flow.patience(), link.source
        return patience if self._visible(source) or self._deleted(source) else max(patience, UNKNOWN_PATIENCE)

    def _ours(self, node: Node) -> bool:
        return node.namespace == self._naming.namespace

    def _visible(self, node: Node) -> bool:
        """Whether it is a topic of the cluster that we see."""
        return self._ours(node) and node.name in self._topics

    def _deleted(self, node: Node) -> bool:
        return self._ours(node) and node.name in self._ever and node.name not in self._topics

    def _possible(self, link: GraphEdge, output: _Output | None) -> bool:
        """Anybody may name anything in a header: what does not exist and was never observed is no parent. It can be
        told where we see the output, or else we may be let see none."""
        if output is not None and link in output.flows:
            return True
        if output is not None and len(output.flows) >= MOST_PARENTS:
            return False
        if not self._ours(link.source) or not self._visible(link.target):
            return True
        return self._visible(link.source) or link.source in self._outputs

    def _edges(self, head: BatchHead) -> Iterator[GraphEdge]:
        for source in head.sources:
            link = self._edge(head, source)
            if link is not None and self._possible(link, self._outputs.get(link.target)):
                yield link

    def _edge(self, head: BatchHead, source: tuple[str | None, str]) -> GraphEdge | None:
        cluster, topic = source
        return self._linked(head.cluster if cluster is None else cluster, topic, head.cluster, head.topic)

    def _link(self, cluster: str, topic: str, into_cluster: str, into: str) -> GraphEdge | None:
        """Null for what a topic is made of itself, what is nobody's and what has a name that nothing can have."""
        if cluster == UNKNOWN_CLUSTER:
            return None
        try:
            return edge(self._topic(cluster, topic), self._topic(into_cluster, into))
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
