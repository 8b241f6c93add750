"""If this failed, a topic, a field or a group with an odd name would break a dashboard, or show another one's data."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from grafana_side import ALL, Answering, Asked, Board, Value, boards, with_macros, with_variables
from pydantic import SecretStr

from stream_lineage.store.open import open_store
from stream_lineage.store.ports import FieldValue, Point
from stream_lineage.store.settings import StoreSettings
from stream_lineage.testing.influxd import Influxd

pytestmark = pytest.mark.influx

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = (
    "plain", "a.b", "a b", 'say "hello"', "it's", "ends\\", "back\\slash", "a/b", "/a|b/", ".*", "a|b", "(", "[x",
    "${topic}",
    "${topic:regex}", "$", "x ${1/0}", "new\nline", '") |> drop(', "{a,b}", "a,b=c", "日本", "🙂", "#", "%", "%0A", "",
    "v.bucket", "*/ //", "^$", "?",
)  # fmt: skip


@dataclass(frozen=True)
class Filled:
    """A bucket in which a topic, a field, a group and a cluster have each of the names."""

    influx: Answering
    bucket: str

    def rows(self, asked: Asked, board: Board, values: dict[str, Value]) -> list[dict[str, str]]:
        text = with_variables(asked.text, values, board.all_values())
        return self.influx.rows(with_macros(text, self.bucket, NOW - timedelta(minutes=10), NOW + timedelta(minutes=1)))


@pytest.fixture(scope="module")
def filled(influx: Influxd) -> Iterator[Filled]:
    bucket = f"names-{uuid.uuid4().hex[:8]}"
    influx.make_bucket(bucket)
    settings = StoreSettings(
        influx_url=influx.url, influx_org=influx.org, influx_bucket=bucket, influx_token=SecretStr(influx.token)
    )
    with closing(open_store(settings)) as store:
        store.write(point for number, name in enumerate(NAMES) for point in points(name, number + 1))
    with closing(Answering(influx.url, influx.org, influx.token)) as answering:
        yield Filled(answering, bucket)


def points(name: str, number: int) -> list[Point]:
    at = NOW - timedelta(minutes=5)
    here = {"cluster": name, "topic": name}
    told = {"kind": "null-ratio", "severity": "warning", "phase": "open", "fingerprint": f"{number:032}", "job": name}
    incident = {"cluster": name, "incident": f"{number:032}", "kind": "mean", "severity": "warning"}
    said: dict[str, FieldValue] = {"alerts": 1, "summary": name, "url": "http://ui/alerts/1"}
    return [
        Point("lineage_topic", {**here, "partition": "0", "schema_version": "1"}, {"records": number}, at),
        Point("lineage_topic", {**here, "partition": "all", "schema_version": "all"}, {"bytes": number}, at),
        Point("lineage_field", {**here, "field": name}, {"slots": number, "null_ratio": 0, "mean": number}, at),
        Point("lineage_group", {**here, "group": name, "partition": "all"}, {"lag": number}, at),
        Point("lineage_incident", {**incident, "state": "open"}, {"revision": 1, "summary": name, "named": 0}, at),
        Point("lineage_incident_label", {**incident, "verdict": "true"}, {"confirmed": 1, "cause": name}, at),
        Point("lineage_alert", {**here, **told, "field": name}, said, at),
    ]


def named(board: Board) -> list[str]:
    """Variables that hold names that somebody else gives."""
    return [name for name in board.queries_of_variables() if name in ("cluster", "topic", "field", "group")]


def test_every_name_that_is_offered_can_be_chosen(filled: Filled) -> None:
    [board] = [each for each in boards() if each.name == "field"]
    slots = next(each for each in board.panels() if each.name.endswith("panel Values"))
    offered = filled.rows(board.queries_of_variables()["cluster"], board, board.fixed())
    assert len(offered) == len(NAMES)
    seen = set()
    for row in offered:
        values = {**board.fixed(), "cluster": [row["_value"]]}
        for name in ("topic", "field"):
            [found] = filled.rows(board.queries_of_variables()[name], board, values)
            values[name] = found["_value"]
        assert values["topic"] == values["field"] == row["_value"]
        answered = {each["_value"] for each in filled.rows(slots, board, values) if each["_field"] == "slots"}
        assert len(answered) == 1
        seen |= answered
    assert len(seen) == len(NAMES)  # each its own


@pytest.mark.parametrize("board", boards(), ids=lambda board: board.name)
def test_no_question_breaks_whatever_its_variables_hold(filled: Filled, board: Board) -> None:
    asked: Any = [*board.panels(), *board.annotations(), *board.queries_of_variables().values()]
    asked = [each for each in asked if each.source == "influxdb"]
    hostile = NAMES if board.name == "field" else NAMES[3:6] + NAMES[13:20]  # their questions are made alike
    for name in hostile:
        values: dict[str, Value] = {**board.fixed(), **{each: ALL for each in board.all_values()}}
        values |= {each: name for each in named(board)}
        for each in asked:
            filled.rows(each, board, values)  # fails where InfluxDB does not understand it
    several = {**values, **{each: list(NAMES) for each in named(board)}}
    for each in asked:
        filled.rows(each, board, several)
