"""Questions to InfluxDB in Flux, as Grafana sends them.

What a variable holds goes into them as a regular expression, ``${topic:regex}``: of Grafana's formats only this one
escapes whatever would end a literal, so that no name of a topic, a field or a group can change a question. The bucket,
the time and the width of windows are those of Grafana (``v.``).
"""

from __future__ import annotations

ALL = "all"
"""Partition of what is known of a topic or a group as a whole."""
_WINDOW = "window = duration(v: (int(v: v.windowPeriod) - 1) / 10000000000 * 10000000000 + 10000000000)"
PER_SECOND = "|> map(fn: (r) => ({r with _value: r._value / float(v: int(v: window)) * 1000000000.0}))"
OF_CLUSTER = ("cluster",)


def one_of(*variables: str) -> list[str]:
    """Conditions: the tags of these names are what the variables of these names hold."""
    return [f"r.{name} =~ /^(?:${{{name}:regex}})$/" for name in variables]


def is_(tag: str, value: str) -> str:
    return f'r.{tag} == "{value}"'


def is_not(tag: str, value: str) -> str:
    return f'r.{tag} != "{value}"'


def of_field() -> str:
    """What is about the variable's field, or about its topic as a whole."""
    return f"(not exists r.field or {one_of('field')[0]})"


def points(
    measurement: str, fields: tuple[str, ...], *where: str, variables: tuple[str, ...] = OF_CLUSTER, start: str = ""
) -> str:
    """The points of these fields in the time that is looked at, or from ``start``, an expression, on."""
    chosen = " or ".join(is_("_field", field) for field in fields)
    conditions = [is_("_measurement", measurement), f"({chosen})", *where, *one_of(*variables)]
    return (
        "from(bucket: v.defaultBucket)\n"
        f"  |> range(start: {start or 'v.timeRangeStart'}, stop: v.timeRangeStop)\n"
        f"  |> filter(fn: (r) => {' and '.join(conditions)})"
    )


def then(question: str, *steps: str) -> str:
    return "\n  ".join([question, *steps])


def grouped(*columns: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return f"|> group(columns: [{names}])" if columns else "|> group()"


def windows(aggregation: str, *, empty: bool = False) -> str:
    """One value a window; ``empty``: null where there is none, so that lines break there."""
    made = "true" if empty else "false"
    return f'|> aggregateWindow(every: window, fn: {aggregation}, createEmpty: {made}, timeSrc: "_start")'


def series(*by: str) -> str:
    """Only what a series is made of: a second column of times or numbers would be drawn too."""
    names = ", ".join(f'"{name}"' for name in ("_time", "_value", *by))
    return f"|> keep(columns: [{names}])"


def windowed(question: str, *steps: str) -> str:
    """Steps of which some make windows: whole numbers of the ten seconds that a point is of."""
    lines = question.split("\n")
    imports = sum(line.startswith("import ") for line in lines)
    return then("\n".join([*lines[:imports], _WINDOW, *lines[imports:]]), *steps)


def rate(question: str, *by: str) -> str:
    """So many a second, of what points count."""
    return windowed(question, grouped(*by), windows("sum", empty=True), PER_SECOND, series(*by))


def over_time(question: str, aggregation: str, *by: str) -> str:
    """A value for each window and each of ``by``."""
    return windowed(question, grouped(*by), windows(aggregation), series(*by))


def of_the_largest(question: str, by: str, aggregation: str, count: int = 10) -> str:
    """Only the points of those with the largest aggregates. What they are is asked first and becomes a regular
    expression, for storage to leave out the others: where Flux does it, 2,000 topics take it most of a minute."""
    largest = then(
        question,
        grouped(by),
        f"|> {aggregation}()",
        grouped(),
        f'|> top(n: {count}, columns: ["_value"])',
        f"|> map(fn: (r) => ({{_value: regexp.quoteMeta(v: r.{by})}}))",
        '|> findColumn(fn: (key) => true, column: "_value")',
    )
    return (
        f'import "regexp"\nimport "strings"\nlargest = {largest}\n'
        'these = regexp.compile(v: "^(?:" + strings.joinStr(arr: largest, v: "|") + ")$")\n'
        + then(question, f"|> filter(fn: (r) => r.{by} =~ these)")
    )


def wide(question: str, *constant: str) -> str:
    """A row for each time (or each of ``constant``) with a column for each field."""
    if constant:
        key = ", ".join(f'"{name}"' for name in constant)
        return then(question, grouped(), f'|> pivot(rowKey: [{key}], columnKey: ["_field"], valueColumn: "_value")')
    return then(
        question,
        '|> drop(columns: ["_start", "_stop", "_measurement"])',
        '|> group(columns: ["_time", "_value", "_field"], mode: "except")',
        '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")',
        grouped(),
    )


def as_rows(question: str) -> str:
    """A row for each point with a column for each field, of whatever types: ``wide`` wants one type."""
    return then(
        question,
        '|> drop(columns: ["_start", "_stop", "_measurement"])',
        '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")',
        grouped(),
    )


def sorted_by(column: str, *, most: int, descending: bool = True) -> list[str]:
    return [f'|> sort(columns: ["{column}"], desc: {"true" if descending else "false"})', f"|> limit(n: {most})"]


def values_of(tag: str, measurement: str, *variables: str, where: str = "") -> str:
    """The values that a tag has, for a variable."""
    conditions = " and ".join([is_("_measurement", measurement), *([where] if where else []), *one_of(*variables)])
    return (
        'import "influxdata/influxdb/schema"\n'
        f'schema.tagValues(bucket: v.defaultBucket, tag: "{tag}", predicate: (r) => {conditions},'
        " start: v.timeRangeStart, stop: v.timeRangeStop)"
    )
