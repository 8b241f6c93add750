"""One setting: its name in each place where it can be given, and what may be said there."""

from __future__ import annotations

import types
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

ENVIRONMENT_PREFIX = "STREAM_LINEAGE_"


class Kind(Enum):
    """The form that a setting's value takes."""

    TEXT = "text"
    CHOICE = "choice"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "true or false"
    PATH = "path"
    LIST = "list"
    SECRET = "secret"  # noqa: S105 - the name of a kind
    PROPERTIES = "properties"  # name=value pairs: the librdkafka settings


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of one package's settings."""

    name: str
    section: str
    kind: Kind
    choices: tuple[str, ...]
    field: FieldInfo

    @property
    def environment(self) -> str:
        """``STREAM_LINEAGE_GROUP_ID``."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """``--group-id``. A secret has ``--hash-key-file`` instead: arguments are seen by everybody on the machine."""
        dashed = "--" + self.name.replace("_", "-")
        return dashed + "-file" if self.kind is Kind.SECRET else dashed

    @property
    def description(self) -> str:
        return self.field.description or ""

    @property
    def default(self) -> str:
        """The default as people write it; empty when there is none."""
        if self._shown_default is not None:
            return self._shown_default
        value = self.field.default
        if value is None or value in ((), {}):
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, tuple):
            return ", ".join(map(str, value))
        return str(value)

    @property
    def depends_on_machine(self) -> bool:
        """Whether the default is another one elsewhere, and therefore only described."""
        return self._shown_default is not None

    @property
    def _shown_default(self) -> str | None:
        extra = self.field.json_schema_extra
        return str(extra["shown_default"]) if isinstance(extra, dict) and "shown_default" in extra else None

    @property
    def example(self) -> Any:
        return self.field.examples[0] if self.field.examples else None

    @property
    def bounds(self) -> tuple[str, ...]:
        """What limits a number: ``at least 1``, ``more than 0``, ``at most 60``."""
        said = []
        for rule in self.field.metadata:
            for attribute, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
                bound = getattr(rule, attribute, None)
                if bound is not None and self.kind in (Kind.INTEGER, Kind.NUMBER):
                    said.append(f"{words} {bound:,}".replace(",", "_"))
        return tuple(said)


def settings_of(section: str, model: type[BaseModel]) -> tuple[Setting, ...]:
    """The settings that a model's fields are."""
    return tuple(_setting(section, name, field) for name, field in model.model_fields.items())


def _setting(section: str, name: str, field: FieldInfo) -> Setting:
    annotation = _without_none(field.annotation)
    origin = get_origin(annotation)
    choices: tuple[str, ...] = ()
    if origin is Literal:
        kind, choices = Kind.CHOICE, tuple(get_args(annotation))
    elif origin is tuple:
        kind = Kind.LIST
    elif origin is dict:
        kind = Kind.PROPERTIES
    else:
        kind = _KINDS[annotation]
    return Setting(name, section, kind, choices, field)


_KINDS: dict[Any, Kind] = {
    str: Kind.TEXT,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    bool: Kind.BOOLEAN,
    Path: Kind.PATH,
    SecretStr: Kind.SECRET,
}


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        if len(inner) == 1:
            return inner[0]
    return annotation
