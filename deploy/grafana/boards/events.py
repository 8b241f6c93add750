"""What happened, on the panels of a dashboard: schema versions, alerts, deploys.

Grafana takes the columns ``time``, ``timeEnd``, ``text`` and ``tags`` for what they are called; Flux gives them no
order.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationQuery

from boards.flux import OF_CLUSTER, grouped, is_not, points, sorted_by, then, wide
from boards.queries import INFLUXDB, Flux

BEFORE = "date.sub(from: v.timeRangeStart, d: 7d)"
"""A schema version that was there in these days is not new."""


_NEWEST = sorted_by("time", most=500)
"""Of annotations Grafana takes a thousand rows, and none where there are more."""


class FluxAnnotation(Builder[AnnotationQuery]):
    """The SDK knows only targets of Grafana's own annotations."""

    def __init__(self, name: str, color: str, query: str) -> None:
        self._built = dashboard.AnnotationQuery().name(name).datasource(INFLUXDB).enable(True).icon_color(color).build()
        self._built.hide = None
        self._built.built_in = None
        self._built.target = Flux(query, name)  # type: ignore[assignment]

    def build(self) -> AnnotationQuery:
        return self._built


def schema_versions(*variables: str) -> FluxAnnotation:
    known = points(
        "lineage_topic", ("records",), is_not("schema_version", "all"), variables=variables or OF_CLUSTER, start=BEFORE
    )
    query = 'import "date"\n' + then(
        known,
        grouped("cluster", "topic", "schema_version"),
        "|> first()",
        grouped(),
        "|> filter(fn: (r) => r._time >= v.timeRangeStart)",
        '|> map(fn: (r) => ({time: r._time, text: r.topic + ": schema version " + r.schema_version, tags: "schema"}))',
        *_NEWEST,
    )
    return FluxAnnotation("Schema versions", "blue", query)


def alerts(*variables: str, where: tuple[str, ...] = ()) -> FluxAnnotation:
    told = points("lineage_alert", ("summary",), is_not("phase", "update"), *where, variables=variables or OF_CLUSTER)
    query = then(
        told,
        grouped(),
        '|> map(fn: (r) => ({time: r._time, text: r._value, tags: r.severity + "," + r.kind}))',
        *_NEWEST,
    )
    return FluxAnnotation("Alerts", "red", query)


def incidents() -> FluxAnnotation:
    """When each was opened."""
    told = points("lineage_incident", ("summary",))
    query = then(
        told,
        grouped("incident"),
        '|> sort(columns: ["_time"])',
        "|> first()",
        grouped(),
        '|> filter(fn: (r) => r.state == "open")',
        '|> map(fn: (r) => ({time: r._time, text: r._value, tags: r.severity + "," + r.kind}))',
        *_NEWEST,
    )
    return FluxAnnotation("Incidents", "orange", query)


def deploys() -> FluxAnnotation:
    """Those that are not over when the time begins, of all topics: what a window's topics are is a pattern."""
    begun = points("lineage_deploy", ("until", "reason"), start="date.sub(from: v.timeRangeStart, d: 1d)")
    query = 'import "date"\n' + then(
        wide(begun),
        '|> map(fn: (r) => ({time: r._time, timeEnd: time(v: r.until), text: r.reason + " (" + r.topic + ")",'
        ' tags: "deploy"}))',
        "|> filter(fn: (r) => r.timeEnd >= v.timeRangeStart)",
        *_NEWEST,
    )
    return FluxAnnotation("Deploys", "purple", query)
