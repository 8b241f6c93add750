"""Writes ``docs/cli.md``: ``python -m stream_lineage.cli.reference > docs/cli.md``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

from stream_lineage.cli.main import COMMANDS, cli
from stream_lineage.cli.options import ALWAYS, PARAMETER_PREFIX
from stream_lineage.settings.composed import KNOWN

_VERBATIM = "\b\n"
_INTRODUCTION = """\
# Command line

<!-- Generated from the commands themselves: python -m stream_lineage.cli.reference > docs/cli.md -->

Commands that take settings have a flag for each setting of the sections that they name
([configuration.md](configuration.md)), and `--config FILE`.

Exit codes: 0 done, 1 an error or a check that failed, 2 wrong usage, 130 interrupted. Errors, hints and logs go to
stderr; `--output json` puts exactly one JSON document on stdout. `stream-lineage --debug COMMAND` shows where an error
comes from.
"""


def cli_markdown() -> str:
    """The whole page: every command that is there."""
    context = click.Context(cli, info_name="stream-lineage")
    names = cli.list_commands(context)
    lines = [_INTRODUCTION, "| command | what it does |", "| --- | --- |"]
    lines += [f"| [`{name}`](#stream-lineage-{name}) | {COMMANDS[name]} |" for name in names]
    for name in names:
        command = cli.get_command(context, name)
        if command is not None:
            lines += ["", *_command(command, context, name)]
    return "\n".join(lines) + "\n"


def _command(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield f"## {context.command_path}"
    yield ""
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"`{context.command_path} {usage}`".replace(" `", "`")
    yield ""
    yield "\n\n".join(_paragraph(text) for text in inspect.cleandoc(command.help or "").split("\n\n"))
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    own = [option for option in options if not (option.name or "").startswith(PARAMETER_PREFIX)]
    if settings := _settings(options):
        yield ""
        yield f"Settings: {', '.join(settings)}."
    if own:
        yield ""
        yield "| option | what it does |"
        yield "| --- | --- |"
        yield from (_row(option, context) for option in own)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None and not found.hidden:
                yield ""
                yield from _command(found, context, inner)


def _paragraph(text: str) -> str:
    """What click must not wrap is an example."""
    return f"```\n{text.removeprefix(_VERBATIM)}\n```" if text.startswith(_VERBATIM) else text


def _settings(options: list[click.Option]) -> list[str]:
    """Sections that the command has whole, and single settings of others."""
    names = [(option.name or "").removeprefix(PARAMETER_PREFIX) for option in options]
    known = [KNOWN.get(name) or KNOWN.get(name.removesuffix("_file")) for name in names]
    found = [setting for setting in known if setting is not None]
    shown: dict[str, None] = {}
    for section in dict.fromkeys(setting.section for setting in found):
        of_it = [setting.name for setting in found if setting.section == section]
        whole = len(of_it) == sum(setting.section == section for setting in KNOWN.values())
        shown.update(dict.fromkeys([section] if whole else [f"`{name}`" for name in of_it]))
    return [name for name in shown if name != ALWAYS] + ([ALWAYS] if ALWAYS in shown else [])


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    declared, said = record if record is not None else (", ".join(option.opts), option.help or "")
    cells = (f"`{declared}`", " ".join(said.split()))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(cli_markdown())
