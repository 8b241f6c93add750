"""Where one record is, and what was true of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from stream_lineage.model.schema import SchemaReference


@dataclass(frozen=True, slots=True)
class Provenance:
    """The full coordinates of one record.

    ``timestamp`` (UTC) with its type (``create`` or ``log-append``), ``key_hash``, ``trace_id`` and ``run_id`` are read
    from Kafka itself, and are null once retention has removed the record.
    """

    cluster: str
    topic: str
    topic_id: str | None
    partition: int
    offset: int
    leader_epoch: int | None
    timestamp: datetime | None
    timestamp_type: str | None
    key_hash: str | None
    schema: SchemaReference
    key_schema: SchemaReference
    trace_id: str | None
    run_id: str | None
