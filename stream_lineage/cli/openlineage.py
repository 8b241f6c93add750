"""``stream-lineage openlineage``."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime
from pathlib import Path

import click

from stream_lineage.cli.options import TO_READ_METRICS, TO_READ_OURS, settings_options
from stream_lineage.cli.reading import reading
from stream_lineage.settings import Settings


@click.group()
def openlineage() -> None:
    """Tell others what is known here, as OpenLineage's events."""


@openlineage.command()
@click.option("--to", required=True, metavar="URL|kafka:TOPIC|FILE", help="Where to.")
@click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="PATH",
              help="A file with the bearer token for a URL.")  # fmt: skip
@click.option("--every", type=click.FloatRange(min=10, max=86_400), metavar="SECONDS",
              help="Again and again, until SIGTERM or Ctrl-C.  [default: once]")  # fmt: skip
@settings_options("index", single=(*TO_READ_OURS, *TO_READ_METRICS, "cluster_aliases"))
def send(settings: Settings, to: str, token_file: Path | None, every: float | None) -> None:
    """Send our jobs as runs, and our datasets, as the graph has them now.

    Jobs that stream are one run as long as they are there; sending it again changes nothing. Row counts and metrics are
    those of the last hour, assertions what alerts say. A file has one event a line.

    \b
    stream-lineage openlineage send --to http://marquez:5000/api/v1/lineage
    stream-lineage openlineage send --to kafka:openlineage.events --every 60
    stream-lineage openlineage send --to events.ndjson
    """
    from stream_lineage.emitting import our_events, sender
    from stream_lineage.errors import ConnectionFailed
    from stream_lineage.logs import get_logger

    token = None if token_file is None else token_file.read_text(encoding="utf-8").strip()
    tell = sender(to, settings, token)
    stopping = threading.Event()
    if every is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
    while True:
        try:
            with reading("reading the lineage graph") as progress:
                events = our_events(settings, datetime.now(UTC), progress)
            tell(events)
        except ConnectionFailed as error:
            if every is None:
                raise
            get_logger("stream_lineage.openlineage").warning("events were not sent", error=error.message)
        else:
            click.echo(f"sent {len(events)} events", err=every is not None)
        if every is None or stopping.wait(every):
            return
