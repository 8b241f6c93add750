"""``stream-lineage trace``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from rich.text import Text

from stream_lineage.cli.index import filling
from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, console, print_json
from stream_lineage.cli.times import moment_before
from stream_lineage.settings import Settings

if TYPE_CHECKING:
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

    FIELD=VALUE stands for the one record that has this value in this field. Of key_fields the index knows it; else,
    and where --since or --until is said, the records of a time are read and decoded for it. FIELD is a path as in
    profiles, or @key.

    Needs records with lineage headers: docs/trace.md. The path comes from the provenance index, and outlives the
    records themselves; timestamps, runs and code versions are read from Kafka while it has them. Ranges that say more
    than the parents are marked as widened.

    \b
    stream-lineage trace predictions 2 1841
    stream-lineage trace clicks 0 17 --downstream --output mermaid
    stream-lineage trace prediction_id=p-123 --topic predictions --since 2h
    """
    from stream_lineage.errors import NotFound
    from stream_lineage.index.kept import Kept
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.index.trace import trace as trace_of
    from stream_lineage.indexing import behind
    from stream_lineage.tracing import kept as kept_of

    by_value = len(record) == 1 and "=" in record[0]
    place = None if by_value else _coordinates(record)
    unverified: list[str] = []
    read = _bring_up_to_date(settings) if update and not offline else None
    if by_value:
        asked = click.get_current_context().get_parameter_source
        of_a_time = any(asked(name) is ParameterSource.COMMANDLINE for name in ("since", "until"))
        topics = _topics(settings, record[0], topic)
        hit = None if of_a_time else _by_index(settings, record[0], topics, topic_id, offline=offline)
        if hit is not None and not offline:
            true = _has_value(settings, record[0], hit)
            unverified = [_UNVERIFIED] if true is None else []
            hit = None if true is False else hit  # another value has the same hash
        elif hit is not None:
            unverified = [_UNVERIFIED]
        if hit is not None:
            place, topic_id = hit
        elif offline:
            raise NotFound("the index knows no record that has that value", hint="Without --offline Kafka is searched.")
        else:
            place = _found(settings, record[0], topics, since, until)
    assert place is not None  # noqa: S101  (it is one or the other)
    name, partition, offset = place
    direction: Direction = "downstream" if downstream else "upstream"
    with ProvenanceIndex(settings.index.index_path) as index:
        patience = time.monotonic() + (_PATIENCE_SECONDS if update and read is None else 0)
        while True:
            with index.snapshot():
                doubts = behind(settings, index, direction, read, offline=offline)
                if not doubts or time.monotonic() >= patience:
                    found = trace_of(
                        index, name, partition, offset, direction, topic_id=topic_id, depth=depth,
                        doubts=[*doubts, *unverified],
                    )  # fmt: skip
                    _print(index, found, Kept() if offline else kept_of(settings, found), output)
                    return
            time.sleep(_LOOK_SECONDS)


def _coordinates(record: tuple[str, ...]) -> tuple[str, int, int]:
    if len(record) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in record[1:]):
        raise click.UsageError("a record is TOPIC PARTITION OFFSET, or FIELD=VALUE")
    return record[0], int(record[1]), int(record[2])


Place = tuple[str, int, int]


def _topics(settings: Settings, said: str, topic: str | None) -> list[str]:
    """Where a value is to be looked for."""
    path = said.partition("=")[0]
    topics = settings.index.topics_with(path) if topic is None else [topic]
    if not topics:
        raise click.UsageError(f"--topic says where to look for {path}, unless it is one of key_fields")
    return topics


def _by_index(
    settings: Settings, said: str, topics: list[str], topic_id: str | None, *, offline: bool
) -> tuple[Place, str | None] | None:
    """The one record that has the value, and the life of its topic, by the index alone; null where it knows none. Of
    several lives of a topic the newest one that has the value is meant."""
    from stream_lineage.errors import NotFound
    from stream_lineage.index.reader import ProvenanceIndex
    from stream_lineage.searching import find_indexed

    path, _, value = said.partition("=")
    if offline and settings.collect.hash_key is None:
        raise click.UsageError("FIELD=VALUE with --offline needs hash_key: else Kafka is asked for the cluster's id")
    hits: list[tuple[Place, str | None]] = []
    with ProvenanceIndex(settings.index.index_path) as index, index.snapshot():
        for name in topics:
            found = find_indexed(settings, index, name, path, value)
            if found.other_key and not found.hits:
                click.echo(f"hashes of {name}:{path} are under another hash_key, and are not looked at", err=True)
            lives = [each.log.topic_id for each in found.hits]
            current = topic_id or next(
                (life for life in reversed(index.logs.lives_of(name)) if life in lives), lives[-1] if lives else None
            )
            hits += [
                ((name, each.log.partition, each.offset), each.log.topic_id)
                for each in found.hits
                if each.log.topic_id == current
            ]
    if len(hits) > 1:
        raise NotFound(_several([place for place, _ in hits], "records in the index", path), hint="Say which one.")
    return hits[0] if hits else None


def _has_value(settings: Settings, said: str, hit: tuple[Place, str | None]) -> bool | None:
    from stream_lineage.searching import has_value

    path, _, value = said.partition("=")
    (topic, partition, offset), topic_id = hit
    return has_value(settings, topic, topic_id, partition, offset, path, value)


def _several(hits: list[Place], which: str, path: str) -> str:
    shown = ", ".join(f"{name} {partition} {offset}" for name, partition, offset in hits[:10])
    more = "" if len(hits) <= 10 else " and others"
    return f"{len(hits)} {which} have that value in {path}: {shown}{more}"


def _found(settings: Settings, said: str, topics: list[str], since: str, until: str | None) -> Place:
    """The one record that has the value, by reading a stretch of time."""
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.errors import NotFound
    from stream_lineage.searching import find_value

    path, _, value = said.partition("=")
    now = datetime.now(UTC)
    start, end = moment_before(since, now), None if until is None else moment_before(until, now)
    preflight(settings, "reader", named=topics)
    hits: list[Place] = []
    read = unreadable = 0
    for name in topics:
        with filling(f"looking through {name}") as progress:
            found = find_value(settings, name, path, value, start, end, progress)
        hits += [(name, *place) for place in found.found]
        read, unreadable = read + found.records, unreadable + found.unreadable
    if len(hits) == 1:
        return hits[0]
    where = f"in {' and '.join(topics)} since {start:%F %T}Z"
    if not hits:
        rest = f"; {unreadable:,} could not be decoded" if unreadable else ""
        raise NotFound(
            f"no record {where} has that value in {path}: {read:,} were looked at{rest}",
            hint="--since goes further back; `stream-lineage spans` shows what has been observed of a topic.",
        )
    raise NotFound(_several(hits, f"records {where}", path), hint="Say which one.")


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
