"""The sender of each target."""

from __future__ import annotations

from collections.abc import Mapping

from stream_lineage.notify.links import Links
from stream_lineage.notify.post import Caller
from stream_lineage.notify.sending import Sender
from stream_lineage.notify.slack import SlackSender, SlackWebhookSender
from stream_lineage.notify.targets import Notifications, SlackTarget, SlackWebhookTarget, Target
from stream_lineage.notify.webhook import WebhookSender


def senders(notifications: Notifications, caller: Caller, links: Links) -> Mapping[str, Sender]:
    """By the names of the targets."""
    return {each.name: sender(each, caller, links) for each in notifications.targets}


def sender(target: Target, caller: Caller, links: Links) -> Sender:
    """How a target is told."""
    if isinstance(target, SlackTarget):
        return SlackSender(target, caller, links)
    if isinstance(target, SlackWebhookTarget):
        return SlackWebhookSender(target, caller, links)
    return WebhookSender(target, caller, links)
