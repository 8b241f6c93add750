"""``stream-lineage``: finds the command, loads only that, and turns errors into messages.

Exit codes: 0 done, 1 an error of ours or a check that failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from stream_lineage.errors import StreamLineageError

COMMANDS: Mapping[str, str] = {
    "run": "Run everything on one machine: collector and agents.",
    "collect": "Observe topics: provenance and profiles of every record.",
    "agents": "Detect drift in what the collectors observed.",
    "serve": "Answer over HTTP; take OpenLineage's events.",
    "openlineage": "Tell others what is known here.",
    "token": "Make and revoke the API's tokens.",
    "mute": "Do not tell of a known problem for a while.",
    "spans": "Show which offsets of a topic have which schema.",
    "record": "Show where a record comes from and its schema.",
    "graph": "Show what data is made of, and what is made of it.",
    "trace": "Find what a record was made from, or what became of it.",
    "replay": "Plan how groups read bad records again.",
    "good-offsets": "Show the last offsets before something went wrong.",
    "index": "Keep the index by which records are traced.",
    "trend": "Draw a metric over time beside what is usual.",
    "explain": "Find what broke first, recorded or in the live graph.",
    "incident": "Show what belongs together, with what broke first.",
    "thresholds": "Hold thresholds against labelled incidents.",
    "notify": "Tell people of incidents: try it, see who was told.",
    "hooks": "Show what is done when there is an incident.",
    "verify": "Check the provenance log for gaps and damage.",
    "schema": "Compare schemas: what changed and what breaks.",
    "backtest": "Try the metric detector on recorded series.",
    "detector": "List detectors, start one of your own.",
    "baseline": "Compare data with what a model was trained on.",
    "metric": "Push a metric that you measure yourself.",
    "store": "Make InfluxDB ready for metrics.",
    "doctor": "Check each hop, from settings to stores.",
    "sandbox": "Run a Kafka and a schema registry for trying things out.",
    "demo": "See it find a planted fault in a click-stream.",
}
"""Commands in the order of their list, each in the module of its name beside this one."""


class LazyGroup(click.Group):
    """Commands by name; their modules are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if importlib.util.find_spec(_module(name)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(importlib.import_module(_module(cmd_name)), cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                error.message += f" Did you mean {near[0]}?"
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


def _version(ctx: click.Context, _parameter: Any, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("stream-lineage")
    except PackageNotFoundError:
        number = "(not installed)"
    click.echo(f"stream-lineage {number}")
    ctx.exit()


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--debug", is_flag=True, envvar="STREAM_LINEAGE_DEBUG", help="Show where an error comes from.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit."
)
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Lineage and drift detection for Kafka pipelines.

    Every setting can be a flag, a STREAM_LINEAGE_* variable or a line in a YAML file (--config).
    """
    ctx.obj = debug


def main() -> None:
    """The entry point."""
    try:
        code = run(sys.argv[1:])
    except BrokenPipeError:
        # Nobody reads our output any more: what is left in the buffer must not raise again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs a command line; its exit code."""
    debug = "--debug" in arguments
    try:
        with cli.make_context("stream-lineage", list(arguments)) as context:
            debug = bool(context.params.get("debug"))
            result = cli.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except StreamLineageError as error:
        if debug:
            raise
        _complain(error)
        return 1
    except (KeyboardInterrupt, click.Abort):
        return 130
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _complain(error: StreamLineageError) -> None:
    click.echo(f"{click.style('error:', fg='red')} {error.message}", err=True)
    if error.hint:
        click.echo(f"{click.style('hint:', fg='cyan')} {error.hint}", err=True)


def _module(command: str) -> str:
    return f"{__package__}.{command.replace('-', '_')}"


if __name__ == "__main__":
    main()
