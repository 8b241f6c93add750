"""If this failed, docs/cli.md would lack a command or an option, or describe one that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from stream_lineage.cli.main import cli
from stream_lineage.cli.reference import cli_markdown

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield inner.command_path, command
        if isinstance(command, click.Group):
            yield from commands(command, inner)


def test_the_page_is_the_one_that_is_generated() -> None:
    assert PAGE.read_text(encoding="utf-8") == cli_markdown(), (
        "run: python -m stream_lineage.cli.reference > docs/cli.md"
    )


def test_every_command_and_every_option_of_its_own_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = dict(commands(cli, click.Context(cli, info_name="stream-lineage")))
    assert "stream-lineage doctor" in found
    for path, command in found.items():
        assert f"## {path}\n" in page, path
        after = page.split(f"## {path}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not (parameter.name or "").startswith("setting_"):
                assert all(flag in after for flag in parameter.opts), (path, parameter.opts)
