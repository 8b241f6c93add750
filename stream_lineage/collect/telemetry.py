"""What a collector says of itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from stream_lineage.collect.open_flush import BEHIND_SECONDS
from stream_lineage.collect.standing import Standing
from stream_lineage.model.telemetry import Condition, Metric, Sample

SILENT_SECONDS = 2 * BEHIND_SECONDS
"""A main thread that has not turned for so long hangs: what it waits for otherwise gives up before."""
_PREFIX = "stream_lineage_collector_"


class CollectorTelemetry:
    """``standing`` is asked at each scrape, in whatever thread that is."""

    def __init__(self, standing: Callable[[], Standing], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._standing = standing
        self._clock = clock

    def metrics(self) -> Sequence[Metric]:
        """Counters since the start of the process, of what is committed; gauges as of the last turn."""
        standing = self._standing()
        totals = standing.totals
        counters = {
            "records": (totals.records, "Records that were observed."),
            "bytes": (totals.bytes, "Bytes of their keys and values."),
            "observations": (totals.observations, "Observations that were written."),
            "spans": (totals.spans, "Spans of offsets in those observations."),
            "dead_letters": (totals.dead_letters, "Records that could not be read, in lineage.dead-letters."),
            "traced": (totals.traced, "Records that were republished to a traced topic."),
            "edges": (totals.edges.edges, "Records whose headers say where they come from, in lineage.edges."),
            "edges_unreadable": (totals.edges.unreadable, "Records among them whose header could not be read."),
            "edges_copied": (totals.edges.copied, "Headers that were copied from a record of another topic."),
            "edges_left_out": (totals.edges.left_out, "Records for whose edges there was no room."),
            "keys": (totals.keys.written, "Hashes of key fields, in lineage.keys."),
            "keys_left_out": (totals.keys.left_out, "Records with a value in a key field that has no hash there."),
            "flushes": (totals.flushes, "Transactions that were committed."),
            "failed_flushes": (totals.failed_flushes, "Transactions that failed; what they held is read again."),
        }
        gauges = {
            "topics": (standing.topics, "Topics that are watched."),
            "partitions": (standing.partitions, "Partitions that this collector reads."),
            "quarantined_partitions": (standing.quarantined, "Partitions that cannot be read at present."),
            "turn_seconds": (self._clock() - standing.at, "Time since the main thread last turned."),
        }
        decoders = [Sample(count, {"decoder": name}) for name, count in sorted(dict(totals.decoders).items())]
        return [
            *(Metric(f"{_PREFIX}{name}_total", "counter", text, [Sample(v)]) for name, (v, text) in counters.items()),
            Metric(f"{_PREFIX}decoded_total", "counter", "Records by the decoder that read them.", decoders),
            *(Metric(f"{_PREFIX}{name}", "gauge", text, [Sample(v)]) for name, (v, text) in gauges.items()),
        ]

    def alive(self) -> Sequence[Condition]:
        """Brokers that are away are no reason to be started again."""
        silent = self._clock() - self._standing().at
        return [Condition("turns", silent < SILENT_SECONDS, f"the main thread turned {silent:.1f} s ago")]

    def ready(self) -> Sequence[Condition]:
        """It reads what the group gave it, which may be nothing."""
        standing = self._standing()
        watching = f"{standing.topics} topics are watched, {standing.partitions} partitions are read"
        return [
            Condition(
                "member",
                standing.assigned or not standing.topics,
                watching if standing.assigned or not standing.topics else "the consumer group has not let us in yet",
            ),
            Condition(
                "commits",
                not standing.rewinding,
                "what is read is committed"
                if not standing.rewinding
                else "reading begins again from what is committed",
            ),
        ]
