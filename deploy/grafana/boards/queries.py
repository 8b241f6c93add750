"""Questions as Grafana keeps them in panels and annotations."""

from __future__ import annotations

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

INFLUXDB = DataSourceRef(type_val="influxdb", uid="${datasource}")
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${prometheus}")
"""What the variables of these names hold."""


class Flux(variants.Dataquery):
    """A question to InfluxDB; the SDK has none of its own for it."""

    def __init__(self, query: str, ref_id: str) -> None:
        self.query = query
        self.ref_id = ref_id

    def to_json(self) -> dict[str, object]:
        return {"datasource": INFLUXDB, "query": self.query, "refId": self.ref_id}


class FluxBuilder(Builder[variants.Dataquery]):
    def __init__(self, query: str, ref_id: str = "A") -> None:
        self._query = Flux(query, ref_id)

    def build(self) -> variants.Dataquery:
        return self._query


def prom(expression: str, legend: str, ref_id: str = "A", *, instant: bool = False) -> prometheus.Dataquery:
    """A question to Prometheus. ``legend`` names each series."""
    made = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref_id).datasource(PROMETHEUS)
    return made.instant() if instant else made.range()
