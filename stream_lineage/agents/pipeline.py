"""What is done with one observation, in the order that makes a crash harmless.

1. The detectors run. 2. Their alerts are on their topics, acknowledged by the brokers. 3. Their states are in the
changelog, acknowledged. 4. The observation counts in its topic's window; when a window closes, its points are in the
store, then the note that it is closed is in the changelog. 5. The observation is acknowledged to Kafka.

After a crash anywhere, what comes next is done again with the same result: alerts have the same ids, states and closed
windows know the log position up to which they hold, points replace themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from stream_lineage.agents.acks import OrderedAcks, Pending
from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.detection import Detection, LogPosition, Outcome
from stream_lineage.agents.windows import OpenWindow, OpenWindows
from stream_lineage.errors import DecodeError
from stream_lineage.logs import get_logger
from stream_lineage.provenance.codec import decode_observation
from stream_lineage.store.ports import MetricStore

E = TypeVar("E")
T = TypeVar("T")
_log = get_logger("stream_lineage.agents")


class Outlet(Protocol):
    """What the pipeline writes to. Each call returns when the brokers have acknowledged everything."""

    async def publish(self, alerts: Iterable[Alert]) -> None:
        """Put alerts on their topics, in order."""
        ...

    async def keep(self, partition: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Put rows into the table: into its changelog first, then where ``rows`` finds them."""
        ...

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        """The table."""
        ...


class Pipeline(Generic[E]):
    """One per worker. Observations are processed one after the other; windows close in between."""

    def __init__(
        self,
        detection: Detection,
        outlet: Outlet,
        store: MetricStore,
        acknowledge: Callable[[E], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._detection = detection
        self._outlet = outlet
        self._store = store
        self._clock = clock
        self._wall = wall
        self._acks: OrderedAcks[E] = OrderedAcks(acknowledge)
        self._windows: OpenWindows[Pending[E]] = OpenWindows()
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
            assignment = self._assignment
            pending = self._acks.begin(partition, event)
            position = LogPosition(partition, offset)
            try:
                observation = await self._in_thread(lambda: decode_observation(value or b""))
            except DecodeError as error:
                # It cannot be understood any better later. `verify` reports it as well.
                _log.error("observation cannot be read", partition=partition, offset=offset, error=error.message)
                self._acks.done(pending)
                return
            rows = self._outlet.rows
            outcome = await self._in_thread(lambda: self._detection.observe(observation, position, rows))
            await self._tell(partition, outcome)
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
            assignment = self._assignment
            rows = self._outlet.rows
            for partition, outcome in await self._in_thread(lambda: work(rows)):
                if assignment != self._assignment:
                    return  # whoever has the partitions now finds the same
                await self._tell(partition, outcome)

    async def close_due(self) -> None:
        """Store the windows that are over. To be called about once a second."""
        async with self._turn:
            await self._close(self._windows.due(self._wall(), self._clock()), self._assignment)

    def revoked(self) -> None:
        """Partitions are being taken away: all that is not stored will be read again."""
        self._assignment += 1
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

    async def _tell(self, partition: int, outcome: Outcome) -> None:
        if outcome.alerts:
            await self._outlet.publish(outcome.alerts)
            for alert in outcome.alerts:
                _log.info("alert published", topic=alert.key.decode(), alert=alert.event_id, channel=alert.channel)
        if outcome.changed:
            await self._outlet.keep(partition, [(row.key, row.value) for row in outcome.changed])

    async def _close(self, due: list[tuple[bytes, OpenWindow[Pending[E]]]], assignment: int) -> None:
        if not due or assignment != self._assignment:
            return
        await self._in_thread(
            lambda: self._store.write(point for _, current in due for point in current.window.points())
        )
        for key, current in due:
            await self._outlet.keep(current.position.partition, [(key, current.stored())])
        if assignment == self._assignment:
            for _, current in due:
                for pending in current.waiting:
                    self._acks.done(pending)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
