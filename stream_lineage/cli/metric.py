"""``stream-lineage metric``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click
import orjson

from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, output_option, print_json
from stream_lineage.errors import DecodeError, NotFound
from stream_lineage.model.pushed import PushedPoint
from stream_lineage.provenance.pushed import point_from_json
from stream_lineage.settings import Settings

_MEMBERS = ("node", "metric", "value", "at", "kind", "every_seconds")
_MAX_LINE = 64 * 1024


@click.group()
def metric() -> None:
    """Metrics that you measure yourself, such as a model's accuracy: they get baselines and alerts as ours do."""


@metric.command()
@click.argument("node", required=False)
@click.argument("metric_name", metavar="[METRIC]", required=False)
@click.argument("value", type=float, required=False)
@click.option("--at", metavar="TIME", help="When it was measured, ISO 8601, UTC unless it says so.  [default: now]")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag: a part of the series. Repeatable.")
@click.option(
    "--kind", type=click.Choice(["level", "count"]), default="level", show_default=True,
    help="How it varies: as a count of events does, or as anything else.",
)  # fmt: skip
@click.option(
    "--every", type=click.FloatRange(1, 31 * 86_400), default=60.0, show_default=True, metavar="SECONDS",
    help="How far the points of the series are apart.",
)  # fmt: skip
@click.option("--file", "file", metavar="FILE", help="Many points: a .csv file, or JSON lines; - is stdin.")
@settings_options("kafka")
@output_option
def push(
    settings: Settings,
    node: str | None,
    metric_name: str | None,
    value: float | None,
    at: str | None,
    tags: tuple[str, ...],
    kind: str,
    every: float,
    file: str | None,
    output: str,
) -> None:
    """Push a VALUE of METRIC at NODE: a topic, a job or a model. The agents store and judge it.

    Files have the columns, or members, node, metric, value, and maybe at, kind and every_seconds; other columns of CSV
    are tags, and so is what is in the member tags. All points are looked at before any is pushed, and all are on the
    topic when the command ends with 0.

    \b
    stream-lineage metric push churn-model accuracy 0.93 --every 3600 --tag region=eu
    stream-lineage metric push --file history.csv
    measure | stream-lineage metric push --file -
    """
    from stream_lineage import pushing
    from stream_lineage.doctor.preflight import preflight

    defaults = {"at": at, "kind": kind, "every_seconds": every}
    if file is not None:
        if node is not None or tags or at is not None:
            raise click.UsageError("Points of a file say node, metric, time and tags themselves.")
        points = _points(file, {"kind": kind, "every_seconds": every})
    else:
        if node is None or metric_name is None or value is None:
            raise click.UsageError("Say NODE, METRIC and VALUE, or --file.")
        given = {"node": node, "metric": metric_name, "value": value, "tags": dict(map(_tag, tags)), **defaults}
        points = [_point(given, datetime.now(UTC), "the point")]
    preflight(settings, "metric")
    pushing.push(settings, points)
    if output == JSON:
        print_json({"pushed": len(points)})
    else:
        click.echo(f"pushed {len(points)} point{'' if len(points) == 1 else 's'}")


def _tag(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"A tag is NAME=VALUE, not {text}.")
    return name, value


def _point(document: Mapping[str, Any], now: datetime, where: str) -> PushedPoint:
    try:
        return point_from_json(document, now)
    except DecodeError as error:
        raise DecodeError(f"{where}: {error.message}") from error
    except KeyError as error:
        raise DecodeError(f"{where}: {error.args[0]} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DecodeError(f"{where} is none: it needs texts node and metric, a number value, a time at") from error


def _points(file: str, defaults: Mapping[str, Any]) -> list[PushedPoint]:
    now = datetime.now(UTC)
    if file == "-":
        return [_point({**defaults, **row}, now, f"line {number}") for number, row in _json_lines(sys.stdin)]
    path = Path(file)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = _csv_rows(lines) if path.suffix.lower() == ".csv" else _json_lines(lines)
            return [_point({**defaults, **row}, now, f"line {number}") for number, row in rows]
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DecodeError(f"{file} is not text in UTF-8") from error


def _json_lines(lines: TextIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(iter(lambda: lines.readline(_MAX_LINE + 1), ""), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line) if len(line) <= _MAX_LINE else None
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise DecodeError(f"line {number} is no JSON object")
        yield number, row


def _csv_rows(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(lines)
    try:
        for row in reader:
            if None in row:
                raise DecodeError(f"line {reader.line_num} has more columns than the first one")
            given = {name: text for name, text in row.items() if text}
            members: dict[str, Any] = {name: text for name, text in given.items() if name in _MEMBERS}
            yield reader.line_num, {**members, "tags": {k: v for k, v in given.items() if k not in _MEMBERS}}
    except csv.Error as error:
        raise DecodeError(f"line {reader.line_num}: {error}") from error
