"""Incidents: which are open, what broke first, how soon that was known, and how often it was right."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards import events, links, panels, variables
from boards.board import board
from boards.flux import (
    ALL,
    as_rows,
    grouped,
    is_,
    is_not,
    over_time,
    points,
    series,
    sorted_by,
    then,
    windowed,
    windows,
)

NONE, UNKNOWN = "No incident in this time", "No cause was named in this time"
_INCIDENT = "lineage_incident"
_BEFORE = "date.sub(from: v.timeRangeStart, d: 30d)"
"""An incident that was told of last before these days is taken for over."""
_FIRST = "r._value == 1.0"
_RESOLVED = is_("state", "resolved")
_NEWEST_IN_TIME = (grouped("incident"), '|> sort(columns: ["_time"])', "|> last()", grouped())
"""What was told last of each incident."""
_TOLD = (
    "summary", "url", "revision", "alerts", "reopened", "age_seconds", "cause", "cause_after_seconds", "detect_seconds",
)  # fmt: skip


def incidents() -> Dashboard:
    made = board(
        links.INCIDENTS,
        "stream_lineage: incidents",
        "What broke: open incidents, what broke first, how soon that was known, and how old the data are.",
        [variables.cluster()],
        [events.schema_versions(), events.alerts(), events.deploys()],
        since="now-24h",
    )
    opened = points(_INCIDENT, ("revision",), _FIRST)
    kind = "${__field.labels.kind}"
    for panel in (
        panels.number(
            "Open", _open(), name="${__field.labels.severity}", span=5, by_severity=True, empty="none",
            about="Incidents that are not resolved at the end of this time, by severity.",
        ),
        panels.number(
            "Opened", then(opened, grouped(), "|> count()"), span=3, about="In this time.", empty="none",
        ),
        panels.number(
            "Cause named", _share_named(), unit="percentunit", span=4, empty=NONE,
            about="Of the incidents that were told of in this time, those whose cause was named.",
        ),
        panels.number(
            "Time to detect", _median("detect_seconds"), unit="s", span=4, empty=UNKNOWN,
            about="From the onset of what broke first to the first alert: the median. Known where a cause was named.",
        ),
        panels.number(
            "Time to root cause", _median("cause_after_seconds"), unit="s", span=4, empty=UNKNOWN,
            about="From what was noticed to the answer: the median.", steps=[(30, "orange"), (120, "red")],
        ),
        panels.number(
            "Causes confirmed", _confirmed(), unit="percentunit", span=4, empty="Nobody has said",
            about="Of the causes that were named and people said the cause of, those that were right: "
            "`stream-lineage incident label ID true --cause NODE`.",
        ),
        panels.bars(
            "Opened by kind", over_time(opened, "count", "kind"), kind, empty=NONE, span=8,
            about="When they began, by the kind of the first alert.",
        ),
        panels.bars(
            "Told of", over_time(points(_INCIDENT, ("incidents",)), "sum", "state"), "${__field.labels.state}",
            about="What became of them: every time that a state was told.", empty=NONE, span=8,
        ),
        panels.lines(
            "Open over time", _open_over_time(), "open", about="How many were open at a time.", span=8,
            empty="None began or ended in this time",
        ),
        panels.gauges(
            "By kind", then(opened, grouped("kind"), "|> count()", grouped(), *sorted_by("_value", most=15),
            grouped("kind")), kind, about="Opened in this time, by the kind of the first alert.", span=8, empty=NONE,
        ),
        panels.gauges(
            "By cause", _by_cause(), "${__field.labels.cause}", span=8, empty=UNKNOWN,
            about="What broke first, of those told of in this time.",
        ),
        panels.lines(
            "How soon", _how_soon(), "${__field.labels._field}", unit="s", span=8, empty=UNKNOWN,
            about="Time to detect and to root cause: the mean of the incidents whose cause was named just then.",
        ),
        _all(),
        panels.gauges(
            "Oldest data", _oldest(), "${__field.labels.topic}", unit="s", span=8,
            about="How old the newest record of a topic is at the end of this time, the fifteen oldest.",
        ),
        panels.lines(
            "Age of data", _age(), "${__field.labels.topic}", unit="s", span=16,
            about="How old the newest record of a topic was at a time, of the ten topics whose data are oldest by now.",
            links=links.of_series("Topic", links.TOPIC, "cluster", "topic"),
        ),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made


def _open() -> str:
    newest = then(points(_INCIDENT, ("revision",), start=_BEFORE), *_NEWEST_IN_TIME)
    live = then(newest, f"|> filter(fn: (r) => {is_not('state', 'resolved')})", grouped("severity"), "|> count()")
    return f'import "date"\n{live}'


def _share_named() -> str:
    return then(points(_INCIDENT, ("named",)), *_NEWEST_IN_TIME, "|> mean()")


def _median(field: str) -> str:
    """Of what was told last of each incident."""
    asked = points(_INCIDENT, (field,))
    return then(asked, *_NEWEST_IN_TIME, "|> median()")


def _how_soon() -> str:
    asked = points(_INCIDENT, ("detect_seconds", "cause_after_seconds"), is_("state", "root-cause"))
    titled = '|> map(fn: (r) => ({r with _field: if r._field == "detect_seconds" then "detect" else "root cause"}))'
    return windowed(asked, titled, grouped("_field"), windows("mean"), series("_field"))


def _confirmed() -> str:
    said = points("lineage_incident_label", ("confirmed",))
    counts = "|> filter(fn: (r) => r._value >= 0)"  # else another label of what is one incident does
    return then(said, *_NEWEST_IN_TIME, counts, "|> mean()")


def _by_cause() -> str:
    return then(
        points(_INCIDENT, ("cause",)),
        *_NEWEST_IN_TIME,
        "|> map(fn: (r) => ({cause: r._value, _value: 1}))",
        grouped("cause"),
        "|> sum()",
        grouped(),
        *sorted_by("_value", most=15),
        grouped("cause"),
    )


def _open_over_time() -> str:
    """From what opened, came back and was resolved: what is told again in the same state counts once."""
    asked = points(_INCIDENT, ("revision", "reopened"), start=_BEFORE)
    changes = (
        ("opened", "1", (f'|> filter(fn: (r) => r._field == "revision" and {_FIRST})',)),
        ("over", "-1", (f'|> filter(fn: (r) => r._field == "revision" and {_RESOLVED})',)),
        (
            "back",
            "1",
            (
                f'|> filter(fn: (r) => r._field == "reopened" and {is_("state", "reopened")})',
                grouped("incident", "_value"),
                '|> sort(columns: ["_time"])',
                "|> first()",
            ),
        ),
    )
    named = "\n".join(
        f"{name} = {then('told', *steps, grouped(), f'|> map(fn: (r) => ({{_time: r._time, _value: {change}}}))')}"
        for name, change, steps in changes
    )
    before = then(
        "changes", "|> filter(fn: (r) => r._time < v.timeRangeStart)", "|> sum()",
        '|> findColumn(fn: (key) => true, column: "_value")',
    )  # fmt: skip
    steps = (
        "|> range(start: v.timeRangeStart, stop: v.timeRangeStop)",
        windows("sum", empty=True),
        "|> fill(value: 0)",
        '|> sort(columns: ["_time"])',
        "|> cumulativeSum()",
        "|> map(fn: (r) => ({_time: r._time, _value: r._value + open}))",
    )
    return windowed(
        f'import "date"\ntold = {asked}\n{named}\nchanges = union(tables: [opened, over, back])\n'
        f"before = {before}\nopen = if length(arr: before) > 0 then before[0] else 0\nchanges",
        *steps,
    )


def _last_of_each() -> tuple[str, ...]:
    return (grouped("incident"), '|> sort(columns: ["revision"])', '|> last(column: "revision")', grouped())


def _all() -> table.Panel:
    begun = "time(v: int(v: r._time) - int(v: r.age_seconds * 1000000000.0))"
    query = then(
        as_rows(points(_INCIDENT, _TOLD)),
        *_last_of_each(),
        f"|> map(fn: (r) => ({{r with opened: {begun}}}))",
        *sorted_by("_time", most=500),
    )
    columns = (
        ("opened", "Opened"), ("_time", "Told of"), ("state", "State"), ("severity", "Severity"), ("kind", "Kind"),
        ("cause", "What broke first"), ("detect_seconds", "Detected after"), ("cause_after_seconds", "Cause after"),
        ("alerts", "Alerts"), ("reopened", "Reopened"), ("summary", "What"), ("url", "Page"),
    )  # fmt: skip
    widths = {
        "opened": 170, "_time": 170, "state": 100, "severity": 90, "kind": 140, "cause": 180, "detect_seconds": 120,
        "cause_after_seconds": 110, "alerts": 80, "reopened": 90, "url": 90,
    }  # fmt: skip
    properties = {name: [panels.width(pixels)] for name, pixels in widths.items()}
    for name in ("detect_seconds", "cause_after_seconds"):
        properties[name].append(panels.unit("s"))
    properties["url"].append(links.to_alert())
    return panels.rows(
        "Incidents", query, columns, properties=properties, height=10, empty=NONE,
        about="As they were told of last, the newest first. The page is that of the web UI.",
    )  # fmt: skip


_WHOLE = is_("partition", ALL)
_SECONDS = "|> map(fn: (r) => ({r with _value: r._value / 1000.0}))"
_END = "end = int(v: if v.timeRangeStop < now() then v.timeRangeStop else now())\n"


def _at_the_end(*by: str) -> str:
    """How old the newest record of each topic is."""
    return then(
        points("lineage_topic", ("newest_ms",), _WHOLE), grouped(*by), "|> last()", _SECONDS, grouped(),
        "|> map(fn: (r) => ({r with _value: float(v: end) / 1000000000.0 - r._value}))",
    )  # fmt: skip


def _oldest() -> str:
    return _END + then(_at_the_end("cluster", "topic"), *sorted_by("_value", most=15), grouped("topic"))


def _age() -> str:
    """A topic to which nothing comes goes on getting older."""
    these = then(
        _at_the_end("cluster", "topic"),
        '|> top(n: 10, columns: ["_value"])',
        "|> map(fn: (r) => ({_value: regexp.quoteMeta(v: r.topic)}))",
        '|> findColumn(fn: (key) => true, column: "_value")',
    )
    asked = then(points("lineage_topic", ("newest_ms",), _WHOLE), "|> filter(fn: (r) => r.topic =~ these)")
    return windowed(
        f'import "regexp"\nimport "strings"\n{_END}oldest = {these}\n'
        'these = regexp.compile(v: "^(?:" + strings.joinStr(arr: oldest, v: "|") + ")$")\n' + asked,
        _SECONDS,
        grouped("cluster", "topic"),
        '|> aggregateWindow(every: window, fn: max, createEmpty: true, timeSrc: "_stop")',
        "|> fill(usePrevious: true)",
        "|> filter(fn: (r) => exists r._value)",
        "|> map(fn: (r) => ({r with _value: float(v: int(v: r._time)) / 1000000000.0 - r._value}))",
        series("cluster", "topic"),
    )
