"""The provenance of one record: its span from the log, and the rest from the record itself while Kafka has it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from stream_lineage.errors import NotFound
from stream_lineage.model.profile import Profile
from stream_lineage.model.provenance import Provenance
from stream_lineage.model.schema import SchemaReference
from stream_lineage.model.span import MissingRange, OffsetSpan
from stream_lineage.provenance.log import LogEntry
from stream_lineage.provenance.spans import SpanIndex
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.record_headers import readable_headers

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

RUN_HEADERS = ("lineage-run-id", "lineage-run")
CODE_VERSION_HEADER = "lineage-code-version"
"""Where producers say which version of their code wrote a record."""
_TIMESTAMP_TYPES = {TIMESTAMP_CREATE_TIME: "create", TIMESTAMP_LOG_APPEND_TIME: "log-append"}
_LATEST_TIMESTAMP = datetime.max.replace(tzinfo=UTC).timestamp() * 1000


@dataclass(frozen=True, slots=True)
class Sighting:
    """The observation that covers an offset. ``profile`` is that of all its records, null where it has none."""

    cluster: str
    topic_id: str | None
    span: OffsetSpan
    schema: SchemaReference
    key_schema: SchemaReference
    observation_id: str
    observation_hash: str
    observed_at: datetime
    profile: Profile | None

    def missing_at(self, offset: int) -> MissingRange | None:
        """The missing range that the offset lies in, if it holds no record."""
        for gap in self.span.missing:
            if gap.first_offset <= offset <= gap.last_offset:
                return gap
        return None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """What Kafka itself still knows of a record. ``timestamp`` is null where it has none or one beyond the calendar."""

    timestamp: datetime | None
    timestamp_type: str | None
    leader_epoch: int | None
    key_hash: str | None
    trace_id: str | None
    run_id: str | None
    code_version: str | None = None


def sighting(
    entries: Iterable[LogEntry], topic: str, partition: int, offset: int, topic_id: str | None
) -> Sighting | None:
    """The newest observation in the log that covers an offset; of the topic epoch ``topic_id`` where one is named."""
    found: Sighting | None = None
    index = SpanIndex()  # for schemas that were completed later
    for entry in entries:
        if entry.decoded is None:
            continue
        observation = entry.decoded.observation
        if observation.topic != topic:
            continue
        index.learn(observation)
        if topic_id is not None and observation.topic_id not in (None, topic_id):
            continue
        for span in observation.spans:
            if span.partition == partition and span.first_offset <= offset <= span.last_offset:
                found = Sighting(
                    observation.cluster,
                    observation.topic_id,
                    span,
                    observation.value_schema,
                    observation.key_schema,
                    observation.observation_id,
                    entry.decoded.digest.hex(),
                    observation.observed_at,
                    observation.profile,
                )
    if found is None:
        return None
    return replace(
        found,
        schema=index.completed(topic, "value", found.schema),
        key_schema=index.completed(topic, "key", found.key_schema),
    )


def read_record(
    make_consumer: Callable[[], Consumer],
    topic: str,
    partition: int,
    offset: int,
    key_hash: Callable[[bytes], str],
    *,
    timeout_seconds: float = 10.0,
) -> StoredRecord | None:
    """Read one record from Kafka again; null when it is not there any more.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    reader = make_consumer()
    try:
        where = TopicPartition(topic, partition, offset)
        low, high = reader.get_watermark_offsets(where, timeout=timeout_seconds)
        if not low <= offset < high:
            return None
        reader.assign([where])
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            message = reader.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    return None
                raise translated(error, f"read {topic}")
            return stored_record(message, key_hash) if message.offset() == offset else None
    except KafkaException as error:
        if error.args[0].code() in (KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART):
            return None
        raise translated(error, f"read {topic}") from error
    finally:
        reader.close()
    return None


def stored_record(message: Message, key_hash: Callable[[bytes], str]) -> StoredRecord:
    """What a message itself says. ``key_hash`` makes the hash that stands for its key."""
    kind, milliseconds = message.timestamp()
    timestamp = None
    if kind in _TIMESTAMP_TYPES and 0 <= milliseconds <= _LATEST_TIMESTAMP:
        timestamp = datetime.fromtimestamp(milliseconds / 1000, UTC)
    headers = dict(readable_headers(message) or ())
    key = message.key()
    return StoredRecord(
        timestamp=timestamp,
        timestamp_type=_TIMESTAMP_TYPES.get(kind),
        leader_epoch=message.leader_epoch(),
        key_hash=None if key is None else key_hash(key),
        trace_id=_trace_id(headers),
        run_id=_text(next((headers[name] for name in RUN_HEADERS if name in headers), None)),
        code_version=_text(headers.get(CODE_VERSION_HEADER)),
    )


def _trace_id(headers: dict[str, bytes | None]) -> str | None:
    """The trace id of a W3C ``traceparent`` header: version-traceid-parent-flags."""
    parts = (_text(headers.get("traceparent")) or "").split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or parts[1].strip("0") == "":
        return None
    return parts[1] if all(digit in "0123456789abcdef" for digit in parts[1]) else None


def _text(value: bytes | None) -> str | None:
    """Short printable text, or null: headers of others can hold anything."""
    if value is None or len(value) > 256:
        return None
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def hash_key_bytes(key: bytes, secret: bytes) -> str:
    """The keyed hash that stands for a record's key: 16 hexadecimal digits."""
    return hashlib.blake2b(key, key=secret[:64], digest_size=8, person=b"record-key").hexdigest()


def provenance(topic: str, partition: int, offset: int, seen: Sighting, stored: StoredRecord | None) -> Provenance:
    """The record's provenance.

    Raises:
        NotFound: the offset holds no record.
    """
    gap = seen.missing_at(offset)
    if gap is not None:
        raise NotFound(
            f"offset {offset} of {topic}[{partition}] holds no record: {gap.reason.value} "
            f"(offsets {gap.first_offset} to {gap.last_offset})"
        )
    return Provenance(
        cluster=seen.cluster,
        topic=topic,
        topic_id=seen.topic_id,
        partition=partition,
        offset=offset,
        leader_epoch=None if stored is None else stored.leader_epoch,
        timestamp=None if stored is None else stored.timestamp,
        timestamp_type=None if stored is None else stored.timestamp_type,
        key_hash=None if stored is None else stored.key_hash,
        schema=seen.schema,
        key_schema=seen.key_schema,
        trace_id=None if stored is None else stored.trace_id,
        run_id=None if stored is None else stored.run_id,
    )
