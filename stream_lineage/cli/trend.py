"""``stream-lineage trend``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.text import Text

from stream_lineage.cli.options import TO_READ_METRICS, TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, console, output_option, print_json
from stream_lineage.cli.times import moment_before
from stream_lineage.settings import Settings

if TYPE_CHECKING:
    from stream_lineage.explain.trend import Trend


@click.command()
@click.argument("target")
@click.argument("metric")
@click.option(
    "--since", default="7d", show_default=True, metavar="TIME", help="Time, or how long ago: 7d, 12h, 90m."
)  # fmt: skip
@click.option("--until", metavar="TIME", help="Time, or how long ago.  [default: now]")
@click.option("--alerts/--no-alerts", default=True, help="Whether to ask Kafka for alerts.  [default: alerts]")
@settings_options(single=(*TO_READ_OURS, *TO_READ_METRICS, "alert_rules"))
@output_option
def trend(
    settings: Settings, target: str, metric: str, since: str, until: str | None, alerts: bool, output: str
) -> None:
    """Draw METRIC of TARGET over time, beside what is usual for it.

    TARGET is a topic, a field as TOPIC:FIELD, or a node that metrics are pushed for. The band is where the same hours
    of the seven days before lie, or the windows before where those are not known. Below are marked: S, a schema
    version that is new; A, an alert; D, a deploy window of alert_rules.

    \b
    stream-lineage trend orders records --since 2d
    stream-lineage trend orders:amount mean
    """
    from stream_lineage.trending import marked_trend

    now = datetime.now(UTC)
    start, end = moment_before(since, now), now if until is None else moment_before(until, now)
    if start >= end:
        raise click.UsageError("--since must be before --until")
    found = marked_trend(settings, target, metric, start, end, alerts=alerts)
    if found.trouble is not None:
        click.echo(f"no alerts are marked: {found.trouble}", err=True)
    if output == JSON:
        print_json(found.document())
    else:
        _print(found.trend)


def _print(found: Trend) -> None:
    from stream_lineage.cli.chart import draw, legend

    screen = console()
    outside = sum(window.outside for window in found.windows)
    how = "sum" if found.aggregation == "sum" else "mean"
    title = f"{found.metric} of {found.target}, {how} of each {_width(found.window_seconds)}"
    screen.print(Text(title, style="bold"))
    for line in (*draw(found), *legend(found)):
        screen.print(line, soft_wrap=True)
    band = "nothing is known to be usual yet" if found.band is None else f"shaded: {found.band}; {outside} outside (X)"
    screen.print(Text(band, style="dim"))


def _width(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
