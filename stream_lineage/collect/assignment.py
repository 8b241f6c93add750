"""The partitions that this collector has been assigned: taken over, moved in, given up."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_lineage.collect.caution import TOO_LARGE, Caution
from stream_lineage.collect.end_offsets import EndOffsets
from stream_lineage.collect.ledger import Ledger
from stream_lineage.collect.open_flush import BEHIND_SECONDS, OpenFlush
from stream_lineage.collect.pipeline import Pipeline
from stream_lineage.collect.places import Place, Places
from stream_lineage.collect.progress import PartitionId, PartitionProgress
from stream_lineage.collect.quarantine import Case, Quarantine
from stream_lineage.errors import ConnectionFailed, Fenced, NotFound, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.wire.kafka import translated

_log = get_logger("stream_lineage.collect")
_RETRY_SECONDS = 1.0


_FEW_PARTITIONS = 4_000
"""So many are taken off and on again within half a second."""


class Assignment:
    """What the group lets this collector read, and from where.

    ``owned`` are the partitions that are read; ``gone`` those that are assigned but whose topic was deleted. Those that
    ``quarantine`` holds are assigned too, but not read.
    ``must_rewind`` asks for ``rewind`` before anything else is read. ``failure`` is what a callback of the consumer
    could not raise. Callbacks come in while the main thread consumes, and in no other thread.
    """

    def __init__(
        self,
        *,
        consumer: Consumer,
        places: Places,
        pipeline: Pipeline,
        flush: OpenFlush,
        ledger: Ledger,
        quarantine: Quarantine,
        caution: Caution,
        end_offsets: EndOffsets | None,
        shutdown_seconds: float,
        stopping: threading.Event,
    ) -> None:
        self._consumer = consumer
        self._places = places
        self._pipeline = pipeline
        self._flush = flush
        self._ledger = ledger
        self._quarantine = quarantine
        self._caution = caution
        self._suspended = False
        self._end_offsets = end_offsets
        self._shutdown_seconds = shutdown_seconds
        self._stopping = stopping
        self.owned: dict[PartitionId, PartitionProgress] = {}
        self.gone: set[PartitionId] = set()
        self.must_rewind = False
        self.failure: StreamLineageError | None = None
        self.assigned_at: float | None = None
        self._unsure: set[PartitionId] = set()  # owned when partitions last came or went

    def subscribe(self, topics: list[str]) -> None:
        """Join the group for these topics, or leave it where there are none.

        Raises:
            ConnectionFailed, SettingsError: Kafka does not let us.
        """
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
        self.must_rewind = self.must_rewind or any(topic in topics for topic, _ in self.gone)

    def trusted(self, messages: list[Message]) -> list[Message]:
        """What can be trusted of a batch: all, unless partitions came or went; then reading goes on right behind it.

        A rebalance has librdkafka fetch again from where it believes the application to stand. Having handed out an
        end of partition in a batch it believes that to be one offset further, and leaves out a record (seen in 2.12.1).
        Those that have just come are read from where they were told to.
        """
        if not self._unsure:
            return messages
        trusted: list[Message] = []
        positions = {key: state.position or 0 for key, state in self.owned.items() if key in self._unsure}
        for message in messages:
            error, key = message.error(), (message.topic(), message.partition())
            sure = key in self.owned and key not in self._unsure
            if error is None and (sure or message.offset() == positions.get(key)):
                if not sure:
                    positions[key] += 1
                trusted.append(message)
            elif error is not None and (sure or error.code() != KafkaError._PARTITION_EOF):
                trusted.append(message)
        if self._go_to(positions):
            self._unsure.clear()
        return trusted

    def rewind(self) -> None:
        """Read again from what is committed, as the group has it."""
        failure = self._pipeline.failure
        if failure is not None:
            _log.warning("a flush was not committed and is read again", reason=failure.message, hint=failure.hint)
            if isinstance(failure, Fenced):
                time.sleep(0.1)
        self._flush.discard()
        self.must_rewind = False
        self._pipeline.changed_topics.clear()
        aside = self._quarantine.held
        places = self._find({*self.owned, *self.gone, *aside})
        if places is None:
            self.must_rewind = True
            return
        found = {place.progress.key for place in places}
        for key in {*self.owned, *aside} - found:
            # Deleted: what comes of it is ignored until it is there again or taken from us.
            self.owned.pop(key, None)
            self._ledger.forget(key)
            self._quarantine.close(key)
            self.gone.add(key)
        self.gone -= found
        for place in places:
            self._adopt(place)
        self._keep_aside(aside.keys() & found)
        if self._go_to(self._positions()):
            self._unsure.clear()
        else:
            self.must_rewind = True

    def move(self, offsets: Mapping[PartitionId, int]) -> bool:
        """Go on reading some partitions at other offsets; whether that was possible."""
        others = {key: position for key, position in self._positions().items() if key not in offsets}
        if len(self.owned) <= _FEW_PARTITIONS:
            return self._put_on_again({**others, **offsets})
        return self._put_on_again(offsets) and self._go_to(others)

    def _positions(self) -> dict[PartitionId, int]:
        return {key: state.position or 0 for key, state in self.owned.items()}

    def _go_to(self, positions: Mapping[PartitionId, int]) -> bool:
        """Go on reading at these offsets; whether that was possible.

        Taking partitions off and on again is sure, and takes a time that is quadratic in their number: 5 s for 20,000
        and 30 s on a busy machine (librdkafka 2.12). Seeking is linear, and while it is at it some are fetched from
        where they do not stand, which may be said to be out of range.
        """
        if len(positions) <= _FEW_PARTITIONS:
            return self._put_on_again(positions)
        refused: dict[PartitionId, int] = {}
        for key, offset in positions.items():
            try:
                self._consumer.seek(TopicPartition(*key, offset))
            except KafkaException:  # it is not read, or its offset was out of range
                refused[key] = offset
        return not refused or self._put_on_again(refused)

    def _put_on_again(self, positions: Mapping[PartitionId, int]) -> bool:
        """Take partitions off and on again, at these offsets; what was fetched of them is gone."""
        targets = [TopicPartition(*key, offset) for key, offset in positions.items()]
        try:
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

    def set_aside(self, key: PartitionId, offset: int, reason: str) -> None:
        """Read no more of a partition, which cannot be read at this offset, until ``try_again``."""
        self._hold(key, offset, reason, deadly=False)
        try:
            # Not taken off the assignment: it must be there when the group takes it away.
            self._consumer.pause([TopicPartition(*key)])
        except KafkaException as error:
            _log.debug("a partition cannot be paused", error=error.args[0].str())

    def _hold(self, key: PartitionId, offset: int, reason: str, *, deadly: bool) -> None:
        progress = self.owned.pop(key)
        case = self._quarantine.take(progress, offset, reason, deadly=deadly)
        say = _log.error if case.believed else _log.warning
        say(
            "a partition cannot be read and is set aside", topic=progress.topic, partition=progress.partition,
            offset=offset, reason=reason, failures=case.failures,
        )  # fmt: skip
        if case.news:
            self._flush.report(case.letter())

    def ends(self, key: PartitionId) -> None:
        """A partition ends where it stands: if it could not be read on from there, that is gone."""
        if self._quarantine.close(key) is not None:
            _log.info("what could not be read of a partition is gone", topic=key[0], partition=key[1])

    def try_again(self) -> None:
        """Read those partitions on whose time has come; say so of those that have been read on."""
        for case in self._quarantine.passed():
            _log.info(
                "a partition can be read again", topic=case.progress.topic, partition=case.progress.partition,
                offset=case.offset, failures=case.failures,
            )  # fmt: skip
        self._hear_trial()
        for case in self._quarantine.due():
            if not case.deadly:
                self._read_on(case)
            elif not self._caution.trial.under_way:
                case.tries_at = math.inf
                self._caution.trial.begin(case.progress.key, case.progress.position or 0)

    def _hear_trial(self) -> None:
        outcome = self._caution.trial.outcome()
        case = None if outcome is None else self._quarantine.get(outcome[0])
        if outcome is None or case is None:
            return
        key, deadly = outcome
        if deadly:
            self.owned[key] = case.progress
            self._hold(key, case.offset, case.reason, deadly=True)
        else:
            self._read_on(case)

    def _read_on(self, case: Case) -> None:
        case.tries_at, case.deadly = None, False
        self.owned[case.progress.key] = case.progress
        where = TopicPartition(case.progress.topic, case.progress.partition, case.progress.position or 0)
        try:
            self._consumer.incremental_unassign([where])
            self._consumer.incremental_assign([where])
            self._consumer.resume([where])
        except KafkaException as error:
            _log.warning("cannot try a partition again", error=error.args[0].str())
            self.must_rewind = True

    def suspend(self) -> None:
        """Fetch nothing until ``resume``: nobody takes what comes in."""
        if self._suspended:
            return
        _log.warning("memory is short: nothing is fetched ahead for now")
        self._suspended = True
        try:
            self._consumer.pause(_positions(self.owned.values()))
        except KafkaException as error:
            _log.debug("partitions cannot be paused", error=error.args[0].str())

    def shed(self) -> None:
        """Let go of what was fetched ahead; it is fetched again."""
        _log.warning("memory is short: what was fetched ahead is let go")
        if not self._put_on_again(self._positions()):
            self.must_rewind = True

    def resume(self) -> None:
        """After ``suspend``."""
        if not self._suspended:
            return
        self._suspended = False
        if not self._put_on_again(self._positions()):
            self.must_rewind = True
        try:
            self._consumer.resume(_positions(self.owned.values()))
        except KafkaException as error:
            _log.warning("cannot go on reading", error=error.args[0].str())
            self.must_rewind = True

    def _keep_aside(self, keys: Iterable[PartitionId]) -> None:
        """After everything was moved: these are still not to be read. What was to be told of them may not have been."""
        for key in keys:
            case = self._quarantine.get(key)
            if case is not None and (progress := self.owned.pop(key, None)) is not None:
                case.progress = progress
                if case.believed:
                    self._flush.report(case.letter())

    def _find(self, partitions: Iterable[PartitionId]) -> list[Place] | None:
        """Places, asked for until the brokers answer; null when we are to stop or it takes too long."""
        wanted = list(partitions)
        deadline = time.monotonic() + BEHIND_SECONDS / 2
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
        before = self.owned.get(progress.key)
        if before is not None and before.topic_id == progress.topic_id:
            progress.end_offset = before.end_offset
            progress.value_code, progress.key_code = before.value_code, before.key_code
        self.owned[progress.key] = progress
        self._ledger.take_over(progress.key, place.head, progress.topic_id)
        if not place.committed:
            # So that it stays where this partition starts, whatever happens before the first record.
            self._flush.unread(progress, place.offset)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            self.assigned_at = time.monotonic()
            self._unsure |= self.owned.keys()
            if not partitions:
                return
            self._flush.settle(self._shutdown_seconds)
            keys = [(tp.topic, tp.partition) for tp in partitions]
            places = self._find(keys)
            if places is None:
                self.gone.update(keys)  # ignored for the moment
                self.must_rewind = True
                return
            for place in places:
                self._adopt(place)
            self.gone.update(set(keys) - self.owned.keys())
            if self._end_offsets is not None:
                ends = self._end_offsets.of(place.progress.key for place in places)
                for place in places:
                    place.progress.end_offset = ends.get(place.progress.key)
            deadly = self._caution.deadly(places)
            consumer.incremental_assign(
                [*_positions(p.progress for p in places if p.progress.key not in deadly), *_at_their_ends(deadly)]
            )
            if deadly:
                consumer.pause(_at_their_ends(deadly))
            for key in deadly:
                self._hold(key, self.owned[key].position or 0, TOO_LARGE, deadly=True)
            _log.info("partitions assigned", count=len(places), owned=len(self.owned))
            if self._mixes_epochs():
                self.must_rewind = True
        except StreamLineageError as error:
            self.failure = error
        except KafkaException as error:
            self.failure = translated(error, "take over partitions")

    def _mixes_epochs(self) -> bool:
        """Whether a topic was created again with more partitions, and some of ours still stand in what it was."""
        ids: dict[str, str | None] = {}
        return any(ids.setdefault(state.topic, state.topic_id) != state.topic_id for state in self.owned.values())

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions and not self._flush.settle(self._shutdown_seconds):
            _log.warning("partitions are given up before their flush was committed; others read it again")
            self._pipeline.era += 1
            self.must_rewind = True
        self._forget(partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        _log.warning("partitions were lost", count=len(partitions))
        self._flush.discard()
        self._forget(partitions)
        self.must_rewind = True

    def _forget(self, partitions: list[TopicPartition]) -> None:
        self._unsure |= self.owned.keys()
        if self.must_rewind:
            self._flush.discard()
        for tp in partitions:
            self.owned.pop((tp.topic, tp.partition), None)
            self.gone.discard((tp.topic, tp.partition))
            self._quarantine.close((tp.topic, tp.partition))
            self._ledger.forget((tp.topic, tp.partition))
        _log.info("partitions given up", count=len(partitions), owned=len(self.owned))


def _at_their_ends(partitions: Iterable[PartitionId]) -> list[TopicPartition]:
    """Nothing is fetched there before they are paused."""
    return [TopicPartition(*key, OFFSET_END) for key in partitions]


def _positions(states: Iterable[PartitionProgress]) -> list[TopicPartition]:
    return [TopicPartition(state.topic, state.partition, state.position or 0) for state in states]
