"""Telling people of incidents, beside everything else: a thread that reads what is told and hands it to targets.

The worker that has the first partition of the log does it, from what is on Kafka alone: whichever worker has it next
goes on where this one was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import orjson

from stream_lineage.errors import DecodeError, StreamLineageError
from stream_lineage.logs import get_logger
from stream_lineage.model.telemetry import Metric
from stream_lineage.notify.courier import Couriers
from stream_lineage.notify.delivery import Delivery
from stream_lineage.notify.desk import Counts, Desk
from stream_lineage.notify.matching import about
from stream_lineage.notify.message import incident_title
from stream_lineage.notify.sending import Heard, Later, Letter, Outcome, Sender
from stream_lineage.notify.targets import Target
from stream_lineage.notify.telemetry import notify_metrics
from stream_lineage.provenance.incident_codec import incident_of

if TYPE_CHECKING:
    from confluent_kafka import Message

TIDY_SECONDS = 3600.0
_log = get_logger("stream_lineage.notify")


class Told(Protocol):
    """``lineage.incidents``."""

    def end(self) -> int: ...
    def read(self, start: int) -> tuple[list[tuple[int, Heard]], int]: ...


class Kept(Protocol):
    """``lineage.deliveries``."""

    def records(self) -> list[tuple[bytes, Delivery | None]]: ...
    def write(self, key: bytes, value: bytes | None) -> None: ...


class Notifying:
    """``turn`` now and then. ``here``: whether this worker is the one that tells; ``ready``: whether the
    owners of what is hit are known. Nothing of it is waited for by anybody else."""

    def __init__(
        self,
        desk: Callable[[], Desk],
        senders: Mapping[str, Sender],
        told: Told,
        kept: Kept,
        *,
        here: Callable[[], bool],
        ready: Callable[[], bool],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._make_desk = desk
        self._told = told
        self._kept = kept
        self._here = here
        self._ready = ready
        self._now = now
        self._desk: Desk | None = None
        self._offset = 0
        self._round = 0
        self._unsaved: dict[bytes, Delivery] = {}
        self._tidied = 0.0
        self._couriers: Couriers[tuple[int, Target, Letter], Outcome] = Couriers(
            "notify", lambda name, job: senders[name].send(job[2]), _ours
        )
        self._counts: dict[str, Counts] = {}

    def turn(self) -> None:
        """Take in what is told, and send what is due.

        Raises:
            StreamLineageError: Kafka does not answer.
        """
        if not self._here():
            self._desk = None
            self._couriers.done()  # whoever does it now finds out by itself
            return
        if self._desk is None:
            self._begin()
        desk = self._desk
        assert desk is not None  # noqa: S101 - begun above
        self._save()
        ready = self._ready()
        self._read(desk)
        for _, (number, target, letter), outcome in self._couriers.done():
            if number == self._round:
                self._ended(desk, target, letter, outcome)
        self._save()  # when all are taken in: one that cannot be noted now holds up no other target
        if not ready:
            desk.match_anew()
            return
        for target, letter in desk.due(self._now()):
            if not self._here():
                return
            self._send(desk, target, letter)
        self._tidy(desk)

    def metrics(self) -> Sequence[Metric]:
        """Of each target."""
        desk = self._desk
        return notify_metrics(dict(self._counts), {} if desk is None else dict(desk.waiting))

    def _begin(self) -> None:
        desk = self._make_desk()
        for each in dict(self._kept.records()).values():
            if each is not None:
                desk.load(each)
        desk.counts = self._counts = self._counts or desk.counts
        self._round += 1
        self._unsaved.clear()
        self._offset = 0
        self._desk = desk
        _log.info("this worker tells of incidents", targets=sorted(self._counts))

    def _read(self, desk: Desk) -> None:
        end = self._told.end()
        while True:
            messages, self._offset = self._told.read(self._offset)
            for _, heard in messages:
                desk.take(heard)
            if self._offset >= end:
                return
            desk.due(self._now())  # forgets what is long over

    def _send(self, desk: Desk, target: Target, letter: Letter) -> None:
        begun = desk.begun(target, letter, self._now())
        try:
            self._kept.write(begun.key, begun.to_bytes())
        except StreamLineageError:
            desk.let_go(target)
            raise
        self._couriers.offer(target.name, (self._round, target, letter))

    def _ended(self, desk: Desk, target: Target, letter: Letter, outcome: Outcome) -> None:
        made = desk.ended(target, letter, outcome, self._now())
        if made.error:
            _log.warning(
                "a message about an incident was not taken", target=target.name, incident=made.incident,
                state=made.state.value, failures=made.failures, reason=made.error,
            )  # fmt: skip
        else:
            _log.info("told of an incident", target=target.name, incident=made.incident, change=made.event)
        self._unsaved[made.key] = made

    def _save(self) -> None:
        for key, each in list(self._unsaved.items()):
            self._kept.write(key, each.to_bytes())
            del self._unsaved[key]

    def _tidy(self, desk: Desk) -> None:
        if time.monotonic() - self._tidied < TIDY_SECONDS and self._tidied:
            return
        self._tidied = time.monotonic()
        for each in desk.outdated(self._now()):
            self._kept.write(each.key, None)


def heard(message: Message) -> Heard:
    """What a message on ``lineage.incidents`` says.

    Raises:
        DecodeError: it is no incident.
    """
    value = message.value() or b""
    incident_of(value)
    document = orjson.loads(value)
    try:
        about(document, lambda _: ())
        incident_title(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DecodeError(f"no incident: {type(error).__name__} in its cause") from error
    headers = dict(message.headers() or [])
    event_id, source = (bytes(headers.get(name) or b"").decode(errors="replace") for name in ("ce_id", "ce_source"))
    if not event_id:
        raise DecodeError("no incident: it has no ce_id")
    return Heard(document, event_id, source)


def _ours(error: BaseException) -> Later:
    return Later(f"an error of ours: {type(error).__name__}", unsent=False)
