"""``stream-lineage graph stale`` and ``graph coverage``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from stream_lineage.cli.options import TO_READ_METRICS, TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.cli.times import moment_before
from stream_lineage.settings import Settings

_SHARES = ("schema", "owner", "traced", "expectations", "score")


@click.command()
@click.option(
    "--since", default="24h", show_default=True, metavar="TIME", help="Stale is what was not seen since this time."
)
@click.option("--at", metavar="TIME", help="As of a time, or how long ago: 3d, 12h.  [default: now]")
@output_option
@settings_options(single=TO_READ_OURS)
def stale(settings: Settings, since: str, at: str | None, output: str) -> None:
    """Show what has gone quiet, lost its source, or is not as declared.

    \b
    stream-lineage graph stale --since 7d
    """
    from stream_lineage.graph.standing import oddities
    from stream_lineage.graphing import graph_at

    now = datetime.now(UTC)
    when = None if at is None else moment_before(at, now)
    with reading("reading the lineage graph") as progress:
        graph = graph_at(settings, when, progress)
    found = oddities(graph, moment_before(since, when or now))
    if output == JSON:
        print_json(
            [
                {
                    "kind": each.kind,
                    "node": None if each.node is None else each.node.id,
                    "edge": None if each.edge is None else {"from": each.edge.source.id, "to": each.edge.target.id},
                    "last_seen": each.last_seen,
                }
                for each in found
            ]
        )
    elif found:
        rows = []
        for each in found:
            what = each.node.id if each.node else f"{each.edge.source.id} → {each.edge.target.id}" if each.edge else ""
            rows.append((each.kind, what, f"{each.last_seen:%Y-%m-%d %H:%M}" if each.last_seen else "never"))
        print_table(("what", "of", "last seen"), rows)
    else:
        click.echo("nothing is stale, orphaned or other than declared")


@click.command()
@output_option
@settings_options(single=(*TO_READ_OURS, *TO_READ_METRICS, "alert_rules"))
def coverage(settings: Settings, output: str) -> None:
    """Show which topics have a schema, an owner, lineage and expectations.

    Those that lack something come first, the busiest of the last day before the others.

    \b
    stream-lineage graph coverage
    """
    from stream_lineage.graphing import topic_coverage

    with reading("reading the lineage graph") as progress:
        found = topic_coverage(settings, datetime.now(UTC), progress)
    shares = {name: round(found.share(name), 4) for name in _SHARES}
    if output == JSON:
        print_json({"shares": shares, "topics": [{**asdict(each), "score": each.score} for each in found.topics]})
        return
    if not found.topics:
        click.echo("no topic was observed in the last day")
        return
    columns = ("topic", "records in a day", "schema", "owner", "traced", "expectations")
    rows = [
        (each.topic, f"{each.records:,.0f}", *map(_mark, (each.schema, each.owner, each.traced, each.expectations)))
        for each in found.topics
    ]
    print_table(columns, rows, right=("records in a day",), styles={"-": "red", "yes": "green"})
    said = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if name != "score")
    click.echo(f"{len(found.topics)} topics: {said}; {shares['score']:.0%} of all four")


def _mark(has: bool) -> str:
    return "yes" if has else "-"
