"""``stream-lineage serve``."""

from __future__ import annotations

import click

from stream_lineage.cli.options import TO_READ_METRICS, settings_options
from stream_lineage.settings import Settings


@click.command()
@settings_options(
    "kafka", "registry", "index", "serve", "telemetry", single=("group_id", "alert_rules", *TO_READ_METRICS)
)
def serve(settings: Settings) -> None:
    """Answer over HTTP: records and their paths, datasets, schemas, the graph, alerts, trends; take OpenLineage's
    events.

    The API is at /api/v1, described by /api/v1/openapi.json. It keeps no state of its own: the index is read from the
    topics, tokens are in lineage.tokens. On a loopback address everybody may ask; elsewhere only whoever has a token.

    \b
    stream-lineage serve --bootstrap-servers kafka:9092
    stream-lineage token create --name ui && stream-lineage serve --serve-listen 0.0.0.0:8080
    """
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.otel import tracing
    from stream_lineage.serving.run import run_api

    preflight(settings, "serve")
    with tracing("serve"):
        run_api(settings)
