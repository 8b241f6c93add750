"""What the collector asks the cluster, beside reading from it: topic ids, offsets, policies, what lies in a gap."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

from stream_lineage.collect.progress import PartitionId
from stream_lineage.errors import KafkaUnavailable
from stream_lineage.logs import get_logger
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.log_offsets import answered, listed_offsets

_log = get_logger("stream_lineage.collect")
_PROBE_SECONDS = 3.0
_PROBE_RECORDS = 50_000
_ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_UNSUPPORTED = (KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE)


class ClusterFacts:
    """Questions to the brokers, each with a timeout."""

    def __init__(
        self,
        admin: AdminClient,
        uncommitted_reader: Callable[[], Consumer] | None = None,
        *,
        timeout_seconds: float = 10.0,
    ) -> None:
        """Without an ``uncommitted_reader`` nobody knows what is visible."""
        self._admin = admin
        self._uncommitted_reader = uncommitted_reader
        self._timeout = timeout_seconds
        self._reader: Consumer | None = None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str | None]:
        """The id of each topic that exists; null where the cluster gives none. A topic that does not exist is left out.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        names = list(topics)
        if not names:
            return {}
        found: dict[str, str | None] = {}
        try:
            futures = self._admin.describe_topics(TopicCollection(names), request_timeout=self._timeout)
            for name, future in futures.items():
                try:
                    topic_id = answered(future, self._timeout).topic_id
                    found[name] = None if topic_id is None else str(topic_id)
                except KafkaException as error:
                    code = error.args[0].code()
                    if code in _UNSUPPORTED:
                        found[name] = None
                    elif code not in _ABSENT:
                        raise
        except KafkaException as error:
            raise translated(error, "ask for topic ids") from error
        return found

    def topics(self) -> dict[str, int]:
        """Every topic with its number of partitions.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        try:
            metadata = self._admin.list_topics(timeout=self._timeout)
        except KafkaException as error:
            raise translated(error, "list the topics") from error
        return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None}

    def log_starts(self, partitions: Iterable[PartitionId]) -> dict[PartitionId, int]:
        """The offset at which the log of each of these partitions begins, of those that exist.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        return listed_offsets(self._admin, partitions, OffsetSpec.earliest(), timeout_seconds=self._timeout)

    def log_ends(self, partitions: Iterable[PartitionId]) -> dict[PartitionId, int]:
        """The offset after the last record of each of these partitions that can be read by now, of those that exist.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        return listed_offsets(self._admin, partitions, OffsetSpec.latest(), timeout_seconds=self._timeout)

    def cluster_id(self) -> str | None:
        """The cluster's own id."""
        try:
            cluster_id = self._admin.list_topics(timeout=self._timeout).cluster_id
        except KafkaException as error:
            raise translated(error, "reach the cluster") from error
        return None if cluster_id is None else str(cluster_id)

    def cleanup_policy(self, topic: str) -> str | None:
        """``cleanup.policy`` of a topic, or null when we may not know it."""
        try:
            resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
            futures = self._admin.describe_configs([resource], request_timeout=self._timeout)
            entry = answered(futures[resource], self._timeout).get("cleanup.policy")
        except (KafkaException, KafkaUnavailable) as error:
            _log.debug("cannot learn the cleanup policy", topic=topic, error=str(error))
            return None
        return None if entry is None else str(entry.value)

    def visible_offsets(self, topic: str, partition: int, first: int, last: int) -> set[int] | None:
        """Offsets in ``[first, last]`` that a reader of uncommitted records sees; null when it ran out of bounds."""
        if self._uncommitted_reader is None:
            return None
        if self._reader is None:
            self._reader = self._uncommitted_reader()
        reader = self._reader
        seen: set[int] = set()
        deadline = time.monotonic() + _PROBE_SECONDS
        try:
            reader.assign([TopicPartition(topic, partition, first)])
            while time.monotonic() < deadline and len(seen) < _PROBE_RECORDS:
                for message in reader.consume(1_000, timeout=0.2):
                    if message.error() is not None:
                        if message.error().code() == KafkaError._PARTITION_EOF and message.offset() > last:
                            return {offset for offset in seen if offset <= last}
                        continue
                    seen.add(message.offset())
                    if message.offset() >= last:
                        return {offset for offset in seen if offset <= last}
        except KafkaException as error:
            _log.debug("cannot look into a gap", topic=topic, error=error.args[0].str())
            return None
        finally:
            reader.unassign()
        return None
