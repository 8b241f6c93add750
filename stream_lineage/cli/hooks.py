"""``stream-lineage hooks``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.errors import NotFound, SettingsError
from stream_lineage.settings import Settings

_CHANGES = ("opened", "updated", "cause", "escalated", "resolved", "reopened")


@click.group()
def hooks() -> None:
    """Show what is done when there is an incident, and what was (docs/remediation.md)."""


@hooks.command("try")
@click.argument("name", metavar="ID_OR_FILE")
@click.option("--change", "changes", type=click.Choice(_CHANGES), multiple=True, help="Only after this; repeatable.")
@click.option("--hook", "only", metavar="NAME", help="Only this hook.")
@output_option
@settings_options("notify", single=(*TO_READ_OURS, "public_url"))
def try_(settings: Settings, name: str, changes: tuple[str, ...], only: str | None, output: str) -> None:
    """Show what each hook would do for a recorded incident, and do nothing.

    The incident is named by its id, or by a file that holds its message as JSON.

    \b
    stream-lineage hooks try 3fa9 --hooks hooks.yaml
    """
    from stream_lineage.notify.hook_run import facts
    from stream_lineage.telling import links, rehearsed

    wanted: Any = changes or _CHANGES
    found = rehearsed(settings, _document(settings, name), wanted, lambda nodes: _owners(settings, name, nodes))
    if only is not None and only not in [each.hook.name for each in found]:
        raise NotFound(f"there is no hook {only}", hint="`hooks` names the file of them: docs/remediation.md.")
    shown = [each for each in found if only in (None, each.hook.name)]
    if output == JSON:
        print_json(
            [
                {
                    "hook": each.hook.name, "mode": each.hook.mode, "fits": each.act is not None,
                    "what": each.hook.said(), "facts": None if each.act is None else facts(each.act, links(settings)),
                }
                for each in shown
            ]
        )  # fmt: skip
        return
    for each in shown:
        if each.act is None:
            click.echo(f"{each.hook.name} ({each.hook.mode}): nothing, it is not meant")
            continue
        click.echo(f"{each.hook.name} ({each.hook.mode}): would {each.hook.said()}")
        for variable, value in facts(each.act, links(settings)).items():
            click.echo(f"  {variable}={value}")


@hooks.command("log")
@click.option("--hook", "only", metavar="NAME", help="Only this hook.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Lines, at most.")
@output_option
@settings_options(single=TO_READ_OURS)
def log(settings: Settings, only: str | None, limit: int, output: str) -> None:
    """Show the audit log: what was begun, done, left, and why, the last first.

    \b
    stream-lineage hooks log --hook pause-sink
    """
    from stream_lineage.telling import actions

    found = [each for each in reversed(actions(settings)) if only in (None, each.hook)][:limit]
    if output == JSON:
        print_json([each.document() for each in found])
        return
    rows = [
        (
            each.at.strftime("%Y-%m-%d %H:%M:%S"), each.hook, each.state.value, each.incident[:12], each.change,
            each.what, each.why, each.result,
        )
        for each in found
    ]  # fmt: skip
    print_table(("at", "hook", "state", "incident", "change", "what", "why", "result"), rows)


def _document(settings: Settings, name: str) -> dict[str, Any]:
    from stream_lineage.incidents import incident
    from stream_lineage.provenance.incident_codec import incident_of

    if not Path(name).is_file():
        return incident(settings, name).body
    try:
        found: dict[str, Any] = json.loads(Path(name).read_bytes())
    except ValueError as error:
        raise SettingsError(f"{name} is not JSON: {error}") from error
    incident_of(found)
    return found


def _owners(settings: Settings, name: str, nodes: Iterable[str]) -> tuple[str, ...]:
    """Owners by the graph on Kafka; of an incident in a file nobody is asked."""
    from datetime import UTC, datetime

    from stream_lineage.agents.notify_role import owners_in
    from stream_lineage.graphing import graph_at

    if Path(name).is_file():
        return ()
    try:
        with reading("reading the graph") as progress:
            return owners_in(graph_at(settings, datetime.now(UTC), progress), nodes)
    except NotFound:
        return ()
