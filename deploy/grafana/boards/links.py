"""From one dashboard to the next, and to the web UI."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, DynamicConfigValue

OVERVIEW, TOPIC, FIELD = "stream-lineage-overview", "stream-lineage-topic", "stream-lineage-field"
GROUPS, ALERTS, HEALTH = "stream-lineage-groups", "stream-lineage-alerts", "stream-lineage-health"
INCIDENTS = "stream-lineage-incidents"
TAG = "stream-lineage"
_TIME = "${__url_time_range}"
_DATASOURCE = "var-datasource=${datasource}&var-ui=${ui:percentencode}"


def _here(uid: str, *values: tuple[str, str]) -> str:
    """A dashboard, for the values that fields of the row, or labels of the series, have."""
    said = "".join(f"&var-{name}={value}" for name, value in values)
    return f"/d/{uid}?{_DATASOURCE}{said}&{_TIME}"


def _cell(column: str) -> str:
    return f'${{__data.fields["{column}"]:percentencode}}'


def _label(name: str) -> str:
    return f"${{__field.labels.{name}:percentencode}}"


def of_row(title: str, uid: str, *columns: str) -> DynamicConfigValue:
    """On a cell of a table: the dashboard for these columns of its row."""
    return _links(title, _here(uid, *((column, _cell(column)) for column in columns)))


def of_series(title: str, uid: str, *labels: str) -> list[dict[str, object]]:
    """On a line of a graph."""
    return [{"title": title, "url": _here(uid, *((label, _label(label)) for label in labels))}]


def field_of_topic() -> DynamicConfigValue:
    """On a row of a topic's fields."""
    return _links("Field", _here(FIELD, ("topic", "${topic:percentencode}"), ("field", _cell("field"))))


def to_alert() -> DynamicConfigValue:
    """On the cell that holds the address of an alert's page in the web UI."""
    return _links("Open in the web UI", "${__value.raw}", new=True)


def _links(title: str, url: str, *, new: bool = False) -> DynamicConfigValue:
    return DynamicConfigValue("links", [{"title": title, "url": url, "targetBlank": new}])


def between() -> list[dashboard.DashboardLink]:
    """At the top of each dashboard: the others, with the same variables and time, and the web UI."""
    others = (
        dashboard.DashboardLink("stream_lineage")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
    ui = dashboard.DashboardLink("Web UI").type(DashboardLinkType.LINK).icon("external link").url("${ui}")
    return [others, ui.target_blank(True)]
