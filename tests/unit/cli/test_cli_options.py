"""If this failed, a flag would not reach the settings, or would override the environment without being given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner

from stream_lineage.cli.options import settings_options
from stream_lineage.errors import SettingsError
from stream_lineage.settings import Settings
from stream_lineage.settings.composed import KNOWN, SECTIONS


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    from stream_lineage import logs

    root = logging.getLogger()
    handlers, level, processors = root.handlers[:], root.level, logs._processors[:]
    yield
    root.handlers[:], logs._processors[:] = handlers, processors
    root.setLevel(level)
    structlog.reset_defaults()


def loaded(*arguments: str, environ: dict[str, str] | None = None) -> Settings:
    found: list[Settings] = []

    @click.command()
    @settings_options(*SECTIONS)
    @click.argument("topic", required=False)
    def command(settings: Settings, topic: str | None) -> None:
        found.append(settings)

    result = CliRunner().invoke(command, list(arguments), env=environ or {}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


def test_nothing_given_changes_nothing() -> None:
    assert loaded() == Settings()
    environ = {
        "STREAM_LINEAGE_INCLUDE_INTERNAL": "true",
        "STREAM_LINEAGE_INCLUDE": "a,b",
        "STREAM_LINEAGE_MAX_FIELDS": "9",
    }
    settings = loaded("some-topic", environ=environ)
    assert settings.collect.include_internal is True
    assert settings.collect.include == ("a", "b")
    assert settings.collect.max_fields == 9


def test_every_kind_of_flag(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("a key of 16 letters or more", encoding="utf-8")
    config = tmp_path / "c.yaml"
    config.write_text("cluster: from-yaml\ngroup_id: from-yaml\n", encoding="utf-8")
    settings = loaded(
        *("--config", str(config), "--group-id", "g", "--include", "a,b", "--include", "c", "--max-fields", "7"),
        *("--kafka", "security.protocol=SSL", "--kafka", "ssl.ca.location=/x=y", "--no-include-internal"),
        *("--start-from", "end", "--hash-key-file", str(secret), "--state-dir", "/s", "--log-level", "debug"),
        environ={"STREAM_LINEAGE_INCLUDE_INTERNAL": "true"},
    )
    assert settings.kafka.cluster == "from-yaml"
    assert settings.collect.group_id == "g"
    assert settings.collect.include == ("a,b", "c")
    assert settings.collect.max_fields == 7
    assert settings.collect.include_internal is False
    assert settings.collect.start_from == "end"
    assert settings.kafka.kafka == {"security.protocol": "SSL", "ssl.ca.location": "/x=y"}
    assert settings.collect.hash_key is not None
    assert settings.collect.hash_key.get_secret_value() == "a key of 16 letters or more"
    assert settings.store.sqlite_path == Path("/s/metrics.sqlite")
    assert settings.logs.log_level == "debug"
    assert logging.getLogger().level == logging.DEBUG


def test_only_the_sections_asked_for() -> None:
    @click.command()
    @settings_options("kafka")
    def command(settings: Settings) -> None: ...

    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert "--bootstrap-servers" in flags
    assert "--log-format" in flags
    assert "--config" in flags
    assert "--group-id" not in flags
    with pytest.raises(ValueError, match="kafak"):
        settings_options("kafak")


def test_help_says_what_how_and_by_default() -> None:
    @click.command()
    @settings_options(*SECTIONS)
    def command(settings: Settings) -> None: ...

    by_flag = {flag: parameter for parameter in command.params for flag in parameter.opts}
    for setting in KNOWN.values():
        parameter: Any = by_flag[setting.flag]
        assert setting.description in parameter.help
        assert setting.environment in parameter.help
        assert setting.default in parameter.help


def test_settings_can_be_loaded_later() -> None:
    problems: list[str] = []

    @click.command()
    @settings_options("collect", defer=True)
    def command(load: Callable[[], Settings]) -> None:
        try:
            load()
        except SettingsError as error:
            problems.append(error.message)

    assert CliRunner().invoke(command, ["--max-fields", "0"], env={}, catch_exceptions=False).exit_code == 0
    assert problems == ["--max-fields: should be greater than or equal to 1 (it is 0)"]


def test_what_is_no_number_is_wrong_usage() -> None:
    @click.command()
    @settings_options("collect")
    def command(settings: Settings) -> None: ...

    assert CliRunner().invoke(command, ["--max-fields", "many"]).exit_code == 2
    assert CliRunner().invoke(command, ["--start-from", "middle"]).exit_code == 2
