"""What broke anything in the live graph: its bundle, from Kafka and the metric store."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from stream_lineage.errors import NotFound
from stream_lineage.explain.answer import Answer
from stream_lineage.explain.live import Bundle, Progress, Question, live_bundle
from stream_lineage.explain.neighbourhood import Neighbourhood, neighbourhood
from stream_lineage.explain.recording import Recording
from stream_lineage.explain.spots import Spot, spots_of
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.lookup import find
from stream_lineage.graph.naming import naming
from stream_lineage.graphing import graph_at
from stream_lineage.model.graph import Node, NodeKind
from stream_lineage.provenance.log import Progress as OnRead
from stream_lineage.settings import Settings
from stream_lineage.store.open import open_store


@dataclass(frozen=True, slots=True)
class Asked:
    """``target`` is a node as people call it; ``TOPIC:FIELD`` is a field of a topic."""

    target: str
    metric: str
    field: str | None
    at: datetime
    history: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Meant:
    """A question, and what it concerns of the graph as it was known at the time that it asks about."""

    graph: Graph
    around: Neighbourhood
    question: Question


def meant_by(settings: Settings, asked: Asked, progress: OnRead | None = None) -> Meant:
    """The node that is asked about.

    Raises:
        NotFound: there is no graph, there was none yet, or there is no such node in it.
        KafkaUnavailable: no broker answered.
    """
    graph = graph_at(settings, asked.at, progress)
    node, field = _node(graph, asked)
    return Meant(graph, neighbourhood(graph, node), Question(asked.metric, field, asked.at, asked.history))


def bundle_of(settings: Settings, meant: Meant, progress: Progress | None = None) -> Bundle:
    """The bundle of a breach.

    Raises:
        NotFound: there is no such series at that time.
        ConnectionFailed: the store did not answer.
    """
    names = naming(settings.kafka.cluster_name, settings.kafka.addresses)
    with closing(open_store(settings.store)) as store:
        return live_bundle(
            meant.around, store, meant.question,
            cluster=names.cluster, namespace=names.namespace, progress=progress,
        )  # fmt: skip


def spots_in(settings: Settings, meant: Meant, recording: Recording, answer: Answer) -> tuple[Spot, ...]:
    """Where in Kafka to look for the first bad records of an answer."""
    names = naming(settings.kafka.cluster_name, settings.kafka.addresses)
    nodes = {name: node for node, name in meant.around.names.items()}
    return spots_of(recording, answer, nodes, names.namespace)


def _node(graph: Graph, asked: Asked) -> tuple[Node, str | None]:
    """A node, and the field of it; of a column its dataset, whether or not the graph knows of the column."""
    try:
        node = find(graph, asked.target)
    except NotFound:
        topic, mark, path = asked.target.partition(":")
        if not mark or not path or asked.field is not None:
            raise
        try:
            return find(graph, topic), path
        except NotFound:
            pass
        raise
    if node.kind is NodeKind.COLUMN and node.dataset is not None:
        return node.dataset, asked.field or node.field
    return node, asked.field
