"""``stream-lineage store``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.cli.times import moment_before
from stream_lineage.errors import SettingsError
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.store.setup import Done


@click.group()
def store() -> None:
    """Make the metric store ready."""


@store.command()
@settings_options("store")
@click.option(
    "--token-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write new tokens into files here, for their owner only, instead of printing them.",
)
@click.option(
    "--reader-token-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the token that only reads into a file here instead, for those who may not see the other one.",
)
@click.option("--renew-tokens", is_flag=True, help="Make new tokens; those of earlier runs end.")
@output_option
def setup(
    settings: Settings, token_dir: Path | None, reader_token_dir: Path | None, renew_tokens: bool, output: str
) -> None:
    """Make buckets with their retention, tasks that make coarser copies, and tokens that may do no more than needed.

    Needs influx_admin_token; without influx_url the file of the embedded store is made, which needs no more. What is
    there is left alone or changed to what the settings say: it can be run again. Of the two tokens one is for the
    agents (influx_token), which write; one is for those who only read, such as Grafana. A token whose file is missing
    is made anew.

    \b
    stream-lineage store setup --influx-url http://influxdb:8086 --influx-admin-token-file admin-token --token-dir .
    """
    from stream_lineage.store.open import open_setup
    from stream_lineage.store.setup import READER, WRITER

    directories = {WRITER: token_dir, READER: reader_token_dir or token_dir}
    files = {role: directory / f"influx_{role}_token" for role, directory in directories.items() if directory}
    renew = [role for role in directories if renew_tokens or (role in files and not files[role].exists())]
    done = [_kept(each, files.get(each.role)) for each in open_setup(settings.store).run(renew=renew)]
    if output == JSON:
        print_json({"done": done})
    else:
        print_table(["kind", "name", "change", "token"], [tuple(each.values()) for each in done])


@store.command()
@settings_options("store")
@click.option("--since", required=True, metavar="TIME", help="Time, or how long ago: 3d, 12h.")
@click.option("--until", metavar="TIME", help="Time, or how long ago.  [default: now]")
@output_option
def downsample(settings: Settings, since: str, until: str | None, output: str) -> None:
    """Fill the coarser copies once more, for points that came hours late.

    InfluxDB's tasks look back half an hour (windows of five minutes) and three hours (windows of an hour). What it got
    later than that, for it was away, is copied by this. The embedded store copies late points by itself.

    \b
    stream-lineage store downsample --since 2d
    """
    from stream_lineage.store.open import open_setup

    now = datetime.now(UTC)
    start, end = moment_before(since, now), now if until is None else moment_before(until, now)
    done = [{"bucket": each.name, "time": each.change} for each in open_setup(settings.store).copy_again(start, end)]
    if output == JSON:
        print_json({"done": done})
    else:
        print_table(["bucket", "time"], [tuple(each.values()) for each in done])


def _kept(done: Done, path: Path | None) -> dict[str, Any]:
    """What is shown of a thing; its token is in a file if so wanted."""
    told = {"kind": done.kind, "name": done.name, "change": done.change, "token": done.token}
    if done.token is None or path is None:
        return told
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(done.token + "\n")
        beside.replace(path)
    except OSError as error:
        # It cannot be had again: better shown than lost.
        raise SettingsError(
            f"the token {done.token} cannot be written to {path}: {error.strerror}", hint="Keep it, or --renew-tokens."
        ) from error
    return {**told, "token": str(path)}
