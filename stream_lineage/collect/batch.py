"""What ``consume()`` returned, as arrays: one batch per topic.

This is the hot path of the main process. Per record it costs the accessor calls of the Kafka client, made through
``map`` so that no Python statement runs, and a share of vectorised work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from stream_lineage.collect.payloads import Payloads, joined
from stream_lineage.collect.record_edges import LINEAGE_HEADERS, Descendant, descendants_in
from stream_lineage.collect.schema_key import NULL_CODE, OPAQUE_CODE, SchemaCodes
from stream_lineage.wire.cloud_events import CONTENT_TYPE, is_json
from stream_lineage.wire.framing import JSON, classify
from stream_lineage.wire.guid_header import KEY_GUID_HEADER, VALUE_GUID_HEADER, guid_in
from stream_lineage.wire.record_headers import headers_of
from stream_lineage.wire.registered_schema import Role

TIMESTAMP_SAMPLES = 512
"""Timestamps read per batch at most: each costs as much as five other accessors."""
HEADER_SAMPLES = 32
LONGEST_PRODUCER = 200
"""Bytes of a producer's name: what is longer is none."""
_HEADER_OBJECTS = 150


@dataclass(slots=True)
class TopicBatch:
    """Records of one topic in the order in which they came: runs of each partition, in offset order.

    ``sample`` holds indices of records whose Kafka timestamp was read, ``timestamps`` those, in milliseconds.
    ``messages`` are kept where they are to be republished.
    """

    topic: str
    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    values: Payloads
    keys: Payloads
    value_codes: NDArray[np.uint64]
    key_codes: NDArray[np.uint64]
    sample: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    messages: list[Message] | None = None
    producer_of: Callable[[int], bytes | None] | None = None
    """What a header of the record at an index calls its producer; null where no record has headers."""
    descendants: list[Descendant] = field(default_factory=list)
    """The records whose headers say where they come from."""
    header_bytes: int = 0
    """About what the headers took, as objects of Python, of which there is one for each name and each value."""

    def __len__(self) -> int:
        return len(self.offsets)

    def change_points(self) -> NDArray[np.int64]:
        """Where partition or a schema code changes, with 0 and the length at the ends."""
        changed = (
            (self.partitions[1:] != self.partitions[:-1])
            | (self.value_codes[1:] != self.value_codes[:-1])
            | (self.key_codes[1:] != self.key_codes[:-1])
        )
        return np.concatenate(([0], np.flatnonzero(changed) + 1, [len(self)]))


def topic_batches(
    messages: list[Message],
    codes: SchemaCodes,
    keeps: Callable[[str], bool] = lambda _: False,
    producer_headers: Sequence[str] = (),
) -> list[TopicBatch]:
    """Group messages that carry no error by topic. ``keeps`` says of which topics the messages themselves are kept,
    ``producer_headers`` which headers may name a producer, the first one that is there."""
    topics = list(map(Message.topic, messages))
    if topics.count(topics[0]) == len(topics):
        return [_topic_batch(topics[0], messages, codes, keeps, producer_headers)]
    by_topic: dict[str, list[Message]] = {}
    for topic, message in zip(topics, messages, strict=True):
        by_topic.setdefault(topic, []).append(message)
    return [_topic_batch(topic, own, codes, keeps, producer_headers) for topic, own in by_topic.items()]


def _topic_batch(
    topic: str,
    messages: list[Message],
    codes: SchemaCodes,
    keeps: Callable[[str], bool],
    producer_headers: Sequence[str],
) -> TopicBatch:
    count = len(messages)
    values = joined(list(map(Message.value, messages)))
    keys = joined(list(map(Message.key, messages)))
    value_codes = _classified(values)
    key_codes = _classified(keys)
    headers = headers_of(messages)
    header_bytes = 0
    producer_of = None
    descendants: list[Descendant] = []
    if headers.count(None) != count:
        names = {name for own in headers if own for name, _ in own}
        producer_of = partial(_producer, headers, producer_headers) if producer_headers else None
        header_bytes = _header_bytes(headers)
        targets: tuple[tuple[Role, str, Payloads, NDArray[np.uint64]], ...] = (
            ("value", VALUE_GUID_HEADER, values, value_codes),
            ("key", KEY_GUID_HEADER, keys, key_codes),
        )
        _apply_guids(topic, headers, [target for target in targets if target[1] in names], codes)
        _apply_content_types(headers, values, value_codes)
        if not names.isdisjoint(LINEAGE_HEADERS):
            descendants = descendants_in(messages, headers)
    codes.look_inside(topic, "value", value_codes, values.data, values.starts, values.lengths)
    codes.look_inside(topic, "key", key_codes, keys.data, keys.starts, keys.lengths)
    codes.settle(topic, "value", value_codes, values.lengths)
    codes.settle(topic, "key", key_codes, keys.lengths)
    sample = np.arange(0, count, max(1, -(-count // TIMESTAMP_SAMPLES)), dtype=np.int64)
    return TopicBatch(
        topic=topic,
        partitions=np.fromiter(map(Message.partition, messages), np.int32, count),
        offsets=np.fromiter(map(Message.offset, messages), np.int64, count),
        values=values,
        keys=keys,
        value_codes=value_codes,
        key_codes=key_codes,
        sample=sample,
        timestamps=np.fromiter((messages[i].timestamp()[1] for i in sample.tolist()), np.int64, len(sample)),
        messages=messages if keeps(topic) else None,
        producer_of=producer_of,
        descendants=descendants,
        header_bytes=header_bytes,
    )


def _producer(
    headers: Sequence[Sequence[tuple[str, bytes | None]] | None], names: Sequence[str], index: int
) -> bytes | None:
    own = headers[index]
    if not own:
        return None
    value = next((value for name in names for found, value in reversed(own) if found == name), None)
    return value if value and len(value) <= LONGEST_PRODUCER else None


def _header_bytes(headers: Sequence[Sequence[tuple[str, bytes | None]] | None]) -> int:
    """By a sample."""
    chosen = headers[:: max(1, -(-len(headers) // HEADER_SAMPLES))]
    size = sum(_HEADER_OBJECTS + len(name) + len(value or b"") for own in chosen for name, value in own or ())
    return size * len(headers) // len(chosen)


def _classified(payloads: Payloads) -> NDArray[np.uint64]:
    if payloads.all_null:
        return np.full(len(payloads), NULL_CODE, np.uint64)
    data = np.frombuffer(payloads.data, np.uint8)
    return classify(data, payloads.starts, payloads.lengths)


def _apply_guids(
    topic: str,
    headers: list[Any],
    targets: Iterable[tuple[Role, str, Payloads, NDArray[np.uint64]]],
    codes: SchemaCodes,
) -> None:
    """A GUID header says the schema before any prefix does. Of several the last one counts."""
    carrying = [(index, own) for index, own in enumerate(headers) if own]
    for role, name, payloads, target in targets:
        named = {
            index: guid
            for index, own in carrying
            if payloads.lengths[index] >= 0 and (guid := guid_in(own, name)) is not None
        }
        if named:
            known = codes.for_guids(topic, role, named.values())
            for index, guid in named.items():
                if guid in known:
                    target[index] = known[guid]


def _apply_content_types(headers: list[Any], values: Payloads, target: NDArray[np.uint64]) -> None:
    """Values that say nothing themselves are JSON where their content type says so: numbers, strings, booleans."""
    for index in np.flatnonzero((target == np.uint64(OPAQUE_CODE)) & (values.lengths > 0)).tolist():
        if headers[index] and is_json(_last(headers[index], CONTENT_TYPE)):
            target[index] = np.uint64(JSON)


def _last(headers: list[tuple[str, bytes | None]], name: str) -> bytes | None:
    return next((value for header, value in reversed(headers) if header.lower() == name), None)
