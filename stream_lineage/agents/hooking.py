"""Doing what hooks say when there is an incident. What is begun is noted first, so that the next worker does not begin
it again.

A worker that has stood still may have lost the partition without knowing so yet. So what was noted is read back before
anything is done: Kafka has put the notes of all workers in one order, and the first one counts.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from stream_lineage.agents.clerk import Clerk, Notes, Told, ours
from stream_lineage.logs import get_logger
from stream_lineage.model.telemetry import Metric
from stream_lineage.notify.courier import Couriers
from stream_lineage.notify.hook_desk import Act, Done, HookDesk
from stream_lineage.notify.hook_record import ActionRecord, ActionState
from stream_lineage.notify.telemetry import hook_metrics

_log = get_logger("stream_lineage.notify")


class Hooking(Clerk[HookDesk, Act, Done, ActionRecord]):
    """The clerk of hooks."""

    def __init__(
        self, desk: Callable[[], HookDesk], run: Callable[[Act], Done], told: Told, notes: Notes[ActionRecord],
        **given: Any,
    ) -> None:  # fmt: skip
        self._counts: Counter[tuple[str, str]] = Counter()
        name = uuid.uuid4().hex

        def made() -> HookDesk:
            new = desk()
            new.counts, new.by = self._counts, name
            return new

        couriers: Couriers[tuple[int, Act], Done] = Couriers(
            "hook", lambda _, job: run(job[1]), lambda error: Done(ok=False, result=ours(error), unsure=True)
        )
        super().__init__(made, couriers, told, notes, **given)

    def metrics(self) -> Sequence[Metric]:
        return hook_metrics(dict(self._counts))

    def _begin(self) -> HookDesk:
        desk = super()._begin()
        self._unsaved += desk.left_over(self._now())
        names = [f"{hook.name} ({hook.mode})" for hook in desk.hooks.hooks]
        _log.info("this worker does what hooks say", hooks=names)
        return desk

    def _mine(self, desk: HookDesk, note: ActionRecord) -> bool:
        self._load(desk, self._notes.newer())
        begun = note.state is ActionState.BEGUN
        if begun and not desk.claimed(note):
            _log.warning("another worker does what a hook says", hook=note.hook, incident=note.incident)
            return False
        _log.info("hook", hook=note.hook, incident=note.incident, state=note.state.value, what=note.what)
        return begun

    def _ended(self, desk: HookDesk | None, job: Act, result: Done) -> ActionRecord:
        made = (desk or self._make_desk()).ended(job, result, self._now())
        _log.info("hook ended", hook=made.hook, incident=made.incident, state=made.state.value, result=made.result)
        return made

    def _gone(self) -> None:
        self._ends(None)  # it was done here
