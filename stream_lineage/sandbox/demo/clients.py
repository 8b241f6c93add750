"""The demo's own Kafka clients, whose library says nothing on the terminal."""

from __future__ import annotations

import logging

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

_QUIET = logging.getLogger(f"{__name__}.librdkafka")
_QUIET.disabled = True


def admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap_servers, "client.id": "demo"}, logger=_QUIET)


def reader(bootstrap_servers: str) -> Consumer:
    """For reading assigned partitions; it joins no group and commits nothing."""
    config = {"bootstrap.servers": bootstrap_servers, "client.id": "demo", "group.id": "demo"}
    return Consumer({**config, "enable.auto.commit": False}, logger=_QUIET)
