"""A YAML file of people's: read whole, every problem said, secrets in other files or in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_lineage.errors import SettingsError

_MOST_BYTES = 1_000_000
_MOST_SECRET_BYTES = 10_000
_OURS = "STREAM_LINEAGE_"


class Strict(BaseModel):
    """A part of such a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


File = TypeVar("File", bound=Strict)


class Secret(Strict):
    """Where a secret is: never in the file itself, which others may read."""

    env: str | None = Field(default=None, min_length=1, max_length=200)
    file: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret is in `env: NAME` (a variable) or in `file: PATH`")
        if self.env is not None and self.env.startswith(_OURS):
            raise ValueError(f"variables that begin with {_OURS} are settings: call it otherwise")
        return self

    def read(self, what: str, environ: Mapping[str, str] | None = None) -> str:
        """The secret.

        Raises:
            SettingsError: it is not there. ``what`` says of what it is one.
        """
        if self.env is not None:
            found = (os.environ if environ is None else environ).get(self.env, "").strip()
            if not found:
                raise SettingsError(f"{what}: the variable {self.env} is not set")
            return found
        assert self.file is not None  # noqa: S101 - one of both
        try:
            with self.file.open("rb") as opened:
                found = opened.read(_MOST_SECRET_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{what}: {self.file} cannot be read: {error}") from error
        if not found:
            raise SettingsError(f"{what}: {self.file} is empty")
        return found


def each_named_once(what: str, names: list[str]) -> list[str]:
    """The names, if there are no two of the same.

    Raises:
        ValueError: there are.
    """
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"there are two {what} called {name}")
    return names


def read_yaml(path: Path, kind: type[File], setting: str, page: str) -> File:
    """The file.

    Raises:
        SettingsError: it cannot be read, or something in it is not known or out of range: all of it is said.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SettingsError(f"{setting}: {path} is larger than 1 MB")
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: {path} cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise SettingsError(f"{setting}: {path} is not YAML{where}") from None
    try:
        return kind.model_validate({} if document is None else document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'the file'}: "
            f"{str(each['msg']).removeprefix('Value error, ')}"
            for each in error.errors()
        )
        raise SettingsError(f"{setting}: {path}: {problems}", hint=f"{page} shows the file.") from error
