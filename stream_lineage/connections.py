"""What the settings lead to: clients of the cluster and the registry, and the key that hides values.

Apart from ``runtime``, so that whoever only asks need not load what collects.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING

from confluent_kafka import Consumer

from stream_lineage.errors import SettingsError
from stream_lineage.settings import Settings
from stream_lineage.wire import kafka
from stream_lineage.wire.registered_schema import RegisteredSchema
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.single_object_schemas import SingleObjectSchemas

if TYPE_CHECKING:
    from stream_lineage.collect.resolver import SchemaResolver

AT_THE_END_MS = 20
"""How long a broker waits for more before it says that a partition ends: whoever reads up to the end waits for that."""


def log_reader(settings: Settings) -> Consumer:
    """A consumer for reading our own topics from their beginning, in no group."""
    return kafka.consumer(
        settings.kafka,
        f"{settings.collect.group_id}.reader",
        {"enable.partition.eof": "true", "auto.offset.reset": "earliest", "fetch.wait.max.ms": AT_THE_END_MS},
    )


def range_reader(settings: Settings) -> Consumer:
    """Reads where it is told to and nowhere else, in no group."""
    return kafka.consumer(
        settings.kafka,
        f"{settings.collect.group_id}.reader",
        {
            "enable.partition.eof": "true",
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": settings.collect.prefetch_kilobytes,
            "check.crcs": "true",
            "fetch.queue.backoff.ms": 10,
        },
    )


def registry_of(settings: Settings) -> SchemaRegistry | None:
    """The schema registry, if one is configured."""
    return SchemaRegistry(settings.registry) if settings.registry.urls else None


def registered_schema(settings: Settings, subject: str, version: int | None) -> RegisteredSchema:
    """A version of a subject, the latest one where none is given, with what it refers to.

    Raises:
        SettingsError: no registry is configured.
        UnknownSchema: the registry does not have it.
        RegistryUnavailable, SchemaError: it does not answer, or with what cannot be used.
    """
    registry = registry_of(settings)
    if registry is None:
        hint = "Say --schema-registry-url, or set STREAM_LINEAGE_SCHEMA_REGISTRY_URL."
        raise SettingsError("no schema registry is configured", hint=hint)
    with closing(registry):
        return registry.latest(subject) if version is None else registry.version(subject, version)


def hash_key_of(settings: Settings, cluster_id: str | None) -> bytes:
    """The key of the hashes that stand for values: the configured one, else one that all collectors of a cluster
    derive alike, which hides values from a casual look only: so ``key_fields`` without a key are refused."""
    if settings.collect.hash_key is not None:
        secret = settings.collect.hash_key.get_secret_value().encode()
    else:
        secret = f"{cluster_id}/{settings.kafka.topic_prefix}".encode()
    return hashlib.sha256(b"stream_lineage hash key\x00" + secret).digest()


def single_objects(settings: Settings, registry: SchemaRegistry | None) -> SingleObjectSchemas | None:
    """Where the schemas of Avro single objects are found; null where there is nowhere to look."""
    found = SingleObjectSchemas(
        registry,
        settings.registry.avro_schemas,
        negative_ttl_seconds=settings.registry.registry_negative_ttl_seconds,
    )
    return found if found.has_sources else None


def resolver_of(settings: Settings, registry: SchemaRegistry | None) -> SchemaResolver:
    """What finds the schemas of records, as the settings say."""
    from stream_lineage.collect.resolver import SchemaResolver  # with NumPy, which reading back does without

    return SchemaResolver(
        registry,
        negative_ttl_seconds=settings.registry.registry_negative_ttl_seconds,
        retry_seconds=settings.registry.registry_retry_seconds,
        wait_seconds=settings.registry.registry_patience_seconds,
        single_objects=single_objects(settings, registry),
    )
