"""If this failed, a worker without its store or without partitions would be killed, or one that hangs be left alone."""

from __future__ import annotations

from dataclasses import replace

from stream_lineage.agents.progress import STALL_SECONDS, Progress
from stream_lineage.agents.telemetry import AgentsTelemetry
from stream_lineage.store.health import Health


def test_a_worker_from_start_to_hang() -> None:
    now = [0.0]
    health = [Health()]
    telemetry = AgentsTelemetry(lambda: health[0])
    assert telemetry.alive()[0].holds
    assert [condition.holds for condition in telemetry.ready()] == [False, True]

    progress = Progress(lambda: now[0])
    telemetry.attach(progress, {"drift": 2, "incident": 3})
    progress.assigned([])  # more workers than partitions: it stands by
    assert [condition.holds for condition in telemetry.ready()] == [True, True]
    progress.assigned([0, 1])
    progress.processed(0, 5)
    progress.processed(0, 6)
    values = {
        (metric.name.removeprefix("stream_lineage_"), *sample.labels.values()): sample.value
        for metric in telemetry.metrics()
        for sample in metric.samples
    }
    assert values["agents_partitions",] == 2
    assert values["agents_observations_total",] == 2
    assert values["agents_incidents_total",] == 3
    assert (values["agents_alerts_total", "drift"], values["agents_alerts_total", "anomaly"]) == (2, 0)

    health[0] = Health(
        ready=False, trouble="could not write to /a/path at http://a-host", waiting=9, waiting_bytes=90,
        oldest_seconds=3, dropped=4, series=80, max_series=100, series_left_out=7,
    )  # fmt: skip
    member, store = telemetry.ready()
    assert (member.holds, store.holds) == (True, False)
    assert "disk" in store.detail
    waiting = replace(health[0], ready=True)
    _, behind = AgentsTelemetry(lambda: waiting).ready()
    assert behind.holds
    assert "wait on the disk" in behind.detail
    assert not [word for word in ("path", "host") if word in store.detail + behind.detail], "no one has to log in"
    assert telemetry.alive()[0].holds, "a store that is away is no reason to be started again"
    series = {metric.name: metric.samples[0].value for metric in telemetry.metrics() if "_series" in metric.name}
    assert series == {
        "stream_lineage_store_series": 80, "stream_lineage_store_series_limit": 100,
        "stream_lineage_store_series_left_out": 7,
    }  # fmt: skip
    lost = next(metric for metric in telemetry.metrics() if metric.name == "stream_lineage_store_lost_total")
    assert {sample.labels["reason"]: sample.value for sample in lost.samples} == {
        "refused": 0, "set_aside": 0, "dropped": 4, "damaged": 0,
    }  # fmt: skip

    progress.revoked()
    assert not telemetry.ready()[0].holds
    now[0] += STALL_SECONDS + 1
    assert not telemetry.alive()[0].holds
    progress.beat()
    assert telemetry.alive()[0].holds
