"""What the agents read beside their stream."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from stream_lineage.agents.application_feed import ApplicationFeed
from stream_lineage.agents.application_feed import said as said_by_application
from stream_lineage.agents.edge_feed import EdgeFeed
from stream_lineage.agents.graph_fold import Written, written
from stream_lineage.agents.graph_watch import REFRESH
from stream_lineage.agents.incident_labels import LabelRead, labelled, merged_one
from stream_lineage.agents.observation_tail import ObservationTail
from stream_lineage.agents.one_partition import OnePartition, first_offset
from stream_lineage.agents.openlineage_watch import OpenLineageWatch, sent
from stream_lineage.agents.pushed_watch import PushedFeed
from stream_lineage.agents.window_log import decode_window
from stream_lineage.detect.window import Window
from stream_lineage.graph.naming import Naming
from stream_lineage.provenance.baselines import BaselineFeed
from stream_lineage.provenance.topics import (
    BASELINES,
    DECLARATIONS,
    EDGES,
    GRAPH,
    INCIDENTS,
    METRICS,
    OBSERVATIONS,
    OPENLINEAGE,
    STATE,
    WINDOWS,
)
from stream_lineage.wire.kafka import consumer
from stream_lineage.wire.settings import KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka import Consumer


class Feeds:
    """Makes the readers of our own topics, which are in no group: each reads on from where its watch has got to."""

    def __init__(self, kafka: KafkaSettings, agents_id: str) -> None:
        self._kafka = kafka
        self._agents_id = agents_id

    def baselines(self) -> BaselineFeed:
        """Training baselines."""
        return BaselineFeed(self._reader(), self._kafka.topic(BASELINES))

    def pushed(self) -> PushedFeed:
        """Pushed metrics."""
        return PushedFeed(self._reader(), self._kafka.topic(METRICS))

    def windows(self) -> OnePartition[Window]:
        """The windows of the topics of declared jobs."""
        return OnePartition(
            self._reader(), self._kafka.topic(WINDOWS), lambda message: decode_window(message.value() or b"")
        )

    def graph(self) -> OnePartition[Written]:
        return OnePartition(self._reader(), self._kafka.topic(GRAPH), written)

    def labels(self) -> OnePartition[LabelRead | None]:
        """What people said of incidents."""
        return OnePartition(self._reader(), self._kafka.topic(STATE), labelled)

    def merges(self) -> OnePartition[tuple[str, str] | None]:
        """Which incidents have become one."""
        return OnePartition(self._reader(), self._kafka.topic(INCIDENTS), merged_one)

    def applications(self, kept: timedelta) -> ApplicationFeed:
        """What applications declare, which holds so long."""
        feed = OnePartition(self._reader(ends=True), self._kafka.topic(DECLARATIONS), said_by_application)
        return ApplicationFeed(feed, kept)

    def newest_observations(self) -> ObservationTail:
        return ObservationTail(self._reader(ends=True), self._kafka.topic(OBSERVATIONS))

    def record_edges(self) -> EdgeFeed:
        return EdgeFeed(self._reader(ends=True), self._kafka.topic(EDGES))

    def openlineage(self, names: Naming) -> OpenLineageWatch:
        """OpenLineage's events."""
        topic, reader = self._kafka.topic(OPENLINEAGE), self._reader(ends=True)
        return OpenLineageWatch(OnePartition(reader, topic, sent), partial(first_offset, reader, topic), names, REFRESH)

    def _reader(self, *, ends: bool = False) -> Consumer:
        """``ends``: it says when a partition is read to its end."""
        config = {"auto.offset.reset": "earliest"} | ({"enable.partition.eof": "true"} if ends else {})
        return consumer(self._kafka, self._agents_id, config)
