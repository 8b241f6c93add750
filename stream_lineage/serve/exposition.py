"""Metrics in the text formats that Prometheus and OpenTelemetry collectors scrape."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from stream_lineage.model.telemetry import Condition, Metric, Telemetry


class Exposition(Collector):
    """One role's metrics, those of its process, and whether its conditions hold."""

    def __init__(self, telemetry: Telemetry, *, role: str, version: str) -> None:
        self._telemetry = telemetry
        self._role = role
        self._version = version
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Everything, and its media type, in the format that an ``Accept`` header asks for."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def collect(self) -> Iterator[Family]:
        """For the registry."""
        info = GaugeMetricFamily("stream_lineage_build_info", "Always 1.", labels=["version", "python", "role"])
        info.add_metric([self._version, platform.python_version(), self._role], 1)
        yield info
        yield from map(family, self._telemetry.metrics())
        yield _conditions("alive", "Whether the process need not be started again.", self._telemetry.alive())
        yield _conditions("ready", "Whether the role does its work.", self._telemetry.ready())


def family(metric: Metric) -> Family:
    """A metric in the client library's terms."""
    labels = sorted({name for sample in metric.samples for name in sample.labels})
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    made = make(metric.name, metric.help, labels=labels)
    for sample in metric.samples:
        made.add_metric([sample.labels.get(name, "") for name in labels], sample.value)
    return made


def _conditions(name: str, text: str, conditions: Iterable[Condition]) -> Family:
    made = GaugeMetricFamily(f"stream_lineage_{name}", text, labels=["condition"])
    for condition in conditions:
        made.add_metric([condition.name], float(condition.holds))
    return made
