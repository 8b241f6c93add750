"""Training baselines in their topic: one message each, keyed by name, the newest counts; a tombstone deletes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

from stream_lineage.errors import DecodeError, NotFound, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.model.baseline import Baseline, CoveredRange, FileSource, Sample, SchemaShare, TopicSource
from stream_lineage.model.schema import Framing, SchemaReference, SchemaType
from stream_lineage.profile.encoding import decode_profile, encode_profile
from stream_lineage.provenance.documents import schema_document
from stream_lineage.provenance.log import Progress, read_messages
from stream_lineage.wire.kafka import translated

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

_log = get_logger("stream_lineage.baselines")
_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_PROFILE_BYTES = 600 * 1024
"""A profile is written in four thirds of its bytes, and brokers take 1 MB unless configured otherwise."""
MAX_BASELINES = 1_000
"""Baselines that live data are compared with."""
_FEED_MESSAGES, _FEED_SECONDS, _FEED_ANSWER_SECONDS = 100, 0.2, 10.0
MAX_MESSAGE_BYTES = 8 * 1024 * 1024


def is_legal_name(name: str) -> bool:
    """Letters, digits, ``.``, ``_`` and ``-``, at most 100 of them, the first a letter or a digit."""
    return _NAME.fullmatch(name) is not None


def hash_key_id(hash_key: bytes) -> str:
    """Tells one hash key from another without telling what it is."""
    return hashlib.blake2b(b"", key=hash_key[:64], digest_size=8, person=b"baseline-key").hexdigest()


def encode_baseline(baseline: Baseline) -> bytes:
    """The message's value."""
    document = baseline_document(baseline)
    return orjson.dumps(
        {"version": _VERSION, **document, "profile": base64.b64encode(encode_profile(baseline.sample.profile)).decode()}
    )


def decode_baseline(value: bytes) -> Baseline:
    """The baseline that ``encode_baseline`` wrote.

    Raises:
        DecodeError: the bytes are no baseline.
    """
    if len(value) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"a baseline of {len(value)} bytes is beyond the bound of {MAX_MESSAGE_BYTES}")
    try:
        document = orjson.loads(value)
        if document["version"] != _VERSION:
            raise DecodeError(f"a baseline of version {document['version']}: this release reads version {_VERSION}")
        created_at = datetime.fromisoformat(document["created_at"])
        if not is_legal_name(document["name"]) or created_at.tzinfo is None:
            raise DecodeError("not a baseline: its name or its time is not legal")
        sample = Sample(
            source=_source(document["source"]),
            profile=decode_profile(base64.b64decode(document["profile"], validate=True)),
            hash_key_id=str(document["hash_key_id"]),
            schemas=tuple(SchemaShare(_reference(row["schema"]), int(row["records"])) for row in document["schemas"]),
            left_out={str(why): int(count) for why, count in document["left_out"].items()},
        )
        topic = document["topic"]
        ignored = tuple(str(pattern) for pattern in document["ignored"])
        return Baseline(document["name"], None if topic is None else str(topic), created_at, sample, ignored)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DecodeError(f"not a baseline: {type(error).__name__}") from error


def baseline_document(baseline: Baseline) -> dict[str, Any]:
    """All but the profile. Times are ISO 8601 in UTC."""
    sample = baseline.sample
    return {
        "name": baseline.name,
        "topic": baseline.topic,
        "created_at": baseline.created_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        **sample_document(sample),
        "ignored": list(baseline.ignored),
    }


def sample_document(sample: Sample) -> dict[str, Any]:
    """Where a sample is from, without its profile."""
    return {
        "source": _source_document(sample.source),
        "records": sample.records,
        "left_out": dict(sample.left_out),
        "schemas": [{"schema": schema_document(share.reference), "records": share.records} for share in sample.schemas],
        "fields": [field.path for field in sample.profile.fields],
        "hash_key_id": sample.hash_key_id,
    }


def read_baselines(
    consumer: Consumer, topic: str, *, names: frozenset[str] | None = None, progress: Progress | None = None
) -> dict[str, Baseline]:
    """The newest baseline of each name, or of these names, in order of their names. Damaged ones are left out and
    logged.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    values: dict[str, bytes] = {}
    try:
        for message in read_messages(consumer, topic, progress=progress):
            name = (message.key() or b"").decode(errors="replace")
            value = message.value()
            if value is None:
                values.pop(name, None)
            elif names is None or name in names:
                values[name] = value
    except NotFound:
        return {}
    found: dict[str, Baseline] = {}
    for name in sorted(values):
        try:
            baseline = _named(decode_baseline(values[name]), name)
        except DecodeError as error:
            _log.error("a baseline cannot be read", key=name[:100], error=error.message)
        else:
            found[name] = baseline
    return found


class BaselineFeed:
    """The baselines as they come and go. The consumer is this feed's alone, in no group; used by one thread at a
    time."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._assigned = False
        self._known: dict[str, Baseline] = {}

    def news(self) -> list[Baseline] | None:
        """All baselines, where any has come, changed or gone since the last time; else null.

        Raises:
            KafkaUnavailable: no broker answered.
        """
        changed = not self._assigned
        try:
            if not self._assign():
                return None
            while messages := self._consumer.consume(_FEED_MESSAGES, timeout=_FEED_SECONDS):
                for message in messages:
                    changed = self._take(message) or changed
        except KafkaException as error:
            raise translated(error, f"read {self._topic}") from error
        return list(self._known.values()) if changed else None

    def _assign(self) -> bool:
        if not self._assigned:
            found = self._consumer.list_topics(self._topic, timeout=_FEED_ANSWER_SECONDS).topics[self._topic]
            if found.error is not None:
                return False
            partitions = [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in found.partitions]
            self._consumer.assign(partitions)
            self._assigned = True
        return True

    def _take(self, message: Message) -> bool:
        if message.error() is not None:
            return False
        name, value = (message.key() or b"").decode(errors="replace"), message.value()
        try:
            if value is None:
                return self._known.pop(name, None) is not None
            if name not in self._known and len(self._known) >= MAX_BASELINES:
                raise DecodeError(f"there are more than {MAX_BASELINES} baselines")
            self._known[name] = _named(decode_baseline(value), name)
        except DecodeError as error:
            _log.error("a baseline cannot be read", key=name[:100], error=error.message)
            return False
        return True


def _named(baseline: Baseline, name: str) -> Baseline:
    if baseline.name != name:
        raise DecodeError("the baseline has another name than its message")
    return baseline


def unknown_baseline(name: str, known: Mapping[str, object]) -> StreamLineageError:
    """The error for a baseline that is not there."""
    shown = ", ".join(sorted(known)[:10])
    hint = f"There are: {shown}." if known else "Make one with `stream-lineage baseline create`."
    return NotFound(f"there is no baseline {name}", hint=hint)


def _source_document(source: TopicSource | FileSource) -> dict[str, Any]:
    if isinstance(source, FileSource):
        return {
            "kind": "file",
            "name": source.name,
            "sha256": source.sha256,
            "format": source.format,
            "bytes": source.bytes,
        }
    return {
        "kind": "topic",
        "topic": source.topic,
        "topic_id": source.topic_id,
        "ranges": [
            {
                "partition": each.partition,
                "first_offset": each.first_offset,
                "last_offset": each.last_offset,
                "records": each.records,
            }
            for each in source.ranges
        ],
    }


def _source(document: Mapping[str, Any]) -> TopicSource | FileSource:
    fields = {name: value for name, value in document.items() if name != "kind"}
    if document["kind"] == "file":
        return FileSource(**fields)
    fields["ranges"] = tuple(CoveredRange(**row) for row in fields["ranges"])
    return TopicSource(**fields)


def _reference(document: Mapping[str, Any]) -> SchemaReference:
    return SchemaReference(
        **{**document, "type": SchemaType(document["type"]), "framing": Framing(document["framing"])}
    )
