"""What is done with one observation, in the order that makes a crash harmless.

1. The detectors run. 2. What they have to tell is in the changelog (``journal.py``), then their alerts are on their
topics, acknowledged by the brokers, then they are points in the store, as all alerts. 3. Their states are in the
changelog, acknowledged. 4. The observation counts in its topic's window; when a window closes, its points are in the
store, then its numbers are in the changelog, with the note that it is closed: it is frozen. 5. The baselines judge it,
and the alerts are on their topic, as are the windows that declared jobs are judged by. 6. The observation is
acknowledged to Kafka.

After a crash anywhere, what comes next is done again with the same result: alerts have the same ids, states and closed
windows know the log position up to which they hold, points replace themselves, frozen windows are judged again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from stream_lineage.agents.acks import OrderedAcks, Pending
from stream_lineage.agents.alert_points import alert_points
from stream_lineage.agents.alert_rules import AlertRules
from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Changed, Detection, LogPosition, Outcome
from stream_lineage.agents.journal import cleared, noted, written
from stream_lineage.agents.log_clocks import LogClocks
from stream_lineage.agents.metric_watch import MetricWatch
from stream_lineage.agents.metrics import TopicWindow
from stream_lineage.agents.muting import Muting
from stream_lineage.agents.window_facts import window_facts
from stream_lineage.agents.windows import OpenWindow, OpenWindows
from stream_lineage.detect.window import Window
from stream_lineage.errors import DecodeError
from stream_lineage.logs import get_logger
from stream_lineage.otel import span
from stream_lineage.provenance.codec import decode_observation
from stream_lineage.store.ports import MetricStore, Point

E = TypeVar("E")
T = TypeVar("T")
RESUME_SECONDS = 10.0
RESUMED_AT_ONCE = 20
SILENT_AT_ONCE = 200
"""Windows of silence that are judged between two observations, at most."""
_log = get_logger("stream_lineage.agents")


class Outlet(Protocol):
    """What the pipeline writes to. Each call returns when the brokers have acknowledged everything."""

    async def publish(self, alerts: Iterable[Alert]) -> None:
        """Put alerts on their topics, in order."""
        ...

    async def pass_on(self, windows: Iterable[Window]) -> None:
        """Put windows on the topic of those that declared jobs read or write, in order."""
        ...

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Put rows into the table: into its changelog first, then where ``rows`` finds them. Null deletes one."""
        ...

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        """The table."""
        ...


class WindowTap(Protocol):
    """Sees windows that are stored, each once, in between two observations."""

    def add(self, window: TopicWindow, partition: int) -> None:
        """A window whose last observation is in this partition of the log."""
        ...

    def drop(self) -> None:
        """Partitions were taken away."""
        ...


class Pipeline(Generic[E]):
    """One per worker. Observations are processed one after the other; windows close in between."""

    def __init__(
        self,
        detection: Detection,
        outlet: Outlet,
        store: MetricStore,
        acknowledge: Callable[[E], object],
        watch: MetricWatch,
        *,
        tap: WindowTap | None = None,
        muting: Muting | None = None,
        at_end: Callable[[int], bool] = lambda partition: True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``at_end``: whether a partition of the log has been read, and taken, to its end."""
        self._detection = detection
        self._outlet = outlet
        self._store = store
        self._clock = clock
        self._wall = wall
        self._acks: OrderedAcks[E] = OrderedAcks(acknowledge)
        self._windows: OpenWindows[Pending[E]] = OpenWindows(watch.window_seconds)
        self._watch = watch
        self._tap = tap
        self._muting = muting or Muting(AlertRules())
        self._clocks = LogClocks(clock, at_end)
        self._partitions: frozenset[int] = frozenset()
        self._made_up_for: set[int] = set()
        self._watched = 0
        self._looked = -RESUME_SECONDS
        self._turn = asyncio.Lock()
        self._assignment = 0
        # One thread: detectors may wait for the registry and points for the disk while Kafka's heartbeats go on.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="agents")

    async def take(self, partition: int, offset: int, value: bytes | None, event: E) -> None:
        """Process the observation at this position of the log.

        Raises:
            ConnectionFailed: the store cannot be written. The caller must stop the worker: nothing is acknowledged.
        """
        async with self._turn:
            assignment = self._begin()
            await self._make_up_for([partition])
            pending = self._acks.begin(partition, event)
            position = LogPosition(partition, offset)
            try:
                observation = await self._in_thread(lambda: decode_observation(value or b""))
            except DecodeError as error:
                # It cannot be understood any better later. `verify` reports it as well.
                _log.error("observation cannot be read", partition=partition, offset=offset, error=error.message)
                self._acks.done(pending)
                return
            self._clocks.heard(partition, observation.observed_at.timestamp())
            rows = self._outlet.rows
            outcome = await self._in_thread(lambda: self._detection.observe(observation, position, rows))
            await self._tell(partition, outcome, assignment)
            if assignment != self._assignment:
                return  # the partitions were taken away meanwhile: whoever has them now counts it
            due = await self._in_thread(
                lambda: self._windows.add(observation, position, pending, self._clock(), self._outlet.rows)
            )
            if due is None:
                self._acks.done(pending)
            else:
                await self._close(due, assignment)

    async def aside(self, work: Callable[[Mapping[bytes, bytes]], list[tuple[int, Outcome]]]) -> None:
        """Do something between two observations that follows from none. ``work`` is given the table's rows, in the
        thread of the detectors, and returns what it led to, by the partition whose rows it changes."""
        async with self._turn:
            assignment = self._begin()
            await self._make_up_for(self._partitions)
            rows = self._outlet.rows
            for partition, outcome in await self._in_thread(lambda: work(rows)):
                if assignment != self._assignment:
                    return  # whoever has the partitions now finds the same
                if partition in self._made_up_for:
                    await self._tell(partition, outcome, assignment)

    async def publish(self, alerts: list[Alert]) -> None:
        """Publish alerts that follow from no observation and change no state."""
        async with self._turn:
            await self._publish(alerts)

    async def store(self, points: Callable[[], list[Point]]) -> None:
        """Store points that follow from no observation. ``points`` is asked in the thread of the detectors."""
        async with self._turn:
            if found := await self._in_thread(points):
                await self._in_thread(lambda: self._store.write(found))

    async def close_due(self) -> None:
        """Store the windows that are over, also those in which nothing came. To be called about once a second."""
        async with self._turn:
            assignment = self._begin()
            await self._make_up_for(self._partitions)
            rows, partitions, now = self._outlet.rows, self._partitions, self._clock()
            if partitions and now - self._looked >= RESUME_SECONDS:
                taken = await self._in_thread(lambda: self._watch.resume(rows, partitions, RESUMED_AT_ONCE))
                self._looked = now if taken.all_there else self._looked
                await self._publish(taken.alerts)
            wall = self._wall()

            def known(partition: int) -> float:
                return self._clocks.known(partition, wall.timestamp())

            await self._close(self._windows.due(wall, self._clock(), known), assignment)
            if partitions and assignment == self._assignment:
                await self._close_silent(known, assignment)

    def recovered(self, partitions: Iterable[int]) -> None:
        """What is kept of these partitions, all that this worker has, is in the table now."""
        self._partitions = frozenset(partitions)

    def revoked(self) -> None:
        """Partitions are being taken away: all that is not stored will be read again."""
        self._assignment += 1
        self._partitions = frozenset()
        self._windows.drop()
        self._acks.drop()

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether something is being processed."""
        return self._turn.locked()

    @property
    def waiting(self) -> int:
        """Observations that are read and not acknowledged."""
        return self._acks.waiting

    async def _tell(self, partition: int, outcome: Outcome, assignment: int) -> None:
        told = self._muting.told(outcome.alerts)
        note = None
        if told and outcome.changed:
            note = written(partition, Outcome(tuple(told), outcome.changed), self._outlet.rows)
        if note is None:
            await self._carry_out(partition, told, outcome.changed)
            return
        await self._outlet.keep(partition, [(note.key, note.value)])
        if assignment == self._assignment:  # else whoever has the partition now finds the note, or finds it anew
            await self._carry_out(partition, told, (*outcome.changed, cleared(partition, self._outlet.rows)))

    async def _make_up_for(self, partitions: Iterable[int]) -> None:
        """Do what was noted and not done by whoever had these partitions before."""
        for partition in [each for each in partitions if each not in self._made_up_for]:
            left = noted(partition, self._outlet.rows)
            if left is not None:
                rows = (*left.changed, cleared(partition, self._outlet.rows))
                await self._carry_out(partition, list(left.alerts), rows)
            self._made_up_for.add(partition)

    async def _carry_out(self, partition: int, told: list[Alert], rows: Iterable[Changed]) -> None:
        await self._publish(told)
        if kept := [(row.key, row.value) for row in rows]:
            await self._outlet.keep(partition, kept)

    def _begin(self) -> int:
        """A turn begins: the number of the assignment."""
        if self._watched != self._assignment:  # not where partitions are taken away, which may be within a turn
            self._watched = self._assignment
            self._watch.drop()
            if self._tap is not None:
                self._tap.drop()
            self._clocks.drop()
            self._made_up_for.clear()
            self._looked = -RESUME_SECONDS
        return self._assignment

    async def _close(self, due: list[tuple[bytes, OpenWindow[Pending[E]]]], assignment: int) -> None:
        if not due or assignment != self._assignment:
            return
        with span("agents.windows", windows=len(due), observations=sum(len(each.waiting) for _, each in due)):
            await self._stored_and_judged(due, assignment)

    async def _stored_and_judged(self, due: list[tuple[bytes, OpenWindow[Pending[E]]]], assignment: int) -> None:
        watch, kept = self._watch, self._outlet.rows
        topics = [current.window.topic for _, current in due]
        await self._publish(await self._in_thread(lambda: watch.take_up(topics, kept)))
        await self._in_thread(
            lambda: self._store.write(
                point for _, current in due for point in current.window.points(watch.warmth(current.window.topic))
            )
        )
        frozen = await self._in_thread(lambda: _frozen(watch, due))
        if assignment != self._assignment:
            return
        await self._judge(frozen, assignment)
        if assignment == self._assignment:
            for _, current in due:
                if self._tap is not None:
                    self._tap.add(current.window, current.position.partition)
                for pending in current.waiting:
                    self._acks.done(pending)

    async def _close_silent(self, known: Callable[[int], float], assignment: int) -> None:
        busy = self._windows.topics
        rows = await self._in_thread(lambda: self._watch.freeze_silence(known, busy, SILENT_AT_ONCE))
        if rows and assignment == self._assignment:
            await self._judge(rows, assignment)

    async def _judge(self, frozen: Mapping[int, list[tuple[bytes, bytes]]], assignment: int) -> None:
        for partition, rows in frozen.items():
            await self._outlet.keep(partition, rows)
        if assignment == self._assignment:
            await self._publish(await self._in_thread(self._watch.judge))

    async def _publish(self, alerts: list[Alert]) -> None:
        windows = self._watch.passed()
        if windows:
            await self._outlet.pass_on(windows)
        if alerts:
            await self._outlet.publish(alerts)
            await self._in_thread(lambda: self._store.write(alert_points(alerts)))
            for alert in alerts:
                _log.info("alert published", topic=alert.key.decode(), alert=alert.event_id, channel=alert.channel)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # With its context: what is traced there is part of what is traced here.
        return await asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, work)


def _frozen(watch: MetricWatch, due: Iterable[tuple[bytes, OpenWindow[Any]]]) -> dict[int, list[tuple[bytes, bytes]]]:
    """The rows that freeze the windows, by partition of the log."""
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    for _, current in due:
        rows = watch.freeze(window_facts(current.window), current.position)
        found.setdefault(current.position.partition, []).extend(rows)
    return found
