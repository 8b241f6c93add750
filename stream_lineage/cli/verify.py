"""``stream-lineage verify``."""

from __future__ import annotations

from pathlib import Path

import click

from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_json
from stream_lineage.cli.reading import reading
from stream_lineage.settings import Settings


@click.command()
@click.option("--topic", metavar="TOPIC", help="Only the chains of this watched topic.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also prove that nothing was taken away since this signed checkpoint.",
)
@click.option(
    "--write-checkpoint",
    "write_to",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="When all is well, write a checkpoint signed with hash_key. Keep it where the cluster's owners cannot write.",
)
@settings_options(single=(*TO_READ_OURS, "hash_key"))
@output_option
def verify(settings: Settings, topic: str | None, checkpoint: Path | None, write_to: Path | None, output: str) -> int:
    """Check the provenance log: no gap, no overlap, no broken link, nothing missing at its end.

    Proves the range from the first retained link (or from a checkpoint) to the head that the collectors have committed.
    Exits with 1 when something is wrong.

    \b
    stream-lineage verify --topic clicks
    stream-lineage verify --write-checkpoint monday.json;  stream-lineage verify --checkpoint monday.json
    """
    from stream_lineage import reading_back
    from stream_lineage.doctor.preflight import preflight

    preflight(settings, "reader")
    with reading("reading the log") as progress:
        outcome = reading_back.verify_log(
            settings, topic=topic, checkpoint=checkpoint, write_to=write_to, progress=progress
        )
    if output == JSON:
        print_json(
            {
                "ok": outcome.ok,
                "records": outcome.records,
                "spans": outcome.spans,
                "gaps": outcome.gaps,
                "overlaps": outcome.overlaps,
                "broken_links": outcome.broken_links,
                "notes": outcome.notes,
            }
        )
        return 0 if outcome.ok else 1
    for kind, rows in (("gap", outcome.gaps), ("overlap", outcome.overlaps), ("broken link", outcome.broken_links)):
        for row in rows:
            details = ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)
            click.echo(f"{click.style(kind, fg='red')}: {details}")
    for note in outcome.notes:
        click.echo(f"note: {note}")
    verdict = click.style("ok", fg="green") if outcome.ok else click.style("NOT OK", fg="red")
    click.echo(f"{verdict}: {outcome.records} records in {outcome.spans} spans")
    return 0 if outcome.ok else 1
