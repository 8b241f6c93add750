"""Runs on their way out: measured, made into events and sent by a thread of their own.

The application only appends to a queue. What there is no room for is dropped and counted: neither the number of runs
that wait is unbounded, nor the memory of the frames that they hold.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any

from stream_lineage.frames.held import Held, no_rows
from stream_lineage.sdk.destinations import Destination, Undelivered, destination
from stream_lineage.sdk.guard import Notices

if TYPE_CHECKING:
    from stream_lineage.sdk.runs import Run, Use

DISABLED_VARIABLE = "OPENLINEAGE_DISABLED"
MOST_WAITING = 1_000
"""Beginnings and ends of runs that nobody has looked at yet; and likewise events that could not be sent yet."""
MOST_HELD_BYTES = 1 << 30
"""Of frames that wait to be looked at. One frame may have more, if no other one waits."""
EXIT_SECONDS = 5.0
"""How long a process that ends waits for its last events to be sent."""
_RETRY_SECONDS = (1.0, 5.0, 30.0, 60.0)
_IDLE_SECONDS = 1.0


class Ending(StrEnum):
    """How a run has ended, as OpenLineage calls it; ``NONE``: it has begun."""

    NONE = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


@dataclass(slots=True)
class RunCounts:
    """What became of the runs of this process, about. ``sent``: events that arrived. ``dropped``: events for which the
    queue had no room. ``refused``: events that whoever they were sent to did not want. ``unmeasured``: frames of which
    only rows and columns are known, since too many waited. ``failed``: errors of ours."""

    sent: int = 0
    dropped: int = 0
    refused: int = 0
    unmeasured: int = 0
    failed: int = 0


class RunSender:
    """``put`` never waits. ``destinations`` gives where to send to; null: nobody knows yet."""

    def __init__(
        self,
        destinations: Callable[[], Destination | None] = destination,
        *,
        most_waiting: int = MOST_WAITING,
        most_held_bytes: int = MOST_HELD_BYTES,
    ) -> None:
        self.counts = RunCounts()
        self._destinations = destinations
        self._most = most_waiting
        self._most_bytes = most_held_bytes
        self._notices = Notices()
        self._fresh()

    def _fresh(self) -> None:
        """As in a process that has just begun: threads and locks do not outlive a fork."""
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Run, Ending | None, tuple[Any, ...]]] = deque()
        self._events: deque[Mapping[str, Any]] = deque()
        self._put = 0
        self._settled = 0
        self._bytes = 0
        self._woken = False
        self._ending = False
        self._thread: threading.Thread | None = None

    def forked(self) -> None:
        """This is a child of the process that had runs waiting: they are its parent's."""
        self.counts = RunCounts()
        self._fresh()

    def __reduce__(self) -> str:
        """Decorated functions that go to another process by value (joblib, Spark, Ray) find that process's own one."""
        return "RUNS"

    # For runs

    @property
    def enabled(self) -> bool:
        return os.environ.get(DISABLED_VARIABLE, "").strip().lower() not in ("true", "1", "t")

    def quietly(self) -> Quietly:
        """What goes wrong inside is counted and said in the log, and no more."""
        return Quietly(self)

    def failed(self, error: BaseException) -> None:
        self.counts.failed += 1
        self._notices.tell("run", "a run could not be told", error)

    def admitted(self, found: Held) -> Held:
        """The frame, to be held until it is measured; where there is no room for it, what is known of it at once."""
        with self._changed:
            if not self._bytes or self._bytes + found.bytes <= self._most_bytes:
                self._bytes += found.bytes
                return found
        self.counts.unmeasured += 1
        self._notices.tell("unmeasured", "frames come faster than they can be measured")
        known = found.describe()

        def described() -> Any:
            return known

        return Held(0, described, described)

    def empty(self, key: tuple[str, ...]) -> Held:
        """A list without rows."""
        none = no_rows(key)
        return Held(0, lambda: none, lambda: none)

    def put(self, run: Run, ending: Ending) -> None:
        """A run has begun, or ended."""
        if not self.enabled:
            self._release(run)
            return
        # What it reads and writes as far as is known now; later ones are told at its end.
        uses = (tuple(run.inputs), tuple(run.outputs))
        with self._changed:
            self._put += 1
            if len(self._waiting) >= self._most:
                self._drop(1)
                full = True
            else:
                self._waiting.append((run, ending, uses))
                full = False
                self._changed.notify_all()
        if full:
            self._notices.tell("dropped", "runs come faster than they can be told, and are dropped")
            if ending is not Ending.NONE:
                self._release(run)
        self._start()

    def look(self, run: Run) -> None:
        """A run goes on and has frames that may be measured."""
        with self._changed:
            if len(self._waiting) < self._most:
                self._waiting.append((run, None, (tuple(run.inputs), tuple(run.outputs))))
                self._changed.notify_all()
        self._start()

    def wait(self, seconds: float) -> bool:
        """Whether all that was put until now was sent, refused or dropped, at the latest after so long."""
        with self._changed:
            put = self._put
            if self._settled >= put:
                return True
            return self._changed.wait_for(lambda: self._settled >= put, max(seconds, 0.0))

    def wake(self) -> None:
        """There may be somewhere to send to now."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def at_exit(self) -> None:
        """Wait a little, if there is anywhere to send to; once."""
        with self.quietly():
            if self._ending:
                return
            self._ending = True
            if self._settled < self._put and self._destinations() is not None:
                self.wait(EXIT_SECONDS)

    def _release(self, run: Run) -> None:
        for use in (*run.inputs, *run.outputs):
            waiting, use.waiting = use.waiting, []
            with self._changed:
                self._bytes -= sum(each.bytes for each in waiting)

    def _drop(self, events: int) -> None:
        self.counts.dropped += events
        self._settled += events
        self._changed.notify_all()

    # The thread

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="lineage-runs", daemon=True)
                self._thread.start()
                self._end_with_multiprocessing()

    def _end_with_multiprocessing(self) -> None:
        """Processes that it forks end without ``atexit``."""
        util, process = (sys.modules.get(f"multiprocessing.{name}") for name in ("util", "process"))
        if util is not None and process is not None and process.parent_process() is not None:
            util.Finalize(None, self.at_exit, exitpriority=0)

    def _work(self) -> None:
        failures, again = 0, 0.0
        while True:
            with self._changed:
                timeout = _IDLE_SECONDS if self._events else None
                self._changed.wait_for(lambda: self._waiting or self._woken, timeout)
                item = self._waiting.popleft() if self._waiting else None
                if self._woken:
                    self._woken, again = False, 0.0
            if item is not None:
                self._take(*item)
                del item  # and the frames with it
            if not self._events or time.monotonic() < again:
                continue
            try:
                self._send()
                failures, again = 0, 0.0
            except Undelivered as error:
                again = time.monotonic() + _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
                failures += 1
                self._notices.tell("undelivered", f"runs cannot be told: {error}")
            except Exception as error:  # noqa: BLE001  (told, and tried again)
                again = time.monotonic() + _RETRY_SECONDS[-1]
                self.failed(error)

    def _take(self, run: Run, ending: Ending | None, uses: tuple[Any, ...]) -> None:
        """Measure what a run holds, and make an event of it."""
        from stream_lineage.sdk.run_events import run_event_of

        for use in (*uses[0], *uses[1]):
            while True:
                try:
                    part = use.waiting.pop(0)
                except IndexError:  # or the application has let go of them meanwhile
                    break
                self._measure(use, part)
                with self._changed:
                    self._bytes -= part.bytes
                del part
        if ending is None:
            return
        try:
            event = run_event_of(run, ending, *uses)
        except Exception as error:  # noqa: BLE001  (counted)
            self.failed(error)
            with self._changed:
                self._settled += 1
                self._changed.notify_all()
            return
        with self._changed:
            if len(self._events) >= self._most:
                self._events.popleft()
                self._drop(1)
            self._events.append(event)

    def _measure(self, use: Use, part: Held) -> None:
        """Where it cannot be measured, rows and columns are something."""
        for looked_at in (part.measure, part.describe):
            try:
                found = looked_at()
                use.measure = found if use.measure is None else use.measure.plus(found)
                return
            except BaseException as error:  # noqa: BLE001  (whatever its library raises: a panic of Polars is no Exception)
                use.whole = False
                self.failed(error)

    def _send(self) -> None:
        """All events that wait, in order.

        Raises:
            Undelivered: one of them, and those behind it, did not arrive.
        """
        where = self._destinations()
        if where is None:
            return
        while self._events:
            portion = [self._events[0]] if where.one_by_one else list(self._events)
            refused = where.send(portion)
            self.counts.refused += refused
            self.counts.sent += len(portion) - refused
            if refused:
                self._notices.tell("refused", "runs are told, but whoever is told refuses some of them")
            with self._changed:
                for _ in portion:
                    self._events.popleft()
                self._settled += len(portion)
                self._changed.notify_all()


class Quietly:
    """Around whatever may go wrong: applications are not disturbed."""

    __slots__ = ("_sender",)

    def __init__(self, sender: RunSender) -> None:
        self._sender = sender

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._sender.failed(error)
        return True


RUNS = RunSender()
"""Those of this process."""
atexit.register(RUNS.at_exit)
os.register_at_fork(after_in_child=RUNS.forked)


def run_counts() -> RunCounts:
    """What became of the runs of this process, until now."""
    return replace(RUNS.counts)
