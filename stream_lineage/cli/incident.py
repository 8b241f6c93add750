"""``stream-lineage incident``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from stream_lineage.cli.options import TO_READ_METRICS, TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, console, output_option, print_details, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.incidents import Told


@click.group()
def incident() -> None:
    """Show incidents: alerts that belong together, with what broke first.

    An incident is named by its id, or by the first digits of it (docs/incidents.md).
    """


@incident.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are resolved.")
@output_option
@settings_options(single=TO_READ_OURS)
def list_(settings: Settings, everything: bool, output: str) -> None:
    """List incidents, the newest first.

    \b
    stream-lineage incident list --all
    """
    from stream_lineage.incidents import incidents

    with reading("reading incidents") as progress:
        found = [each for each in incidents(settings, progress) if everything or not each.incident.over]
    if output == JSON:
        print_json([{**each.document(), "broke_first": _causes(each)} for each in found])
        return
    rows = [
        (
            each.incident.id[:12],
            each.incident.state.value,
            each.incident.severity.value,
            each.incident.opened_at.strftime("%Y-%m-%d %H:%M:%S"),
            len(each.incident.members),
            ", ".join(_causes(each)),
            each.incident.members[0].summary,
        )
        for each in found
    ]
    print_table(("id", "state", "severity", "opened", "alerts", "broke first", "noticed"), rows, right=("alerts",))


@incident.command()
@click.argument("name", metavar="ID")
@output_option
@settings_options(single=TO_READ_OURS)
def show(settings: Settings, name: str, output: str) -> None:
    """Show an incident: what broke first and why we think so, and what belongs to it.

    \b
    stream-lineage incident show 3fa9
    """
    from stream_lineage.incidents import incident as one

    told = one(settings, name)
    if output == JSON:
        print_json(told.document())
    else:
        _print(told)


@incident.command()
@click.argument("name", metavar="ID")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@settings_options(single=(*TO_READ_OURS, *TO_READ_METRICS))
def export(settings: Settings, name: str, file: Path) -> None:
    """Write what `explain BUNDLE.json` reads: graph, series and events, without payload values.

    \b
    stream-lineage incident export 3fa9 incident.json
    """
    from stream_lineage.cli.bundle_file import write_bundle
    from stream_lineage.incidents import bundle_of_incident
    from stream_lineage.incidents import incident as one

    told = one(settings, name)
    with reading("reading series of nodes") as progress:
        bundle = bundle_of_incident(settings, told, progress=progress)
    write_bundle(file, bundle.document)
    for note in bundle.notes:
        click.echo(note, err=True)


@incident.command()
@click.argument("name", metavar="ID")
@click.argument("verdict", type=click.Choice(["true", "false"]))
@click.option("--cause", metavar="NODE", help="What broke first, as you found it.")
@settings_options(single=TO_READ_OURS)
def label(settings: Settings, name: str, verdict: str, cause: str | None) -> None:
    """Say whether an incident was one (true) or a false alarm (false). Said of one that has turned out to be part of
    another, it is said of that one.

    \b
    stream-lineage incident label 3fa9 true --cause orders
    """
    from stream_lineage.incidents import Label, put_label
    from stream_lineage.incidents import incident as one

    if cause is not None and verdict == "false":
        raise click.UsageError("a false alarm has no cause")
    told = one(settings, name, whole=True)
    put_label(settings, told, Label(verdict == "true", cause, datetime.now(UTC)))
    click.echo(f"{told.incident.id} is labelled")


def _causes(told: Told) -> list[str]:
    cause = told.incident.cause
    return [] if cause is None else [each["node"] for each in cause["ranking"] if each["named"]]


def _print(told: Told) -> None:
    from stream_lineage.cli.located_output import print_located

    found, screen = told.incident, console()
    cause = found.cause
    if cause is not None:
        screen.print(Text(cause["sentence"], style="bold"), soft_wrap=True)
        screen.print()
    details: dict[str, object] = {
        "id": found.id,
        "state": found.state.value,
        "severity": found.severity.value,
        "opened": found.opened_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "resolved": None if found.resolved_at is None else found.resolved_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "cause after": None if found.cause_after_seconds is None else f"{found.cause_after_seconds:.1f} s",
        "reopened": found.reopened or None,
        "merged into": found.merged_into,
    }
    if told.label is not None:
        details["label"] = f"{str(told.label.verdict).lower()}{f', {told.label.cause}' if told.label.cause else ''}"
    print_details({key: value for key, value in details.items() if value is not None})
    for each in cause["ranking"] if cause is not None else ():
        if each["named"]:
            screen.print(Text(f"\n{' > '.join(each['path'])}, confidence {each['confidence']:.2f}", style="bold"))
            for line in each["evidence"]:
                screen.print(Text(f"  {line}"), soft_wrap=True)
    for line in cause["settle"] if cause is not None else ():
        screen.print(Text(f"  What would settle it: {line}"), soft_wrap=True)
    if cause is not None and "first_bad" in cause:
        print_located(cause)
    rows = [
        (each.first_at.strftime("%H:%M:%S"), each.severity.value, each.kind, each.summary,
         "" if each.over_at is None else each.over_at.strftime("%H:%M:%S"))
        for each in sorted(found.members, key=lambda member: member.first_at)
    ]  # fmt: skip
    screen.print()
    print_table(("since", "severity", "kind", "what", "over"), rows, title=f"{len(rows)} alerts")
