"""One thread for each target, so that one that hangs holds up no other, and none of them the caller."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from stream_lineage.logs import get_logger, trail

Job = TypeVar("Job")
Result = TypeVar("Result")
_log = get_logger("stream_lineage.notify")


class Couriers(Generic[Job, Result]):
    """``offer`` a job under the name of whom it is for, one at a time for each; ``done`` gives what has ended.

    ``work`` may take its time; what it raises is ``failed``. Threads are daemons: a process that ends waits for none.
    """

    def __init__(
        self, what: str, work: Callable[[str, Job], Result], failed: Callable[[BaseException], Result]
    ) -> None:
        self._what = what
        self._work = work
        self._failed = failed
        self._offered: dict[str, queue.SimpleQueue[Job]] = {}
        self._ended: queue.SimpleQueue[tuple[str, Job, Result]] = queue.SimpleQueue()

    def offer(self, name: str, job: Job) -> None:
        """Have it done."""
        if name not in self._offered:
            self._offered[name] = queue.SimpleQueue()
            threading.Thread(target=self._run, args=(name,), name=f"{self._what}-{name}", daemon=True).start()
        self._offered[name].put(job)

    def done(self) -> list[tuple[str, Job, Result]]:
        """What has ended since this was asked last."""
        found = []
        while True:
            try:
                found.append(self._ended.get_nowait())
            except queue.Empty:
                return found

    def _run(self, name: str) -> None:
        while True:
            job = self._offered[name].get()
            try:
                result = self._work(name, job)
            except Exception as error:  # noqa: BLE001 - a thread that is gone would hold up its target for ever
                _log.error("an error of ours", what=self._what, whom=name, error=trail(error))
                result = self._failed(error)
            self._ended.put((name, job, result))
