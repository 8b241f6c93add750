"""The file of alert rules: what is expected, what is muted, when somebody deploys, which jobs there are."""

from __future__ import annotations

import math
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_lineage.detect.expectations import FieldExpectation, TopicExpectation
from stream_lineage.errors import SettingsError
from stream_lineage.model.edge import Edge

_MAX_BYTES = 1_000_000
_PATTERN = Field(default="*", min_length=1, max_length=300)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class MuteRule(_Strict):
    """Alerts that all patterns match are not published. Patterns are a shell's: ``*``, ``?``, ``[...]``."""

    topic: str = _PATTERN
    field: str = _PATTERN
    kind: str = _PATTERN
    reason: str = Field(default="", max_length=300)

    @model_validator(mode="after")
    def _not_all(self) -> MuteRule:
        if self.topic == self.field == self.kind == "*":
            raise ValueError("would mute everything: name a topic, a field or a kind")
        return self

    def matches(self, topic: str, field: str | None, kind: str) -> bool:
        return fnmatchcase(topic, self.topic) and fnmatchcase(field or "", self.field) and fnmatchcase(kind, self.kind)


class DeployWindow(_Strict):
    """From ``since`` to ``until`` nothing is published of the topics."""

    topic: str = _PATTERN
    since: datetime = Field(alias="from")
    until: datetime = Field(alias="to")
    reason: str = Field(default="", max_length=300)

    @model_validator(mode="after")
    def _in_order(self) -> DeployWindow:
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError("from and to need a time zone, such as Z")
        if self.until <= self.since:
            raise ValueError("to must be later than from")
        return self

    def matches(self, topic: str, at: datetime) -> bool:
        return self.since <= at < self.until and fnmatchcase(topic, self.topic)


class FieldRules(_Strict):
    """What is expected of a field."""

    null_ratio: float | None = Field(default=None, ge=0, le=1)
    missing_ratio: float | None = Field(default=None, ge=0, le=1)
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] | None = Field(default=None, alias="in", min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _some(self) -> FieldRules:
        bounds = [each for each in (self.min, self.max) if each is not None]
        if any(math.isnan(each) for each in bounds) or bounds != sorted(bounds):
            raise ValueError("min must not be greater than max")
        return self

    def expectation(self) -> FieldExpectation:
        values = None if self.values is None else frozenset(self.values)
        return FieldExpectation(self.null_ratio, self.missing_ratio, self.min, self.max, values)


class TopicRules(_Strict):
    """What is expected of a topic."""

    rows_deviation: float | None = Field(default=None, ge=0)
    schema_hash: str | tuple[str, ...] | None = None
    fields: dict[str, FieldRules] = Field(default_factory=dict)

    def expectation(self) -> TopicExpectation:
        hashes = (self.schema_hash,) if isinstance(self.schema_hash, str) else self.schema_hash
        return TopicExpectation(
            self.rows_deviation,
            None if hashes is None else frozenset(hashes),
            {path: rules.expectation() for path, rules in self.fields.items()},
        )


class JobRules(_Strict):
    """A job that reads ``inputs`` and writes ``outputs``: names of topics. ``fields`` maps paths of the inputs to those
    of the outputs; without it those of the same path are compared."""

    name: str = Field(min_length=1, max_length=300)
    inputs: tuple[str, ...] = Field(min_length=1, max_length=20)
    outputs: tuple[str, ...] = Field(min_length=1, max_length=20)
    fields: dict[str, str] | None = Field(default=None, max_length=100)
    ratio: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False)
    within: float = Field(default=0.05, ge=0, le=1)
    lag_seconds: float = Field(default=0.0, ge=0, le=86_400)

    def edges(self) -> list[Edge]:
        return [
            Edge(self.name, source, target, self.fields, self.ratio, self.within, self.lag_seconds)
            for target in self.outputs
            for source in self.inputs
            if source != target
        ]


class AlertRules(_Strict):
    """All of the file. Topics under ``expectations`` are names, not patterns."""

    expectations: dict[str, TopicRules] = Field(default_factory=dict)
    mute: tuple[MuteRule, ...] = ()
    deploys: tuple[DeployWindow, ...] = ()
    jobs: tuple[JobRules, ...] = Field(default=(), max_length=200)

    @model_validator(mode="after")
    def _jobs_differ(self) -> AlertRules:
        names = [job.name for job in self.jobs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two jobs are called {twice[0]}")
        if any(not job.edges() for job in self.jobs):
            raise ValueError("a job writes what it reads, and nothing else")
        return self

    def edges(self) -> list[Edge]:
        """Of all jobs."""
        return [edge for job in self.jobs for edge in job.edges()]

    def expected(self) -> dict[str, TopicExpectation]:
        return {topic: rules.expectation() for topic, rules in self.expectations.items()}

    def muted_by(self, topic: str, field: str | None, kind: str, at: datetime) -> str | None:
        """Which rule keeps an alert from being published; null: none."""
        for deploy in self.deploys:
            if deploy.matches(topic, at):
                return f"deploy {deploy.reason}".strip()
        for rule in self.mute:
            if rule.matches(topic, field, kind):
                return f"rule {rule.reason}".strip()
        return None


def read_alert_rules(path: Path | None) -> AlertRules:
    """The rules in a YAML file; none without a file.

    Raises:
        SettingsError: it cannot be read, or something in it is not known or out of range: all of it is said.
    """
    if path is None:
        return AlertRules()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SettingsError(f"alert_rules: {path} is larger than a megabyte")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"alert_rules: {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"alert_rules: {path} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return AlertRules.model_validate({} if document is None else document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'the file'}: {each['msg']}" for each in error.errors()
        )
        raise SettingsError(f"alert_rules: {path}: {problems}", hint="docs/alerts.md shows the file.") from error
