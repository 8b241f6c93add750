"""Whom people are told of incidents through, as commands look at it: tests of targets, and who was told."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from stream_lineage.connections import log_reader
from stream_lineage.errors import DecodeError, NotFound
from stream_lineage.logs import get_logger
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentBreach, IncidentState, Member
from stream_lineage.notify.delivery import Delivery, delivery_from
from stream_lineage.notify.hook_desk import Act
from stream_lineage.notify.hook_record import ActionRecord, ActionState, action_from
from stream_lineage.notify.hook_rules import Hook, read_hooks
from stream_lineage.notify.links import Links
from stream_lineage.notify.matching import Event, OwnersOf, about
from stream_lineage.notify.post import caller
from stream_lineage.notify.senders import sender
from stream_lineage.notify.sending import Heard, Letter, Outcome
from stream_lineage.notify.targets import Target, read_notifications
from stream_lineage.provenance.incident_codec import incident_document
from stream_lineage.provenance.log import read_messages
from stream_lineage.provenance.topics import ACTIONS, DELIVERIES
from stream_lineage.settings import Settings

_log = get_logger("stream_lineage.notify")


def links(settings: Settings) -> Links:
    """Where messages lead."""
    return settings.notify.links(settings.agents.public_url)


def tried(settings: Settings, only: Sequence[str] = ()) -> Iterator[tuple[Target, Outcome]]:
    """Send each target, or those of these names, a message that says it is a test.

    Raises:
        SettingsError: the file of targets cannot be used.
        NotFound: there is no target of a name, or none at all.
    """
    known = {each.name: each for each in read_notifications(settings.notify.notifications).targets}
    if not known:
        raise NotFound("there are no targets", hint="`notifications` names the file of them: docs/notifications.md.")
    for name in only:
        if name not in known:
            raise NotFound(f"there is no target {name}", hint=f"There are {', '.join(sorted(known))}.")
    wanted = settings.notify
    calls = caller(wanted.policy, seconds=wanted.notify_timeout_seconds, ca_location=wanted.notify_ca_location)
    for name in only or known:
        letter = Letter(trial_message(settings), "opened")
        yield known[name], sender(known[name], calls, links(settings)).send(letter)


def trial_message(settings: Settings) -> Heard:
    """An incident that is none, and says so."""
    now, name = datetime.now(UTC), uuid.uuid4().hex
    summary = "This is a test of stream-lineage's notifications: nothing is wrong."
    node = "dataset:test/this-is-a-test"
    member = Member(name, name, "test", Severity.INFO, "this-is-a-test", None, None, node, summary, now, now, once=True)
    made = Incident(
        name, IncidentState.OPEN, 1, Severity.INFO, now, now, IncidentBreach(node, None, None, now), (member,)
    )
    document = incident_document(made, settings.agents.public_url)
    return Heard(document, name, f"kafka://{settings.kafka.cluster_name}")


def deliveries(settings: Settings) -> list[Delivery]:
    """How far each target was told of each incident, the last change first.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    found: dict[bytes, Delivery] = {}
    try:
        with closing(log_reader(settings)) as reader:
            for message in read_messages(reader, settings.kafka.topic(DELIVERIES)):
                key, value = message.key() or b"", message.value()
                try:
                    if value is None:
                        found.pop(key, None)
                    else:
                        found[key] = delivery_from(value)
                except DecodeError as error:
                    _log.warning("a delivery cannot be read and is left out", error=error.message)
    except NotFound:
        return []  # nobody was ever told
    return sorted(found.values(), key=lambda each: (each.at, each.key), reverse=True)


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """As JSON, without what only the target understands."""
    document = delivery.document()
    del document["reference"]
    return document


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A hook, and what it would do for an incident: null where that is nothing."""

    hook: Hook
    act: Act | None


def rehearsed(
    settings: Settings, document: Mapping[str, Any], changes: Sequence[Event], owners_of: OwnersOf
) -> list[Rehearsed]:
    """What each hook would do for an incident as it is, after one of these changes of it. Nothing is done.

    Raises:
        SettingsError: the file of hooks cannot be used.
    """
    found = about(document, owners_of)
    made = []
    for hook in read_hooks(settings.notify.hooks).hooks:
        change = next((each for each in changes if each in hook.on), None)
        act = None
        if change is not None and hook.when.fits(found) and document.get("merged_into") is None:
            now = datetime.now(UTC)
            record = ActionRecord(
                hook.name, str(document["id"]), change, int(document["reopened"]), ActionState.DRY_RUN, now,
                hook.said(), "",
            )  # fmt: skip
            heard = Heard(document, str(document["id"]), f"kafka://{settings.kafka.cluster_name}")
            act = Act(hook, heard, replace(found, event=change), record)
        made.append(Rehearsed(hook, act))
    return made


def actions(settings: Settings) -> list[ActionRecord]:
    """What hooks did, as the audit log has it, in order.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    found: list[ActionRecord] = []
    try:
        with closing(log_reader(settings)) as reader:
            for message in read_messages(reader, settings.kafka.topic(ACTIONS)):
                try:
                    found.append(action_from(message.value() or b""))
                except DecodeError as error:
                    _log.warning("an action cannot be read and is left out", error=error.message)
    except NotFound:
        return []  # nothing was ever done
    return found
