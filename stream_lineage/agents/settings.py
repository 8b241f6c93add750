"""What the agents are called, where they keep their state, and what their alerts link to."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from stream_lineage.state_dir import default_state_dir


class AgentsSettings(BaseModel):
    """One agent worker. Several with the same ``agents_id`` share the partitions of the observation topic."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    agents_id: str = Field(
        default="stream-lineage-agents",
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Consumer group of the agents; the names of their changelog topics start with it.",
    )
    agents_state_dir: Path = Field(
        default_factory=lambda: default_state_dir() / "agents",
        description="Directory for the agents' local tables. It can be deleted: they are rebuilt from Kafka.",
        json_schema_extra={"shown_default": "agents in state_dir"},
    )
    public_url: str = Field(
        default="http://localhost:8080", description="Address of the web UI as people see it: alerts link to it."
    )

    alert_rules: Path | None = Field(
        default=None,
        description="YAML file of expectations, mute rules, deploy windows and jobs, read at the start; docs/alerts.md "
        "shows it.",
    )
    metric_sensitivity: float = Field(
        default=0.05,
        gt=0,
        le=50,
        description="False alarms to expect of one metric of one field in a month. Higher finds smaller deviations, "
        "and more that are none.",
    )
    metric_window_seconds: int = Field(
        default=10,
        ge=1,
        le=10,
        description="How wide the windows are in which topics are judged and stored; divides a minute. Shorter: warm "
        "and told sooner, but of fewer records, so that less is found, and more is written. All workers need the same.",
    )

    baseline_window_seconds: float = Field(
        default=300.0,
        ge=1,
        le=86_400,
        description="Live data of so long are compared with the training baselines of their topic, at a time. Longer: "
        "less of what is usual in a day is taken for drift, and drift is told later.",
    )

    registry_poll_seconds: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="How often the registry is asked for schemas that are registered and not on the wire yet, for 100 "
        "subjects at a time; 0: never.",
    )

    group_poll_seconds: float = Field(
        default=15.0,
        ge=0,
        le=3600,
        description="How often the consumer groups of the watched topics are looked at, for 500 groups at a time; ten "
        "looks are judged together. 0: never.",
    )
    groups_include: tuple[str, ...] = Field(
        default=(".*",),
        description="Regular expressions of consumer groups whose lag is watched. One must match the whole name. Our "
        "own are never watched.",
        examples=[["checkout-.*"]],
    )
    groups_exclude: tuple[str, ...] = Field(
        default=(),
        description="Regular expressions of consumer groups to leave out; wins over groups_include.",
        examples=[["console-consumer-.*"]],
    )

    graph_poll_seconds: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="How often the lineage graph is brought up to date with what is declared and what consumer groups "
        "read. 0: never.",
    )
    lineage_declarations: Path | None = Field(
        default=None,
        description="YAML file of datasets with their owners, jobs, models and dashboards, read at the start; "
        "docs/graph.md shows it.",
    )

    declarations_days: float = Field(
        default=40.0,
        gt=0,
        le=3650,
        description="How long what an application declared with `@declare_lineage` counts after it said so last; it "
        "says so each day while it runs. Less than a job's pause between two runs makes its edges come and go.",
    )

    values_poll_seconds: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="How often the values of topics are compared, which shows candidates for edges (`graph show "
        "--candidates`): right less than half of the time, so no more than a hint where nothing else is known. 600 is "
        "enough. 0: never.",
    )

    connect_url: str | None = Field(
        default=None,
        description="REST API of Kafka Connect, whose connectors are part of the lineage graph. Several workers, "
        "separated by commas, are tried in turn.",
        examples=["http://connect-1:8083,http://connect-2:8083"],
    )
    connect_basic_auth: SecretStr | None = Field(default=None, description="user:password for Kafka Connect.")
    connect_timeout_seconds: float = Field(
        default=5.0, gt=0, le=60, description="How long one call to Kafka Connect may take."
    )

    detector_plugins: bool = Field(
        default=True, description="Whether detectors of other installed packages run too; see docs/detectors.md."
    )

    @field_validator("groups_include", "groups_exclude")
    @classmethod
    def _patterns_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return patterns

    @field_validator("metric_window_seconds")
    @classmethod
    def _divides_a_minute(cls, seconds: int) -> int:
        if 60 % seconds:
            raise ValueError("must divide a minute: 1, 2, 3, 4, 5, 6 or 10")
        return seconds

    @field_validator("connect_url")
    @classmethod
    def _connect_is_whole(cls, text: str | None) -> str | None:
        for url in _split(text):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("must be http(s)://host:port, several separated by commas")
            if parts.username or parts.password:
                raise ValueError("user and password belong into connect_basic_auth: a URL is shown")
        return text

    @field_validator("connect_basic_auth")
    @classmethod
    def _user_and_password(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and ":" not in secret.get_secret_value():
            raise ValueError("must be user:password")
        return secret

    @property
    def connect_urls(self) -> tuple[str, ...]:
        """The addresses of Kafka Connect's workers, without a slash at the end."""
        return tuple(url.rstrip("/") for url in _split(self.connect_url))

    @property
    def connect_credentials(self) -> tuple[str, str] | None:
        if self.connect_basic_auth is None:
            return None
        user, _, password = self.connect_basic_auth.get_secret_value().partition(":")
        return user, password

    @field_validator("public_url")
    @classmethod
    def _url_is_whole(cls, url: str) -> str:
        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise ValueError("must be http(s)://host:port, with a path if need be")
        return url.rstrip("/")


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]
