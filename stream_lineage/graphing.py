"""The lineage graph, read from Kafka. Needs Kafka alone."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from stream_lineage.connections import log_reader
from stream_lineage.errors import DecodeError, NotFound
from stream_lineage.graph.codec import decode_event
from stream_lineage.graph.graph import Graph
from stream_lineage.logs import get_logger
from stream_lineage.provenance.log import Progress, read_messages
from stream_lineage.provenance.topics import GRAPH
from stream_lineage.settings import Settings

_log = get_logger("stream_lineage.graph")


def lineage_graph(settings: Settings, progress: Progress | None = None) -> Graph:
    """All that the topic holds.

    Raises:
        NotFound: there is no such topic.
        KafkaUnavailable: no broker answered.
    """
    graph = Graph()
    unread = 0
    with closing(log_reader(settings)) as reader:
        for message in read_messages(reader, settings.kafka.topic(GRAPH), progress=progress):
            try:
                graph.take(decode_event(message.value() or b""))
            except DecodeError:
                unread += 1
    if unread:
        _log.warning("events of the graph cannot be read and are left out", events=unread)
    return graph


def graph_at(settings: Settings, at: datetime | None, progress: Progress | None = None) -> Graph:
    """The graph as it was then; as it is where ``at`` is null.

    Raises:
        NotFound: there is no graph, or there was none yet.
        KafkaUnavailable: no broker answered.
    """
    graph = lineage_graph(settings, progress)
    if graph.first is None:
        raise NotFound(
            "the lineage graph is empty",
            hint="`stream-lineage agents` fills it; docs/graph.md says from what",
        )
    if at is None:
        return graph
    if at < graph.first:
        raise NotFound(f"nothing was known of the graph at that time: it begins at {graph.first:%Y-%m-%d %H:%M:%S} UTC")
    return graph.as_of(at)
