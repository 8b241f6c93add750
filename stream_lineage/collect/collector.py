"""The collector: reads the watched topics and keeps the pipeline fed. One thread calls ``run``."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from operator import is_not

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_lineage.collect.batch import topic_batches
from stream_lineage.collect.end_offsets import EndOffsets
from stream_lineage.collect.flush import PIECE_BYTES, Flush, Group, slices
from stream_lineage.collect.ledger import Ledger
from stream_lineage.collect.pipeline import Pipeline, Totals
from stream_lineage.collect.places import Place, Places
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.topic_watcher import TopicWatcher
from stream_lineage.errors import ConnectionFailed, Fenced, NotFound, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.wire.kafka import translated

_log = get_logger("stream_lineage.collect")
_BATCH_RECORDS = 10_000
_BATCH_BYTES = 4 * 1024 * 1024
_FEED_RECORDS = 32_768
_FEED_BYTES = 1024 * 1024
_NEW_SCHEMA_SECONDS = 0.2
_MAX_GROUPS = 512
_IDLE_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_BEHIND_SECONDS = 240.0
"""How long reading may stand still for the pipeline: below max.poll.interval.ms (300 s)."""
_LONELY_SECONDS = 10.0
_LAST_SECONDS = 1.0
"""How long the pipeline may take to end, once it has been waited for as long as a shutdown may take."""
_QUIET_COORDINATE_SHARE = 0.36
"""Of the size that the observation of a quiet topic stays below: half is for the profile, some for the rest."""
_COORDINATE_SHARE = 0.005
"""Spans and links may take this share of the observed bytes; with the profile an observation stays below 2%."""
_GC_ALLOCATIONS = 200_000
_ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


@dataclass(frozen=True, slots=True)
class FlushBounds:
    """When a flush is written: after ``seconds``, or earlier when one of the others is reached."""

    seconds: float
    records: int
    bytes: int
    spans: int


class Collector:
    """Reads, and hands over to the pipeline. ``stop`` may be called from anywhere, also from a signal handler."""

    def __init__(
        self,
        *,
        consumer: Consumer,
        pipeline: Pipeline,
        places: Places,
        ledger: Ledger,
        watcher: TopicWatcher,
        end_offsets: EndOffsets | None,
        codes: SchemaCodes,
        bounds: FlushBounds,
        shutdown_seconds: float,
        on_tick: Callable[[Totals], None] | None = None,
    ) -> None:
        self._consumer = consumer
        self._pipeline = pipeline
        self._places = places
        self._ledger = ledger
        self._watcher = watcher
        self._end_offsets = end_offsets
        self._codes = codes
        self._bounds = bounds
        self._shutdown_seconds = shutdown_seconds
        self._on_tick = on_tick
        self._owned: dict[PartitionId, PartitionProgress] = {}
        self._gone: set[PartitionId] = set()  # assigned, but their topic was deleted
        self._flush = Flush(0, time.monotonic())
        self._flush_due_early: float | None = None
        self._seen_codes: set[tuple[str, int, int]] = set()
        self._stopping = threading.Event()
        self._must_rewind = False
        self._must_realign = False
        self._failure: StreamLineageError | None = None
        self._assigned_at: float | None = None
        self._average_bytes = 100.0
        self._quiet_bytes = int(pipeline.observation_bytes * _QUIET_COORDINATE_SHARE)
        # A batch is taken in slices, so that a flush exceeds its bounds by a quarter at most.
        self._slice_pieces = max(1, min(bounds.spans, self._quiet_bytes // PIECE_BYTES) // 4)

    @property
    def owned(self) -> list[PartitionId]:
        return sorted(self._owned)

    def stop(self) -> None:
        """Write what has been read, then return from ``run``."""
        self._stopping.set()

    def run(self) -> Totals:
        """Collect until stopped, or up to the end offsets.

        Raises:
            Fenced: another process uses this instance id.
            KafkaUnavailable, SettingsError: Kafka cannot be used as configured.
            NotFound: there is nothing to collect up to the end of.
        """
        watched = self._watcher.start()
        self._places.remember_start(watched)
        if self._end_offsets is not None and not watched:
            raise NotFound("no topic matches include and exclude", hint="`stream-lineage doctor` shows what they match")
        self._pipeline.start()
        subscribed: list[str] = []
        # Ten thousand new messages at a time would have the cycle collector run all the while, for nothing.
        gc.freeze()
        thresholds = gc.get_threshold()
        gc.set_threshold(_GC_ALLOCATIONS, 20, 20)
        try:
            while not self._stopping.is_set():
                watched = self._watcher.watched()
                if watched != subscribed:
                    subscribed = self._subscribe(watched)
                    self._must_rewind = self._must_rewind or any(topic in watched for topic, _ in self._gone)
                self._take(self._consume() if subscribed else self._idle())
                self._raise_failures()
                if self._must_rewind or self._pipeline.failure is not None:
                    self._rewind()
                self._write_when_due()
                if self._on_tick is not None:
                    self._on_tick(self._pipeline.totals)
                if self._end_offsets is not None and self._is_done():
                    break
            self._shut_down()
        finally:
            self._watcher.stop()
            self._pipeline.stop(_LAST_SECONDS)
            self._close_consumer()
            gc.set_threshold(*thresholds)
            gc.unfreeze()
        self._raise_failures()
        return self._pipeline.totals

    @property
    def _only_topic(self) -> str | None:
        """The topic of all that is read, if there is but one."""
        topics = {topic for topic, _ in (*self._owned, *self._gone)}
        return topics.pop() if len(topics) == 1 else None

    # Reading

    def _subscribe(self, topics: list[str]) -> list[str]:
        _log.info("watching", topics=len(topics), names=topics[:20])
        try:
            if topics:
                self._consumer.subscribe(
                    topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
                )
            else:
                self._consumer.unsubscribe()
        except KafkaException as error:
            raise translated(error, "subscribe to the watched topics") from error
        return topics

    def _consume(self) -> list[Message]:
        count = max(1, min(_BATCH_RECORDS, int(_BATCH_BYTES / self._average_bytes)))
        try:
            messages: list[Message] = self._consumer.consume(count, timeout=self._patience())
        except KafkaException as error:
            self._on_error(error.args[0], None)
            return []
        return messages

    def _patience(self) -> float:
        """How long to wait for a full batch: no longer than until the flush is due."""
        if self._flush.empty:
            return _IDLE_SECONDS
        return min(_IDLE_SECONDS, max(self._due_at() - time.monotonic(), 0.001))

    def _idle(self) -> list[Message]:
        self._stopping.wait(_IDLE_SECONDS)
        return []

    def _take(self, messages: list[Message]) -> None:
        if self._must_realign:
            messages = self._realigned(messages)
        if not messages:
            return
        errors = list(map(Message.error, messages))
        if not any(map(is_not, errors, repeat(None))):  # KafkaError cannot be compared with None
            self._record(messages)
            return
        records = [message for message, error in zip(messages, errors, strict=True) if error is None]
        if records:
            self._record(records)
        # After the records: an end that is reported in between lies behind those that came before it.
        for message, error in zip(messages, errors, strict=True):
            if error is not None:
                self._on_error(error, message)

    def _realigned(self, messages: list[Message]) -> list[Message]:
        """What can be trusted of a batch in which partitions came or went; reading goes on right behind it.

        A rebalance has librdkafka fetch again from where it believes the application to stand. Having handed out an
        end of partition in a batch it believes that to be one offset further, and leaves out a record (seen in 2.12.1).
        """
        trusted: list[Message] = []
        positions = {key: state.position or 0 for key, state in self._owned.items()}
        for message in messages:
            error, key = message.error(), (message.topic(), message.partition())
            if error is None and message.offset() == positions.get(key):
                positions[key] += 1
                trusted.append(message)
            elif error is not None and error.code() != KafkaError._PARTITION_EOF:
                trusted.append(message)
        if self._move({key: positions[key] for key in self._owned}):
            self._must_realign = False
        return trusted

    def _record(self, messages: list[Message]) -> None:
        now_ms = int(time.time() * 1000)
        if self._flush.empty:
            self._flush.started = time.monotonic()
        size = 0
        for whole in topic_batches(messages, self._codes):
            size += whole.values.byte_count + whole.keys.byte_count
            for batch in slices(whole, self._slice_pieces):
                for group in self._flush.add(batch, self._owned, now_ms):
                    self._look_at(group)
                if self._flush.crowded:
                    self._write_when_due()
        self._average_bytes = max(16.0, 0.9 * self._average_bytes + 0.1 * size / len(messages))

    def _look_at(self, group: Group) -> None:
        """A group of the present flush has got something new."""
        if group.key not in self._seen_codes:
            self._seen_codes.add(group.key)
            self._flush_due_early = time.monotonic() + _NEW_SCHEMA_SECONDS
        if group.pending_records >= _FEED_RECORDS or group.pending_bytes >= _FEED_BYTES:
            self._pipeline.feed(self._flush, group)
        if group.coordinate_bytes > max(self._quiet_bytes, group.bytes * _COORDINATE_SHARE):
            self._flush.crowded = True

    # Writing

    def _due_at(self) -> float:
        due = self._flush.started + self._bounds.seconds
        return due if self._flush_due_early is None else min(due, self._flush_due_early)

    def _write_when_due(self) -> None:
        flush, bounds = self._flush, self._bounds
        if flush.empty:
            if not self._pipeline.backlog and self._ledger.waits_for_registry and self._pipeline.has_resolutions():
                self._seal()
            return
        full = (
            flush.crowded
            or flush.records >= bounds.records
            or flush.bytes >= bounds.bytes
            or flush.run_count >= bounds.spans
            or len(flush.groups) >= _MAX_GROUPS
        )
        if not full and time.monotonic() < self._due_at():
            return
        if self._pipeline.backlog:
            if not full:
                return  # it grows until the one before is through
            # Two flushes at most are in memory; the pipeline has been fed with this one and does not wait for it.
            self._pipeline.drain(_BEHIND_SECONDS, unless=self._stopping)
        self._seal()

    def _seal(self) -> Flush:
        flush, self._flush = self._flush, Flush(self._pipeline.era, time.monotonic())
        self._flush_due_early = None
        self._pipeline.seal(flush)
        return flush

    def _settle(self, seconds: float) -> bool:
        """Have everything that was read committed; whether it was."""
        if not self._flush.empty and self._pipeline.failure is None:
            self._seal()
        return self._pipeline.drain(seconds) and self._pipeline.failure is None

    def _discard(self) -> None:
        """Drop what is not committed. What is being committed at this moment is waited for."""
        self._pipeline.era += 1
        self._pipeline.drain(_BEHIND_SECONDS, unless=self._stopping)
        self._pipeline.failure = None
        self._flush = Flush(self._pipeline.era, time.monotonic())
        self._flush_due_early = None

    def _rewind(self) -> None:
        """Read again from what is committed, as the group has it."""
        failure = self._pipeline.failure
        if failure is not None:
            _log.warning("a flush was not committed and is read again", reason=failure.message)
            if isinstance(failure, Fenced):
                time.sleep(0.1)
        self._discard()
        self._must_rewind = False
        self._pipeline.changed_topics.clear()
        places = self._find({*self._owned, *self._gone})
        if places is None:
            self._must_rewind = True
            return
        found = {place.progress.key for place in places}
        for key in set(self._owned) - found:
            # Deleted: what comes of it is ignored until it is there again or taken from us.
            del self._owned[key]
            self._ledger.forget(key)
            self._gone.add(key)
        self._gone -= found
        for place in places:
            self._adopt(place)
        if self._move({}):
            self._must_realign = False
        else:
            self._must_rewind = True

    def _move(self, positions: Mapping[PartitionId, int]) -> bool:
        """Go on reading at other offsets; whether that was possible. All other owned partitions are told theirs too."""
        everything = {key: positions.get(key, state.position or 0) for key, state in self._owned.items()}
        targets = [TopicPartition(*key, offset) for key, offset in everything.items()]
        try:
            # Not by seeking: that is refused where an offset was out of range.
            reading = {(tp.topic, tp.partition) for tp in self._consumer.assignment()}
            stopped = [tp for tp in targets if (tp.topic, tp.partition) in reading]
            if stopped:
                self._consumer.incremental_unassign(stopped)
            if targets:
                self._consumer.incremental_assign(targets)
        except KafkaException as error:
            _log.warning("cannot move to another offset", error=error.args[0].str())
            return False
        return True

    def _find(self, partitions: Iterable[PartitionId]) -> list[Place] | None:
        """Places, asked for until the brokers answer; null when we are to stop or it takes too long."""
        wanted = list(partitions)
        deadline = time.monotonic() + _BEHIND_SECONDS / 2
        while not self._stopping.is_set() and time.monotonic() < deadline:
            try:
                self._pipeline.recover()
                return self._places.find(wanted)
            except (ConnectionFailed, NotFound, Fenced) as error:
                _log.warning("cannot find out where to go on", error=error.message)
                self._stopping.wait(_RETRY_SECONDS)
        return None

    def _adopt(self, place: Place) -> None:
        progress = place.progress
        before = self._owned.get(progress.key)
        if before is not None and before.topic_id == progress.topic_id:
            progress.end_offset = before.end_offset
            progress.value_code, progress.key_code = before.value_code, before.key_code
        self._owned[progress.key] = progress
        self._ledger.take_over(progress.key, place.head, progress.topic_id)
        if not place.committed:
            # So that it stays where this partition starts, whatever happens before the first record.
            self._flush.unread(progress, place.offset)

    # What Kafka tells

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self._assigned_at = time.monotonic()
            self._must_realign = True
            if not partitions:
                return
            self._settle(self._shutdown_seconds)
            keys = [(tp.topic, tp.partition) for tp in partitions]
            places = self._find(keys)
            if places is None:
                self._gone.update(keys)  # ignored for the moment
                self._must_rewind = True
                return
            for place in places:
                self._adopt(place)
            self._gone.update(set(keys) - self._owned.keys())
            if self._end_offsets is not None:
                ends = self._end_offsets.of(place.progress.key for place in places)
                for place in places:
                    place.progress.end_offset = ends.get(place.progress.key)
            consumer.incremental_assign(_positions(place.progress for place in places))
            _log.info("partitions assigned", count=len(places), owned=len(self._owned))
            if self._mixes_epochs():
                self._must_rewind = True
        except StreamLineageError as error:
            self._failure = error
        except KafkaException as error:
            self._failure = translated(error, "take over partitions")

    def _mixes_epochs(self) -> bool:
        """Whether a topic was created again with more partitions, and some of ours still stand in what it was."""
        ids: dict[str, str | None] = {}
        return any(ids.setdefault(state.topic, state.topic_id) != state.topic_id for state in self._owned.values())

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions and not self._settle(self._shutdown_seconds):
            _log.warning("partitions are given up before their flush was committed; others read it again")
            self._pipeline.era += 1
            self._must_rewind = True
        self._forget(partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        _log.warning("partitions were lost", count=len(partitions))
        self._discard()
        self._forget(partitions)
        self._must_rewind = True

    def _forget(self, partitions: list[TopicPartition]) -> None:
        self._must_realign = True
        if self._must_rewind:
            self._discard()
        for tp in partitions:
            self._owned.pop((tp.topic, tp.partition), None)
            self._gone.discard((tp.topic, tp.partition))
            self._ledger.forget((tp.topic, tp.partition))
        _log.info("partitions given up", count=len(partitions), owned=len(self._owned))

    def _on_error(self, error: KafkaError, message: Message | None) -> None:
        code = error.code()
        state = None
        if message is not None and message.topic() is not None:
            state = self._owned.get((message.topic(), message.partition()))
        if code == KafkaError._PARTITION_EOF:
            if state is not None and message is not None:
                self._on_end(state, message.offset())
        elif code == KafkaError._AUTO_OFFSET_RESET:
            if state is not None:
                self._on_out_of_range(state, error.str())
        elif code == KafkaError._FATAL and "fenced" in error.str():
            self._failure = Fenced(
                f"this collector was put out of its group: {error.str()}",
                hint="Another collector runs with the same instance_id and has taken over.",
            )
        elif error.fatal() or code in (KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID):
            self._failure = translated(error, "stay in the consumer group")
        elif code in _ABSENT:
            _log.debug("a watched topic is gone", error=error.str())
        elif code == KafkaError._MAX_POLL_EXCEEDED:
            _log.error("reading stood still for too long and the partitions were given to others", error=error.str())
        else:
            _log.warning("the consumer reports", error=error.str(), code=error.name())

    def _on_end(self, state: PartitionProgress, offset: int) -> None:
        """Reading stands at the end, which may lie behind invisible offsets."""
        if offset > (state.position or 0):
            state.position = offset
            if state.expected is not None:
                self._flush.unread(state, offset)
        if state.end_offset is None or offset >= state.end_offset:
            state.at_end = True

    def _on_out_of_range(self, state: PartitionProgress, reason: str) -> None:
        """The log does not hold the offset where we stand: retention has overtaken us, or it is another log."""
        where = TopicPartition(state.topic, state.partition)
        try:
            low, high = self._consumer.get_watermark_offsets(where, timeout=10)
            topic_id = self._places.facts.topic_ids([state.topic]).get(state.topic)
        except (KafkaException, StreamLineageError) as error:
            _log.warning("cannot find out why the log does not hold our offset", error=str(error))
            self._must_rewind = True
            return
        if topic_id != state.topic_id:
            _log.warning("the topic was created again", topic=state.topic)
            self._must_rewind = True
            return
        position = state.position or 0
        if position < low:
            _log.error(
                "records were deleted by retention before they were read", topic=state.topic,
                partition=state.partition, first_offset=position, last_offset=low - 1,
            )  # fmt: skip
            state.lost = (position, low)
            state.position = low
        elif position > high:
            _log.error(
                "the log was truncated below what has been observed", topic=state.topic, partition=state.partition,
                position=position, end=high,
            )  # fmt: skip
        else:
            _log.warning(
                "reading stopped and goes on", topic=state.topic, partition=state.partition, offset=position,
                reason=reason,
            )  # fmt: skip
        if not self._move({state.key: min(max(position, low), high)}):
            self._must_rewind = True

    # Ending

    def _is_done(self) -> bool:
        if self._assigned_at is None:
            return False
        if not self._owned:
            return time.monotonic() - self._assigned_at > _LONELY_SECONDS
        for state in self._owned.values():
            if state.at_end:
                continue
            if state.end_offset is None or (state.position or 0) < state.end_offset:
                return False
            state.at_end = True
        return True

    def _shut_down(self) -> None:
        deadline = time.monotonic() + self._shutdown_seconds
        until_end = self._end_offsets is not None and not self._stopping.is_set()
        while not self._settle(_BEHIND_SECONDS if until_end else max(deadline - time.monotonic(), 0.1)):
            if self._stopping.is_set() or self._pipeline.broken is not None:
                _log.warning("the last flush could not be committed in time; it is read again after the next start")
                self._discard_unfinished()
                return
            # Up to the end means to the end: what was not committed is read again.
            self._rewind()
            for state in self._owned.values():
                state.at_end = False
            while not self._is_done() and not self._stopping.is_set():
                self._take(self._consume())
                self._raise_failures()
                if self._must_rewind or self._pipeline.failure is not None:
                    self._rewind()
                self._write_when_due()

    def _discard_unfinished(self) -> None:
        self._pipeline.era += 1
        self._flush = Flush(self._pipeline.era, time.monotonic())

    def _close_consumer(self) -> None:
        self._flush = Flush(self._pipeline.era, time.monotonic())
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError) as error:
            _log.debug("closing the consumer failed", error=str(error))

    def _raise_failures(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._pipeline.broken is not None:
            raise StreamLineageError(f"the collector failed: {self._pipeline.broken!r}", hint="please report this")


def _positions(states: Iterable[PartitionProgress]) -> list[TopicPartition]:
    return [TopicPartition(state.topic, state.partition, state.position or 0) for state in states]
