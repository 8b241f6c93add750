"""Our own topics read into the index: from where it stands, committed messages only."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from stream_lineage.errors import IndexUnusable, KafkaUnavailable
from stream_lineage.index.file import REBUILD
from stream_lineage.index.gap_rows import RemovedEdges
from stream_lineage.index.layout import WHOLE_AT
from stream_lineage.index.writer import Entry, Feed, IndexWriter, Source
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.log_offsets import listed_offsets
from stream_lineage.wire.record_headers import readable_headers

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

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


@dataclass(frozen=True, slots=True)
class OwnBounds:
    """What our topics hold: the first offset of each partition and the one after its last. ``asked_at``, RFC 3339, is
    before any of them was asked for."""

    asked_at: str
    by_partition: Mapping[Source, tuple[int, int]]


@dataclass(slots=True)
class Read:
    """What was read in one go. ``lost`` messages retention had removed before they were read, ``removed`` ones, by
    feed, before the index was made. ``behind`` messages could not be read yet: a transaction is open."""

    messages: int = 0
    left_out: int = 0
    lost: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    behind: int = 0
    seconds: float = 0.0
    by_feed: dict[str, int] = field(default_factory=dict)


def read_into(
    writer: IndexWriter,
    consumer: Consumer,
    topics: list[OwnTopic],
    bounds: Callable[[], OwnBounds],
    *,
    follow: Callable[[], bool] | None = None,
    progress: Progress | None = None,
) -> Read:
    """Bring the index up to what the topics hold now.

    Args:
        writer: where it goes; knows how far it is.
        consumer: reads ``read_committed``, with ``enable.partition.eof``; this assigns it.
        topics: those of ours that exist.
        bounds: asks for what the topics hold; see ``own_bounds``. What comes after the ends is left for the next time:
            all topics are read up to one moment, so that nothing is taken for a source whose edges are yet to come.
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
    now_there = bounds()
    ends = _assign(writer, consumer, topics, now_there.by_partition, read)
    remaining = {source for source, (position, end) in ends.items() if position < end}
    total = sum(ends[source][1] - ends[source][0] for source in remaining)
    positions = {source: start for source, (start, _) in ends.items()}
    moved = True
    pending: list[Entry] = []
    size = 0
    last_write = last_heard = time.monotonic()
    held_back: dict[Source, float] = {}

    def whole_at() -> str:
        """The moment up to which everything is read; empty where something is not. Who follows has gone on since."""
        there = now_there if follow is None or remaining else bounds()
        reached = all(positions[source] >= end for source, (_, end) in there.by_partition.items())
        return there.asked_at if reached and not read.behind else ""

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
                    reached = message.offset() if follow is not None else min(message.offset(), ends[source][1])
                    moved = moved or reached > positions[source]
                    positions[source] = max(reached, positions[source])
                    if message.offset() >= ends[source][1]:
                        remaining.discard(source)
                    elif source in remaining:
                        held_back.setdefault(source, now)
                elif not (trouble.retriable() or trouble.code() in _PASSING):
                    raise translated(trouble, f"read {topic.name}")
                continue
            held_back.pop(source, None)
            moved = True
            if follow is None and message.offset() >= ends[source][1]:
                positions[source] = ends[source][1]
                remaining.discard(source)
                continue
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
                read.behind += ends[source][1] - positions[source]
                remaining.discard(source)
        due = now - last_write > _WRITE_SECONDS or len(pending) >= _WRITE_MESSAGES or size >= _WRITE_BYTES
        if moved and (due or (not remaining and follow is None)):
            read.left_out += writer.write(pending, positions, facts={WHOLE_AT: whole_at()})
            pending, size, last_write, moved = [], 0, now, False
        if progress is not None:
            progress(min(read.messages, total), total)
    if moved or not read.messages:
        read.left_out += writer.write(pending, positions, facts={WHOLE_AT: whole_at()})
    read.seconds = time.monotonic() - started
    return read


def own_bounds(admin: AdminClient, topics: list[OwnTopic]) -> OwnBounds:
    """The first offset that each partition of these topics still holds, and the one after its last, whether or not its
    transaction is over. The ends of edges are asked for last: what came with any other message is before them.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    asked_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    found: dict[Source, tuple[int, int]] = {}
    for last in (False, True):
        sources = list(_sources([topic for topic in topics if (topic.feed == "edges") is last]))
        keys = [(source.topic, source.number) for source in sources]
        low = listed_offsets(admin, keys, OffsetSpec.earliest(), timeout_seconds=_TIMEOUT_SECONDS)
        high = listed_offsets(admin, keys, OffsetSpec.latest(), timeout_seconds=_TIMEOUT_SECONDS, committed=False)
        for source, key in zip(sources, keys, strict=True):
            if key in low and key in high:
                found[source] = (low[key], max(high[key], low[key]))
    return OwnBounds(asked_at, found)


def _sources(topics: list[OwnTopic]) -> Iterator[Source]:
    for topic in topics:
        for number in range(topic.partitions):
            yield Source(topic.name, number, topic.topic_id)


def _assign(
    writer: IndexWriter,
    consumer: Consumer,
    topics: list[OwnTopic],
    bounds: Mapping[Source, tuple[int, int]],
    read: Read,
) -> dict[Source, tuple[int, int]]:
    """Where reading begins and where the end is now, by partition."""
    known = writer.positions()
    feeds: Mapping[str, Feed] = {topic.name: topic.feed for topic in topics}
    out: dict[Source, tuple[int, int]] = {}
    counts: dict[str, int] = {}
    gone: dict[Source, int] = {}
    overtaken = False
    for source, (low, high) in bounds.items():
        position, topic_id = known.get((source.topic, source.number), (None, source.topic_id))
        if topic_id != source.topic_id or (position is not None and position > high):
            raise IndexUnusable(f"{source.topic} is not the topic any more that the index was made from", hint=REBUILD)
        missed = low - (position or 0)
        if missed > 0:
            # Retention was faster than we: what is gone is gone, and said.
            feed = feeds[source.topic]
            if position is None:
                read.removed[feed] = read.removed.get(feed, 0) + missed
            else:
                read.lost += missed
                overtaken = overtaken or feed == "edges"
            name = f"{'removed' if position is None else 'lost'}.{feed}"
            counts[name] = counts.get(name, 0) + missed
            if feed == "edges":
                gone[source] = missed
        out[source] = (max(position or 0, low), high)
    if counts:
        removed = None
        if gone:
            since = _earliest(consumer, {source: out[source] for source in gone})
            removed = RemovedEdges(sum(gone.values()), since, overtaken=overtaken)
        writer.write([], {source: start for source, (start, _) in out.items()}, counts=counts, removed=removed)
    with suppress(KafkaException):
        consumer.assign([TopicPartition(source.topic, source.number, start) for source, (start, _) in out.items()])
    return out


def _earliest(consumer: Consumer, bounds: Mapping[Source, tuple[int, int]]) -> int:
    """The time, in milliseconds, from which on all of these partitions have their messages still. Now, where that is
    not known."""
    waiting = {(source.topic, source.number) for source, (low, high) in bounds.items() if low < high}
    found = [] if len(waiting) == len(bounds) else [int(time.time() * 1000)]
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with suppress(KafkaException):
        consumer.assign([TopicPartition(source.topic, source.number, low) for source, (low, _) in bounds.items()])
        while waiting and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is None or (message.topic(), message.partition()) not in waiting:
                continue
            trouble = message.error()
            if trouble is None or trouble.code() == KafkaError._PARTITION_EOF:
                waiting.discard((message.topic(), message.partition()))
                found.append(message.timestamp()[1] if trouble is None else int(time.time() * 1000))
    return int(time.time() * 1000) if waiting else max(found)


def _entry(feed: Feed, message: Message) -> Entry:
    value: bytes = message.value() or b""
    if feed != "alerts":
        return Entry(feed, value, topic=(message.key() or b"").decode("utf-8", "replace"))
    named = dict(readable_headers(message) or ()).get("ce_id")
    place = f"{message.topic()}/{message.partition()}/{message.offset()}"
    event_id = named.decode("ascii", "replace") if named else hashlib.sha256(place.encode()).hexdigest()[:32]
    return Entry(feed, value, event_id)
