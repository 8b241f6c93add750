"""Whether people can be told of incidents: the file of targets, their secrets, and where they are. Nobody is called."""

from __future__ import annotations

import os
from collections.abc import Sequence

from stream_lineage.doctor.check import Check, fail, failed_by, ok, warn
from stream_lineage.errors import SettingsError
from stream_lineage.notify.address import AddressRefused, Policy, Resolve
from stream_lineage.notify.hook_rules import CommandAction, ConnectAction, WebhookAction, read_hooks
from stream_lineage.notify.post import caller
from stream_lineage.notify.settings import NotifySettings
from stream_lineage.notify.strict_yaml import Secret
from stream_lineage.notify.targets import SlackTarget, Target, read_notifications

_NAME = "notifications"
_HOOKS = "hooks"


def check_notifications(settings: NotifySettings, resolve: Resolve | None = None) -> Check:
    """All of it as one check."""
    try:
        found = read_notifications(settings.notifications)
        caller(settings.policy, seconds=settings.notify_timeout_seconds, ca_location=settings.notify_ca_location)
    except SettingsError as error:
        return failed_by(_NAME, error)
    if not found.targets:
        return warn(_NAME, "the file names no targets", "docs/notifications.md shows it.")
    away: list[str] = []
    for target in found.targets:
        try:
            _look(settings.policy, target, resolve)
        except AddressRefused as error:
            return fail(_NAME, f"target {target.name}: {error.message}", error.hint or "Check its URL.")
        except OSError as error:
            away.append(f"target {target.name}: its name cannot be resolved: {error.strerror or error}")
    if away:
        return warn(_NAME, "; ".join(away), "Check the URL and the name server; messages wait meanwhile.")
    told = {name for route in found.routes for name in route.targets} | set(found.otherwise)
    unused = [each.name for each in found.targets if each.name not in told] if told else []
    if unused:
        return warn(_NAME, f"no route leads to {', '.join(unused)}", "Name them in `routes` or `otherwise`.")
    return ok(_NAME, f"{len(found.targets)} targets; `stream-lineage notify test` sends them a message")


def check_hooks(settings: NotifySettings, connect_urls: Sequence[str], resolve: Resolve | None = None) -> Check:
    """What is done when there is an incident: the file, its secrets, programs and addresses. Nothing is started."""
    try:
        found = read_hooks(settings.hooks).hooks
    except SettingsError as error:
        return failed_by(_HOOKS, error)
    for hook in found:
        action = hook.action
        if isinstance(action, ConnectAction) and not connect_urls:
            return fail(_HOOKS, f"{hook.name}: connect_url is not set", "Set it to Kafka Connect's REST API.")
        if isinstance(action, CommandAction) and not os.access(action.arguments[0], os.X_OK):
            return fail(_HOOKS, f"{hook.name}: {action.arguments[0]} cannot be executed", "Change its mode or owner.")
        if isinstance(action, WebhookAction):
            try:
                url = action.url if isinstance(action.url, str) else action.url.read(f"hooks: {hook.name}")
                settings.policy.addresses(settings.policy.place(url), resolve)
            except AddressRefused as error:
                return fail(_HOOKS, f"{hook.name}: {error.message}", error.hint or "Check its URL.")
            except OSError as error:
                return warn(_HOOKS, f"{hook.name}: its name cannot be resolved: {error}", "Check the URL.")
    live = sum(hook.mode == "live" for hook in found)
    return ok(_HOOKS, f"{live} that are live, {len(found) - live} that are dry runs")


def _look(policy: Policy, target: Target, resolve: Resolve | None) -> None:
    if isinstance(target, SlackTarget):
        url = target.api
    else:
        url = target.url.read(f"target {target.name}") if isinstance(target.url, Secret) else target.url
    policy.addresses(policy.place(url), resolve)
