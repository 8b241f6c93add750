"""The provenance that a traced record carries, as one header."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from stream_lineage.model.schema import SchemaReference
from stream_lineage.provenance.documents import schema_document
from stream_lineage.provenance.lookup import stored_record

if TYPE_CHECKING:
    from confluent_kafka import Message

PROVENANCE_HEADER = "lineage-provenance"
"""JSON, UTF-8: ``version`` (1) and the members that `stream-lineage record --output json` has for the same record, but
for those of the observation. A record that was traced more than once has several; the last one is the newest."""
_VERSION = 1


class Stamp:
    """Makes the header for records of one topic under one pair of schemas: all but coordinates is prepared."""

    def __init__(
        self,
        cluster: str,
        topic: str,
        topic_id: str | None,
        schemas: tuple[SchemaReference, SchemaReference],
        key_hash: Callable[[bytes], str],
    ) -> None:
        """``schemas`` are those of value and key."""
        self._common: dict[str, Any] = {"version": _VERSION, "cluster": cluster, "topic": topic, "topic_id": topic_id}
        self._schemas = {"schema": schema_document(schemas[0]), "key_schema": schema_document(schemas[1])}
        self._key_hash = key_hash

    def of(self, message: Message, partition: int, offset: int, *, headers_left_out: int = 0) -> bytes:
        """The header's value for the record ``message``, which was read at these coordinates. Headers that the copy
        does without are said there as ``headers_left_out``."""
        stored = stored_record(message, self._key_hash)
        left_out = {"headers_left_out": headers_left_out} if headers_left_out else {}
        return orjson.dumps(
            {
                **self._common,
                "partition": partition,
                "offset": offset,
                "leader_epoch": stored.leader_epoch,
                "timestamp": stored.timestamp,
                "timestamp_type": stored.timestamp_type,
                "key_hash": stored.key_hash,
                **self._schemas,
                "trace_id": stored.trace_id,
                "run_id": stored.run_id,
                **left_out,
            }
        )
