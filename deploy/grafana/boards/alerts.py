"""What was found: problems, each with all that was told of it, and every alert."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards import alert_rows, events, links, panels, variables
from boards.board import board
from boards.flux import grouped, over_time, points, sorted_by, then, wide

_KEPT = ("cluster", "topic", "field", "job", "kind", "severity", "phase", "summary", "url")


def alerts() -> Dashboard:
    made = board(
        links.ALERTS,
        "stream_lineage: alerts",
        "What was found: problems by severity, kind and topic, and every alert.",
        [variables.cluster()],
        [events.schema_versions(), events.incidents(), events.deploys()],
        since="now-24h",
    )
    told = points("lineage_alert", alert_rows.TOLD, *alert_rows.BEGINNINGS)
    for panel in (
        panels.number(
            "New alerts", then(told, grouped("severity"), "|> sum()"), name="${__field.labels.severity}", span=8,
            about="Problems that began in this time, by severity.", empty="none", by_severity=True,
        ),
        panels.number(
            "Problems", then(told, grouped("fingerprint"), "|> sum()", grouped(), "|> count()"), span=8, empty="none",
            about="That differ: the same problem has the same fingerprint whenever it is found.",
        ),
        panels.number(
            "Topics concerned", then(told, grouped("cluster", "topic"), "|> sum()", grouped(), "|> count()"), span=8,
            about="Topics that something was found in.", empty="none",
        ),
        panels.bars(
            "New alerts by severity", over_time(told, "sum", "severity"), "${__field.labels.severity}",
            about="When they began.", empty=alert_rows.NONE, span=10,
        ),
        panels.gauges(
            "By kind", _most("kind", told), "${__field.labels.kind}", about="New alerts, the frequent kinds.", span=7,
            empty=alert_rows.NONE,
        ),
        panels.gauges(
            "By topic", _most("topic", told), "${__field.labels.topic}", about="New alerts, the most frequent.",
            span=7, empty=alert_rows.NONE,
        ),
        _problems(),
        alert_rows.newest("All alerts", "cluster", height=12),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made


def _most(tag: str, told: str) -> str:
    return then(told, grouped(tag), "|> sum()", grouped(), *sorted_by("_value", most=15), grouped(tag))


def _problems() -> table.Panel:
    text = {name: f'if exists r.{name} then r.{name} else ""' for name in _KEPT}
    initial = ", ".join(f'{name}: ""' for name in _KEPT)
    last = ", ".join(f"{name}: {value}" for name, value in text.items())
    query = then(
        wide(points("lineage_alert", ("summary", "url"))),
        '|> group(columns: ["fingerprint"])',
        '|> sort(columns: ["_time"])',
        "|> reduce(\n"
        f"    identity: {{alerts: 0, first: time(v: 0), last: time(v: 0), {initial}}},\n"
        "    fn: (r, accumulator) => ({alerts: accumulator.alerts + 1,"
        " first: if accumulator.alerts == 0 then r._time else accumulator.first,"
        f" last: r._time, {last}}})\n  )",
        grouped(),
        *sorted_by("last", most=500),
    )
    columns = (
        ("last", "Last told"), ("first", "First told"), ("severity", "Severity"), ("phase", "Phase"),
        ("alerts", "Alerts"), ("kind", "Kind"), ("topic", "Topic"), ("field", "Field"), ("job", "Job"),
        ("summary", "What"), ("url", "Page"),
    )  # fmt: skip
    properties = alert_rows.of_row()
    properties |= {"first": [panels.width(170)], "last": [panels.width(170)], "alerts": [panels.width(80)]}
    return panels.rows(
        "Problems", query, columns, properties=properties, height=10, empty=alert_rows.NONE,
        about="One row for each fingerprint, as it was told of last. Phase close is over; once has no end.",
    )  # fmt: skip
