"""What commands print: a table for people, or exactly one JSON document on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

Command = TypeVar("Command", bound=Callable[..., Any])

JSON = "json"
TABLE = "table"
_PIPED_WIDTH = 10_000  # a file or a pipe has no width: nothing is cut or wrapped


def output_option(command: Command) -> Command:
    """Adds ``--output json|table``; the command gets ``output``."""
    option = click.option(
        "--output", type=click.Choice([JSON, TABLE]), default=TABLE, show_default=True, help="Form of the output."
    )
    return option(command)


def print_json(document: Any) -> None:
    """One JSON document: times in RFC 3339, enums by value, paths as text, NaN as null."""
    body = orjson.dumps(document, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    sys.stdout.write(body.decode() + "\n")
    sys.stdout.flush()


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """A table. Columns in ``right`` are aligned there; a cell whose text is in ``styles`` gets that rich style."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value, styles or {}) for value in row))
    console().print(table)


def print_details(details: Mapping[str, Any], *, title: str | None = None) -> None:
    """The members of one object, a line each."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in details.items():
        table.add_row(Text(name), _cell(value, {}))
    console().print(table)


def console() -> Console:
    """Stdout, as wide as the terminal, or as wide as needed where there is none."""
    found = Console(file=sys.stdout, highlight=False)
    return found if found.is_terminal else Console(file=sys.stdout, highlight=False, width=_PIPED_WIDTH)


def _cell(value: Any, styles: Mapping[str, str]) -> Text:
    # Text, not str: a topic's name is no markup.
    text = "" if value is None else str(value)
    return Text(text, style=styles.get(text, ""))
