"""Spans as JSON documents."""

from __future__ import annotations

from typing import Any

from stream_lineage.provenance.documents import schema_document
from stream_lineage.provenance.spans import IndexedSpan


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
