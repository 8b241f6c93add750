"""``stream-lineage spans``."""

from __future__ import annotations

import click

from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_json, print_table
from stream_lineage.cli.reading import reading
from stream_lineage.provenance.documents import span_document
from stream_lineage.settings import Settings


@click.command()
@click.argument("topic")
@settings_options(single=TO_READ_OURS)
@output_option
def spans(settings: Settings, topic: str, output: str) -> None:
    """Show which offsets of TOPIC were written with which schema.

    Every record that was observed lies in exactly one span. Offsets without a record are listed with the reason:
    transaction (aborted, or a control record), compacted, retention (deleted before it was read), unknown.

    \b
    stream-lineage spans clicks
    stream-lineage spans clicks --output json | jq '.[] | select(.schema.version == 2)'
    """
    from stream_lineage import reading_back
    from stream_lineage.doctor.preflight import preflight

    preflight(settings, "reader")
    with reading(f"reading the log of {topic}") as progress:
        index = reading_back.observed_spans(settings, topic, progress)
    rows = [span_document(entry, epoch.topic_id) for epoch in index.epochs() for entry in index.merged(epoch)]
    if output == JSON:
        print_json(rows)
        return
    if not rows:
        click.echo(f"nothing has been observed of {topic} yet")
        return
    labels = [entry.schema.label() for epoch in index.epochs() for entry in index.merged(epoch)]
    print_table(
        ["partition", "first offset", "last offset", "records", "missing", "schema", "fingerprint", "topic id"],
        [
            [
                row["partition"],
                row["first_offset"],
                row["last_offset"],
                row["count"],
                _missing(row["missing"]),
                label,
                (row["schema"]["fingerprint"] or "")[:12],
                row["topic_id"],
            ]
            for row, label in zip(rows, labels, strict=True)
        ],
        right=["partition", "first offset", "last offset", "records"],
    )


def _missing(ranges: list[dict[str, object]]) -> str:
    shown = [f"{gap['first_offset']}-{gap['last_offset']} {gap['reason']}" for gap in ranges[:3]]
    return ", ".join(shown) + (f", and {len(ranges) - 3} more" if len(ranges) > 3 else "")
