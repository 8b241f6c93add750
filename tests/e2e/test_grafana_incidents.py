"""If this failed, the dashboard of incidents would count them wrong, or say wrongly how soon a cause was known."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from grafana_side import ALL, Answering, Value, boards, with_macros, with_variables
from incident_story import named, opened, then
from pydantic import SecretStr

from stream_lineage.agents.alert_points import alert_points
from stream_lineage.agents.incident_labels import LabelRead, Labels, label_points
from stream_lineage.agents.incident_watch import incident_message
from stream_lineage.model.finding import Severity
from stream_lineage.model.incident import Incident, IncidentState
from stream_lineage.store.open import open_store
from stream_lineage.store.ports import Point
from stream_lineage.store.settings import StoreSettings
from stream_lineage.testing.influxd import Influxd

pytestmark = pytest.mark.influx

NOW = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
START = NOW - timedelta(minutes=40)
[BOARD] = [board for board in boards() if board.name == "incidents"]
CAUSE, STATE = "cause_after_seconds", IncidentState


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def told() -> list[Incident]:
    """Four incidents: one over, one that came back twice, one before this time, one that nobody can explain."""
    a0 = opened("a", ago(30), "null-ratio", Severity.CRITICAL)
    a1 = named(a0, 12, "raw", ago(30.5))  # 30 s before
    a2 = then(a1, STATE.RESOLVED, 600, resolved_at=ago(19))
    b0 = opened("b", ago(20), "mean")
    b1 = named(b0, 4, "raw", ago(21.5))  # 90 s before
    b2 = then(b1, STATE.RESOLVED, 236)  # 4 minutes after it began
    b3 = then(b2, STATE.REOPENED, 60, reopened=1)
    b4 = then(b3, STATE.REOPENED, 60, reopened=1)  # told again, in the same state
    c0 = opened("c", ago(24 * 60), "mean")
    d0 = opened("d", ago(10), "throughput")
    cause = {"verdict": "inconclusive", "sentence": "Nobody knows.", "ranking": []}
    d1 = then(d0, STATE.ESCALATED, 30, cause=cause)
    return [a0, a1, a2, b0, b1, b2, b3, b4, c0, d0, d1]


def of_topics() -> list[Point]:
    tags = {"cluster": "lab", "partition": "all", "schema_version": "all"}
    return [
        Point("lineage_topic", {**tags, "topic": topic}, {"newest_ms": (ago(at).timestamp() + 5) * 1000}, ago(at))
        for topic, at in (("slow", 20), ("quick", 20), ("quick", 5))
    ]


@dataclass(frozen=True)
class Filled:
    influx: Answering
    bucket: str

    def ask(self, panel: str) -> list[dict[str, str]]:
        values: dict[str, Value] = {**BOARD.fixed(), **dict.fromkeys(BOARD.all_values(), ALL)}
        [asked] = [each for each in BOARD.panels() if each.name.endswith(f"panel {panel}")]
        text = with_variables(asked.text, values, BOARD.all_values())
        return self.influx.rows(with_macros(text, self.bucket, START, NOW, seconds=60))

    def number(self, panel: str) -> float:
        [row] = self.ask(panel)
        return float(row["_value"])

    def by(self, panel: str, tag: str) -> dict[str, float]:
        return {row[tag]: float(row["_value"]) for row in self.ask(panel)}


@pytest.fixture(scope="module")
def filled(influx: Influxd) -> Iterator[Filled]:
    bucket = f"incidents-{uuid.uuid4().hex[:8]}"
    influx.make_bucket(bucket)
    settings = StoreSettings(
        influx_url=influx.url, influx_org=influx.org, influx_bucket=bucket, influx_token=SecretStr(influx.token)
    )
    labels, known = (
        Labels(),
        [
            LabelRead("a" * 32, True, "raw", True, ago(3)),
            LabelRead("b" * 32, True, "raw", True, ago(3)),
            LabelRead("b" * 32, True, "clean", False, ago(2)),  # said otherwise afterwards
            LabelRead("d" * 32, False, None, None, ago(2)),
        ],
    )
    with closing(open_store(settings)) as store:
        store.write(alert_points(incident_message(each, "lab", "http://ui") for each in told()))
        store.write(label_points(labels.take(known, []), "lab", START))
        # One that both the older and the younger of it have been labelled.
        store.write(label_points(labels.take([LabelRead("e" * 32, True, "raw", True, ago(4))], []), "lab", START))
        store.write(label_points(labels.take([], [("e" * 32, "a" * 32)]), "lab", START))
        store.write(of_topics())
    with closing(Answering(influx.url, influx.org, influx.token)) as answering:
        yield Filled(answering, bucket)


def test_incidents_are_counted(filled: Filled) -> None:
    assert filled.by("Open", "severity") == {"warning": 3}  # b, c, d: a is over, and was the critical one
    assert filled.number("Opened") == 3
    assert filled.by("By kind", "kind") == {"null-ratio": 1, "mean": 1, "throughput": 1}
    assert filled.number("Cause named") == pytest.approx(2 / 3)
    assert filled.by("By cause", "cause") == {"raw": 2}
    at = {row["_time"]: float(row["_value"]) for row in filled.ask("Open over time")}

    def count(minutes: float) -> float:
        return at[ago(minutes).isoformat().replace("+00:00", "Z")]

    # c lasts all the time; a begins and is over while b begins, which is over and comes back; then d.
    assert [count(each) for each in (31, 30, 25, 20, 17, 16, 15, 14, 10, 1)] == [1, 2, 2, 2, 2, 1, 2, 2, 3, 3]


def test_times_are_of_each_incident_once(filled: Filled) -> None:
    assert filled.number("Time to detect") == pytest.approx((30 + 90) / 2)
    assert filled.number("Time to root cause") == pytest.approx((12 + 4) / 2)
    assert filled.number("Causes confirmed") == pytest.approx(1 / 2)


def test_the_table_has_each_as_it_was_told_of_last(filled: Filled) -> None:
    rows = {row["incident"][0]: row for row in filled.ask("Incidents")}
    assert {name: row["state"] for name, row in rows.items()} == {"a": "resolved", "b": "reopened", "d": "escalated"}
    begun = {name: datetime.fromisoformat(row["opened"]) for name, row in rows.items()}
    for name, minutes in (("a", 30), ("b", 20), ("d", 10)):
        assert abs(begun[name] - ago(minutes)) < timedelta(milliseconds=2)
    assert (rows["a"]["cause"], float(rows["a"][CAUSE]), float(rows["b"]["reopened"])) == ("raw", 12, 1)
    assert rows["d"]["cause"] == ""


def test_data_get_older_where_nothing_comes(filled: Filled) -> None:
    assert filled.by("Oldest data", "topic") == {"slow": 20 * 60 - 5, "quick": 5 * 60 - 5}
    ages = {(row["topic"], row["_time"]): float(row["_value"]) for row in filled.ask("Age of data")}

    def age(topic: str, minutes: float) -> float:
        return ages[topic, ago(minutes).isoformat().replace("+00:00", "Z")]

    assert [age("slow", each) for each in (19, 10, 0)] == [55, 595, 1195]
    assert [age("quick", each) for each in (19, 6, 4)] == [55, 835, 55]


def test_every_panel_has_rows(filled: Filled) -> None:
    assert not [each.name for each in BOARD.panels() if not filled.ask(each.name.split("panel ")[1])]
