"""Alert rules that Grafana evaluates. What the service finds is told on its own topics too; these reach people through
Grafana's contact points.

No ``$`` is in them: in some members of such a file, and not in others, Grafana takes it for a variable of its
environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boards.flux import ALL, grouped, is_, is_not, series, then
from boards.links import ALERTS, GROUPS, INCIDENTS, OVERVIEW, TOPIC
from boards.variables import INFLUXDB_UID

FOLDER = "stream_lineage alerts"
"""Not that of the dashboards: Grafana makes this one first, under a uid of its own, and then no other of its title."""
GROUP = "stream_lineage"
EVERY = "1m"
_CRITICAL = is_("severity", "critical")


@dataclass(frozen=True, slots=True)
class Rule:
    """Told when the last value of ``query``, in any of its series, is above ``above`` (or below ``below``) for
    ``lasting``. ``no_data`` is the state where the question has no answer at all: OK where that is the usual case.
    ``panel`` is where to look: a dashboard, and the title of its panel."""

    uid: str
    title: str
    query: str
    since_seconds: int
    lasting: str
    severity: str
    summary: str
    about: str
    panel: tuple[str, str]
    no_data: str = "OK"
    above: float | None = None
    below: float | None = None

    def document(self, panels: Mapping[tuple[str, str], int]) -> dict[str, Any]:
        kind, bound = ("gt", self.above) if self.above is not None else ("lt", self.below)
        return {
            "uid": self.uid,
            "title": self.title,
            "condition": "C",
            "data": [
                self._step("A", INFLUXDB_UID, {"query": self.query}),
                self._step("B", "__expr__", {"type": "reduce", "expression": "A", "reducer": "last",
                                             "settings": {"mode": "dropNN"}}),
                self._step("C", "__expr__", {"type": "threshold", "expression": "B",
                                             "conditions": [{"evaluator": {"type": kind, "params": [bound]}}]}),
            ],
            "dashboardUid": self.panel[0],
            "panelId": panels[self.panel],
            "noDataState": self.no_data,
            "execErrState": "Error",
            "for": self.lasting,
            "labels": {"severity": self.severity, "service": "stream_lineage"},
            "annotations": {"summary": self.summary, "description": self.about},
            "isPaused": False,
        }  # fmt: skip

    def _step(self, name: str, source: str, model: dict[str, Any]) -> dict[str, Any]:
        since = self.since_seconds if source != "__expr__" else 0
        return {
            "refId": name,
            "relativeTimeRange": {"from": since, "to": 0},
            "datasourceUid": source,
            "model": {"refId": name, "intervalMs": 10_000, "maxDataPoints": 1000, **model},
        }


def document(panels: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """The file. ``panels`` are numbers of panels, by dashboard and title."""
    group = {
        "orgId": 1,
        "name": GROUP,
        "folder": FOLDER,
        "interval": EVERY,
        "rules": [each.document(panels) for each in RULES],
    }
    return {"apiVersion": 1, "groups": [group]}


def _points(measurement: str, field: str, *where: str) -> str:
    conditions = " and ".join([is_("_measurement", measurement), is_("_field", field), *where])
    return (
        "from(bucket: v.defaultBucket)\n"
        "  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)\n"
        f"  |> filter(fn: (r) => {conditions})"
    )


def _latest(question: str, aggregation: str, *by: str) -> str:
    """One value for each of ``by``, at the time of now: Grafana wants series to have times."""
    now = "|> map(fn: (r) => ({r with _time: v.timeRangeStop, _value: float(v: r._value)}))"
    return then(question, grouped(*by), f"|> {aggregation}()", now, series(*by))


RULES = (
    Rule(
        "stream-lineage-no-metrics",
        "No metrics arrive",
        _latest(_points("lineage_topic", "bytes"), "count"),
        900, "5m", "critical",
        "Nothing has come from stream_lineage for a quarter of an hour",
        "No point of any topic is in InfluxDB: agents or collectors are away, or all watched topics are silent.",
        (OVERVIEW, "Records"), no_data="Alerting", below=1,
    ),
    Rule(
        "stream-lineage-critical-alert",
        "Something critical was found",
        _latest(
            _points("lineage_alert", "alerts", _CRITICAL, is_not("phase", "close")), "sum", "cluster", "topic", "kind"
        ),
        600, "0s", "critical",
        "{{ .Labels.kind }} on {{ .Labels.topic }}",
        "An alert of severity critical was published in the last ten minutes; the dashboard says what it is about.",
        (ALERTS, "All alerts"), above=0,
    ),
    Rule(
        "stream-lineage-warning",
        "Something was found",
        _latest(
            _points("lineage_alert", "alerts", is_not("severity", "info"), is_not("phase", "close")),
            "sum", "cluster", "topic",
        ),
        600, "0s", "warning",
        "Alerts on {{ .Labels.topic }}",
        "Alerts of severity warning or above were published in the last ten minutes.",
        (ALERTS, "All alerts"), above=0,
    ),
    Rule(
        "stream-lineage-escalated",
        "An incident waits for people",
        _latest(_points("lineage_incident", "incidents", is_("state", "escalated")), "sum", "cluster", "kind"),
        600, "0s", "critical",
        "What broke first could not be told: {{ .Labels.kind }}",
        "An incident was escalated in the last ten minutes; its page says what is known, and what would settle it.",
        (INCIDENTS, "Incidents"), above=0,
    ),
    Rule(
        "stream-lineage-lost",
        "Records were lost before they were observed",
        _latest(_points("lineage_topic", "lost"), "sum", "cluster", "topic"),
        900, "0s", "critical",
        "{{ .Labels.topic }} lost records",
        "Retention deleted offsets before the collector read them: their provenance is not known.",
        (TOPIC, "Missing and lost offsets"), above=0,
    ),
    Rule(
        "stream-lineage-late",
        "Records are observed late",
        _latest(_points("lineage_topic", "lag_ms_mean", is_("partition", ALL)), "mean", "cluster", "topic"),
        600, "10m", "warning",
        "{{ .Labels.topic }} is observed minutes late",
        "From a record's timestamp to its observation it takes more than five minutes: the collector is behind, "
        "or the records are old.",
        (TOPIC, "Delay"), above=300_000,
    ),
    Rule(
        "stream-lineage-group-behind",
        "A consumer group is far behind",
        _latest(
            _points("lineage_group", "lag_seconds", is_("partition", ALL)), "last", "cluster", "group", "topic"
        ),
        600, "5m", "warning",
        "{{ .Labels.group }} is behind on {{ .Labels.topic }}",
        "Where the group is, the log ended more than a quarter of an hour ago.",
        (GROUPS, "Lag by partition"), above=900,
    ),
    Rule(
        "stream-lineage-not-profiled",
        "Records cannot be decoded",
        _latest(_points("lineage_topic", "undecoded", is_("partition", ALL)), "sum", "cluster", "topic"),
        900, "15m", "warning",
        "Records of {{ .Labels.topic }} cannot be decoded",
        "They are in lineage.dead-letters by their coordinates. Their provenance is known, their profile is not.",
        (TOPIC, "Not profiled"), above=0,
    ),
)  # fmt: skip
"""All of them."""
