"""The collector: reads the watched topics and keeps the pipeline fed. One thread calls ``run``."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import is_not

from confluent_kafka import Consumer, KafkaException, Message

from stream_lineage.collect.assignment import Assignment
from stream_lineage.collect.caution import Caution
from stream_lineage.collect.consumer_events import ConsumerEvents, unreadable_from
from stream_lineage.collect.end_offsets import EndOffsets
from stream_lineage.collect.ledger import Ledger
from stream_lineage.collect.memory import MemoryWatch
from stream_lineage.collect.open_flush import BEHIND_SECONDS, FlushBounds, OpenFlush
from stream_lineage.collect.outsider import Outsider
from stream_lineage.collect.pipeline import Pipeline, Totals
from stream_lineage.collect.places import Places
from stream_lineage.collect.progress import PartitionId
from stream_lineage.collect.quarantine import Case, Quarantine
from stream_lineage.collect.schema_key import SchemaCodes
from stream_lineage.collect.standing import Standing
from stream_lineage.collect.standstill import STANDS_STILL, Standstill
from stream_lineage.collect.topic_watcher import TopicWatcher
from stream_lineage.errors import NotFound, StreamLineageError, Unreadable
from stream_lineage.logs import get_logger, trail

_log = get_logger("stream_lineage.collect")
_BATCH_RECORDS = 10_000
_BATCH_BYTES = 4 * 1024 * 1024
_IDLE_SECONDS = 0.1
_SHED_SECONDS = 0.5
_CALM_SECONDS = 60.0
_LONELY_SECONDS = 10.0
_LAST_SECONDS = 1.0
"""How long the pipeline may take to end, once it has been waited for as long as a shutdown may take."""
_GC_ALLOCATIONS = 200_000


class Collector:
    """Reads, and hands over to the pipeline. ``stop`` may be called from anywhere, also from a signal handler."""

    def __init__(
        self,
        *,
        consumer: Consumer,
        pipeline: Pipeline,
        places: Places,
        ledger: Ledger,
        quarantine: Quarantine,
        caution: Caution,
        memory: MemoryWatch,
        watcher: TopicWatcher,
        outsider: Outsider | None,
        end_offsets: EndOffsets | None,
        codes: SchemaCodes,
        bounds: FlushBounds,
        producer_headers: Sequence[str],
        copied_from: Callable[[str], str | None],
        shutdown_seconds: float,
        on_tick: Callable[[Totals], None] | None = None,
    ) -> None:
        self._consumer = consumer
        self._pipeline = pipeline
        self._places = places
        self._watcher = watcher
        self._outsider = outsider
        self._until_end = end_offsets is not None
        self._shutdown_seconds = shutdown_seconds
        self._on_tick = on_tick
        self._stopping = threading.Event()
        self._flush = OpenFlush(
            pipeline=pipeline,
            ledger=ledger,
            codes=codes,
            bounds=bounds,
            stopping=self._stopping,
            producer_headers=producer_headers,
            copied_from=copied_from,
        )
        self._assignment = Assignment(
            consumer=consumer,
            places=places,
            pipeline=pipeline,
            flush=self._flush,
            ledger=ledger,
            quarantine=quarantine,
            caution=caution,
            end_offsets=end_offsets,
            shutdown_seconds=shutdown_seconds,
            stopping=self._stopping,
        )
        self._quarantine = quarantine
        self._memory = memory
        self._shed_at, self._shed_pause = 0.0, _SHED_SECONDS
        self._standstill = Standstill(consumer, places.facts.log_ends)
        self._busy = False
        self._standing = Standing(pipeline.totals, time.monotonic())
        self._events = ConsumerEvents(self._assignment, self._flush, places.facts)

    @property
    def owned(self) -> list[PartitionId]:
        return sorted(self._assignment.owned)

    @property
    def standing(self) -> Standing:
        """How things were at the last turn; may be asked for in any thread."""
        return self._standing

    @property
    def stopping(self) -> threading.Event:
        """Set by ``stop``."""
        return self._stopping

    def stop(self) -> None:
        """Write what has been read, then return from ``run``."""
        self._stopping.set()

    def run(self) -> Totals:
        """Collect until stopped, or up to the end offsets.

        Raises:
            Fenced: another process uses this instance id.
            KafkaUnavailable, SettingsError: Kafka cannot be used as configured.
            NotFound: there is nothing to collect up to the end of.
            Unreadable: a partition could not be read up to its end; all that could be is committed.
        """
        try:
            return self._run()
        except StreamLineageError:
            raise
        except Exception as error:  # noqa: BLE001  (its text and its traceback may hold what was being read)
            raise _failed(error) from None

    def _run(self) -> Totals:
        watched = self._watcher.start()
        self._places.remember_start(watched)
        if self._until_end and not watched:
            raise NotFound("no topic matches include and exclude", hint="`stream-lineage doctor` shows what they match")
        self._pipeline.while_waiting = self._while_waiting
        self._memory.start()
        self._pipeline.start()
        subscribed: list[str] = []
        # Ten thousand new messages at a time would have the cycle collector run all the while, for nothing.
        gc.freeze()
        thresholds = gc.get_threshold()
        gc.set_threshold(_GC_ALLOCATIONS, 20, 20)
        try:
            while not self._stopping.is_set():
                watched = self._watcher.watched()
                self._stands(len(watched))
                if watched != subscribed:
                    self._assignment.subscribe(watched)
                    subscribed = watched
                self._step(self._consume() if subscribed else self._idle())
                if self._outsider is not None and subscribed:
                    self._outsider.check(owns=bool(self._assignment.owned))
                if self._on_tick is not None:
                    self._on_tick(self._pipeline.totals)
                if self._until_end and self._is_done():
                    break
            self._shut_down()
            unread = list(self._quarantine) if self._until_end else []
        finally:
            self._watcher.stop()
            self._memory.stop()
            self._pipeline.stop(_LAST_SECONDS)
            self._close_consumer()
            gc.set_threshold(*thresholds)
            gc.unfreeze()
        self._raise_failures()
        if unread:
            raise _incomplete(unread)
        return self._pipeline.totals

    def _stands(self, topics: int) -> None:
        assignment = self._assignment
        self._standing = Standing(
            totals=self._pipeline.totals,
            at=time.monotonic(),
            topics=topics,
            partitions=len(assignment.owned),
            quarantined=len(self._quarantine.held) if self._quarantine else 0,
            assigned=assignment.assigned_at is not None,
            rewinding=assignment.must_rewind or self._pipeline.failure is not None,
        )

    # Reading

    def _step(self, messages: list[Message]) -> None:
        self._assignment.resume()
        self._take(messages)
        self._mind_memory()
        self._raise_failures()
        if self._assignment.must_rewind or self._pipeline.failure is not None:
            self._assignment.rewind()
        if self._quarantine:
            self._assignment.try_again()
        for key in self._standstill.found(self._assignment.owned, busy=self._busy):
            self._assignment.set_aside(key, self._assignment.owned[key].position or 0, STANDS_STILL)
        self._flush.write_when_due()

    def _consume(self) -> list[Message]:
        count = max(1, min(_BATCH_RECORDS, int(_BATCH_BYTES / self._flush.average_bytes)))
        try:
            messages: list[Message] = self._consumer.consume(count, timeout=self._patience())
        except KafkaException as error:
            self._events.take(error.args[0], None)
            return []
        except (MemoryError, SystemError):  # the client raises one from the other
            _log.error("no memory was left for what was read; it is read again")
            self._assignment.must_rewind = True
            return []
        self._busy = len(messages) == count
        return messages

    def _while_waiting(self) -> None:
        if self._memory.tight:
            self._assignment.suspend()

    def _mind_memory(self) -> None:
        """What was fetched ahead is the only thing that we can do without. Where that is not what takes the memory, it
        is tried ever more rarely."""
        now = time.monotonic()
        if not self._memory.tight:
            if now > self._shed_at + _CALM_SECONDS:
                self._shed_pause = _SHED_SECONDS
        elif now >= self._shed_at:
            self._assignment.shed()
            self._shed_at = now + self._shed_pause
            self._shed_pause *= 2

    def _patience(self) -> float:
        """How long to wait for a full batch: no longer than until the flush is due."""
        left = self._flush.seconds_left
        return _IDLE_SECONDS if left is None else min(_IDLE_SECONDS, max(left, 0.001))

    def _idle(self) -> list[Message]:
        self._stopping.wait(_IDLE_SECONDS)
        return []

    def _take(self, messages: list[Message]) -> None:
        messages = self._assignment.trusted(messages)
        if not messages:
            return
        owned = self._assignment.owned
        errors = list(map(Message.error, messages))
        if not any(map(is_not, errors, repeat(None))):  # KafkaError cannot be compared with None
            self._flush.record(messages, owned)
            return
        records = [message for message, error in zip(messages, errors, strict=True) if error is None]
        if broken := unreadable_from(messages, errors):
            records = [
                message
                for index, message in enumerate(messages)
                if errors[index] is None and index < broken.get((message.topic(), message.partition()), len(messages))
            ]
        if records:
            self._flush.record(records, owned)
        # After the records: an end that is reported in between lies behind those that came before it.
        for message, error in zip(messages, errors, strict=True):
            if error is not None:
                self._events.take(error, message)
        self._events.settle()

    # Ending

    def _is_done(self) -> bool:
        assigned_at, owned = self._assignment.assigned_at, self._assignment.owned
        if assigned_at is None:
            return False
        if not self._quarantine.given_up:
            return False
        if not owned and not self._quarantine:
            return time.monotonic() - assigned_at > _LONELY_SECONDS
        for state in owned.values():
            if state.at_end:
                continue
            if state.end_offset is None or (state.position or 0) < state.end_offset:
                return False
            state.at_end = True
        return True

    def _shut_down(self) -> None:
        deadline = time.monotonic() + self._shutdown_seconds
        until_end = self._until_end and not self._stopping.is_set()
        while not self._flush.settle(BEHIND_SECONDS if until_end else max(deadline - time.monotonic(), 0.1)):
            if self._stopping.is_set() or self._pipeline.broken is not None:
                _log.warning("the last flush could not be committed in time; it is read again after the next start")
                self._flush.give_up()
                return
            # Up to the end means to the end: what was not committed is read again.
            self._assignment.rewind()
            for state in self._assignment.owned.values():
                state.at_end = False
            while not self._is_done() and not self._stopping.is_set():
                self._step(self._consume())

    def _close_consumer(self) -> None:
        self._flush.give_up()
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError) as error:
            _log.debug("closing the consumer failed", error=str(error))

    def _raise_failures(self) -> None:
        failure, self._assignment.failure = self._assignment.failure, None
        if failure is not None:
            raise failure
        if self._pipeline.broken is not None:
            raise _failed(self._pipeline.broken) from None


def _failed(error: BaseException) -> StreamLineageError:
    return StreamLineageError(f"the collector failed: {trail(error)}", hint="Please report this.")


def _incomplete(cases: list[Case]) -> Unreadable:
    places = sorted((case.progress.topic, case.progress.partition, case.offset, case.reason) for case in cases)
    topic, partition, offset, reason = places[0]
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return Unreadable(
        f"could not be read to their end: {topic}[{partition}] from offset {offset}{more}: {reason}",
        hint="What could be read is committed. Mend the broker's log, or delete the records there, and run it again.",
    )
