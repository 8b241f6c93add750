"""Provenance as JSON documents: commands, the API and traced records all say the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_lineage.model.profile import Profile
from stream_lineage.model.provenance import Provenance
from stream_lineage.model.schema import SchemaReference
from stream_lineage.model.span import MissingRange
from stream_lineage.provenance.spans import IndexedSpan


def schema_document(reference: SchemaReference) -> dict[str, Any]:
    """The schema reference as scripts get it. ``crc64`` and ``unresolved`` are there only where they say
    something."""
    document: dict[str, Any] = {
        "type": reference.type.value,
        "framing": reference.framing.value,
        "id": reference.id,
        "guid": reference.guid,
        "subject": reference.subject,
        "version": reference.version,
        "fingerprint": reference.fingerprint,
    }
    if reference.crc64 is not None:
        document["crc64"] = reference.crc64
    if reference.unresolved:
        document["unresolved"] = True
    return document


def reading_document(profile: Profile | None) -> dict[str, Any]:
    """How the records around one were read, and where they differ from what their JSON schema declares (null where none
    declares anything)."""
    structure = None if profile is None else profile.structure
    return {
        "decoder": None if profile is None else profile.decoder.value,
        "deviations": None
        if structure is None
        else [
            {
                "kind": deviation.kind.value,
                "path": deviation.path,
                "declared": deviation.declared,
                "seen": deviation.seen,
                "count": deviation.count,
            }
            for deviation in structure.deviations
        ],
    }


def provenance_document(record: Provenance) -> dict[str, Any]:
    """The coordinates of one record. ``timestamp`` is ISO 8601 in UTC, or null."""
    return {
        "cluster": record.cluster,
        "topic": record.topic,
        "topic_id": record.topic_id,
        "partition": record.partition,
        "offset": record.offset,
        "leader_epoch": record.leader_epoch,
        "timestamp": None if record.timestamp is None else record.timestamp.isoformat(),
        "timestamp_type": record.timestamp_type,
        "key_hash": record.key_hash,
        "schema": schema_document(record.schema),
        "key_schema": schema_document(record.key_schema),
        "trace_id": record.trace_id,
        "run_id": record.run_id,
    }


def span_document(entry: IndexedSpan, topic_id: str | None) -> dict[str, Any]:
    """A merged span as scripts get it."""
    span, schemas = entry.span, (schema_document(entry.schema), schema_document(entry.key_schema))
    return span_fields(span.partition, span.first_offset, span.last_offset, span.missing, schemas, topic_id)


def span_fields(
    partition: int,
    first_offset: int,
    last_offset: int,
    missing: Sequence[MissingRange],
    schemas: tuple[dict[str, Any], dict[str, Any]],
    topic_id: str | None,
) -> dict[str, Any]:
    """The same of its parts; ``schemas`` are documents of the value's and of the key's."""
    return {
        "partition": partition,
        "first_offset": first_offset,
        "last_offset": last_offset,
        "count": last_offset - first_offset + 1 - sum(gap.length for gap in missing),
        "missing": [
            {"first_offset": gap.first_offset, "last_offset": gap.last_offset, "reason": gap.reason.value}
            for gap in missing
        ],
        "schema": schemas[0],
        "key_schema": schemas[1],
        "topic_id": topic_id,
    }
