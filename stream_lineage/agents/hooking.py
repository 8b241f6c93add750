"""Doing what hooks say when there is an incident, beside everything else. The worker that has the first partition of
the log does it; what is begun is noted first, so that the next worker does not begin it again.

A worker that has stood still may have lost the partition without knowing so yet. So what was noted is read back before
anything is done: Kafka has put the notes of all workers in one order, and the first one counts.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from stream_lineage.agents.notifying import Told
from stream_lineage.errors import StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.model.telemetry import Metric
from stream_lineage.notify.courier import Couriers
from stream_lineage.notify.hook_desk import Act, Done, HookDesk
from stream_lineage.notify.hook_record import ActionRecord, ActionState
from stream_lineage.notify.telemetry import hook_metrics

_log = get_logger("stream_lineage.notify")


class Noted(Protocol):
    """``lineage.actions``."""

    def records(self) -> list[tuple[bytes, ActionRecord | None]]: ...
    def newer(self) -> list[tuple[bytes, ActionRecord | None]]: ...
    def write(self, key: bytes, value: bytes | None) -> None: ...


class Hooking:
    """``turn`` now and then. ``here``: whether this worker is the one; ``ready``: whether owners are known."""

    def __init__(
        self,
        desk: Callable[[], HookDesk],
        run: Callable[[Act], Done],
        told: Told,
        noted: Noted,
        *,
        here: Callable[[], bool],
        ready: Callable[[], bool],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._make_desk = desk
        self._told = told
        self._noted = noted
        self._here = here
        self._ready = ready
        self._now = now
        self._name = uuid.uuid4().hex
        self._desk: HookDesk | None = None
        self._offset = 0
        self._round = 0
        self._unsaved: list[ActionRecord] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._couriers: Couriers[tuple[int, Act], Done] = Couriers(
            "hook",
            lambda _, job: run(job[1]),
            lambda error: Done(ok=False, result=f"an error of ours: {type(error).__name__}", unsure=True),
        )

    def turn(self) -> None:
        """Take in what is told, and do what is due.

        Raises:
            StreamLineageError: Kafka does not answer.
        """
        if not self._here():
            self._desk = None
            self._ends(None)
            return
        if self._desk is None:
            self._begin()
        desk = self._desk
        assert desk is not None  # noqa: S101 - begun above
        end = self._told.end()
        while self._offset < end:
            messages, self._offset = self._told.read(self._offset)
            for _, heard in messages:
                desk.take(heard)
        self._ends(desk)
        if not self._ready():
            return
        for act in desk.due(self._now()):
            if not self._here():
                return
            self._start(desk, act)

    def metrics(self) -> Sequence[Metric]:
        """Of each hook."""
        return hook_metrics(dict(self._counts))

    def _begin(self) -> None:
        desk = self._made()
        _load(desk, self._noted.records())
        self._round += 1
        self._offset = 0
        self._unsaved += desk.left_over(self._now())
        self._desk = desk
        names = [f"{hook.name} ({hook.mode})" for hook in desk.hooks.hooks]
        _log.info("this worker does what hooks say", hooks=names)

    def _start(self, desk: HookDesk, act: Act) -> None:
        record = desk.begun(act, self._now())
        try:
            self._noted.write(record.id.encode(), record.to_bytes())
            _load(desk, self._noted.newer())
        except StreamLineageError:
            desk.let_go(act)
            raise
        if record.state is ActionState.BEGUN and not desk.claimed(record):
            _log.warning("another worker does what a hook says", hook=record.hook, incident=record.incident)
            desk.let_go(act)
            return
        _log.info("hook", hook=record.hook, incident=record.incident, state=record.state.value, what=record.what)
        if record.state is ActionState.BEGUN:
            self._couriers.offer(act.hook.name, (self._round, act))

    def _made(self) -> HookDesk:
        desk = self._make_desk()
        desk.counts, desk.by = self._counts, self._name
        return desk

    def _ends(self, desk: HookDesk | None) -> None:
        """Note what has ended, also where another worker goes on: it was done here."""
        for _, (number, act), done in self._couriers.done():
            made = (desk if desk is not None and number == self._round else self._made()).ended(act, done, self._now())
            _log.info("hook ended", hook=made.hook, incident=made.incident, state=made.state.value, result=made.result)
            self._unsaved.append(made)
        while self._unsaved:
            self._noted.write(self._unsaved[0].id.encode(), self._unsaved[0].to_bytes())
            del self._unsaved[0]


def _load(desk: HookDesk, records: Iterable[tuple[bytes, ActionRecord | None]]) -> None:
    for _, record in records:
        if record is not None:
            desk.load(record)
