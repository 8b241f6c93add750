"""The demo's own Kafka clients, whose library says nothing on the terminal."""

from __future__ import annotations

import logging

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

_TIMEOUT_SECONDS = 5.0
_QUIET = logging.getLogger(f"{__name__}.librdkafka")
_QUIET.disabled = True


def admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap_servers, "client.id": "demo"}, logger=_QUIET)


def assigned(client: AdminClient, group: str) -> int:
    """How many partitions the members of a consumer group read by now; 0 while that cannot be told."""
    try:
        future = client.describe_consumer_groups([group], request_timeout=_TIMEOUT_SECONDS)[group]
        members = future.result(_TIMEOUT_SECONDS + 1).members
    except KafkaException:
        return 0
    return sum(len(member.assignment.topic_partitions) for member in members if member.assignment is not None)


def reader(bootstrap_servers: str) -> Consumer:
    """For reading assigned partitions; it joins no group and commits nothing."""
    config = {"bootstrap.servers": bootstrap_servers, "client.id": "demo", "group.id": "demo"}
    return Consumer({**config, "enable.auto.commit": False}, logger=_QUIET)
