"""``stream-lineage trace``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from stream_lineage.cli.index import filling
from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, console, print_json
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.index.kept import Kept
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.index.trace import Trace

TREE, MERMAID = "tree", "mermaid"


@click.command()
@click.argument("topic")
@click.argument("partition", type=click.IntRange(min=0))
@click.argument("offset", type=click.IntRange(min=0))
@click.option("--downstream", is_flag=True, help="What was made of the record, instead of what it was made from.")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="So many hops at most.  [default: all]")
@click.option("--topic-id", metavar="ID", help="Of a topic that was deleted and made again: the one with this id.")
@click.option("--update/--no-update", default=True, help="Read into the index first what is new.  [default: update]")
@click.option("--offline", is_flag=True, help="By the index alone: ask Kafka nothing.")
@settings_options("kafka", "collect", "index")
@click.option(
    "--output", type=click.Choice([TREE, JSON, MERMAID]), default=TREE, show_default=True, help="Form of the output."
)  # fmt: skip
def trace(
    settings: Settings,
    topic: str,
    partition: int,
    offset: int,
    downstream: bool,
    depth: int | None,
    topic_id: str | None,
    update: bool,
    offline: bool,
    output: str,
) -> None:
    """Find the records that the record at OFFSET of TOPIC's PARTITION was made from, back to the sources.

    Needs records with lineage headers: docs/trace.md. The path comes from the provenance index, and outlives the
    records themselves; timestamps, runs and code versions are read from Kafka while it has them. Ranges that say more
    than the parents are marked as widened.

    \b
    stream-lineage trace predictions 2 1841
    stream-lineage trace clicks 0 17 --downstream --output mermaid
    """
    from stream_lineage.index.kept import Kept
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.index.trace import trace as trace_of
    from stream_lineage.tracing import kept as kept_of

    if update and not offline:
        _bring_up_to_date(settings)
    with ProvenanceIndex(settings.index.index_path) as index, index.snapshot():
        direction = "downstream" if downstream else "upstream"
        found = trace_of(index, topic, partition, offset, direction, topic_id=topic_id, depth=depth)  # type: ignore[arg-type]
        _print(index, found, Kept() if offline else kept_of(settings, found), output)


def _bring_up_to_date(settings: Settings) -> None:
    from stream_lineage import indexing
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.index.file import IndexBusy

    preflight(settings, "reader")
    try:
        with filling("reading into the index") as progress:
            indexing.update(settings, progress)
    except IndexBusy:
        return  # somebody keeps it up to date


def _print(index: ProvenanceIndex, found: Trace, kept: Kept, output: str) -> None:
    from stream_lineage.index.documents import notes, trace_document

    if output == JSON:
        print_json(trace_document(index, found, kept))
        return
    from stream_lineage.cli.trace_tree import drawn, mermaid
    from stream_lineage.index.path_tree import path_tree

    tree = path_tree(found, index.logs)
    if output == MERMAID:
        click.echo(mermaid(tree, found, index.logs))
        return
    screen = console()
    screen.print(drawn(tree, found, index.logs, kept), soft_wrap=True)
    walk = found.walk
    where = "sources" if walk.direction == "upstream" else "ends"
    ends = sum(ranges.count for ranges in found.ends.values()) if walk.reached else 0
    if walk.reached:
        screen.print(Text(f"{walk.count():,} records in {len(walk.hops)} hops, {ends:,} of them {where}", style="dim"))
    else:
        word = "made it" if walk.direction == "upstream" else "was made of it"
        screen.print(Text(f"nothing is recorded of what {word}", style="dim"))
    for alert in found.alerts[:10]:
        line = f"{alert.severity}: {alert.summary}" + (
            "" if alert.closed_at is None else f" (over {alert.closed_at:%F %T}Z)"
        )
        screen.print(Text(line, style="red"), soft_wrap=True)
    if len(found.alerts) > 10:
        screen.print(Text(f"and {len(found.alerts) - 10} alerts more", style="red"))
    for note in notes(index, found, kept):
        screen.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
