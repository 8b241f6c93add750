"""``stream-lineage record``."""

from __future__ import annotations

from typing import Any

import click

from stream_lineage.cli.options import TO_READ_OURS, settings_options
from stream_lineage.cli.output import JSON, output_option, print_details, print_json
from stream_lineage.cli.reading import reading
from stream_lineage.provenance.documents import provenance_document, reading_document
from stream_lineage.settings import Settings

_DECODERS = {
    None: "none: the schema is unresolved",
    "OPAQUE": "none: opaque bytes, recorded by coordinates only",
    "TEXT": "none: opaque text, recorded by coordinates only",
}


@click.command()
@click.argument("topic")
@click.argument("partition", type=click.IntRange(min=0))
@click.argument("offset", type=click.IntRange(min=0))
@settings_options(single=(*TO_READ_OURS, "hash_key"))
@output_option
def record(settings: Settings, topic: str, partition: int, offset: int, output: str) -> None:
    """Show where the record at OFFSET of TOPIC's PARTITION comes from, and the schema that it was written with.

    Coordinates and schema come from the provenance log. Timestamp, key hash, trace and run id are read from the record
    itself, and are empty once Kafka's retention has removed it. Deviations are where the records observed together with
    this one differ from what their JSON schema declares.

    \b
    stream-lineage record predictions 2 1841
    """
    from stream_lineage import reading_back
    from stream_lineage.doctor.preflight import preflight

    preflight(settings, "reader", named=(topic,))
    with reading(f"reading the log of {topic}") as progress:
        found, seen = reading_back.record_provenance(settings, topic, partition, offset, progress)
    document = {
        **provenance_document(found),
        "observation_id": seen.observation_id,
        "observation_hash": seen.observation_hash,
        "observed_at": seen.observed_at,
        **reading_document(seen.profile),
    }
    if output == JSON:
        print_json(document)
        return
    readable = {
        **document,
        "schema": f"{found.schema.label()}  {(found.schema.fingerprint or '')[:12]}",
        "key_schema": found.key_schema.label(),
        "decoder": _DECODERS.get(document["decoder"], document["decoder"]),
        "deviations": ", ".join(_shown(each) for each in document["deviations"] or ()) or None,
    }
    print_details(readable, title=f"{topic}[{partition}]@{offset}")


def _shown(deviation: dict[str, Any]) -> str:
    types = " is not ".join(deviation[side] for side in ("seen", "declared") if deviation[side] is not None)
    return f"{deviation['path']} {deviation['kind']}{f' ({types})' if types else ''} x{deviation['count']}"
