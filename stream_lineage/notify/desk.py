"""Who is to be told what next. Pure: time is an argument, what is to be kept and to be sent is given back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from stream_lineage.notify.delivery import Delivery, DeliveryState
from stream_lineage.notify.matching import About, OwnersOf, about
from stream_lineage.notify.message import incident_title
from stream_lineage.notify.sending import Heard, Letter, Outcome, Refused, Sent
from stream_lineage.notify.targets import Notifications, SlackWebhookTarget, Target

NEWS = timedelta(hours=1)
"""An incident that is over for longer, and that a target never heard of, is not told any more."""
KEPT = timedelta(days=30)
"""How long it is kept how an incident that is over was told."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, LONGEST_ASKED_SECONDS = 1.0, 300.0, 3600.0
"""After a first failure; after many; of what a target may ask for."""
_AT_ONCE = ("cause", "escalated", "resolved", "reopened")
"""What no first message waits for any more."""


@dataclass(slots=True)
class Counts:
    """Of one target, since the start of the process: attempts by how they ended, and messages that were given up."""

    sent: int = 0
    failed: int = 0
    refused: int = 0
    dead: int = 0


class Parcel(NamedTuple):
    """A letter, and whom it is for."""

    target: Target
    letter: Letter

    @property
    def name(self) -> str:
        return self.target.name


@dataclass(slots=True)
class _Held:
    """A target that failed: nothing is sent to it before ``until``."""

    failures: int = 0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Wanted:
    target: Target
    heard: Heard
    found: About
    delivery: Delivery | None
    at: datetime


@dataclass(slots=True)
class Desk:
    """``load`` what was kept, ``take`` what is told of incidents; ``due`` gives what is to be sent now, ``begun`` and
    ``ended`` what is to be kept of it. A target that was never told of anything is told of incidents that are over only
    if they began after ``since``; those that are not over are told to each.
    """

    notifications: Notifications
    owners_of: OwnersOf
    give_up: timedelta
    since: datetime
    chance: Callable[[], float] = random.random
    deliveries: dict[tuple[str, str], Delivery] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)
    _incidents: dict[str, Heard] = field(default_factory=dict)
    _held: dict[str, _Held] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _waiting: dict[str, int] = field(default_factory=dict)
    _about: dict[str, tuple[int, About]] = field(default_factory=dict)
    _known_since: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in self.notifications.targets:
            self.counts[each.name] = Counts()
            self._held[each.name] = _Held()

    def load(self, delivery: Delivery) -> None:
        """What was kept of a pair."""
        self.deliveries[delivery.target, delivery.incident] = delivery
        first = self._known_since.get(delivery.target)
        self._known_since[delivery.target] = delivery.at if first is None else min(first, delivery.at)

    def forget(self, target: str, incident: str) -> None:
        """Nothing is kept of a pair any more."""
        self.deliveries.pop((target, incident), None)

    def let_go(self, parcel: Parcel) -> None:
        """What was begun was not sent: it could not be noted."""
        self._busy.discard(parcel.name)

    def take(self, heard: Heard) -> None:
        """What is told of an incident."""
        known = self._incidents.get(heard.id)
        if known is None or known.revision < heard.revision:
            self._incidents[heard.id] = heard

    def match_anew(self) -> None:
        """Whose an incident is was not known so far."""
        self._about.clear()

    def due(self, now: datetime) -> list[Parcel]:
        """The next letter for each target that is free, the longest due first."""
        first: dict[str, _Wanted] = {}
        self._waiting = dict.fromkeys(self.counts, 0)
        for name, heard in list(self._incidents.items()):
            wanted = list(self._wanted(heard, now))
            if not wanted and _over_for(heard, now) > NEWS:
                del self._incidents[name]
                self._about.pop(name, None)
            for each in wanted:
                self._waiting[each.target.name] += 1
                best = first.get(each.target.name)
                if each.at <= now and (best is None or _order(each) < _order(best)):
                    first[each.target.name] = each
        return [
            Parcel(each.target, _letter(each))
            for name, each in first.items()
            if name not in self._busy and self._held[name].until <= now.timestamp()
        ]

    @property
    def waiting(self) -> Mapping[str, int]:
        """Messages that each target is to hear and has not, as of when ``due`` was asked last."""
        return self._waiting

    def begun(self, parcel: Parcel, now: datetime) -> Delivery:
        """What is to be kept before it is sent: whoever goes on after a crash knows that it may have arrived."""
        target, letter = parcel
        self._busy.add(target.name)
        before = self.deliveries.get((target.name, letter.heard.id))
        made = replace(
            before or Delivery(target.name, letter.heard.id, DeliveryState.WAITING, now),
            state=DeliveryState.WAITING, at=now, tried=letter.heard.revision, event=letter.event,
            title=incident_title(letter.heard.document), trying=True,
        )  # fmt: skip
        self.load(made)
        return made

    def ended(self, parcel: Parcel, outcome: Outcome, now: datetime) -> Delivery:
        """What is to be kept after it was sent, or was not."""
        target, letter = parcel
        self._busy.discard(target.name)
        before = self.deliveries[target.name, letter.heard.id]
        counts, held = self.counts[target.name], self._held[target.name]
        if isinstance(outcome, Sent):
            counts.sent += 1
            self._held[target.name] = _Held()
            made = replace(
                before, state=DeliveryState.SENT, at=now, revision=letter.heard.revision, trying=False, failures=0,
                reference=outcome.reference or before.reference, failing_since=None, error="",
            )  # fmt: skip
        elif isinstance(outcome, Refused):
            counts.refused += 1
            self._held[target.name] = _Held()  # it answered
            made = replace(
                before, state=DeliveryState.REFUSED, at=now, trying=False, failures=before.failures + 1,
                failing_since=before.failing_since or now, error=outcome.reason,
            )  # fmt: skip
        else:
            counts.refused += outcome.refused
            counts.failed += not outcome.refused
            held.failures += 1
            held.until = now.timestamp() + self._wait(held.failures, outcome.seconds)
            since = before.failing_since or now
            dead = now - since > self.give_up
            counts.dead += dead
            made = replace(
                before, state=DeliveryState.DEAD if dead else DeliveryState.WAITING, at=now,
                trying=letter.again or not outcome.unsent, failures=before.failures + 1, failing_since=since,
                error=outcome.reason,
            )  # fmt: skip
        self.load(made)
        return made

    def outdated(self, now: datetime) -> list[Delivery]:
        """What need not be kept any more; it is forgotten."""
        gone = [
            each for each in self.deliveries.values() if each.incident not in self._incidents and now - each.at > KEPT
        ]
        for each in gone:
            del self.deliveries[each.target, each.incident]
        return gone

    def _wanted(self, heard: Heard, now: datetime) -> Iterable[_Wanted]:
        found = self._matched(heard)
        told = self.notifications.told(found)
        for target in self.notifications.targets:
            delivery = self.deliveries.get((target.name, heard.id))
            if delivery is None and target.name not in told:
                continue
            at = self._when(target, heard, found, delivery, now)
            if at is not None:
                yield _Wanted(target, heard, found, delivery, at)

    def _matched(self, heard: Heard) -> About:
        known = self._about.get(heard.id)
        if known is None or known[0] != heard.revision:
            known = self._about[heard.id] = heard.revision, about(heard.document, self.owners_of)
        return known[1]

    def _when(
        self, target: Target, heard: Heard, found: About, delivery: Delivery | None, now: datetime
    ) -> datetime | None:
        """From when on a target is to be told; null where it is not."""
        opened = datetime.fromisoformat(heard.document["opened_at"]).astimezone(UTC)
        if delivery is None:
            if found.event == "resolved":
                fresh = opened >= self._known_since.get(target.name, self.since) and _over_for(heard, now) <= NEWS
                return now if fresh and "resolved" in target.tell else None
            if found.event not in target.tell and "opened" not in target.tell:
                return None
            return opened if found.event in _AT_ONCE else opened + timedelta(seconds=target.wait_seconds)
        if delivery.state is DeliveryState.WAITING:
            return delivery.at
        if heard.revision <= delivery.tried or found.event not in target.tell:
            return None
        if isinstance(target, SlackWebhookTarget) and delivery.event == found.event != "updated":
            return None  # it says the same once more, and cannot change what it said
        return delivery.at + timedelta(seconds=target.pause_seconds)

    def _wait(self, failures: int, asked: float | None) -> float:
        if asked is not None:
            return min(asked, LONGEST_ASKED_SECONDS)
        longest = min(FIRST_WAIT_SECONDS * 2 ** min(failures - 1, 20), LONGEST_WAIT_SECONDS)
        return float(longest * (0.5 + self.chance() / 2))


def _letter(wanted: _Wanted) -> Letter:
    delivery = wanted.delivery
    return Letter(
        wanted.heard, wanted.found.event, wanted.found.owners,
        None if delivery is None else delivery.reference, delivery is not None and delivery.trying,
    )  # fmt: skip


def _order(wanted: _Wanted) -> tuple[int, datetime]:
    """What has failed least first: one message that fails for ever holds up no other."""
    return (0 if wanted.delivery is None else wanted.delivery.failures, wanted.at)


def _over_for(heard: Heard, now: datetime) -> timedelta:
    """Zero while it is not over."""
    resolved = heard.document["resolved_at"]
    return timedelta(0) if resolved is None else now - datetime.fromisoformat(resolved).astimezone(UTC)
