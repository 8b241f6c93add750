"""``stream-lineage run``."""

from __future__ import annotations

import click

from stream_lineage.cli.options import settings_options
from stream_lineage.settings import Settings


@click.command()
@settings_options("kafka", "registry", "collect", "agents", "store", "telemetry")
def run(settings: Settings) -> None:
    """Run everything on one machine: a collector and the agents, each in a process of its own.

    One that dies is started again; one that cannot be started ends the command with its error. SIGTERM or Ctrl-C lets
    the collector write what it has read, then ends both; asked a second time, they are killed, which loses nothing but
    time. Where more than one machine is needed, start `stream-lineage collect` and `stream-lineage agents` instead, as
    often as you like.

    \b
    stream-lineage run --bootstrap-servers kafka:9092 --schema-registry-url http://registry:8081
    """
    from stream_lineage.supervision.run import Stop, run_roles

    with Stop() as stop:
        run_roles(settings, stop)
