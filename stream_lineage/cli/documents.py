"""Schemas and spans as JSON documents and as table cells."""

from __future__ import annotations

from typing import Any

from stream_lineage.model.schema import SchemaReference
from stream_lineage.provenance.spans import IndexedSpan


def schema_document(reference: SchemaReference) -> dict[str, Any]:
    """The schema reference as scripts get it. ``unresolved`` is there only when it is true."""
    document: dict[str, Any] = {
        "type": reference.type.value,
        "id": reference.id,
        "guid": reference.guid,
        "subject": reference.subject,
        "version": reference.version,
        "fingerprint": reference.fingerprint,
    }
    if reference.unresolved:
        document["unresolved"] = True
    return document


def span_document(entry: IndexedSpan, topic_id: str | None) -> dict[str, Any]:
    """A merged span as scripts get it."""
    span = entry.span
    return {
        "partition": span.partition,
        "first_offset": span.first_offset,
        "last_offset": span.last_offset,
        "count": span.count,
        "missing": [
            {"first_offset": gap.first_offset, "last_offset": gap.last_offset, "reason": gap.reason.value}
            for gap in span.missing
        ],
        "schema": schema_document(entry.schema),
        "key_schema": schema_document(entry.key_schema),
        "topic_id": topic_id,
    }
