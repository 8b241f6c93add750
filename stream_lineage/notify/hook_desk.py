"""Which hooks are due. Pure: time is an argument, what is to be noted and to be done is given back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from stream_lineage.notify.hook_record import FINAL, ActionRecord, ActionState
from stream_lineage.notify.hook_rules import Hook, Hooks
from stream_lineage.notify.links import step_name
from stream_lineage.notify.matching import About, OwnersOf, about
from stream_lineage.notify.sending import Heard

NEWS = timedelta(minutes=15)
"""A change of an incident that is older starts nothing, and what could not be done until then is given up."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 2.0, 120.0
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Act:
    """An action that is to be done now."""

    hook: Hook
    heard: Heard
    found: About
    record: ActionRecord

    @property
    def name(self) -> str:
        """Of the hook."""
        return self.hook.name

    @property
    def live(self) -> bool:
        return self.hook.mode == "live"


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it. ``again``: it was not done, and may be tried again, after so many seconds where it is said;
    ``unsure``: it may have been done."""

    ok: bool
    result: str
    seconds: float = 0.0
    again: bool = False
    unsure: bool = False
    wait_seconds: float | None = None


@dataclass(slots=True)
class HookDesk:
    """``load`` what was noted, ``take`` what is told of incidents; ``due`` gives what is to be done, and ``begun`` and
    ``ended`` what is to be noted of it. ``left_over`` is what an earlier worker began and did not end.

    What ``begun`` gives is done only if it is ``claimed`` once it was noted and all that was noted before was loaded:
    of two workers that begin the same, the one whose note came first does it. ``by`` is this one's name.
    """

    hooks: Hooks
    owners_of: OwnersOf
    by: str = ""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of what ended, by hook and state."""
    _known: dict[str, ActionRecord] = field(default_factory=dict)
    _started: dict[str, list[datetime]] = field(default_factory=dict)
    _incidents: dict[str, Heard] = field(default_factory=dict)
    _about: dict[str, tuple[int, About]] = field(default_factory=dict)
    _failures: Counter[str] = field(default_factory=Counter)
    _not_before: dict[str, datetime] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)

    def load(self, record: ActionRecord) -> None:
        """What was noted, in order."""
        before = self._known.get(record.id)
        if record.state is ActionState.BEGUN and before is not None and not _free(before, record.by):
            return  # it came too late: another worker does it, or it is over
        self._known[record.id] = record
        if before is None and record.state in (ActionState.BEGUN, ActionState.DRY_RUN):
            self._started.setdefault(record.hook, []).append(record.at)

    def left_over(self, now: datetime) -> list[ActionRecord]:
        """What may have been done by a worker that ended: noted as unknown; where to do it twice is no harm, it is done
        again."""
        repeatable = {each.name for each in self.hooks.hooks if each.repeatable}
        found = []
        for record in list(self._known.values()):
            if record.state is ActionState.BEGUN:
                state = ActionState.LATER if record.hook in repeatable else ActionState.UNKNOWN
                made = replace(record, state=state, at=now, result="the worker that began it has ended", by=self.by)
                self._known[record.id] = made
                if state is ActionState.UNKNOWN:
                    self.counts[record.hook, state.value] += 1
                found.append(made)
        return found

    def take(self, heard: Heard) -> None:
        """What is told of an incident."""
        known = self._incidents.get(heard.id)
        if known is None or known.revision < heard.revision:
            self._incidents[heard.id] = heard

    def due(self, now: datetime) -> Iterator[Act]:
        """What is to be done: one action of a hook at a time."""
        for name, heard in list(self._incidents.items()):
            if now - datetime.fromisoformat(heard.document["updated_at"]).astimezone(UTC) > NEWS:
                del self._incidents[name]
                self._about.pop(name, None)
                continue
            known = self._about.get(name)
            if known is None or known[0] != heard.revision:
                known = self._about[name] = heard.revision, about(heard.document, self.owners_of)
            for hook in self.hooks.hooks:
                act = self._act(hook, heard, known[1], now)
                if act is not None and hook.name not in self._busy:
                    yield act

    def limited(self, act: Act, now: datetime) -> bool:
        """Whether there were too many of a hook within an hour."""
        started = [at for at in self._started.get(act.hook.name, ()) if now - at < _HOUR]
        self._started[act.hook.name] = started
        return act.record.id not in self._known and len(started) >= act.hook.most_per_hour

    def begun(self, act: Act, now: datetime) -> ActionRecord:
        """What is to be noted before it is done; of a dry run, and of what is too much, that is all."""
        state = ActionState.BEGUN if act.live else ActionState.DRY_RUN
        if self.limited(act, now):
            state = ActionState.LIMITED
        made = replace(act.record, state=state, at=now, by=self.by)
        if state is ActionState.BEGUN:
            self._busy.add(act.hook.name)
        else:
            self.counts[act.hook.name, state.value] += 1
        return made

    def claimed(self, record: ActionRecord) -> bool:
        """Whether what has begun is to be done here, by what was noted until now."""
        known = self._known.get(record.id)
        return known is not None and (known.state, known.by) == (ActionState.BEGUN, self.by)

    def let_go(self, act: Act) -> None:
        """It could not be noted, or another worker does it: it is not done."""
        self._busy.discard(act.hook.name)

    def ended(self, act: Act, done: Done, now: datetime) -> ActionRecord:
        """What is to be noted after it."""
        self._busy.discard(act.hook.name)
        key = act.record.id
        told = datetime.fromisoformat(act.heard.document["updated_at"]).astimezone(UTC)
        state = ActionState.DONE if done.ok else ActionState.FAILED
        if not done.ok and done.unsure and not act.hook.repeatable:
            state = ActionState.UNKNOWN
        elif not done.ok and (done.again or (done.unsure and act.hook.repeatable)):
            self._failures[key] += 1
            wait = done.wait_seconds
            if wait is None:
                wait = min(FIRST_WAIT_SECONDS * 2 ** min(self._failures[key] - 1, 10), LONGEST_WAIT_SECONDS)
            self._not_before[key] = now + timedelta(seconds=wait)
            if self._not_before[key] - told <= NEWS:
                state = ActionState.LATER
        made = replace(act.record, state=state, at=now, result=done.result, seconds=round(done.seconds, 3), by=self.by)
        self._known[key] = made
        if state is not ActionState.LATER:
            self.counts[act.hook.name, state.value] += 1
            self._failures.pop(key, None)
            self._not_before.pop(key, None)
        return made

    def _act(self, hook: Hook, heard: Heard, found: About, now: datetime) -> Act | None:
        if heard.document.get("merged_into") is not None:
            return None  # it is closed, and what it was about is not over: the other incident tells of that
        if found.event not in hook.on or not hook.when.fits(found):
            return None
        kinds, node = ", ".join(found.kinds), step_name(found.nodes[0])
        why = f"{found.severity}, {kinds}, {node}, confidence {found.confidence:.2f}"
        record = ActionRecord(
            hook.name, heard.id, found.event, int(heard.document["reopened"]), ActionState.BEGUN, now, hook.said(), why
        )
        known = self._known.get(record.id)
        if known is not None and (not _free(known, self.by) or now < self._not_before.get(record.id, now)):
            return None
        return Act(hook, heard, found, record)


def _free(known: ActionRecord, by: str) -> bool:
    """Whether a worker may begin what this was noted of last."""
    return known.state not in FINAL and (known.state is not ActionState.BEGUN or known.by == by)
