"""One field of a topic: how often it is there, and what its values are like. No value is shown, only measures."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards import alert_rows, events, links, panels, variables
from boards.board import board
from boards.flux import of_field, over_time, points, rate

CHOSEN = ("cluster", "topic", "field")
OF_TOPIC = ("cluster", "topic")
NAME = "${__field.name}"
NO_NUMBER = "Its values are no numbers"


def field() -> Dashboard:
    ours = (of_field(),)
    made = board(
        links.FIELD,
        "stream_lineage: field",
        "One field: nulls, distinct values, distribution, lengths.",
        [variables.cluster(), variables.topic(), variables.field()],
        [events.schema_versions(*OF_TOPIC), events.alerts(*OF_TOPIC, where=ours), events.deploys()],
    )
    for panel in (
        panels.lines(
            "Null and missing", over_time(_of("null_ratio", "missing_ratio"), "mean", "_field"), NAME,
            about="Share of the values that are null, and of the records that lack the field.", unit="percentunit",
        ),
        panels.lines(
            "Distinct values", over_time(_of("distinct"), "max"), "distinct", about="In ten seconds, estimated.",
            empty="Not counted for this field",
        ),
        panels.lines(
            "Distribution", over_time(_of("p05", "p25", "p50", "p75", "p95", "mean"), "mean", "_field"), NAME,
            about="Quantiles and mean of the numbers.", empty=NO_NUMBER, least=None,
        ),
        panels.lines(
            "Least and greatest", over_time(_of("min", "max", "p01", "p99"), "mean", "_field"), NAME,
            about="Of the numbers, with the first and the last hundredth.", empty=NO_NUMBER, least=None,
        ),
        panels.lines(
            "Lengths", over_time(_of("length_min", "length_mean", "length_max"), "mean", "_field"), NAME,
            about="Bytes of strings and bytes, items of arrays, entries of maps.", empty="Its values have no length",
        ),
        panels.lines(
            "Values", rate(_of("slots", "nulls"), "_field"), NAME,
            about="Values that there could be, and how many of them are null, a second.", unit="cps",
        ),
        panels.lines(
            "Spread", over_time(_of("variance"), "mean"), "variance", about="Variance of the numbers.", empty=NO_NUMBER
        ),
        panels.lines("Types", over_time(_of("types"), "max"), "types", about="How many types the values have."),
        alert_rows.newest("Alerts about this field, and about the topic as a whole", *OF_TOPIC, where=ours),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made


def _of(*fields: str) -> str:
    return points("lineage_field", fields, variables=CHOSEN)
