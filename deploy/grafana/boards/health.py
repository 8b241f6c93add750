"""The service itself, by its /metrics: they are there while InfluxDB is away, and the collector writes no points."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard

from boards import links, panels, variables
from boards.board import board
from boards.flux import ALL, grouped, is_, over_time, points, then

_OF = '{instance=~"$instance"}'
_INTERVAL = "[$__rate_interval]"


def health() -> Dashboard:
    made = board(
        links.HEALTH,
        "stream_lineage: its own health",
        "Whether every role is ready, what it gets through, and what waits or is lost.",
        [variables.prometheus(), variables.instance(), variables.cluster()],
        [],
        since="now-1h",
    )
    ready = "stream_lineage_ready"
    for panel in (
        _number("Ready", f"min by (instance) ({ready}{_OF})", "{{instance}}",
                "0 where a condition of /readyz fails.", least=1),
        _number("Alive", f"min by (instance) (stream_lineage_alive{_OF})", "{{instance}}",
                "0 where a condition of /healthz fails.", least=1),
        _number("Roles that run", f"stream_lineage_role_up{_OF}", "{{role}}",
                "As stream-lineage run sees them.", least=1),
        _number("Points on the disk", f"sum(stream_lineage_outbox_points{_OF})", "points",
                "Points that wait for the store. More and more: it is away.", most=10_000),
        _lines("Conditions of readiness", [(f"{ready}{_OF}", "{{instance}} {{condition}}")],
               "1 holds, 0 fails: /readyz of that instance says why."),
        _lines("Records observed", [(_rate("stream_lineage_collector_records_total", "instance"), "{{instance}}")],
               "Observed and committed, a second.", "cps"),
        _lines("Records by decoder", [(_rate("stream_lineage_collector_decoded_total", "decoder"), "{{decoder}}")],
               "columnar is the fast one; records, one by one, is slower.", "cps"),
        _lines("Observations", [
            (_rate("stream_lineage_collector_observations_total"), "written"),
            (_rate("stream_lineage_agents_observations_total"), "processed"),
        ], "Written by the collectors, processed by the agents, a second. They should be the same.", "cps"),
        _lines("Flushes", [
            (_rate("stream_lineage_collector_flushes_total"), "committed"),
            (_rate("stream_lineage_collector_failed_flushes_total"), "failed"),
        ], "Transactions a second. What a failed one held is read again.", "cps"),
        _lines("Cannot be read", [
            (_rate("stream_lineage_collector_dead_letters_total"), "dead letters a second"),
            (f"sum(stream_lineage_collector_quarantined_partitions{_OF})", "partitions in quarantine"),
        ], "Records that cannot be decoded, and partitions that cannot be read at present."),
        _lines("What is watched", [
            (f"max(stream_lineage_collector_topics{_OF})", "topics"),
            (f"sum(stream_lineage_collector_partitions{_OF})", "partitions"),
            (f"sum(stream_lineage_agents_partitions{_OF})", "partitions of the log"),
        ], "Topics, their partitions, and the agents' partitions of the observation log."),
        _lines("Turns", [(f"stream_lineage_collector_turn_seconds{_OF}", "{{instance}}")],
               "How long ago the collector's main thread turned: it may be minutes while Kafka is away.", "s"),
        _lines("Alerts", [(_rate("stream_lineage_agents_alerts_total", "channel"), "{{channel}}")],
               "Published a second, by channel.", "cps"),
        _lines("Points", [
            (_rate("stream_lineage_store_sent_total"), "sent"),
            (_rate("stream_lineage_store_lost_total", "reason"), "lost: {{reason}}"),
        ], "Points that the store took, and those that will never be in it, a second.", "cps"),
        _lines("Outbox", [(f"stream_lineage_outbox_bytes{_OF}", "{{instance}}")],
               "Bytes that wait on the disk.", "bytes"),
        _lines("Oldest point on the disk", [(f"stream_lineage_outbox_age_seconds{_OF}", "{{instance}}")],
               "Its age.", "s"),
        _lines(
            "Series of metrics",
            [
                (f"stream_lineage_store_series{_OF}", "written by {{instance}}"),
                (f"max(stream_lineage_store_series_limit{_OF})", "as many as a process may write"),
                (f"sum(stream_lineage_store_series_left_out{_OF})", "left out"),
            ],
            "What exceeds max_series is added up as __other__.",
        ),
        _lines(
            "Record edges",
            [
                (_rate("stream_lineage_collector_edges_total"), "written"),
                (_rate("stream_lineage_collector_edges_left_out_total"), "left out"),
                (_rate("stream_lineage_collector_edges_unreadable_total"), "unreadable"),
            ],
            "Parents that records name in their headers, a second.",
            "cps",
        ),
        _lines("Memory", [(f"process_resident_memory_bytes{_OF}{_OURS}", "{{instance}}")], "Resident.", "bytes"),
        _lines("Processor", [(f"rate(process_cpu_seconds_total{_OF}{_INTERVAL}){_OURS}", "{{instance}}")],
               "Cores in use.", "short"),
        _lines("Starts of roles", [(f"stream_lineage_role_starts_total{_OF}", "{{role}}")],
               "A line that goes up is a role that ended."),
        panels.lines(
            "Windows in the store", over_time(points("lineage_topic", ("bytes",), is_("partition", ALL)), "count"),
            "windows", span=8, about="Windows of topics that arrived in InfluxDB, by the time that they are of.",
        ),
        panels.number(
            "Newest point", _newest(), unit="dateTimeFromNow", span=8,
            about="The time of the newest window of a topic in InfluxDB.",
        ),
        panels.of_prometheus(
            "Versions", [(f"count by (version, role) (stream_lineage_build_info{_OF})", "{{role}} {{version}}")],
            about="Instances of each.", as_number=True, span=8,
        ),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return made


_OURS = " and on (instance) stream_lineage_build_info"
"""Of processes that are ours."""


def _rate(counter: str, *by: str) -> str:
    grouping = f"sum by ({', '.join(by)}) " if by else "sum"
    return f"{grouping}(rate({counter}{_OF}{_INTERVAL}))"


def _lines(title: str, queries: list[tuple[str, str]], about: str, unit: str = "short") -> Any:
    return panels.of_prometheus(title, queries, about=about, unit=unit, span=8)


def _number(
    title: str, query: str, name: str, about: str, *, least: float | None = None, most: float | None = None
) -> Any:
    steps: list[tuple[float, str]] = []
    if least is not None:
        steps = [(0, "red"), (least, "green")]
    if most is not None:
        steps = [(most, "orange")]
    return panels.of_prometheus(title, [(query, name)], about=about, span=6, as_number=True, steps=steps)


def _newest() -> str:
    return then(
        points("lineage_topic", ("bytes",), is_("partition", ALL)),
        "|> last()",
        grouped(),
        '|> max(column: "_time")',
        "|> map(fn: (r) => ({_value: int(v: r._time) / 1000000}))",
    )
