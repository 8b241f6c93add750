"""Alerts on turns of the lineage graph.

All workers gather what the events of ``lineage.graph`` turn; the one that has the first partition of the observation
log tells it, from the offset on up to which it was told. What is told follows from the events and from when they were
written alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import orjson

from stream_lineage.agents.alerts import Alert, Place, alert
from stream_lineage.agents.detection import Changed, LogPosition, Outcome, stored_state
from stream_lineage.agents.graph_fold import Written
from stream_lineage.agents.home import HOME
from stream_lineage.detect.fingerprint import finding_fingerprint
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.learning import Learning
from stream_lineage.graph.naming import Naming
from stream_lineage.graph.turns import Turn, turns
from stream_lineage.model.finding import Finding, Severity
from stream_lineage.model.graph import Evidence, EvidenceClass, Node, NodeKind

_PLACE = b"graph-offset/"
_MOST = 10_000
_NEWS = timedelta(days=1)
"""What happened longer ago is no news to anybody, as to agents that begin with a table that is empty."""


class GraphAlerts:
    """``event`` for each that is read, ``judge`` where this worker tells of them."""

    def __init__(self, naming: Naming, public_url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._naming = naming
        self._public_url = public_url
        self._clock = clock
        self._found: deque[tuple[int, datetime, Turn]] = deque(maxlen=_MOST)
        self._graph: Graph | None = None
        self._learning = Learning()

    def event(self, offset: int, written: Written, before: list[Evidence], graph: Graph) -> None:
        if graph is not self._graph:  # the topic was made anew
            self._graph, self._learning = graph, Learning()
        event = written.event
        for turn in turns(event, before, graph, news=self._learning.news(event, written.at)):
            self._found.append((offset, event.at, turn))

    def judge(self, through: int, rows: Mapping[bytes, bytes]) -> list[tuple[int, Outcome]]:
        """What is to be told of the events before ``through``, an offset."""
        value = rows.get(_PLACE)
        start = 0 if value is None else int(orjson.loads(value)["position"][1])
        now = datetime.fromtimestamp(self._clock(), UTC)
        told: list[Alert] = []
        while self._found and self._found[0][0] < through:
            offset, at, turn = self._found.popleft()
            if offset >= start and now - at <= _NEWS and (finding := self._finding(turn)) is not None:
                place = Place(f"graph/{offset}/{turn.kind}", self._naming.cluster, at)
                told.append(alert(finding, "anomaly", place, self._public_url))
        if through <= start or (not told and value is not None):
            return []  # where nothing is told, the place may lag behind
        kept = Changed(_PLACE, stored_state(LogPosition(HOME, through), now, {}))
        return [(HOME, Outcome(tuple(told), (kept,)))]

    def _finding(self, turn: Turn) -> Finding | None:
        """Null for what happens to datasets that are no topics of this cluster."""
        edge = turn.edge
        ends = [turn.dataset] if turn.dataset else [edge.target, edge.source]
        topic = next((node for node in ends if node is not None and self._ours(node)), None)
        if topic is None:
            return None
        kind = f"graph-{turn.kind}"
        job = next((node.name for node in (edge.source, edge.target) if node.kind is NodeKind.JOB), None)
        return Finding(
            kind=kind,
            severity=_severity(turn),
            topic=topic.name,
            field_path=None,
            summary=_summary(turn),
            fingerprint=finding_fingerprint(kind, self._naming.cluster, edge.id),
            first_offsets={},
            job=job,
        )

    def _ours(self, node: Node) -> bool:
        return node.kind is NodeKind.DATASET and node.namespace == self._naming.namespace


def _severity(turn: Turn) -> Severity:
    if turn.kind == "edge-appeared" or turn.by is EvidenceClass.DECLARED:
        return Severity.INFO
    return Severity.WARNING


def _summary(turn: Turn) -> str:
    source, target = turn.edge.source.label, turn.edge.target.label
    if turn.dataset is not None:
        return f"{turn.dataset.label} is read, and nothing is known any more that writes it: it came from {source}"
    if turn.kind == "edge-appeared":
        return f"{target} is made of {source} now, which it was not before"
    why = "is no longer declared" if turn.by is EvidenceClass.DECLARED else "has not been seen for longer than is usual"
    return f"that {target} is made of {source} {why}"
