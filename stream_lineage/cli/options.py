"""Command-line options that come from the settings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from stream_lineage.logs import configure_logging
from stream_lineage.settings import Settings, load_settings
from stream_lineage.settings.composed import KNOWN, SECTIONS
from stream_lineage.settings.setting import Kind, Setting

Command = TypeVar("Command", bound=Callable[..., Any])

ALWAYS = "logs"
PARAMETER_PREFIX = "setting_"
"""What the names of those parameters of a command start with that are settings."""


TO_READ_OURS = ("bootstrap_servers", "kafka", "cluster", "topic_prefix", "group_id")
"""The settings of whoever only reads our own topics. Its consumers are called after the group, for the sake of ACLs."""

TO_READ_METRICS = (
    "state_dir",
    "store",
    "sqlite_path",
    "influx_url",
    "influx_org",
    "influx_bucket",
    "influx_token",
    "influx_ca_location",
    "influx_timeout_seconds",
)
"""The settings of whoever only reads the metric store."""


def settings_options(*sections: str, single: Iterable[str] = (), defer: bool = False) -> Callable[[Command], Command]:
    """Give a command the options of these sections and of single settings, ``--config`` and the log options; and the
    loaded settings.

        @click.command()
        @settings_options("kafka", "collect")
        def collect(settings: Settings) -> None: ...

    All other settings can come from the environment and the file all the same.

    Logging is configured before the command runs. With ``defer`` the command gets a function that loads the settings
    instead, and may raise SettingsError.
    """
    chosen = frozenset(single)
    unknown = (set(sections) - set(SECTIONS)) | (chosen - set(KNOWN))
    if unknown:
        raise ValueError(f"no such settings or sections of them: {sorted(unknown)}")

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def called(*args: Any, config: Path | None, **parameters: Any) -> Any:
            given = {name: value for name, value in parameters.items() if _is_setting(name)}
            flags = {name.removeprefix(PARAMETER_PREFIX): value for name, value in given.items()}
            others = {name: value for name, value in parameters.items() if name not in given}

            def load() -> Settings:
                settings = load_settings(flags, config_path=config)
                configure_logging(settings.logs, secrets=settings.secrets())
                return settings

            return command(load if defer else load(), *args, **others)

        decorated: Any = called
        wanted = [
            setting for setting in KNOWN.values() if setting.section in (*sections, ALWAYS) or setting.name in chosen
        ]
        for setting in reversed(wanted):
            decorated = _option(setting)(decorated)
        file = click.Path(path_type=Path, dir_okay=False)
        return click.option(  # type: ignore[no-any-return]
            "--config", type=file, metavar="FILE", help="YAML file of settings.  [STREAM_LINEAGE_CONFIG]"
        )(decorated)

    return decorate


def _is_setting(parameter: str) -> bool:
    return parameter.startswith(PARAMETER_PREFIX)


def _option(setting: Setting) -> Callable[[Any], Any]:
    name = PARAMETER_PREFIX + setting.name + ("_file" if setting.kind is Kind.SECRET else "")
    declaration, metavar = setting.flag, None
    type_: click.ParamType | None = None
    attributes: dict[str, Any] = {}
    if setting.kind is Kind.BOOLEAN:
        declaration = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        attributes["is_flag"] = True
    elif setting.kind in (Kind.LIST, Kind.PROPERTIES):
        attributes["multiple"] = True
        metavar = "NAME=VALUE" if setting.kind is Kind.PROPERTIES else "TEXT"
    elif setting.kind is Kind.CHOICE:
        type_ = click.Choice(setting.choices)
    else:
        type_, metavar = {
            Kind.TEXT: (click.STRING, "TEXT"),
            Kind.INTEGER: (click.INT, "N"),
            Kind.NUMBER: (click.FLOAT, "N"),
            Kind.PATH: (click.STRING, "PATH"),
            Kind.SECRET: (click.STRING, "PATH"),
        }[setting.kind]
    return click.option(declaration, name, type=type_, metavar=metavar, default=None, help=_help(setting), **attributes)


def _help(setting: Setting) -> str:
    repeatable = " Repeatable." if setting.kind in (Kind.LIST, Kind.PROPERTIES) else ""
    file = " The path of a file that holds it." if setting.kind is Kind.SECRET else ""
    default = f"; default: {setting.default}" if setting.default else ""
    return f"{setting.description}{file}{repeatable}  [{setting.environment}{default}]"
