"""One consumer group: how far it is behind, where, and whether it keeps up."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards import events, links, panels, variables
from boards.board import board
from boards.flux import (
    ALL,
    PER_SECOND,
    grouped,
    is_,
    is_not,
    over_time,
    points,
    series,
    sorted_by,
    then,
    wide,
    windowed,
    windows,
)

CHOSEN = ("cluster", "group", "topic")
PARTITIONS = (*CHOSEN, "partition")
WHOLE, EACH = is_("partition", ALL), is_not("partition", ALL)


def groups() -> Dashboard:
    made = board(
        links.GROUPS,
        "stream_lineage: consumer groups",
        "One consumer group: its lag in offsets and in time, by topic and partition, and how fast it reads.",
        [variables.cluster(), variables.group(), variables.topics_of_group(), variables.partition()],
        [events.alerts("cluster", where=(_OF_GROUP,)), events.deploys()],
    )
    lag, seconds = (points("lineage_group", (name,), WHOLE, variables=CHOSEN) for name in ("lag", "lag_seconds"))
    by_partition = points("lineage_group", ("lag",), EACH, variables=PARTITIONS)
    for panel in (
        panels.number(
            "Lag", over_time(lag, "max", "topic"), about="Offsets behind, by topic.", name="${__field.labels.topic}",
            span=12, sparkline=True,
        ),
        panels.number(
            "Lag in time", over_time(seconds, "max", "topic"), unit="s", name="${__field.labels.topic}", span=12,
            about="How long ago the log ended where the group is, by topic.", steps=[(60, "orange"), (900, "red")],
            sparkline=True, empty="Nothing comes: no time can be told",
        ),
        panels.lines(
            "Lag by partition", over_time(by_partition, "max", "topic", "partition"),
            "${__field.labels.topic}/${__field.labels.partition}",
            about="Offsets between what is committed and the end of the log.",
        ),
        panels.lines(
            "Lag in time", over_time(seconds, "max", "topic"), "${__field.labels.topic}", unit="s",
            about="The longest of the partitions.", empty="Nothing comes: no time can be told",
        ),
        panels.lines(
            "Committed", _speed("committed"), "${__field.labels.topic}", unit="cps",
            about="Offsets a second that the group gets on. Below what is written, its lag grows.",
        ),
        panels.lines(
            "Written", _speed("log_end"), "${__field.labels.topic}", unit="cps",
            about="Offsets a second that the logs grow by.",
        ),
        _all(),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made


_OF_GROUP = "(not exists r.job or r.job =~ /^(?:${group:regex})$/)"


def _speed(field: str) -> str:
    """How fast an offset grows, summed over partitions."""
    return windowed(
        points("lineage_group", (field,), EACH, variables=PARTITIONS),
        grouped("topic", "partition"),
        windows("last"),
        "|> difference(nonNegative: true)",
        grouped("topic"),
        windows("sum"),
        PER_SECOND,
        series("topic"),
    )


def _all() -> table.Panel:
    asked = points("lineage_group", ("lag", "lag_seconds"), WHOLE)
    found = then(asked, grouped("cluster", "group", "topic", "_field"), "|> last()")
    query = then(wide(found, "cluster", "group", "topic"), *sorted_by("lag", most=500))
    columns = (
        ("group", "Group"), ("topic", "Topic"), ("lag", "Lag"), ("lag_seconds", "Lag in time"), ("cluster", "Cluster"),
    )  # fmt: skip
    return panels.rows(
        "All groups", query, columns, about="As of the last look at each.", empty="No consumer group is watched",
        properties={
            "group": [links.of_row("Group", links.GROUPS, "group")],
            "topic": [links.of_row("Topic", links.TOPIC, "topic")],
            "lag_seconds": [panels.unit("s")],
        },
    )  # fmt: skip
