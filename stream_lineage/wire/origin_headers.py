"""Headers by which other systems say where a record comes from: one parent, by topic, partition and offset.

Names and values, as their makers write them: streams-bootstrap, Lenses K2K (docs.lenses.io, "Tracing Headers"), Kafka
Connect (``DeadLetterQueueReporter``: text), Spring (``DeadLetterPublishingRecoverer``: text, and big-endian integers of
4 and 8 bytes). Numbers are taken in both forms from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream_lineage.model.record_edge import UNKNOWN_CLUSTER, EdgeSource, ParentRange
from stream_lineage.wire.parent_ranges import HIGHEST_OFFSET, HIGHEST_PARTITION

_LONGEST_NAME = 249
_MOST_DIGITS = 19


@dataclass(frozen=True, slots=True)
class _Names:
    source: EdgeSource
    topic: str
    partition: str
    offset: str
    cluster: str | None = None


_KNOWN = (
    _Names(
        EdgeSource.STREAMS_BOOTSTRAP,
        "streams.bootstrap.lineage.topic",
        "streams.bootstrap.lineage.partition",
        "streams.bootstrap.lineage.offset",
    ),
    # It copies between clusters and does not say from which one.
    _Names(EdgeSource.LENSES_K2K, "k2k_topic", "k2k_partition", "k2k_offset", UNKNOWN_CLUSTER),
    _Names(
        EdgeSource.CONNECT_DEAD_LETTER,
        "__connect.errors.topic",
        "__connect.errors.partition",
        "__connect.errors.offset",
    ),
    _Names(
        EdgeSource.SPRING_DEAD_LETTER,
        "kafka_dlt-original-topic",
        "kafka_dlt-original-partition",
        "kafka_dlt-original-offset",
    ),
)
_BY_TOPIC = {names.topic: names for names in _KNOWN}
ORIGIN_TOPIC_HEADERS = frozenset(_BY_TOPIC)
"""The header of each that names the topic."""


def origin_in(headers: Sequence[tuple[str, bytes | None]]) -> tuple[EdgeSource, ParentRange] | None:
    """The parent that a record's headers name; null where none is named in full.

    Headers are copied from record to record and new ones come behind: whose topic header is the last counts, and of
    each name the last one.
    """
    last = dict(headers)
    for header, _ in reversed(headers):
        names = _BY_TOPIC.get(header)
        if names is None:
            continue
        topic = _name(last[names.topic])
        partition = _number(last.get(names.partition), HIGHEST_PARTITION)
        offset = _number(last.get(names.offset), HIGHEST_OFFSET)
        if topic is not None and partition is not None and offset is not None:
            return names.source, ParentRange(topic, partition, offset, offset, cluster=names.cluster)
        return None
    return None


def _name(value: bytes | None) -> str | None:
    if not value or len(value) > _LONGEST_NAME:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _number(value: bytes | None, highest: int) -> int | None:
    """Decimal digits, or a big-endian integer of four or eight bytes."""
    if not value or len(value) > _MOST_DIGITS:
        return None
    if value.isdigit():
        number = int(value)
    elif len(value) in (4, 8):
        number = int.from_bytes(value, "big")
    else:
        return None
    return number if number <= highest else None
