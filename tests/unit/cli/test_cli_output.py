"""If this failed, scripts could not read what commands print, or a topic's name would garble a table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stream_lineage.cli.output import output_option, print_details, print_json, print_table


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Thing:
    at: datetime
    colour: Colour
    where: Path
    ratio: float


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([Thing(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), Colour.RED, Path("/x"), float("nan"))])
    assert json.loads(capsys.readouterr().out) == [
        {"at": "2026-01-02T03:04:05+00:00", "colour": "red", "where": "/x", "ratio": None}
    ]


def test_tables_show_every_cell_whole_and_take_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    print_table(["name", "n"], [["[bold]t[/bold]", 5], [long, None]], right=["n"])
    out = capsys.readouterr().out
    assert "[bold]t[/bold]" in out
    assert long in out
    assert "None" not in out
    assert "\x1b" not in out


def test_details(capsys: pytest.CaptureFixture[str]) -> None:
    print_details({"topic": "clicks", "offset": 7})
    assert capsys.readouterr().out.split() == ["topic", "clicks", "offset", "7"]


def test_the_form_is_asked_for() -> None:
    @click.command()
    @output_option
    def command(output: str) -> None:
        click.echo(output)

    assert CliRunner().invoke(command, []).output == "table\n"
    assert CliRunner().invoke(command, ["--output", "json"]).output == "json\n"
    assert CliRunner().invoke(command, ["--output", "xml"]).exit_code == 2
