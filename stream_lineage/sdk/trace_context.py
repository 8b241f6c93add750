"""The W3C trace context that came with a message: it goes on with what is made from that message alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Message

from stream_lineage.sdk.parents import Parent
from stream_lineage.wire.lineage_headers import TRACEPARENT_HEADER, TRACESTATE_HEADER
from stream_lineage.wire.record_headers import readable_headers

Headers = list[tuple[str, bytes | None]]
_NAMES = (TRACEPARENT_HEADER, TRACESTATE_HEADER)


def trace_context(parent: Any) -> Headers:
    """``traceparent`` and ``tracestate`` of a message of confluent-kafka, Faust (event or message) or aiokafka; of
    what else is named as a parent there are none. May raise anything where it is given what nobody can be asked for."""
    if isinstance(parent, Parent):
        parent = parent.of
    if isinstance(parent, Message):
        found: Any = readable_headers(parent)
    else:
        found = getattr(getattr(parent, "message", parent), "headers", None)
        if isinstance(found, Mapping):
            found = found.items()
        elif not isinstance(found, list | tuple):
            return []
    return [(name, value) for name, value in found or () if name in _NAMES and value and isinstance(value, bytes)]
