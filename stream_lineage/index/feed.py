"""Our own topics read into the index: from where it stands, committed messages only."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_lineage.errors import IndexUnusable, KafkaUnavailable
from stream_lineage.index.file import REBUILD
from stream_lineage.index.writer import Entry, Feed, IndexWriter, Source
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.record_headers import readable_headers

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

Progress = Callable[[int, int], None]
"""Called with the messages read so far and about how many there are."""
_PASSING = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
_BATCH = 200
_WRITE_MESSAGES = 1000
_WRITE_BYTES = 16 * 1024 * 1024
_WRITE_SECONDS = 1.0
_TIMEOUT_SECONDS = 30.0
_PATIENCE_SECONDS = 3.0
"""How long a transaction that is still open is waited for."""


@dataclass(frozen=True, slots=True)
class OwnTopic:
    """One of our topics as it is now, and what it holds."""

    feed: Feed
    name: str
    topic_id: str
    partitions: int


@dataclass(slots=True)
class Read:
    """What was read in one go. ``behind`` messages could not be read yet: a transaction is open."""

    messages: int = 0
    left_out: int = 0
    lost: int = 0
    behind: int = 0
    seconds: float = 0.0
    by_feed: dict[str, int] = field(default_factory=dict)


def read_into(
    writer: IndexWriter,
    consumer: Consumer,
    topics: list[OwnTopic],
    *,
    follow: Callable[[], bool] | None = None,
    progress: Progress | None = None,
) -> Read:
    """Bring the index up to what the topics hold now.

    Args:
        writer: where it goes; knows how far it is.
        consumer: reads ``read_committed``, with ``enable.partition.eof``; this assigns it.
        topics: those of ours that exist.
        follow: goes on reading as long as this is true, instead of up to the present end.
        progress: told now and then how far it is.

    Raises:
        IndexUnusable: a topic was made again, or is shorter than what was read of it: the index must be rebuilt. Or it
            cannot be written.
        KafkaUnavailable: no broker answered.
    """
    started = time.monotonic()
    read = Read()
    by_name = {topic.name: topic for topic in topics}
    ends = _assign(writer, consumer, topics, read)
    remaining = {source for source, (position, end) in ends.items() if position < end}
    total = sum(ends[source][1] - ends[source][0] for source in remaining)
    positions: dict[Source, int] = {}
    pending: list[Entry] = []
    size = 0
    last_write = last_heard = time.monotonic()
    held_back: dict[Source, float] = {}
    while remaining or (follow is not None and follow()):
        try:
            messages = consumer.consume(_BATCH, timeout=0.1)
        except KafkaException as error:
            raise translated(error, "read our own topics") from error
        now = time.monotonic()
        if messages:
            last_heard = now
        elif remaining and now - last_heard > _TIMEOUT_SECONDS:
            raise KafkaUnavailable(
                f"no broker answered for {_TIMEOUT_SECONDS:.0f} s while reading {', '.join(sorted(by_name))}",
                hint="Check bootstrap_servers and the brokers' health with `stream-lineage doctor`.",
            )
        for message in messages:
            topic = by_name[message.topic()]
            source = Source(topic.name, message.partition(), topic.topic_id)
            trouble = message.error()
            if trouble is not None:
                if trouble.code() == KafkaError._PARTITION_EOF:
                    positions[source] = max(message.offset(), positions.get(source, 0))
                    if message.offset() >= ends[source][1]:
                        remaining.discard(source)
                    elif source in remaining:
                        held_back.setdefault(source, now)
                elif not (trouble.retriable() or trouble.code() in _PASSING):
                    raise translated(trouble, f"read {topic.name}")
                continue
            held_back.pop(source, None)
            entry = _entry(topic.feed, message)
            pending.append(entry)
            size += len(entry.value)
            read.messages += 1
            read.by_feed[topic.feed] = read.by_feed.get(topic.feed, 0) + 1
            positions[source] = message.offset() + 1
            if message.offset() + 1 >= ends[source][1]:
                remaining.discard(source)
        for source, since in list(held_back.items()):
            if now - since > _PATIENCE_SECONDS and source in remaining:
                read.behind += ends[source][1] - positions.get(source, ends[source][0])
                remaining.discard(source)
        due = now - last_write > _WRITE_SECONDS or len(pending) >= _WRITE_MESSAGES or size >= _WRITE_BYTES
        if positions and (due or (not remaining and follow is None)):
            read.left_out += writer.write(pending, positions)
            pending, positions, size, last_write = [], {}, 0, now
        if progress is not None:
            progress(min(read.messages, total), total)
    if positions:
        read.left_out += writer.write(pending, positions)
    read.seconds = time.monotonic() - started
    return read


def own_ends(consumer: Consumer, topics: list[OwnTopic]) -> dict[Source, tuple[int, int]]:
    """The first offset that each partition of these topics still holds, and the one after its last.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    found = {}
    for source in _sources(topics):
        try:
            where = TopicPartition(source.topic, source.number)
            found[source] = consumer.get_watermark_offsets(where, timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise translated(error, f"read {source.topic}") from error
    return found


def _sources(topics: list[OwnTopic]) -> Iterator[Source]:
    for topic in topics:
        for number in range(topic.partitions):
            yield Source(topic.name, number, topic.topic_id)


def _assign(
    writer: IndexWriter, consumer: Consumer, topics: list[OwnTopic], read: Read
) -> dict[Source, tuple[int, int]]:
    """Where reading begins and where the end is now, by partition."""
    known = writer.positions()
    feeds: Mapping[str, Feed] = {topic.name: topic.feed for topic in topics}
    out: dict[Source, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    for source, (low, high) in own_ends(consumer, topics).items():
        position, topic_id = known.get((source.topic, source.number), (None, source.topic_id))
        if topic_id != source.topic_id or (position is not None and position > high):
            raise IndexUnusable(f"{source.topic} is not the topic any more that the index was made from", hint=REBUILD)
        if position is not None and position < low:
            # Retention was faster than we: what is gone is gone, and said.
            read.lost += low - position
            name = f"lost.{feeds[source.topic]}"
            counts[name] = counts.get(name, 0) + low - position
        out[source] = (low if position is None else max(position, low), high)
    if counts:
        writer.write([], {source: start for source, (start, _) in out.items()}, counts=counts)
    with suppress(KafkaException):
        consumer.assign([TopicPartition(source.topic, source.number, start) for source, (start, _) in out.items()])
    return out


def _entry(feed: Feed, message: Message) -> Entry:
    value: bytes = message.value() or b""
    if feed != "alerts":
        return Entry(feed, value)
    named = dict(readable_headers(message) or ()).get("ce_id")
    place = f"{message.topic()}/{message.partition()}/{message.offset()}"
    event_id = named.decode("ascii", "replace") if named else hashlib.sha256(place.encode()).hexdigest()[:32]
    return Entry(feed, value, event_id)
