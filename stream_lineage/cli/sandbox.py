"""``stream-lineage sandbox``: a real Kafka and schema registry on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from stream_lineage.errors import NotFound
from stream_lineage.sandbox.running import RunningSandbox
from stream_lineage.sandbox.security import LISTENERS, Listener

_STOP_TIMEOUT_SECONDS = 75.0

_output = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
_port = click.IntRange(1, 65_535)
_data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The sandbox on this directory; needed only if several are running.",
)


@click.group()
def sandbox() -> None:
    """Run a real Kafka and schema registry on this machine, without Docker."""


@sandbox.command()
@click.option(
    "--brokers",
    default=1,
    show_default=True,
    help="How many. With three, topics have three replicas and live on when a broker is killed; it is started again.",
)
@click.option("--kafka-port", type=_port, help="Kafka's port, or its first broker's.  [default: a free one]")
@click.option("--registry-port", type=_port, help="The schema registry's port.  [default: a free one]")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep Kafka's data here.  [default: a temporary directory, removed at the end]",
)
@click.option("--no-registry", is_flag=True, help="Kafka only.")
@click.option("--heap", help="Each broker's heap, such as 400m or 1g.  [default: 400m, of several brokers 256m]")
@click.option("--broker-config", multiple=True, metavar="KEY=VALUE", help="A setting of the broker; may be repeated.")
@click.option(
    "--security",
    type=click.Choice(LISTENERS),
    multiple=True,
    help="Also a listener that wants a password (sasl), a token or a certificate, with ACLs behind it. The last two "
    "have a bad certificate. May be repeated.",
)
@click.option("--detach", is_flag=True, help="Return when both answer; end them with `sandbox stop`.")
@_output
def start(
    brokers: int,
    kafka_port: int | None,
    registry_port: int | None,
    data_dir: Path | None,
    no_registry: bool,
    heap: str | None,
    broker_config: tuple[str, ...],
    security: tuple[Listener, ...],
    detach: bool,
    output: str,
) -> None:
    """Start Kafka and a schema registry, on the loopback interface only.

    Runs until Ctrl-C and leaves nothing behind, unless --data-dir or --detach say otherwise. The first start downloads
    about 200 MB into a cache. Schemas are kept in memory: with --data-dir, topics survive a restart, schemas do not.
    """
    from pydantic import ValidationError

    from stream_lineage.sandbox.cluster import Sandbox
    from stream_lineage.sandbox.progress import StderrReporter
    from stream_lineage.sandbox.service import run_until_signalled, start_in_background
    from stream_lineage.sandbox.settings import SandboxSettings

    try:
        settings = SandboxSettings(
            registry=not no_registry,
            brokers=brokers,
            kafka_port=kafka_port,
            registry_port=registry_port,
            data_dir=data_dir,
            heap=heap,
            security=tuple(dict.fromkeys(security)),
            broker_config=dict(_key_and_value(text) for text in broker_config),
        )
    except ValidationError as error:
        raise click.UsageError("; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors())) from error
    reporter = StderrReporter()
    if detach:
        Sandbox(settings, reporter=reporter).download()
        reporter.say("Starting in the background ...")
        _show(start_in_background(settings), output)
    else:
        run_until_signalled(settings, reporter, lambda running: _show(running, output))


@sandbox.command()
@_data_dir
@_output
def status(data_dir: Path | None, output: str) -> None:
    """Tell whether a sandbox is running and where. Exit status 1 if none is."""
    from stream_lineage.sandbox.running import the_running_sandbox

    try:
        running = the_running_sandbox(data_dir)
    except NotFound:
        if output == "json":
            click.echo(json.dumps({"bootstrap_servers": None, "schema_registry_url": None, "pid": None}))
        raise
    _show(running, output)


@sandbox.command()
@_data_dir
def stop(data_dir: Path | None) -> None:
    """End a running sandbox and wait until its servers are gone. Exit status 1 if none is running."""
    from stream_lineage.sandbox.running import the_running_sandbox

    running = the_running_sandbox(data_dir)
    running.stop(_STOP_TIMEOUT_SECONDS)
    kept = "" if running.temporary else f" Its data is kept in {running.directory}."
    click.echo(f"The sandbox (pid {running.process.pid}) has ended.{kept}", err=True)


def _show(running: RunningSandbox, output: str) -> None:
    if output == "json":
        fields: dict[str, Any] = {
            "bootstrap_servers": running.bootstrap_servers,
            "schema_registry_url": running.schema_registry_url,
            "pid": running.process.pid,
        }
        if len(running.brokers) > 1:
            fields["brokers"] = [{"address": address, "pid": pid} for address, pid in running.brokers.items()]
        if running.secured:
            fields["secured"] = running.secured
        click.echo(json.dumps(fields))
        return
    click.echo(f"Kafka            {running.bootstrap_servers}")
    click.echo(f"Schema registry  {running.schema_registry_url or 'none'}")
    click.echo(f"Data             {running.directory}{' (temporary)' if running.temporary else ''}")
    click.echo(f"Pid              {running.process.pid}")
    if len(running.brokers) > 1:
        brokers = ", ".join(f"{pid} ({address})" for address, pid in running.brokers.items())
        click.echo(f"Brokers' pids    {brokers}")
    for name, settings in running.secured.items():
        click.echo(f"\n{name}, as admin (or as service, who needs ACLs):")
        click.echo("\n".join(f"  {key}={value}" for key, value in settings.items()))


def _key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--broker-config")
    return key, value
