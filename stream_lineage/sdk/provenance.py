"""What a consumed message says of itself: where it is, what it was made from, under which schema it was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message

from stream_lineage.errors import DecodeError
from stream_lineage.model.record_edge import EdgeSource, ParentRange
from stream_lineage.wire.guid_header import VALUE_GUID_HEADER, guid_in
from stream_lineage.wire.lineage_headers import (
    PARENTS_HEADER,
    RUN_HEADER,
    TRACEPARENT_HEADER,
    decode_parents,
    run_id,
    trace_id,
)
from stream_lineage.wire.origin_headers import origin_in
from stream_lineage.wire.record_headers import readable_headers

TRACED_HEADER = "lineage-provenance"
"""Written by the collector's tap."""
_TIMESTAMP_TYPES = {TIMESTAMP_CREATE_TIME: "create", TIMESTAMP_LOG_APPEND_TIME: "log-append"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PREFIX_BYTES = 5
_LARGEST_TRACED = 65_536


@dataclass(frozen=True, slots=True)
class MessageProvenance:
    """``parents`` are those that the message's headers name, ``source`` whose headers; empty and null where none do.

    ``exact``: the parents are all that there are and no others. ``schema_id`` (of the registry) and ``schema_guid`` are
    what the message claims; nobody was asked. ``traced`` is the document that the collector's tap wrote, of the record
    that this is a copy of.
    """

    topic: str
    partition: int
    offset: int
    leader_epoch: int | None
    timestamp: datetime | None
    timestamp_type: str | None
    schema_id: int | None
    schema_guid: str | None
    parents: tuple[ParentRange, ...]
    source: EdgeSource | None
    exact: bool
    run_id: str | None
    trace_id: str | None
    traced: Mapping[str, Any] | None


def provenance_of(message: Message) -> MessageProvenance | None:
    """Read a message of confluent-kafka; null where it is none, or an error. Headers that cannot be read count as not
    being there."""
    try:
        if message is None or message.error() is not None:
            return None
        return _read(message)
    except Exception:  # noqa: BLE001  (whatever was given: applications are not disturbed)
        return None


def _read(message: Message) -> MessageProvenance:
    headers = readable_headers(message) or []
    last = dict(headers)
    topic, value = message.topic(), message.value()
    kind, milliseconds = message.timestamp()
    parents, source, exact = _parents(headers, last, topic)
    guid = guid_in(headers, VALUE_GUID_HEADER)
    claimed = None
    if guid is None and isinstance(value, bytes) and len(value) >= _PREFIX_BYTES and value[0] == 0:
        claimed = int.from_bytes(value[1:_PREFIX_BYTES], "big") or None
    return MessageProvenance(
        topic=topic,
        partition=message.partition(),
        offset=message.offset(),
        leader_epoch=message.leader_epoch(),
        timestamp=_time(milliseconds) if kind in _TIMESTAMP_TYPES else None,
        timestamp_type=_TIMESTAMP_TYPES.get(kind),
        schema_id=claimed,
        schema_guid=None if guid is None else guid.guid,
        parents=parents,
        source=source,
        exact=exact,
        run_id=run_id(last.get(RUN_HEADER)),
        trace_id=trace_id(last.get(TRACEPARENT_HEADER)),
        traced=_traced(last.get(TRACED_HEADER)),
    )


def _parents(
    headers: list[tuple[str, bytes | None]], last: Mapping[str, bytes | None], topic: str
) -> tuple[tuple[ParentRange, ...], EdgeSource | None, bool]:
    if PARENTS_HEADER in last:
        try:
            found = decode_parents(last[PARENTS_HEADER])
        except DecodeError:
            return (), EdgeSource.LINEAGE, False
        if found.belongs_to(topic):
            exact = not found.incomplete and not any(parent.widened for parent in found.parents)
            return found.parents, EdgeSource.LINEAGE, exact
    origin = origin_in(headers)
    # Headers of other systems are copied on, and name one of many: what they say is an ancestor at least.
    return ((), None, False) if origin is None else ((origin[1],), origin[0], False)


def _time(milliseconds: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def _traced(value: bytes | None) -> Mapping[str, Any] | None:
    if not value or len(value) > _LARGEST_TRACED:
        return None
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
