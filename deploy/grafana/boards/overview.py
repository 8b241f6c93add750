"""Whether all is well, and where to look if not."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards import alert_rows, events, links, panels, variables
from boards.board import board
from boards.flux import ALL, grouped, is_, is_not, of_the_largest, over_time, points, rate, sorted_by, then, wide

WHOLE = is_("partition", ALL)


def overview() -> Dashboard:
    made = board(
        links.OVERVIEW,
        "stream_lineage: overview",
        "All watched topics: what comes, how late it is seen, what was found.",
        [variables.cluster()],
        [events.schema_versions(), events.alerts(), events.incidents(), events.deploys()],
    )
    records = points("lineage_topic", ("records",))
    told = points("lineage_alert", alert_rows.TOLD, *alert_rows.BEGINNINGS)
    lag = points("lineage_group", ("lag_seconds",), WHOLE)
    delay = points("lineage_topic", ("lag_ms_mean",), WHOLE)
    topics = then(
        points("lineage_topic", ("bytes",), WHOLE), grouped("cluster", "topic"), "|> last()", grouped(), "|> count()"
    )
    for panel in (
        panels.number("Topics", topics, about="Topics that something came to.", span=4),
        panels.number(
            "Records",
            rate(records),
            about="Records a second, of all topics.",
            unit="cps",
            reduce="mean",
            span=5,
            sparkline=True,
        ),
        panels.number(
            "New alerts",
            then(told, grouped("severity"), "|> sum()"),
            name="${__field.labels.severity}",
            span=5,
            about="What was found in this time, by severity; that it lasts or is over does not count.",
            empty="none",
            by_severity=True,
        ),
        panels.number(
            "Longest lag of a group",
            over_time(lag, "max"),
            unit="s",
            span=5,
            sparkline=True,
            empty="no group",
            about="How long ago the log ended where the slowest consumer group is.",
            steps=[(60, "orange"), (900, "red")],
        ),
        panels.number(
            "Delay",
            over_time(delay, "mean"),
            unit="ms",
            span=5,
            sparkline=True,
            about="From the timestamp of a record to its observation, on average.",
            steps=[(60_000, "orange"), (600_000, "red")],
        ),
        panels.lines(
            "Records by topic",
            rate(of_the_largest(records, "topic", "sum"), "cluster", "topic"),
            "${__field.labels.topic}",
            about="The ten topics to which most came. A line breaks where nothing came.",
            unit="cps",
            links=links.of_series("Topic", links.TOPIC, "cluster", "topic"),
        ),
        panels.lines(
            "Delay by topic",
            over_time(of_the_largest(delay, "topic", "mean"), "mean", "cluster", "topic"),
            "${__field.labels.topic}",
            about="Mean time from a record's timestamp to its observation, of the ten slowest.",
            unit="ms",
            links=links.of_series("Topic", links.TOPIC, "cluster", "topic"),
        ),
        panels.bars(
            "New alerts",
            over_time(told, "sum", "severity", "kind"),
            "${__field.labels.kind} (${__field.labels.severity})",
            about="By kind and severity.",
            empty=alert_rows.NONE,
        ),
        panels.lines(
            "Lag of consumer groups",
            over_time(
                of_the_largest(points("lineage_group", ("lag",), WHOLE), "group", "max"),
                "max",
                "cluster",
                "group",
                "topic",
            ),
            "${__field.labels.group} on ${__field.labels.topic}",
            about="Offsets between what is committed and the ends of the logs, of the ten furthest behind.",
            empty="No consumer group of these topics",
            links=links.of_series("Group", links.GROUPS, "cluster", "group"),
        ),
        _topics(),
        alert_rows.newest("Newest alerts", "cluster"),
    ):
        made = made.with_panel(panel)
    return made


def _topics() -> table.Panel:
    sums = wide(
        then(
            points("lineage_topic", ("records", "bytes", "missing", "lost")),
            grouped("cluster", "topic", "_field"),
            "|> sum()",
        ),
        "cluster", "topic",
    )  # fmt: skip
    versions = then(
        points("lineage_topic", ("records",), is_not("schema_version", ALL)),
        grouped("cluster", "topic", "schema_version"),
        "|> last()",
        grouped("cluster", "topic"),
        '|> count(column: "schema_version")',
        grouped(),
    )
    query = (
        f"sums = {sums}\nversions = {versions}\n"
        'join(tables: {sums: sums, versions: versions}, on: ["cluster", "topic"])\n  '
        + "\n  ".join(sorted_by("records", most=500))
    )
    columns = (
        ("topic", "Topic"), ("records", "Records"), ("bytes", "Bytes"), ("missing", "Missing offsets"),
        ("lost", "Lost offsets"), ("schema_version", "Schema versions"), ("cluster", "Cluster"),
    )  # fmt: skip
    return panels.rows(
        "Topics", query, columns,
        about="What came. Missing offsets were compacted, aborted or deleted; lost ones were deleted before "
        "they were observed.",
        properties={"topic": [links.of_row("Topic", links.TOPIC, "cluster", "topic")], "bytes": [panels.unit("bytes")]},
    )  # fmt: skip
