"""The lineage file: what people say of datasets, jobs, models and dashboards, as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stream_lineage.errors import SettingsError
from stream_lineage.model.graph import legal

_MAX_BYTES = 5_000_000
_NAME = Field(min_length=1, max_length=300)
_OWNER = Field(default=None, min_length=1, max_length=300)
_DESCRIPTION = Field(default=None, max_length=1000)
_RUN = Field(default=None, min_length=1, max_length=1000)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    @field_validator("*", mode="after")
    @classmethod
    def _printable(cls, value: object) -> object:
        texts = value if isinstance(value, tuple) else (value,)
        if any(isinstance(text, str) and text and not legal(text) for text in texts):
            raise ValueError("must be printable")
        return value


class DatasetName(_Strict):
    """A dataset that is no topic of the watched cluster, by OpenLineage's names: ``postgres://db:5432`` and
    ``shop.public.orders``."""

    namespace: str = _NAME
    name: str = _NAME


Reference = str | DatasetName
"""A topic, or a dataset elsewhere."""


class ColumnLink(_Strict):
    """A column that another one is made of. Each is ``TOPIC:PATH``."""

    source: str = Field(alias="from", min_length=3, max_length=600)
    target: str = Field(alias="to", min_length=3, max_length=600)

    @field_validator("source", "target")
    @classmethod
    def _has_both(cls, text: str) -> str:
        topic, separator, path = text.partition(":")
        if not (topic and separator and path):
            raise ValueError("a column is TOPIC:PATH")
        return text


class DeclaredDataset(_Strict):
    """A topic, or with ``namespace`` a dataset elsewhere."""

    name: str = _NAME
    namespace: str | None = Field(default=None, min_length=1, max_length=300)
    owner: str | None = _OWNER
    description: str | None = _DESCRIPTION


class DeclaredJob(_Strict):
    """``groups`` are the consumer groups that it reads with, where they are not called as it is. ``parent`` is the run
    that has started it, as ``namespace/name/run id``, ``root`` the one that all began with."""

    name: str = _NAME
    inputs: tuple[Reference, ...] = Field(default=(), max_length=200)
    outputs: tuple[Reference, ...] = Field(default=(), max_length=200)
    groups: tuple[str, ...] = Field(default=(), max_length=50)
    columns: tuple[ColumnLink, ...] = Field(default=(), max_length=1000)
    owner: str | None = _OWNER
    description: str | None = _DESCRIPTION
    parent: str | None = _RUN
    root: str | None = _RUN

    @model_validator(mode="after")
    def _does_something(self) -> DeclaredJob:
        if not self.inputs and not self.outputs:
            raise ValueError("a job has inputs or outputs")
        return self


class DeclaredModel(_Strict):
    """A model: ``inputs`` are the datasets that it is trained on or that it is given, ``outputs`` its predictions."""

    name: str = _NAME
    inputs: tuple[Reference, ...] = Field(min_length=1, max_length=200)
    outputs: tuple[Reference, ...] = Field(default=(), max_length=200)
    owner: str | None = _OWNER
    description: str | None = _DESCRIPTION


class DeclaredDashboard(_Strict):
    """``models``: those whose state it shows."""

    name: str = _NAME
    inputs: tuple[Reference, ...] = Field(default=(), max_length=200)
    models: tuple[str, ...] = Field(default=(), max_length=200)
    owner: str | None = _OWNER
    description: str | None = _DESCRIPTION

    @model_validator(mode="after")
    def _shows_something(self) -> DeclaredDashboard:
        if not self.inputs and not self.models:
            raise ValueError("a dashboard has inputs or models")
        return self


class Declarations(_Strict):
    """All of the file."""

    datasets: tuple[DeclaredDataset, ...] = Field(default=(), max_length=20_000)
    jobs: tuple[DeclaredJob, ...] = Field(default=(), max_length=5_000)
    models: tuple[DeclaredModel, ...] = Field(default=(), max_length=5_000)
    dashboards: tuple[DeclaredDashboard, ...] = Field(default=(), max_length=5_000)

    @model_validator(mode="after")
    def _each_once(self) -> Declarations:
        _once("datasets", [(each.namespace or "") + "/" + each.name for each in self.datasets])
        _once("jobs", [each.name for each in self.jobs])
        _once("models", [each.name for each in self.models])
        _once("dashboards", [each.name for each in self.dashboards])
        _once("groups", [group for job in self.jobs for group in job.groups])
        known = {model.name for model in self.models}
        for dashboard in self.dashboards:
            if unknown := sorted(set(dashboard.models) - known):
                raise ValueError(f"dashboard {dashboard.name} shows a model that is not declared: {unknown[0]}")
        return self

    def aliases(self) -> dict[str, str]:
        """Consumer groups, and the job that each of them is."""
        return {group: job.name for job in self.jobs for group in job.groups}


def read_declarations(path: Path | None) -> Declarations:
    """The declarations in a YAML file; none without a file.

    Raises:
        SettingsError: it cannot be read, or something in it is not known or out of range: all of it is said.
    """
    if path is None:
        return Declarations()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SettingsError(f"lineage_declarations: {path} is larger than 5 MB")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"lineage_declarations: {path} cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"lineage_declarations: {path} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return Declarations.model_validate({} if document is None else document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'the file'}: {each['msg']}" for each in error.errors()
        )
        raise SettingsError(
            f"lineage_declarations: {path}: {problems}", hint="docs/graph.md shows the file."
        ) from error


def _once(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: {name} is declared twice")
        seen.add(name)
