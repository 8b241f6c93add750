"""The topics that the agents need before they start: ours, and the changelogs of their tables.

Faust would create its changelogs itself, with whatever number of partitions it was told; one that does not match the
observation topic stops it. So they are made here, and grow with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from stream_lineage.errors import KafkaUnavailable
from stream_lineage.logs import get_logger
from stream_lineage.provenance.topics import OBSERVATIONS, ensure_topics
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.settings import KafkaSettings

CALL_SECONDS = 10.0
CHANGELOG_CONFIG = {"cleanup.policy": "compact", "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}
_log = get_logger("stream_lineage.agents")


def prepare_topics(
    admin: AdminClient,
    settings: KafkaSettings,
    changelog: str,
    *,
    wait_seconds: float = 60.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Wait for Kafka, create what is missing, and return the number of partitions of the observation topic.

    Raises:
        KafkaUnavailable: no broker answered within ``wait_seconds``.
        SettingsError: we may not create topics.
    """
    deadline = clock() + wait_seconds
    while True:
        try:
            ensure_topics(admin, settings, timeout_seconds=CALL_SECONDS)
            partitions = _partitions(admin, settings.topic(OBSERVATIONS))
            if partitions:
                _ensure_changelog(admin, changelog, partitions, settings.replication_factor)
                return partitions
        except KafkaUnavailable as error:
            if clock() >= deadline:
                raise
            _log.warning("waiting for Kafka", error=error.message)
        if clock() >= deadline:
            raise KafkaUnavailable(f"{settings.topic(OBSERVATIONS)} did not appear within {wait_seconds:.0f} s")
        sleep(1.0)


def topic_names(admin: AdminClient) -> list[str]:
    """All topics that there are and that we may see.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    try:
        return sorted(admin.list_topics(timeout=CALL_SECONDS).topics)
    except KafkaException as error:
        raise translated(error, "list the topics") from error


def _partitions(admin: AdminClient, topic: str) -> int:
    try:
        found = admin.list_topics(timeout=CALL_SECONDS).topics.get(topic)
    except KafkaException as error:
        raise translated(error, "list the topics") from error
    return 0 if found is None else len(found.partitions)


def _ensure_changelog(admin: AdminClient, changelog: str, partitions: int, replication_factor: int) -> None:
    try:
        existing = _partitions(admin, changelog)
        if existing == 0:
            topic = NewTopic(
                changelog, num_partitions=partitions, replication_factor=replication_factor, config=CHANGELOG_CONFIG
            )
            admin.create_topics([topic], request_timeout=CALL_SECONDS)[changelog].result(CALL_SECONDS + 1)
            _log.info("topic created", topic=changelog, partitions=partitions)
        elif existing < partitions:
            grown = admin.create_partitions([NewPartitions(changelog, partitions)], request_timeout=CALL_SECONDS)
            grown[changelog].result(CALL_SECONDS + 1)
            _log.info("topic grown", topic=changelog, partitions=partitions)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise translated(error, f"prepare the changelog topic {changelog}") from error
