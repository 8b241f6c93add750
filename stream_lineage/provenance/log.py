"""Reading the observation log from Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_lineage.errors import DecodeError, KafkaUnavailable, NotFound
from stream_lineage.provenance.codec import DecodedObservation, decode_with_digest
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.record_headers import readable_headers

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

DIGEST_HEADER = "lineage-digest"
"""Message header: the digest of the observation in hexadecimal, so that an edited one can be told from its siblings."""

_BATCH = 500
_FIRST_ANSWER_SECONDS = 10.0
"""A cluster that does not say within this time which partitions there are cannot be reached."""
Progress = Callable[[int, int], None]
"""Called with the messages read so far and about how many there are."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One message of the log: where it stands, and what it holds or why it cannot be read."""

    partition: int
    offset: int
    key: bytes | None
    decoded: DecodedObservation | None
    error: str | None
    digest_header: str | None

    @property
    def intact(self) -> bool:
        """Whether it can be read and is what was written, as far as the message itself tells."""
        return (
            self.decoded is not None
            and (self.digest_header is None or self.digest_header == self.decoded.digest.hex())
            and self.key == self.decoded.observation.topic.encode()
        )


def read_log(
    consumer: Consumer,
    topic: str,
    *,
    keys: Iterable[str] | None = None,
    timeout_seconds: float = 30.0,
    progress: Progress | None = None,
) -> Iterator[LogEntry]:
    """Every message of the log from its beginning up to its present end, committed ones only.

    What was committed after a transaction that is still open cannot be read yet: it is waited for.

    Args:
        consumer: reads ``read_committed``, with ``enable.partition.eof``; this assigns it.
        topic: the observation topic.
        keys: only messages with one of these keys (watched topics) are decoded and given.
        timeout_seconds: how long the brokers may be silent before it counts as an outage.
        progress: told now and then how far it is.

    Raises:
        NotFound: the topic does not exist.
        KafkaUnavailable: no broker answered within the timeout, or a transaction stayed open for so long.
    """
    wanted = None if keys is None else {key.encode() for key in keys}
    for message in read_messages(consumer, topic, timeout_seconds=timeout_seconds, progress=progress):
        key = message.key()
        if wanted is None or key in wanted:
            yield _entry(message, key)


def read_messages(
    consumer: Consumer, topic: str, *, timeout_seconds: float = 30.0, progress: Progress | None = None, start: int = 0
) -> Iterator[Message]:
    """Every message of a topic of ours as it is, from the offset ``start`` of each partition on, as ``read_log`` reads
    them.

    Raises:
        NotFound, KafkaUnavailable: see ``read_log``.
    """
    remaining, total = _assign(consumer, topic, timeout_seconds, start)
    done = 0
    last_heard = time.monotonic()
    held_back = False
    while remaining:
        messages = consumer.consume(_BATCH, timeout=0.1)
        if not messages and time.monotonic() - last_heard > timeout_seconds:
            raise _silence(topic, timeout_seconds, held_back=held_back)
        for message in messages:
            error = message.error()
            partition = message.partition()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    # The end for now may lie before the end that we saw: a transaction is open in between.
                    if message.offset() >= remaining.get(partition, 0):
                        remaining.pop(partition, None)
                    else:
                        held_back = True
                    continue
                if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                    continue
                raise translated(error, f"read {topic}")
            done += 1
            if partition in remaining and message.offset() + 1 >= remaining[partition]:
                del remaining[partition]
            yield message
        if messages:
            last_heard = time.monotonic()
        if progress is not None:
            progress(done, total)


def log_starts(consumer: Consumer, topic: str, *, timeout_seconds: float = 30.0) -> dict[int, int]:
    """The first offset that each partition of the log still holds: above zero where retention has deleted some.

    Raises:
        NotFound: the topic does not exist.
        KafkaUnavailable: no broker answered within the timeout.
    """
    try:
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_seconds)[0]
            for partition in _partitions(consumer, topic, timeout_seconds)
        }
    except KafkaException as error:
        raise translated(error, f"read {topic}") from error


def _silence(topic: str, seconds: float, *, held_back: bool) -> KafkaUnavailable:
    if held_back:
        return KafkaUnavailable(
            f"{topic} cannot be read to its end: a transaction has been open for {seconds:.0f} s",
            hint="a collector that was killed may have left it open; it ends by itself or when the collector is "
            "started again",
        )
    return KafkaUnavailable(
        f"no broker answered for {seconds:.0f} s while reading {topic}",
        hint="check bootstrap_servers and the brokers' health with `stream-lineage doctor`",
    )


def _assign(consumer: Consumer, topic: str, timeout_seconds: float, start: int = 0) -> tuple[dict[int, int], int]:
    """Assign all partitions from their beginning, or from ``start`` on; the end offset of each in which there is
    anything, and how many messages."""
    try:
        remaining: dict[int, int] = {}
        total = 0
        starts = []
        for partition in _partitions(consumer, topic, timeout_seconds):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_seconds)
            low = max(low, start)
            if high > low:
                remaining[partition] = high
                total += high - low
                starts.append(TopicPartition(topic, partition, low))
        consumer.assign(starts)
    except KafkaException as error:
        raise translated(error, f"read {topic}") from error
    return remaining, total


def _partitions(consumer: Consumer, topic: str, timeout_seconds: float) -> list[int]:
    metadata = consumer.list_topics(topic, timeout=min(timeout_seconds, _FIRST_ANSWER_SECONDS)).topics[topic]
    if metadata.error is not None:
        if metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise NotFound(
                f"there is no topic {topic}",
                hint="nothing has been collected with this topic_prefix: run `stream-lineage collect` first",
            )
        raise translated(metadata.error, f"read {topic}")
    return sorted(metadata.partitions)


def _entry(message: object, key: bytes | None) -> LogEntry:
    value: bytes | None = message.value()  # type: ignore[attr-defined]
    header = None
    for name, content in readable_headers(message) or ():
        if name == DIGEST_HEADER and content is not None:
            header = content.decode("ascii", "replace")
    decoded, error = None, None
    try:
        decoded = decode_with_digest(value or b"")
    except DecodeError as failure:
        error = failure.message
    return LogEntry(message.partition(), message.offset(), key, decoded, error, header)  # type: ignore[attr-defined]
