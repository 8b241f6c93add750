"""``stream-lineage index``."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_details, print_json, print_table
from stream_lineage.logs import get_logger
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.index.feed import Progress, Read

FEEDS = ("observations", "edges", "keys", "alerts", "incidents", "graph")
_log = get_logger("stream_lineage.index")


@click.group()
def index() -> None:
    """Keep the provenance index, by which `trace` finds records."""


@index.command()
@settings_options("index", single=(*TO_READ_OURS, "state_dir"))
@output_option
def rebuild(settings: Settings, output: str) -> None:
    """Make the index anew from Kafka.

    The old index answers until the new one is whole, then that takes its place at once. Ctrl-C leaves the old one as it
    is.

    \b
    stream-lineage index rebuild
    """
    from stream_lineage import indexing
    from stream_lineage.doctor.preflight import preflight

    preflight(settings, "reader")
    with filling("making the index") as progress:
        read = indexing.rebuild(settings, progress)
    _tell(settings, read, output)


@index.command()
@click.option("--follow", is_flag=True, help="Go on until SIGTERM or Ctrl-C.")
@settings_options("index", single=(*TO_READ_OURS, "state_dir"))
@output_option
def update(settings: Settings, follow: bool, output: str) -> None:
    """Read on from where the index stands; make it where there is none.

    What is read and how far are written in one transaction: nothing is left out or counted twice, whenever this is
    killed.

    \b
    stream-lineage index update
    stream-lineage index update --follow
    """
    from stream_lineage import indexing
    from stream_lineage.doctor.preflight import preflight

    preflight(settings, "reader")
    if not follow:
        with filling("reading on") as progress:
            read = indexing.update(settings, progress)
        _tell(settings, read, output)
        return
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    _log.info("following", index=str(settings.index.index_path))
    indexing.follow(settings, lambda: not stopping.is_set(), _report)


@index.command()
@settings_options("index", single=(*TO_READ_OURS, "state_dir"))
@output_option
def status(settings: Settings, output: str) -> None:
    """Show how large the index is, what is in it, and how far it is behind the topics."""
    from stream_lineage import indexing

    found = indexing.standing(settings)
    stands = found.status
    lag = found.lag or dict.fromkeys(stands.positions)
    document: dict[str, Any] = {
        "path": str(stands.path),
        "bytes": stands.bytes,
        "schema_version": stands.schema_version,
        "built_at": stands.facts.get("built_at"),
        "rows": stands.rows,
        "messages": stands.counts,
        "lag": None if found.lag is None else sum(found.lag.values()),
        "positions": [
            {"topic": topic, "partition": number, "next_offset": stands.positions.get((topic, number)), "lag": behind}
            for (topic, number), behind in sorted(lag.items())
        ],
    }
    if found.trouble is not None:
        click.echo(f"how far it is behind is not known: {found.trouble}", err=True)
    if output == JSON:
        print_json(document)
        return
    rows = ", ".join(f"{count:,} {name}" for name, count in stands.rows.items())
    counted = ", ".join(f"{name} {count:,}" for name, count in sorted(stands.counts.items()))
    shown = {**document, "bytes": f"{stands.bytes:,}", "rows": rows, "messages": counted, "lag": document["lag"]}
    del shown["positions"]
    print_details(shown)
    print_table(
        ["topic", "partition", "next offset", "lag"],
        [tuple(row.values()) for row in document["positions"]],
        right=["partition", "next offset", "lag"],
    )


@contextmanager
def filling(what: str) -> Iterator[Progress | None]:
    """On a terminal, a bar on stderr with rate and time left; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell(settings: Settings, read: Read, output: str) -> None:
    if read.left_out:
        click.echo(f"{read.left_out:,} messages are not what they should be, and were left out", err=True)
    if read.removed:
        parts = ", ".join(f"{count:,} of {feed}" for feed, count in sorted(read.removed.items()))
        click.echo(
            f"retention had removed messages before the index was made: up to {parts}; what they said is not in it",
            err=True,
        )
    if read.lost:
        click.echo(f"{read.lost:,} messages had been deleted by retention before they were read", err=True)
    if output == JSON:
        print_json(
            {
                "path": str(settings.index.index_path),
                "messages": read.messages,
                **{feed: read.by_feed.get(feed, 0) for feed in FEEDS},
                "left_out": read.left_out,
                "lost": read.lost,
                "removed": {feed: read.removed.get(feed, 0) for feed in FEEDS},
                "behind": read.behind,
                "seconds": round(read.seconds, 3),
            }
        )
        return
    rest = f"; {read.behind:,} behind an open transaction" if read.behind else ""
    click.echo(f"read {read.messages:,} messages in {read.seconds:.1f} s into {settings.index.index_path}{rest}")


def _report(read: Read) -> None:
    if read.left_out:
        _log.warning("messages left out", left_out=read.left_out)
    if read.removed:
        _log.warning("messages removed by retention before the index was made", **read.removed)
    if read.lost:
        _log.warning("messages removed by retention before they were read", lost=read.lost)
    if read.messages:
        _log.info("followed", messages=read.messages, lost=read.lost, behind=read.behind)
