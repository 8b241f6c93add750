"""The file ``hooks``: what is done when there is an incident. Nothing is, unless it is said that it is meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from stream_lineage.errors import SettingsError
from stream_lineage.notify.endpoint import Endpoint
from stream_lineage.notify.matching import Event, Match
from stream_lineage.notify.strict_yaml import Secret, Strict, each_named_once, read_yaml

ConnectorAction = Literal["pause", "resume", "stop", "restart"]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = ("INCIDENT_", "HOOK_")


class ConnectAction(Strict):
    """What Kafka Connect (``connect_url``) is asked to do with a connector."""

    connector: str = Field(min_length=1, max_length=300)
    do: ConnectorAction = "pause"


class WebhookAction(Endpoint):
    """A CloudEvent, as targets of kind ``webhook`` are sent it, of type ``io.stream-lineage.hook.v1``."""


class CommandAction(Strict):
    """A program with its arguments, started as it is: no shell reads them. ``env`` are secrets that it needs; of this
    process's own environment it has nothing but PATH, HOME, LANG and TZ."""

    arguments: tuple[str, ...] = Field(min_length=1, max_length=100)
    env: dict[str, Secret] = Field(default_factory=dict, max_length=20)
    timeout_seconds: float = Field(default=60.0, gt=0, le=3600)
    keep_output: bool = False
    """Whether the audit log has the beginning of what it wrote, which may hold anything."""

    @field_validator("arguments")
    @classmethod
    def _whole(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        if not Path(arguments[0]).is_absolute():
            raise ValueError("the program must be an absolute path")
        if any("\0" in each for each in arguments):
            raise ValueError("an argument holds a null character")
        return arguments

    @field_validator("env")
    @classmethod
    def _variables(cls, env: dict[str, Secret]) -> dict[str, Secret]:
        for name in env:
            if not _VARIABLE.fullmatch(name) or name.startswith(_OURS):
                raise ValueError(f"{name} is no variable that can be set")
        return env


class Hook(Strict):
    """One action. ``mode`` is ``dry-run`` until somebody says ``live``. ``on`` are the changes of an incident that
    start it, each once. ``most_per_hour``: what would start beyond it is noted and left."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9._-]+$")
    mode: Literal["dry-run", "live"] = "dry-run"
    when: Match = Match()
    on: tuple[Event, ...] = Field(default=("cause",), min_length=1)
    most_per_hour: int = Field(default=4, ge=1, le=1000)
    connect: ConnectAction | None = None
    webhook: WebhookAction | None = None
    command: CommandAction | None = None

    @model_validator(mode="after")
    def _one_action(self) -> Hook:
        if sum(each is not None for each in (self.connect, self.webhook, self.command)) != 1:
            raise ValueError(f"hook {self.name}: say one of connect, webhook, command")
        return self

    @property
    def action(self) -> ConnectAction | WebhookAction | CommandAction:
        found = self.connect or self.webhook or self.command
        assert found is not None  # noqa: S101 - validated
        return found

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice does no more than once, so that it is tried again where it may have been done."""
        return not isinstance(self.action, CommandAction)

    def said(self) -> str:
        """What it does, in short, without secrets."""
        action = self.action
        if isinstance(action, ConnectAction):
            return f"{action.do} the connector {action.connector}"
        if isinstance(action, WebhookAction):
            if isinstance(action.url, Secret):
                return "call a URL that is secret"
            return f"call {action.url.partition('?')[0]}"  # what follows is often a key; this goes to the audit log
        return f"run {action.arguments[0]} with {len(action.arguments) - 1} arguments"


class Hooks(Strict):
    """All of the file."""

    hooks: tuple[Hook, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _names(self) -> Hooks:
        each_named_once("hooks", [each.name for each in self.hooks])
        return self


def read_hooks(path: Path | None) -> Hooks:
    """The file; nothing is done without one.

    Raises:
        SettingsError: it cannot be read, or something in it is not known or out of range, or a secret is not there.
    """
    if path is None:
        return Hooks()
    found = read_yaml(path, Hooks, "hooks", "docs/remediation.md")
    for hook in found.hooks:
        _check(hook)
    return found


def _check(hook: Hook) -> None:
    what, action = f"hooks: {hook.name}", hook.action
    if isinstance(action, WebhookAction):
        action.check_secrets(what)
    elif isinstance(action, CommandAction):
        for name, secret in action.env.items():
            secret.read(f"{what}: {name}")
        if not Path(action.arguments[0]).is_file():
            raise SettingsError(f"{what}: there is no program {action.arguments[0]}")
