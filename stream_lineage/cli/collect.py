"""``stream-lineage collect``."""

from __future__ import annotations

import signal
import time
from typing import Any

import click

from stream_lineage.cli.options import settings_options
from stream_lineage.cli.output import JSON, output_option, print_json
from stream_lineage.errors import Fenced
from stream_lineage.logs import get_logger
from stream_lineage.settings import Settings

_log = get_logger("stream_lineage.collect")
_REPORT_SECONDS = 10.0


@click.command()
@settings_options("kafka", "registry", "collect", "telemetry", single=("key_fields",))
@output_option
def collect(settings: Settings, output: str) -> None:
    """Observe topics: which records there are, under which schema, and what their fields look like.

    Joins the watched topics as the consumer group GROUP_ID and writes observations to lineage.observations, in one
    transaction with the offsets: every record is observed exactly once. It never writes to a watched topic. Run as many
    as you like; they share the partitions. SIGTERM or Ctrl-C writes what has been read, then ends.

    With --tap each record of those topics is also republished, once, to TOPIC.traced: as it is, with its provenance as
    the header lineage-provenance.

    \b
    stream-lineage collect --bootstrap-servers kafka:9092 --schema-registry-url http://registry:8081 --include orders
    stream-lineage collect --tap orders         # and republish orders to orders.traced
    stream-lineage collect --until-end          # observe what is there now, then exit: backfills, CI
    """
    from stream_lineage import runtime
    from stream_lineage.collect.telemetry import CollectorTelemetry
    from stream_lineage.doctor.preflight import preflight
    from stream_lineage.otel import tracing
    from stream_lineage.serve.endpoint import answering

    started = time.monotonic()
    reported = [started, 0.0]

    def on_tick(totals: Any) -> None:
        now = time.monotonic()
        if now - reported[0] >= _REPORT_SECONDS:
            rate = (totals.records - reported[1]) / (now - reported[0])
            reported[0], reported[1] = now, totals.records
            _log.info(
                "observing", records=totals.records, records_per_second=round(rate), dead_letters=totals.dead_letters
            )

    preflight(settings, "collector")
    with runtime.collector(settings, on_tick=on_tick, own_process=True) as collector:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: collector.stop())
        try:
            telemetry = CollectorTelemetry(lambda: collector.standing)
            with tracing("collect"), answering(settings.telemetry, telemetry, "collect"):
                totals = collector.run()
        except Fenced:
            runtime.run_again_if_alone(settings, collector)
            raise
    seconds = time.monotonic() - started
    summary = {
        "records": totals.records,
        "bytes": totals.bytes,
        "observations": totals.observations,
        "spans": totals.spans,
        "dead_letters": totals.dead_letters,
        "traced": totals.traced,
        "seconds": round(seconds, 3),
    }
    if output == JSON:
        print_json(summary)
    elif settings.collect.until_end:
        click.echo(
            f"observed {totals.records:,} records in {seconds:.1f} s: {totals.observations} observations, "
            f"{totals.dead_letters} dead letters"
        )
    else:
        _log.info("stopped", **summary)
