"""Telling people of incidents: what is told is handed to targets, and how far each has been told is noted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from stream_lineage.agents.clerk import Clerk, Notes, Told, ours
from stream_lineage.errors import DecodeError
from stream_lineage.logs import get_logger
from stream_lineage.model.telemetry import Metric
from stream_lineage.notify.courier import Couriers
from stream_lineage.notify.delivery import Delivery
from stream_lineage.notify.desk import Counts, Desk, Parcel
from stream_lineage.notify.matching import about
from stream_lineage.notify.message import incident_title
from stream_lineage.notify.sending import Heard, Later, Outcome, Sender
from stream_lineage.notify.telemetry import notify_metrics
from stream_lineage.provenance.incident_codec import incident_of

if TYPE_CHECKING:
    from confluent_kafka import Message

TIDY_SECONDS = 3600.0
_log = get_logger("stream_lineage.notify")


class Notifying(Clerk[Desk, Parcel, Outcome, Delivery]):
    """The clerk of messages."""

    def __init__(
        self, desk: Callable[[], Desk], senders: Mapping[str, Sender], told: Told, notes: Notes[Delivery], **given: Any
    ) -> None:
        couriers: Couriers[tuple[int, Parcel], Outcome] = Couriers(
            "notify",
            lambda name, job: senders[name].send(job[1].letter),
            lambda found: Later(ours(found), unsent=False),
        )
        super().__init__(desk, couriers, told, notes, **given)
        self._tidied = -math.inf
        self._counts: dict[str, Counts] = {}

    def turn(self) -> None:
        super().turn()
        if self._desk is not None and time.monotonic() - self._tidied >= TIDY_SECONDS:
            self._tidied = time.monotonic()
            for each in self._desk.outdated(self._now()):
                self._notes.write(each.key, None)

    def metrics(self) -> Sequence[Metric]:
        desk = self._desk
        return notify_metrics(dict(self._counts), {} if desk is None else dict(desk.waiting))

    def _begin(self) -> Desk:
        desk = super()._begin()
        desk.counts = self._counts = self._counts or desk.counts
        _log.info("this worker tells of incidents", targets=sorted(self._counts))
        return desk

    def _load(self, desk: Desk, records: Iterable[tuple[bytes, Delivery | None]]) -> None:
        super()._load(desk, dict(records).items())  # the newest of each

    def _taken(self, desk: Desk) -> None:
        desk.due(self._now())  # forgets what is long over

    def _unready(self, desk: Desk) -> None:
        desk.match_anew()

    def _ended(self, desk: Desk | None, job: Parcel, result: Outcome) -> Delivery | None:
        if desk is None:
            return None  # whoever does it now finds out by itself
        made = desk.ended(job, result, self._now())
        if made.error:
            _log.warning(
                "a message about an incident was not taken", target=made.target, incident=made.incident,
                state=made.state.value, failures=made.failures, reason=made.error,
            )  # fmt: skip
        else:
            _log.info("told of an incident", target=made.target, incident=made.incident, change=made.event)
        return made

    def _gone(self) -> None:
        self._couriers.done()
        self._unsaved.clear()  # nor may what it notes be written over


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
