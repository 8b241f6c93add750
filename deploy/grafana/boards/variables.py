"""What a dashboard is looked at for."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import VariableModel, VariableOption, VariableRefresh, VariableSort

from boards.flux import is_not, values_of
from boards.queries import INFLUXDB, PROMETHEUS

INFLUXDB_UID = "stream-lineage-influxdb"
PROMETHEUS_UID = "stream-lineage-prometheus"
UI = "http://localhost:8080"
"""Where the web UI is unless somebody says otherwise, as ``public_url``."""
EVERYTHING = ".*"
MOST = 2_000
"""Grafana takes ten times as many values of a variable, and none where there are more. Unless told it takes 1,000."""

Variable = Builder[VariableModel]


def datasource() -> Variable:
    current = VariableOption(selected=True, text="stream_lineage InfluxDB", value=INFLUXDB_UID)
    return dashboard.DatasourceVariable("datasource").label("InfluxDB").type("influxdb").current(current)


def prometheus() -> Variable:
    current = VariableOption(selected=True, text="stream_lineage Prometheus", value=PROMETHEUS_UID)
    return dashboard.DatasourceVariable("prometheus").label("Prometheus").type("prometheus").current(current)


def ui() -> Variable:
    return dashboard.TextBoxVariable("ui").label("UI").default_value(UI)


def cluster() -> Variable:
    return _asked("cluster", "Cluster", values_of("cluster", "lineage_topic"), every=True)


def topic() -> Variable:
    return _asked("topic", "Topic", values_of("topic", "lineage_topic", "cluster"))


def partition() -> Variable:
    asked = values_of("partition", "lineage_topic", "cluster", "topic", where=is_not("partition", "all"))
    return _asked("partition", "Partition", asked, every=True, sort=VariableSort.NUMERICAL_ASC)


def field() -> Variable:
    return _asked("field", "Field", values_of("field", "lineage_field", "cluster", "topic"))


def group() -> Variable:
    return _asked("group", "Consumer group", values_of("group", "lineage_group", "cluster"))


def topics_of_group() -> Variable:
    return _asked("topic", "Topic", values_of("topic", "lineage_group", "cluster", "group"), every=True)


def instance() -> Variable:
    asked = dashboard.QueryVariable("instance").label("Instance").datasource(PROMETHEUS)
    return (
        asked.query({"query": "label_values(stream_lineage_build_info, instance)", "refId": "instance"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(EVERYTHING)
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )


def _asked(
    name: str, label: str, query: str, *, every: bool = False, sort: VariableSort = VariableSort.ALPHABETICAL_ASC
) -> Variable:
    """``every``: several may be chosen, and are at first."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(INFLUXDB)
        .query({"query": query, "refId": name, "maxDataPoints": MOST})
    )
    made = made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(sort)
    if not every:
        return made
    chosen = VariableOption(selected=True, text="All", value="$__all")
    return made.multi(True).include_all(True).all_value(EVERYTHING).current(chosen)
