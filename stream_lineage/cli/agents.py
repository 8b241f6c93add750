"""``stream-lineage agents``."""

from __future__ import annotations

import click

from stream_lineage.cli.options import settings_options
from stream_lineage.settings import Settings


@click.command()
@settings_options("kafka", "registry", "agents", "notify", "store", "telemetry")
def agents(settings: Settings) -> None:
    """Detect drift and data loss in what the collectors observed, and keep metrics.

    Reads lineage.observations as the consumer group AGENTS_ID, publishes to lineage.drift-alerts and
    lineage.anomaly-alerts, and writes metrics into the store. Run as many as there are partitions of the observation
    topic; they share them. SIGTERM or Ctrl-C ends it; whatever ends it, no alert is lost or published under two ids.

    \b
    stream-lineage agents --bootstrap-servers kafka:9092 --schema-registry-url http://registry:8081
    """
    from contextlib import closing
    from datetime import timedelta

    from stream_lineage.agents.telemetry import AgentsTelemetry
    from stream_lineage.agents.worker import run_worker
    from stream_lineage.collect.watch import TopicFilter
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.errors import KafkaRefused, KafkaUnavailable
    from stream_lineage.locating_apart import LocatingApart
    from stream_lineage.otel import tracing
    from stream_lineage.serve.endpoint import answering
    from stream_lineage.store.open import open_outbox_store

    try:
        preflight(settings, "agents")
    except KafkaRefused:
        raise
    except KafkaUnavailable:
        pass  # the worker waits for it
    store = open_outbox_store(settings.store)
    telemetry = AgentsTelemetry(store.health)
    with (
        tracing("agents"),
        answering(settings.telemetry, telemetry, "agents"),
        closing(LocatingApart(settings)) as locate,
    ):
        run_worker(
            settings.kafka,
            settings.registry,
            settings.agents,
            store,
            telemetry,
            notify=settings.notify,
            watches=TopicFilter.configured(settings.collect, settings.kafka.topic_prefix).watches,
            own_groups=(settings.collect.group_id,),
            kept=timedelta(days=settings.store.retention_days),
            locate=locate,
        )
