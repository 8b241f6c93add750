"""``stream-lineage record``."""

from __future__ import annotations

import click

from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, output_option, print_details, print_json
from stream_lineage.cli.reading import reading
from stream_lineage.provenance.documents import provenance_document
from stream_lineage.settings import Settings


@click.command()
@click.argument("topic")
@click.argument("partition", type=click.IntRange(min=0))
@click.argument("offset", type=click.IntRange(min=0))
@settings_options("kafka", "collect")
@output_option
def record(settings: Settings, topic: str, partition: int, offset: int, output: str) -> None:
    """Show where the record at OFFSET of TOPIC's PARTITION comes from, and the schema that it was written with.

    Coordinates and schema come from the provenance log. Timestamp, key hash, trace and run id are read from the record
    itself, and are empty once Kafka's retention has removed it.

    \b
    stream-lineage record predictions 2 1841
    """
    from stream_lineage import runtime
    from stream_lineage.doctor.preflight import preflight

    preflight(settings, "reader")
    with reading(f"reading the log of {topic}") as progress:
        found, seen = runtime.record_provenance(settings, topic, partition, offset, progress)
    document = {
        **provenance_document(found),
        "observation_id": seen.observation_id,
        "observation_hash": seen.observation_hash,
        "observed_at": seen.observed_at,
    }
    if output == JSON:
        print_json(document)
        return
    readable = {
        **document,
        "schema": f"{found.schema.label()}  {(found.schema.fingerprint or '')[:12]}",
        "key_schema": found.key_schema.label(),
    }
    print_details(readable, title=f"{topic}[{partition}]@{offset}")
