"""What an agent worker says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stream_lineage.agents.alerts import Topic
from stream_lineage.agents.progress import STALL_SECONDS, Progress
from stream_lineage.detect.detector import Channel
from stream_lineage.model.telemetry import Condition, Metric, Sample
from stream_lineage.notify.telemetry import hook_metrics, notify_metrics
from stream_lineage.store.health import Health

CHANNELS: tuple[Channel, ...] = ("drift", "anomaly")
_PREFIX = "stream_lineage_agents_"


class AgentsTelemetry:
    """Starts as that of a worker that is not there yet; ``attach`` gives it what it tells of."""

    def __init__(self, store_health: Callable[[], Health]) -> None:
        self._store_health = store_health
        self._progress: Progress | None = None
        self._published: Mapping[Topic, int] = {}
        self._told: Callable[[], Sequence[Metric]] = lambda: [*notify_metrics({}, {}), *hook_metrics({})]

    def attach(self, progress: Progress, published: Mapping[Topic, int]) -> None:
        """The worker's progress, and its counts of alerts, which go on changing."""
        self._progress, self._published = progress, published

    def attach_told(self, told: Callable[[], Sequence[Metric]]) -> None:
        """How telling people of incidents goes."""
        self._told = told

    def metrics(self) -> Sequence[Metric]:
        """Counters since the start of the process."""
        progress, health = self._progress, self._store_health()
        done, partitions = (0, 0) if progress is None else (progress.done, progress.partitions)
        alerts = [Sample(self._published.get(channel, 0), {"channel": channel}) for channel in CHANNELS]
        lost = [
            Sample(health.refused, {"reason": "refused"}),
            Sample(health.set_aside, {"reason": "set_aside"}),
            Sample(health.dropped, {"reason": "dropped"}),
            Sample(health.damaged, {"reason": "damaged"}),
        ]
        return [
            Metric(f"{_PREFIX}observations_total", "counter", "Observations that were processed.", [Sample(done)]),
            Metric(f"{_PREFIX}alerts_total", "counter", "Alerts that were published, by channel.", alerts),
            Metric(
                f"{_PREFIX}incidents_total", "counter", "Messages about incidents that were published.",
                [Sample(self._published.get("incident", 0))],
            ),
            Metric(f"{_PREFIX}partitions", "gauge", "Partitions of the log that it has.", [Sample(partitions)]),
            Metric("stream_lineage_store_sent_total", "counter", "Points that the store took.", [Sample(health.sent)]),
            Metric("stream_lineage_store_lost_total", "counter", "Points that will never be in the store.", lost),
            Metric(
                "stream_lineage_outbox_points", "gauge", "Points that wait on the disk.", [Sample(health.waiting)]
            ),
            Metric("stream_lineage_outbox_bytes", "gauge", "Bytes of those points.", [Sample(health.waiting_bytes)]),
            Metric(
                "stream_lineage_outbox_age_seconds", "gauge", "Age of the oldest of them.",
                [Sample(health.oldest_seconds)],
            ),
            Metric("stream_lineage_store_series", "gauge", "Series that it writes.", [Sample(health.series)]),
            Metric("stream_lineage_store_series_limit", "gauge", "Most that it may.", [Sample(health.max_series)]),
            Metric(
                "stream_lineage_store_series_left_out", "gauge", "Series in __other__ for that, since the start.",
                [Sample(health.series_left_out)],
            ),
            *self._told(),
        ]  # fmt: skip

    def alive(self) -> Sequence[Condition]:
        """A store or brokers that are away are no reason to be started again."""
        still = 0.0 if self._progress is None else self._progress.still_seconds
        return [Condition("turns", still < STALL_SECONDS, f"the event loop turned {still:.1f} s ago")]

    def ready(self) -> Sequence[Condition]:
        """It works on what the group gave it, and what it measures is kept."""
        progress, health = self._progress, self._store_health()
        member = progress is not None and progress.member
        has = f"it has {0 if progress is None else progress.partitions} partitions of the log"
        return [
            Condition("member", member, has if member else "the consumer group has not let it in yet"),
            Condition("store", health.ready, _store(health)),
        ]


def _store(health: Health) -> str:
    """``trouble`` holds addresses and paths, and whoever reaches the port may read this: the log has it."""
    if not health.ready:
        return "points cannot be written to the disk, which may be full: the log says more"
    return "points are taken, and wait on the disk: the log says why" if health.trouble else "points are taken"
