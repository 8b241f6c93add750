"""The topics that the tap writes: there before the first record is, with the partitions of their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.errors import SettingsError
from stream_lineage.logs import get_logger
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.log_offsets import answered

_log = get_logger("stream_lineage.collect")
_COPIED = ("cleanup.policy", "retention.ms", "retention.bytes")
_HEADER_ROOM = 1024 * 1024
"""A record that just fits into its topic must fit into the traced one with its header, and compressed by us."""
_ANY_TIME = {"message.timestamp.before.max.ms": str(2**63 - 1), "message.timestamp.after.max.ms": str(2**63 - 1)}
"""Timestamps are the source's and are not to be judged again. Brokers older than 3.6 do not know these."""
_LONGEST_NAME = 249


class TracedTopics:
    """Creates what is missing and remembers what is there. ``name`` gives the traced topic of a source."""

    def __init__(
        self,
        admin: AdminClient,
        facts: ClusterFacts,
        name: Callable[[str], str],
        *,
        replication_factor: int,
        timeout_seconds: float = 15.0,
    ) -> None:
        self._admin = admin
        self._facts = facts
        self._name = name
        self._replication_factor = replication_factor
        self._timeout = timeout_seconds
        self._ready: dict[str, int] = {}  # by source: partitions of the traced topic

    def forget(self) -> None:
        """Look again before the next record: somebody may have deleted one."""
        self._ready.clear()

    def ensure(self, needed: Mapping[str, int]) -> None:
        """Have a traced topic for each source, with at least so many partitions.

        Raises:
            KafkaUnavailable: no broker answered.
            SettingsError: it cannot be created or enlarged; the message says which and why.
        """
        wanted = {source: count for source, count in needed.items() if self._ready.get(source, 0) < count}
        if not wanted:
            return
        existing = self._facts.topics()
        for source, count in wanted.items():
            name = self._name(source)
            if len(name) > _LONGEST_NAME:
                raise SettingsError(
                    f"{source} cannot be tapped: {name} is longer than Kafka allows ({_LONGEST_NAME} characters)",
                    hint="Choose a shorter tap_suffix, or leave this topic out of tap.",
                )
            partitions = max(count, existing.get(source, 0))
            if name not in existing:
                self._create(source, name, partitions)
            elif existing[name] < partitions:
                self._enlarge(name, partitions)
            self._ready[source] = partitions

    def _create(self, source: str, name: str, partitions: int) -> None:
        config = self._config(source)
        for attempt in ({**config, **_ANY_TIME}, config):
            request = NewTopic(
                name, num_partitions=partitions, replication_factor=self._replication_factor, config=attempt
            )
            try:
                answered(self._admin.create_topics([request], request_timeout=self._timeout)[name], self._timeout)
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.TOPIC_ALREADY_EXISTS:
                    return
                if code == KafkaError.INVALID_CONFIG and attempt is not config:
                    continue
                raise translated(error, f"create the traced topic {name}") from error
            _log.info("traced topic created", topic=name, partitions=partitions)
            return

    def _enlarge(self, name: str, partitions: int) -> None:
        try:
            request = NewPartitions(name, partitions)
            answered(self._admin.create_partitions([request], request_timeout=self._timeout)[name], self._timeout)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.INVALID_PARTITIONS:
                return  # another collector was faster
            raise translated(error, f"give the traced topic {name} {partitions} partitions") from error
        _log.info("traced topic enlarged", topic=name, partitions=partitions)

    def _config(self, source: str) -> dict[str, str]:
        """Retention as the source has it; room for the header; timestamps that stay what they are."""
        found: dict[str, Any] = {}
        try:
            resource = ConfigResource(ConfigResource.Type.TOPIC, source)
            futures = self._admin.describe_configs([resource], request_timeout=self._timeout)
            found = answered(futures[resource], self._timeout)
        except KafkaException as error:
            _log.warning(
                "cannot read the configuration of a tapped topic; its traced topic gets the broker's defaults",
                topic=source, error=error.args[0].str(),
            )  # fmt: skip
        config = {name: str(found[name].value) for name in _COPIED if name in found}
        config["message.timestamp.type"] = "CreateTime"
        largest = found.get("max.message.bytes")
        if largest is not None:
            config["max.message.bytes"] = str(min(int(largest.value) * 2 + _HEADER_ROOM, 2**31 - 1))
        return config
