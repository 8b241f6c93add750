"""The lineage graph, read from Kafka; and how much of what was observed it covers."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta

from stream_lineage.agents.alert_rules import read_alert_rules
from stream_lineage.agents.metrics import ALL
from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.connections import log_reader
from stream_lineage.errors import DecodeError, IndexUnusable, NotFound
from stream_lineage.graph.codec import decode_event
from stream_lineage.graph.coverage import Coverage, TopicFacts, coverage
from stream_lineage.graph.graph import Graph
from stream_lineage.graph.naming import naming
from stream_lineage.index.graph_rows import graph_position, indexed_graph
from stream_lineage.index.reader import ProvenanceIndex
from stream_lineage.logs import get_logger
from stream_lineage.provenance.log import Progress, read_messages
from stream_lineage.provenance.topics import GRAPH
from stream_lineage.settings import Settings
from stream_lineage.store.open import open_store
from stream_lineage.wire.kafka import admin

_NO_SCHEMA = frozenset({"json", "opaque"})
"""What stands for a schema version where there is none."""
_log = get_logger("stream_lineage.graph")


def lineage_graph(settings: Settings, progress: Progress | None = None) -> Graph:
    """All that the topic holds, and what the index has of it: that need not be read again.

    Raises:
        NotFound: there is no such topic.
        KafkaUnavailable: no broker answered.
    """
    graph, start = known_graph(settings) or (Graph(), 0)
    unread = 0
    with closing(log_reader(settings)) as reader:
        for message in read_messages(reader, settings.kafka.topic(GRAPH), progress=progress, start=start):
            try:
                graph.take(decode_event(message.value() or b""))
            except DecodeError:
                unread += 1
    if unread:
        _log.warning("events of the graph cannot be read and are left out", events=unread)
    return graph


def known_graph(settings: Settings) -> tuple[Graph, int] | None:
    """The graph as the provenance index has it, and the offset of the topic to go on at. Null where there is no index
    that is of this very topic and has all that was in it.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    topic = settings.kafka.topic(GRAPH)
    try:
        with ProvenanceIndex(settings.index.index_path) as index, index.snapshot():
            place = graph_position(index, topic)
            if place is None or not place[1]:
                return None
            if ClusterFacts(admin(settings.kafka)).topic_ids([topic]).get(topic) != place[1]:
                return None
            return indexed_graph(index), place[0]
    except (NotFound, IndexUnusable):
        return None


def topic_coverage(settings: Settings, now: datetime, progress: Progress | None = None) -> Coverage:
    """Of the topics that were observed in the last day, as the metric store has them.

    Raises:
        ConnectionFailed: Kafka or the store did not answer.
        SettingsError: the file of alert rules cannot be read.
    """
    store = open_store(settings.store)
    day = timedelta(days=1)
    try:
        buckets = store.aggregate(
            "lineage_topic", "records", now - day, now, window_seconds=day.total_seconds(), aggregation="sum"
        )
    finally:
        store.close()
    expected = read_alert_rules(settings.agents.alert_rules).expectations
    cluster = settings.kafka.cluster_name
    records: dict[str, float] = {}
    schemas: set[str] = set()
    for bucket in buckets:
        topic, version = bucket.tags["topic"], bucket.tags["schema_version"]
        if bucket.tags.get("cluster") != cluster or version == ALL:
            continue
        records[topic] = records.get(topic, 0.0) + bucket.value
        if version not in _NO_SCHEMA and not version.startswith("unresolved:"):
            schemas.add(topic)
    try:
        graph = lineage_graph(settings, progress)
    except NotFound:
        graph = Graph()
    facts = [TopicFacts(topic, count, topic in schemas, topic in expected) for topic, count in records.items()]
    return coverage(graph, facts, naming(cluster, settings.kafka.addresses, others=settings.kafka.cluster_aliases))


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
