"""One topic: what comes, in which partitions, under which schemas, with which fields."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards import alert_rows, events, links, panels, variables
from boards.board import board
from boards.flux import ALL, grouped, is_, over_time, points, rate, sorted_by, then, wide

CHOSEN = ("cluster", "topic")
PARTITIONS = ("cluster", "topic", "partition")
WHOLE = is_("partition", ALL)
FIELD_NAME = "${__field.name}"


def topic() -> Dashboard:
    made = board(
        links.TOPIC,
        "stream_lineage: topic",
        "One topic: records and bytes by partition and schema version, delay, gaps, and its fields.",
        [variables.cluster(), variables.topic(), variables.partition()],
        [events.schema_versions(*CHOSEN), events.alerts(*CHOSEN), events.deploys()],
    )
    by_partition = points("lineage_topic", ("records",), 'r.partition != "all"', variables=PARTITIONS)
    gaps = points("lineage_topic", ("missing", "lost"), 'r.partition != "all"', variables=PARTITIONS)
    for panel in (
        panels.lines(
            "Records by partition",
            rate(by_partition, "partition"),
            "${__field.labels.partition}",
            about="A line breaks where nothing came.",
            unit="cps",
            stacked=True,
        ),
        panels.lines(
            "Records by schema version",
            rate(by_partition, "schema_version"),
            "version ${__field.labels.schema_version}",
            about="A version of the subject; else the schema's id, or json or opaque where there is none.",
            unit="cps",
            stacked=True,
        ),
        panels.lines(
            "Bytes", rate(_whole("bytes")), "bytes", about="Keys and values, of all partitions.", unit="Bps", span=8
        ),
        panels.lines(
            "Bytes of a record",
            over_time(_whole("bytes_per_record"), "mean"),
            "bytes",
            about="On average.",
            unit="bytes",
            span=8,
        ),
        panels.lines(
            "Delay",
            over_time(_whole("lag_ms_mean", "lag_ms_max"), "max", "_field"),
            FIELD_NAME,
            about="From the timestamp of a record to its observation: the mean, and the longest.",
            unit="ms",
            span=8,
        ),
        panels.lines(
            "Missing and lost offsets",
            over_time(gaps, "sum", "_field"),
            FIELD_NAME,
            about="Missing ones were compacted, aborted or deleted; lost ones were deleted before they were observed.",
            span=8,
        ),
        panels.lines(
            "Out of order",
            over_time(_whole("out_of_order_ratio"), "mean"),
            "share",
            about="Share of sampled records whose timestamp is older than one before them.",
            unit="percentunit",
            span=8,
        ),
        panels.lines(
            "Distinct keys",
            over_time(_whole("key_distinct"), "max"),
            "keys",
            about="In ten seconds, estimated.",
            span=8,
            empty="Its records have no keys",
        ),
        panels.lines(
            "Not profiled",
            over_time(_whole("undecoded", "unprofiled", "tombstones"), "sum", "_field"),
            FIELD_NAME,
            about="Records that could not be decoded, whose schema is not known yet, or that have no value.",
        ),
        panels.lines(
            "Baselines",
            over_time(_whole("baselines", "baselines_warming_up"), "last", "_field"),
            FIELD_NAME,
            about="Series of this topic that are watched, and those among them that are young.",
        ),
        _fields(),
        _groups(),
        alert_rows.newest("Alerts", *CHOSEN),
    ):
        made = made.with_panel(panel)
    return made


def _whole(*fields: str) -> str:
    return points("lineage_topic", fields, WHOLE, variables=CHOSEN)


def _fields() -> table.Panel:
    shown = ("slots", "null_ratio", "missing_ratio", "distinct", "mean", "min", "max")
    found = then(points("lineage_field", shown, variables=CHOSEN), grouped("field", "_field"), "|> last()")
    columns = (
        ("field", "Field"), ("null_ratio", "Null"), ("missing_ratio", "Missing"), ("distinct", "Distinct"),
        ("mean", "Mean"), ("min", "Least"), ("max", "Greatest"), ("slots", "Values"),
    )  # fmt: skip
    share = panels.unit("percentunit")
    return panels.rows(
        "Fields", then(wide(found, "field"), *sorted_by("field", most=1000, descending=False)), columns,
        about="The last ten seconds of each field. @key stands before the fields of keys.", span=14, height=10,
        properties={"field": [links.field_of_topic()], "null_ratio": [share], "missing_ratio": [share]},
        empty="Its values have no fields",
    )  # fmt: skip


def _groups() -> table.Panel:
    asked = points("lineage_group", ("lag", "lag_seconds"), WHOLE, variables=CHOSEN)
    found = then(asked, grouped("cluster", "group", "_field"), "|> last()")
    return panels.rows(
        "Consumer groups", then(wide(found, "cluster", "group"), *sorted_by("lag", most=200)),
        (("group", "Group"), ("lag", "Lag"), ("lag_seconds", "Lag in time")),
        about="Who reads this topic, as of the last look.", span=10, height=10, empty="No group reads it",
        properties={
            "group": [links.of_row("Group", links.GROUPS, "group")], "lag_seconds": [panels.unit("s")],
        },
    )  # fmt: skip
