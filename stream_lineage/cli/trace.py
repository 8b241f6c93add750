"""``stream-lineage trace``."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.text import Text

from stream_lineage.cli.index import filling
from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, console, print_json
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_lineage.cli.found_records import Hit
    from stream_lineage.index.feed import Read
    from stream_lineage.index.kept import Kept
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.index.trace import Trace
    from stream_lineage.index.walk import Direction

_PATIENCE_SECONDS = 5.0
"""How long another process that writes to the index is waited for to read what there is."""
_LOOK_SECONDS = 0.3
TREE, MERMAID = "tree", "mermaid"
_UNVERIFIED = "the record was found by its hash, not verified: whether it has this value could not be read from Kafka"


@click.command()
@click.argument("record", nargs=-1, required=True, metavar="TOPIC PARTITION OFFSET | FIELD=VALUE")
@click.option("--topic", metavar="TOPIC", help="Where to look for FIELD=VALUE.  [default: as key_fields say]")
@click.option(
    "--since", default="1d", show_default=True, metavar="TIME", help="From when on to look for it: 2d, 12h, a time."
)
@click.option("--until", metavar="TIME", help="Up to when.  [default: now]")
@click.option("--downstream", is_flag=True, help="What was made of the record, instead of what it was made from.")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="So many hops at most.  [default: all]")
@click.option("--topic-id", metavar="ID", help="Of a topic that was deleted and made again: the one with this id.")
@click.option("--update/--no-update", default=True, help="Read into the index first what is new.  [default: update]")
@click.option("--offline", is_flag=True, help="By the index alone: ask Kafka nothing.")
@settings_options("registry", "index", single=(*TO_READ_OURS, "prefetch_kilobytes", "state_dir", "hash_key"))
@click.option(
    "--output", type=click.Choice([TREE, JSON, MERMAID]), default=TREE, show_default=True, help="Form of the output."
)  # fmt: skip
def trace(
    settings: Settings,
    record: tuple[str, ...],
    topic: str | None,
    since: str,
    until: str | None,
    downstream: bool,
    depth: int | None,
    topic_id: str | None,
    update: bool,
    offline: bool,
    output: str,
) -> None:
    """Find the records that the record at OFFSET of TOPIC's PARTITION was made from, back to the sources.

    FIELD=VALUE stands for the records that have this value in this field, of which ten are traced. Of key_fields the
    index knows them; else, and where --since or --until is said, the records of a time are read and decoded for it.
    FIELD is a path as in profiles, or @key.

    Needs records with lineage headers: docs/trace.md. The path comes from the provenance index, and outlives the
    records themselves; timestamps, runs and code versions are read from Kafka while it has them. Ranges that say more
    than the parents are marked as widened.

    \b
    stream-lineage trace predictions 2 1841
    stream-lineage trace clicks 0 17 --downstream --output mermaid
    stream-lineage trace prediction_id=p-123 --topic predictions --since 2h
    """
    from stream_lineage.cli.found_records import Hit, several, with_value
    from stream_lineage.errors import NotFound
    from stream_lineage.index.kept import Kept
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.index.trace import trace as trace_of
    from stream_lineage.indexing import behind
    from stream_lineage.tracing import kept as kept_of

    by_value = len(record) == 1 and "=" in record[0]
    place = None if by_value else _coordinates(record)
    read = _bring_up_to_date(settings) if update and not offline else None
    if place is None:
        asked = click.get_current_context().get_parameter_source
        of_a_time = any(asked(name) is ParameterSource.COMMANDLINE for name in ("since", "until"))
        times = (since, until)
        hits = with_value(settings, record[0], topic, topic_id, times, of_a_time=of_a_time, offline=offline)
    else:
        hits = [Hit(place, topic_id)]
    if len(hits) > 1 and output == MERMAID:
        raise NotFound(several(hits, record[0]), hint="A Mermaid picture is of one record: say which one.")
    direction: Direction = "downstream" if downstream else "upstream"
    with ProvenanceIndex(settings.index.index_path) as index, ExitStack() as stack:
        patience = time.monotonic() + (_PATIENCE_SECONDS if update and read is None else 0)
        while True:
            stack.enter_context(index.snapshot())
            doubts = behind(settings, index, direction, read, offline=offline)
            if not doubts or time.monotonic() >= patience:
                break
            stack.close()  # the next look is at what has been written meanwhile
            time.sleep(_LOOK_SECONDS)

        def one(hit: Hit) -> tuple[Trace, Kept]:
            said = [*doubts, _UNVERIFIED] if hit.unverified else doubts
            found = trace_of(index, *hit.place, direction, topic_id=hit.topic_id, depth=depth, doubts=said)
            return found, Kept() if offline else kept_of(settings, found)

        if len(hits) == 1:
            _print(index, *one(hits[0]), output)
        else:
            _print_several(index, hits, record[0], one, output)


def _coordinates(record: tuple[str, ...]) -> tuple[str, int, int]:
    if len(record) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in record[1:]):
        raise click.UsageError("a record is TOPIC PARTITION OFFSET, or FIELD=VALUE")
    return record[0], int(record[1]), int(record[2])


def _print_several(
    index: ProvenanceIndex, hits: list[Hit], said: str, one: Callable[[Hit], tuple[Trace, Kept]], output: str
) -> None:
    """The paths of several records that have a value, as many as are traced."""
    from stream_lineage.cli.found_records import MOST_TRACED, several
    from stream_lineage.errors import NotFound
    from stream_lineage.index.documents import trace_document

    documents: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    if output != JSON:
        click.echo(f"{several(hits, said)}\n")
    for number, hit in enumerate(hits):
        name, partition, offset = hit.place
        why = f"only {MOST_TRACED} are traced"
        if number < MOST_TRACED:
            try:
                found, kept = one(hit)
            except NotFound as error:
                why = error.message
            else:
                if output == JSON:
                    documents.append(trace_document(index, found, kept))
                else:
                    _print(index, found, kept, output)
                    click.echo()
                continue
        rest.append({"topic": name, "partition": partition, "offset": offset, "why": why})
    if output == JSON:
        print_json({"found": len(hits), "traces": documents, "not_traced": rest})
        return
    for each in rest:
        click.echo(f"{each['topic']} {each['partition']} {each['offset']} is not traced: {each['why']}", err=True)


def _bring_up_to_date(settings: Settings) -> Read | None:
    """What was read; null where another process is about it."""
    from stream_lineage import indexing
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.errors import IndexBusy

    preflight(settings, "reader")
    try:
        with filling("reading into the index") as progress:
            return indexing.update(settings, progress)
    except IndexBusy:
        return None


def _print(index: ProvenanceIndex, found: Trace, kept: Kept, output: str) -> None:
    from stream_lineage.index.documents import inexact, notes, trace_document

    if output == JSON:
        print_json(trace_document(index, found, kept))
        return
    from stream_lineage.cli.trace_tree import counted, drawn, mermaid
    from stream_lineage.index.path_tree import path_tree

    tree = path_tree(found, index.logs)
    if output == MERMAID:
        click.echo(mermaid(tree, found, index.logs, inexact(index, found)))
        return
    screen = console()
    screen.print(drawn(tree, found, index.logs, kept), soft_wrap=True)
    screen.print(Text(counted(found), style="dim"))
    for alert in found.alerts[:10]:
        line = f"{alert.severity}: {alert.summary}" + (
            "" if alert.closed_at is None else f" (over {alert.closed_at:%F %T}Z)"
        )
        screen.print(Text(line, style="red"), soft_wrap=True)
    if len(found.alerts) > 10:
        screen.print(Text(f"and {len(found.alerts) - 10} alerts more", style="red"))
    for note in notes(index, found, kept):
        screen.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
