"""The pipeline thread: takes flushes from the main thread, has them decoded, and commits them.

While it works the main thread reads on. It takes its tasks in order; a flush of an era that is over (partitions were
lost, a commit failed) is dropped, and what it held is read again.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

from stream_lineage.collect.cluster_facts import ClusterFacts
from stream_lineage.collect.decode_stage import DecodeStage
from stream_lineage.collect.decode_work import Plan
from stream_lineage.collect.flush import Flush, Group, GroupKey, Piece
from stream_lineage.collect.group_result import GroupResult
from stream_lineage.collect.key_messages import KeyCounts
from stream_lineage.collect.ledger import Ledger
from stream_lineage.collect.progress import PartitionId
from stream_lineage.collect.record_edges import EdgeCounts
from stream_lineage.collect.recorder import GroupSchemas, Recorder, Recording, Resolution
from stream_lineage.collect.resolver import Question, SchemaResolver
from stream_lineage.collect.schema_answers import SchemaAnswers
from stream_lineage.collect.schema_key import SchemaCodes, SchemaKey
from stream_lineage.collect.tap import Tap
from stream_lineage.collect.transaction import Transactions
from stream_lineage.errors import StreamLineageError
from stream_lineage.logs import get_logger, trail
from stream_lineage.otel import passed, span

_log = get_logger("stream_lineage.collect")
_QUEUED_TASKS = 64
_BUDGET_SHARE = 0.012
"""Sketches may take this share of the observed bytes; with coordinates and links an observation stays below 2%."""
_LARGEST_PROFILE = 512 * 1024
"""Bytes: with the coordinates an observation stays below what brokers take as one message (1 MB)."""


@dataclass(frozen=True, slots=True)
class _Feed:
    flush: Flush
    group: Group
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class _Seal:
    flush: Flush


@dataclass(slots=True)
class Totals:
    """What has been committed since the start."""

    records: int = 0
    bytes: int = 0
    spans: int = 0
    observations: int = 0
    dead_letters: int = 0
    traced: int = 0
    flushes: int = 0
    failed_flushes: int = 0
    edges: EdgeCounts = field(default_factory=EdgeCounts)
    keys: KeyCounts = field(default_factory=KeyCounts)
    decoders: Counter[str] = field(default_factory=Counter)


class Pipeline:
    """One thread. ``era`` is raised by the main thread when everything under way has become void."""

    def __init__(
        self,
        *,
        codes: SchemaCodes,
        resolver: SchemaResolver,
        stage: DecodeStage,
        recorder: Recorder,
        ledger: Ledger,
        transactions: Transactions,
        facts: ClusterFacts,
        observation_bytes: int,
        tap: Tap | None = None,
        on_committed: Callable[[Recording, Flush], None] | None = None,
    ) -> None:
        self._answers = SchemaAnswers(codes, resolver)
        self._resolver = resolver
        self._stage = stage
        self._recorder = recorder
        self._ledger = ledger
        self._transactions = transactions
        self._facts = facts
        self.observation_bytes = observation_bytes
        self._tap = tap
        self._on_committed = on_committed
        self._tasks: queue.Queue[_Feed | _Seal | None] = queue.Queue(_QUEUED_TASKS)
        self._thread = threading.Thread(target=self._run, name="collect-pipeline", daemon=True)
        self._current: Flush | None = None
        self._sealed = 0
        self._finished = 0
        self.era = 0
        self.failure: StreamLineageError | None = None
        self.changed_topics: set[str] = set()
        self.while_waiting: Callable[[], None] = lambda: None
        """Called now and then in the main thread while that waits for the pipeline."""
        self.broken: BaseException | None = None
        self.totals = Totals()

    def keeps(self, topic: str) -> bool:
        """Whether a topic's messages themselves are needed, since they are republished."""
        return self._tap is not None and self._tap.taps(topic)

    def start(self) -> None:
        self._thread.start()

    def feed(self, flush: Flush, group: Group) -> None:
        """Hand over what a group has gathered. Blocks while the pipeline is far behind."""
        pieces = group.take_pending()
        if pieces:
            self._put(_Feed(flush, group, pieces))

    def seal(self, flush: Flush) -> None:
        """Hand over a whole flush. ``flush.done`` is set when it has been committed or dropped."""
        flush.sealed, flush.sealed_at = time.monotonic(), datetime.now(UTC)
        self._sealed += 1
        self._put(_Seal(flush))

    @property
    def backlog(self) -> int:
        """Sealed flushes that are not finished."""
        return self._sealed - self._finished

    def drain(self, seconds: float, *, unless: threading.Event | None = None) -> bool:
        """Wait until every sealed flush is finished, or until ``unless`` is set; whether it came to that."""
        deadline = time.monotonic() + seconds
        while self.backlog and self._thread.is_alive():
            if time.monotonic() > deadline or (unless is not None and unless.is_set()):
                return False
            self.while_waiting()
            time.sleep(0.005)
        return True

    def recover(self) -> None:
        """Have no transaction of our past open, which would hold back the offsets that are to be read next. To be
        called while no flush is under way.

        Raises:
            KafkaUnavailable: the coordinator did not answer in time.
        """
        if not self.backlog:
            self._transactions.prepare()

    def stop(self, seconds: float) -> None:
        """End the thread once it has finished what it is at; it is left behind where that takes longer than this."""
        if not self._thread.is_alive():
            return
        self.era += 1
        self._put(None, seconds)
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.warning("a flush is still under way and is given up; it is read again after the next start")

    def _put(self, task: _Feed | _Seal | None, seconds: float = math.inf) -> None:
        deadline = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < deadline:
            try:
                self._tasks.put(task, timeout=0.1)
                return
            except queue.Full:
                self.while_waiting()
        if isinstance(task, _Seal):
            task.flush.done.set()
            self._finished += 1

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                if task.flush.era == self.era:
                    if isinstance(task, _Feed):
                        self._feed(task)
                    else:
                        self._finish(task.flush)
            except StreamLineageError as error:
                self._fail(task.flush, error)
            except BaseException as error:  # noqa: BLE001  (the main thread raises it)
                self.broken = error
                self._fail(task.flush, StreamLineageError(f"the pipeline failed: {trail(error)}"))
                _log.error("the pipeline failed", where=trail(error))
                return
            finally:
                if isinstance(task, _Seal):
                    task.flush.drop_payloads()
                    task.flush.done.set()
                    self._finished += 1

    def _fail(self, flush: Flush, error: StreamLineageError) -> None:
        if flush.era == self.era and self.failure is None:
            self.failure = error
            self.totals.failed_flushes += 1

    def _enter(self, flush: Flush) -> None:
        if self._current is not flush:
            self._stage.begin(lambda: flush.era != self.era)
            self._current = flush

    def _feed(self, task: _Feed) -> None:
        if self.failure is not None:
            return
        self._enter(task.flush)
        task.group.pieces += task.pieces
        plan = self._answers.plan(task.group)
        if plan is not None:
            self._stage.feed(task.flush, task.group, plan)

    def _finish(self, flush: Flush) -> None:
        if self.failure is not None:
            return
        with span(
            "collect.flush", since=flush.started, records=flush.records, bytes=flush.bytes, partitions=len(flush.runs)
        ) as traced:
            passed("collect.consume", flush.started, flush.sealed)
            recording = self._recorded(flush)
            if recording is not None:
                traced.note(observations=recording.observations, spans=recording.spans)

    def _recorded(self, flush: Flush) -> Recording | None:
        """Decode and commit a flush; null where it has become void or holds nothing."""
        with span("collect.decode", groups=len(flush.groups)):
            schemas, results = self._decoded(flush)
        if flush.era != self.era:
            return None
        self._check_epochs(flush)
        now = flush.sealed_at or datetime.now(UTC)
        recording = self._recorder.record(flush, schemas, results, self._resolutions(), now)
        if not recording.offsets and not recording.messages:
            flush.committed = True
            return None
        with span("collect.commit", messages=len(recording.messages), offsets=len(recording.offsets)):
            self._commit(flush, schemas, recording)
        for partition, head in recording.heads.items():
            self._ledger.accept(partition, head)
        flush.committed = True
        self._count(flush, recording)
        return recording

    def _decoded(self, flush: Flush) -> tuple[dict[GroupKey, GroupSchemas], dict[GroupKey, GroupResult]]:
        self._enter(flush)
        for group in flush.groups.values():
            group.pieces += group.take_pending()
        self._resolver.settle(question for key in flush.groups for question in self._answers.questions(key))
        self._ask_again()
        schemas: dict[GroupKey, GroupSchemas] = {}
        plans: list[tuple[Group, Plan]] = []
        for key, group in flush.groups.items():
            value, key_answer = self._answers.of(group)
            schemas[key] = GroupSchemas(value.reference, key_answer.reference, value.error, key_answer.error)
            plan = self._answers.plan(group)
            if plan is not None:
                plans.append((group, plan))
        self._stage.feed_together(flush, plans)
        finished = self._stage.finish_together(flush, [(group, self._budget(group)) for group, _ in plans])
        return schemas, {group.key: result for (group, _), result in zip(plans, finished, strict=True)}

    def _commit(self, flush: Flush, schemas: Mapping[GroupKey, GroupSchemas], recording: Recording) -> None:
        if self._tap is None or not flush.tapped:
            self._transactions.commit(recording.messages, recording.offsets)
            return
        try:
            copies = self._tap.messages(flush, schemas)
            self._transactions.commit(chain(recording.messages, copies), recording.offsets)
        except StreamLineageError:
            self._tap.failed()
            raise
        self.totals.traced += flush.tapped

    def _count(self, flush: Flush, recording: Recording) -> None:
        totals = self.totals
        totals.records += flush.records
        totals.bytes += flush.bytes
        totals.spans += recording.spans
        totals.observations += recording.observations
        totals.dead_letters += recording.dead_letters
        totals.decoders.update(recording.decoders)
        totals.edges.add(flush.edges.counts)
        totals.keys.add(recording.keys)
        totals.flushes += 1
        if self._on_committed is not None:
            self._on_committed(recording, flush)

    def _budget(self, group: Group) -> int:
        """Bytes that the profile of a group may take: a share of what was observed, or what a quiet topic may have."""
        return min(max(int(group.bytes * _BUDGET_SHARE), self.observation_bytes // 2), _LARGEST_PROFILE)

    def _check_epochs(self, flush: Flush) -> None:
        """A topic that still has the id that we knew when we read from it was not replaced before we did."""
        wanted = {topic: topic_id for topic, topic_id in flush.topic_ids.items() if topic_id is not None}
        if not wanted:
            return
        found = self._facts.topic_ids(wanted)
        changed = {topic for topic, topic_id in wanted.items() if found.get(topic) != topic_id}
        if changed:
            self.changed_topics |= changed
            names = ", ".join(sorted(changed))
            raise StreamLineageError(f"deleted or created again while it was read: {names}")

    def _ask_again(self) -> None:
        """Schemas that heads remember as unresolved are asked for until they are known."""
        wanted = []
        for (topic, _), labels in self._ledger.unresolved.items():
            for label in labels:
                parsed = SchemaKey.from_label(label)
                if parsed is not None:
                    wanted.append(Question(topic, parsed[0], parsed[1]))
        self._resolver.ask(wanted)

    def _resolutions(self) -> list[Resolution]:
        """What heads remember as unresolved and is known by now."""
        found: dict[tuple[str, str], list[PartitionId]] = {}
        for partition, labels in self._ledger.unresolved.items():
            for label in labels:
                found.setdefault((partition[0], label), []).append(partition)
        out = []
        for (topic, label), partitions in found.items():
            parsed = SchemaKey.from_label(label)
            if parsed is None:
                continue
            known = self._resolver.answer(Question(topic, *parsed))
            if known is not None:
                topic_id = self._ledger.topic_ids.get(partitions[0])
                numbers = tuple(sorted(partition for _, partition in partitions))
                out.append(Resolution(topic, topic_id, parsed[0], label, known.reference, numbers))
        return out

    def has_resolutions(self) -> bool:
        """Whether a flush is due only because the registry has answered. To be asked while no flush is under way."""
        self._ask_again()
        return bool(self._resolutions())
