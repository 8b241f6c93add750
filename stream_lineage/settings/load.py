"""Put the sources together and check what comes out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stream_lineage.errors import SettingsError
from stream_lineage.logs import SecretMask
from stream_lineage.settings.composed import KNOWN, SECTIONS, Settings
from stream_lineage.settings.setting import Kind
from stream_lineage.settings.sources import CONFIG_VARIABLE, Given, Source, from_environment, from_flags, from_yaml
from stream_lineage.wire.settings import is_secret_kafka_setting

_HINT = "docs/configuration.md lists every setting; the same names are flags, STREAM_LINEAGE_* variables and YAML keys."
_LONGEST_SHOWN = 80


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    config_path: Path | None = None,
) -> Settings:
    """Settings from flags, then the environment, then YAML, then defaults.

    Args:
        flags: by flat name; None means not given. ``kafka`` is a mapping or a sequence of ``name=value``.
        environ: the process's own when not given.
        config_path: else ``STREAM_LINEAGE_CONFIG`` names the YAML file, else there is none.

    Raises:
        SettingsError: with every problem that was found, each with the place where the value was given.
    """
    environ = os.environ if environ is None else environ
    if config_path is None and environ.get(CONFIG_VARIABLE):
        config_path = Path(environ[CONFIG_VARIABLE])
    sources = [from_flags(flags or {}, KNOWN), from_environment(environ, KNOWN)]
    if config_path is not None:
        sources.append(from_yaml(config_path, KNOWN))
    problems = [problem for source in sources for problem in source.problems]
    given = _merged(sources)
    _derive_paths(given)
    sections: dict[str, Any] = {}
    for section, model in SECTIONS.items():
        mine = {name: value for name, value in given.items() if KNOWN[name].section == section}
        try:
            sections[section] = model.model_validate({name: _plain(value.value) for name, value in mine.items()})
        except ValidationError as error:
            problems.extend(_problem(dict(detail), mine) for detail in error.errors(include_url=False))
    if problems:
        raise SettingsError(_message(problems), hint=_HINT)
    try:
        return Settings(**sections)
    except ValidationError as error:
        problems = [_problem(dict(detail), {}) for detail in error.errors(include_url=False)]
    raise SettingsError(_message(problems), hint=_HINT)


def _merged(sources: list[Source]) -> dict[str, Given]:
    merged: dict[str, Given] = {}
    properties: dict[str, Given] = {}
    for source in reversed(sources):
        merged.update(source.values)
        properties.update(source.properties)
    if properties:
        name = next(setting.name for setting in KNOWN.values() if setting.kind is Kind.PROPERTIES)
        merged.setdefault(name, Given(properties, name))
    return merged


def _derive_paths(given: dict[str, Given]) -> None:
    """What the agents, the store and the index keep is in the state directory unless it is put elsewhere."""
    if "state_dir" in given and isinstance(given["state_dir"].value, str | Path):
        state_dir, place = Path(given["state_dir"].value), given["state_dir"].place
        given.setdefault("agents_state_dir", Given(state_dir / "agents", place))
        given.setdefault("outbox_path", Given(state_dir / "outbox", place))
        given.setdefault("sqlite_path", Given(state_dir / "metrics.sqlite", place))
        given.setdefault("index_path", Given(state_dir / "index.sqlite", place))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: inner.value if isinstance(inner, Given) else inner for name, inner in value.items()}
    return value


def _problem(detail: dict[str, Any], given: Mapping[str, Given]) -> str:
    """One line: the place, what is wrong, and the value unless it could be a secret."""
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    location = [str(part) for part in detail["loc"]]
    if not location:
        return message
    name = location[0]
    value = given[name].value if name in given else None
    place = given[name].place if name in given else name
    if KNOWN[name].kind is Kind.PROPERTIES and isinstance(value, dict):
        if len(location) > 1 and location[1] in value:
            place = value[location[1]].place
            hidden = is_secret_kafka_setting(location[1])
            message = "must be text" if hidden or detail["type"].endswith("_type") else message
        return f"{place}: {message}"
    shown = "" if KNOWN[name].kind is Kind.SECRET or detail["type"].endswith("_type") else f" (it is {_shown(value)})"
    return f"{place}: {message}{shown}"


def _shown(value: Any) -> str:
    text = SecretMask().text(repr(value))
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _message(problems: list[str]) -> str:
    unique = list(dict.fromkeys(problems))
    if len(unique) == 1:
        return unique[0]
    return f"{len(unique)} settings are wrong:\n" + "\n".join(f"  - {problem}" for problem in unique)
