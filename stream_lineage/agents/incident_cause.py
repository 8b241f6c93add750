"""What broke first in an incident, by the code that answers ``stream-lineage explain``, on the worker's own graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from stream_lineage.agents.graph_fold import GraphFold
from stream_lineage.agents.incident_life import AlertRead, Standing
from stream_lineage.errors import NotFound
from stream_lineage.explain.answer import Answer
from stream_lineage.explain.bundle import recording_of
from stream_lineage.explain.live import Question, live_bundle
from stream_lineage.explain.neighbourhood import neighbourhood
from stream_lineage.explain.recording import Breach, Recording
from stream_lineage.explain.root_cause import explain
from stream_lineage.explain.spots import Spot, causes_of, spots_of
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.lookup import find
from stream_lineage.graph.naming import Naming
from stream_lineage.graph.walk import reach
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.model.incident import Incident
from stream_lineage.store.ports import MetricStore

_ANY = "records"
"""A metric that every topic has that is collected."""
_MOST_TRIED = 24
MOST_AFFECTED, MOST_REJECTED, MOST_RANKED = 100, 20, 5


@dataclass(frozen=True, slots=True)
class CauseFound:
    """``document`` is the answer, bounded; ``related`` are the ids of the nodes from the first cause to the breach,
    ``spots`` where in Kafka to look for the first bad records."""

    document: dict[str, Any]
    related: tuple[str, ...] = ()
    spots: tuple[Spot, ...] = ()


class IncidentCause:
    """``standing`` is asked in any thread, ``of`` in one that may wait for the store."""

    def __init__(
        self, fold: GraphFold, naming: Naming, store: MetricStore,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self._fold = fold
        self._naming = naming
        self._store = store
        self._wall = wall

    @property
    def ready(self) -> bool:
        """Whether the graph is known."""
        return self._fold.whole

    def standing(self, alert: AlertRead) -> Standing:
        """Where an alert is in the graph."""

        def asked(graph: Graph) -> Standing:
            node = _node(graph, self._naming, alert)
            ways = (reach(graph, node, "upstream"), reach(graph, node, "downstream"))
            return Standing(node.id, frozenset(graph.nodes[number].id for way in ways for number in way.nodes))

        return self._fold.ask(asked)

    def of(self, incident: Incident) -> CauseFound:
        """The answer for the breach.

        Raises:
            ConnectionFailed: the store cannot be read.
        """
        breach = incident.breach
        told = incident.members[0].summary
        around = self._fold.ask(lambda graph: neighbourhood(graph, _by_id(graph, breach.node)))
        try:
            bundle = live_bundle(
                around,
                self._store,
                Question(breach.metric or _ANY, None if breach.metric is None else breach.field, breach.at),
                cluster=self._naming.cluster,
                namespace=self._naming.namespace,
                now=self._wall(),
            )
        except NotFound as error:
            return CauseFound(_unknown(f"{error.message[:1].upper()}{error.message[1:]}.", error.hint or ""))
        recording = recording_of(bundle.document)
        recording = replace(recording, notes=(*recording.notes, *bundle.notes))
        answer = explain(recording) if breach.metric is not None else _by_any_metric(recording, breach.field)
        if answer is None:
            what = "It was noticed in no metric, and nothing that is measured there shows what broke first"
            return CauseFound(_unknown(f"{what}: {told}", "Metrics of what is affected."))
        nodes = {name: node for node, name in around.names.items()}
        named = [each for each in answer.ranking if each.named]
        return CauseFound(
            _bounded({**answer.document(), "causes": causes_of(answer)}),
            tuple(nodes[name].id for name in named[0].path) if named else (),
            spots_of(recording, answer, nodes, self._naming.namespace),
        )


def _by_any_metric(recording: Recording, field: str | None) -> Answer | None:
    """Of what was noticed in no metric, such as a schema: the surest answer for a metric that deviates with it. Null
    where none names a cause."""
    node, at = recording.breach.node, recording.breach.at
    measured = {
        (each.name.metric, each.name.field)
        for each in recording.series
        if each.name.node == node and (field is None or each.name.field in (field, None))
    }
    found = []
    for metric, its_field in sorted(measured, key=lambda each: (each[1] != field, each[0], each[1] or ""))[
        :_MOST_TRIED
    ]:
        answer = explain(replace(recording, breach=Breach(node, metric, its_field, at)))
        if answer.verdict == "root-cause":
            found.append(answer)
    # What the field itself shows says more than what its records weigh.
    return max(found, key=lambda each: (each.ranking[0].field == field, each.ranking[0].confidence), default=None)


def _node(graph: Graph, naming: Naming, alert: AlertRead) -> Node:
    if alert.job is not None and alert.kind.startswith("group-"):
        return naming.group(alert.job)
    if alert.kind == "pushed-metric":
        try:
            return find(graph, alert.topic)
        except NotFound:
            pass
    return naming.topic(alert.topic)


def _by_id(graph: Graph, name: str) -> Node:
    """A node of the graph, or one alone that nothing is known of."""
    try:
        return find(graph, name)
    except NotFound:
        kind, _, rest = name.partition(":")
        namespace, _, last = rest.rpartition("/")
        return Node(NodeKind(kind), unquote(namespace) or "unknown", unquote(last))


def _bounded(document: dict[str, Any]) -> dict[str, Any]:
    """Without what is said twice, and as much as a message may hold."""
    del document["blast_radius"]
    return {
        **document,
        "ranking": document["ranking"][:MOST_RANKED],
        "rejected": document["rejected"][:MOST_REJECTED],
        "affected": document["affected"][:MOST_AFFECTED],
        "affected_count": len(document["affected"]),
    }


def _unknown(sentence: str, settle: str) -> dict[str, Any]:
    return {
        "verdict": "inconclusive", "sentence": sentence, "ranking": [], "rejected": [], "affected": [],
        "affected_count": 0, "settle": [settle] if settle else [], "notes": [], "causes": [],
    }  # fmt: skip
