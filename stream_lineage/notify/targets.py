"""The file ``notifications``: who is told of incidents, how, and of which."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stream_lineage.notify.endpoint import Endpoint
from stream_lineage.notify.matching import About, Event, Match
from stream_lineage.notify.strict_yaml import Secret, Strict, each_named_once, read_yaml

SLACK_API = "https://slack.com/api"
_NAME = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9._-]+$")
_ALL: tuple[Event, ...] = ("opened", "updated", "cause", "escalated", "resolved", "reopened")


class _Target(Strict):
    """``wait_seconds``: the first message of an incident waits so long for its cause. ``pause_seconds`` is at least
    between two messages about one incident; what comes meanwhile is told with the next one."""

    name: str = _NAME
    tell: tuple[Event, ...] = Field(default=_ALL, min_length=1)
    wait_seconds: float = Field(default=0.0, ge=0, le=3600)
    pause_seconds: float = Field(default=2.0, ge=0, le=3600)


class SlackTarget(_Target):
    """One message for each incident, which is changed as the incident goes on."""

    kind: Literal["slack"]
    channel: str = Field(min_length=1, max_length=100)
    token: Secret
    api: str = SLACK_API

    @field_validator("api")
    @classmethod
    def _no_slash(cls, text: str) -> str:
        return text.rstrip("/")


class SlackWebhookTarget(_Target):
    """Slack's incoming webhooks can change nothing that was posted: one message when it opens, one when it is over."""

    kind: Literal["slack-webhook"]
    url: Secret
    tell: tuple[Event, ...] = Field(default=("opened", "reopened", "resolved"), min_length=1)
    wait_seconds: float = Field(default=15.0, ge=0, le=3600)


class WebhookTarget(_Target, Endpoint):
    """CloudEvents, one for each change that is told, all about one incident with the same subject."""

    kind: Literal["webhook"]


Target = Annotated[SlackTarget | SlackWebhookTarget | WebhookTarget, Field(discriminator="kind")]


class Route(Match):
    """Incidents that fit are told to ``targets``."""

    targets: tuple[str, ...] = Field(min_length=1, max_length=50)


class Notifications(Strict):
    """All of the file. Without ``routes`` every target is told of every incident. ``otherwise`` are told of those that
    no route is for."""

    targets: tuple[Target, ...] = Field(default=(), max_length=50)
    routes: tuple[Route, ...] = Field(default=(), max_length=500)
    otherwise: tuple[str, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _names(self) -> Notifications:
        names = each_named_once("targets", [each.name for each in self.targets])
        for name in (*self.otherwise, *(name for route in self.routes for name in route.targets)):
            if name not in names:
                raise ValueError(f"there is no target called {name}")
        return self

    def told(self, found: About) -> frozenset[str]:
        """The names of the targets that are to hear of an incident."""
        if not self.routes and not self.otherwise:
            return frozenset(each.name for each in self.targets)
        fitting = [route for route in self.routes if route.fits(found)]
        return frozenset(name for route in fitting for name in route.targets) or frozenset(self.otherwise)

    def check_secrets(self) -> None:
        """Raises SettingsError: a secret is not there, or is none."""
        for each in self.targets:
            what = f"notifications: target {each.name}"
            if isinstance(each, WebhookTarget):
                each.check_secrets(what)
            elif isinstance(each, SlackTarget):
                each.token.read(f"{what}: token")
            else:
                each.url.read(f"{what}: url")


def read_notifications(path: Path | None) -> Notifications:
    """The file; nobody is told without one.

    Raises:
        SettingsError: it cannot be read, or something in it is not known or out of range, or a secret is not there.
    """
    if path is None:
        return Notifications()
    found = read_yaml(path, Notifications, "notifications", "docs/notifications.md")
    found.check_secrets()
    return found
