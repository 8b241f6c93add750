"""If this failed, pushed metrics would be stored or judged twice, or an accuracy that collapses would tell nobody."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.home import HOME
from stream_lineage.agents.pushed_watch import MEASUREMENT, Pushed, PushedWatch
from stream_lineage.model.pushed import PushedPoint
from stream_lineage.model.schema_files import schema_text
from stream_lineage.store.ports import Point

START = datetime(2026, 3, 1, tzinfo=UTC)


class Store:
    """What was written, by series and time, as the port promises."""

    def __init__(self) -> None:
        self.points: dict[tuple[Any, ...], float] = {}

    def write(self, points: Any) -> None:
        for point in points:
            assert isinstance(point, Point)
            assert point.measurement == MEASUREMENT
            self.points[(*sorted(point.tags.items()), point.time)] = float(point.fields["value"])


class Worker:
    """A watch with its table."""

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        self.store = Store()
        self.watch = PushedWatch(self.store, "test", "http://ui")  # type: ignore[arg-type]
        self.rows: dict[bytes, bytes] = rows or {}

    def take(self, points: Sequence[Pushed], through: int | None = None, *, crash: bool = False) -> list[Alert]:
        alerts: list[Alert] = []
        end = points[-1].offset + 1 if through is None else through
        for partition, outcome in self.watch.judge(points, end, self.rows):
            assert partition == HOME
            alerts += outcome.alerts
            kept = outcome.changed[: len(outcome.changed) // 2] if crash else outcome.changed
            self.rows |= {row.key: row.value for row in kept}
        return alerts


def series(count: int, node: str = "churn", bad: range = range(0), first: int = 0) -> list[Pushed]:
    """An accuracy by the minute, about 0.9, and 0.4 where it is bad."""
    chance = random.Random(5)
    return [
        Pushed(
            first + n,
            PushedPoint(
                node, "accuracy", (0.4 if n in bad else 0.9) + chance.gauss(0, 0.01), START + timedelta(minutes=n)
            ),
        )
        for n in range(count)
    ]


def bodies(alerts: Sequence[Alert]) -> list[dict[str, Any]]:
    found = [json.loads(alert.value) for alert in alerts]
    for body in found:
        jsonschema.validate(body, json.loads(schema_text("alert.schema.json")))
    return found


def portions(points: Sequence[Pushed], size: int) -> list[list[Pushed]]:
    return [list(points[start : start + size]) for start in range(0, len(points), size)]


def test_a_collapse_is_told_and_its_end() -> None:
    worker = Worker()
    points = series(4_000, bad=range(3_000, 3_060))
    alerts = [alert for portion in portions(points, 500) for alert in worker.take(portion)]
    opened, closed = bodies(alerts)
    assert (opened["kind"], opened["topic"], opened["phase"]) == ("pushed-metric", "churn", "open")
    assert (closed["phase"], closed["severity"]) == ("close", "info")
    assert closed["fingerprint"] == opened["fingerprint"]
    assert opened["severity"] in ("warning", "critical")
    [change] = opened["changes"]
    assert change["path"] == "accuracy"
    assert 0.8 < float(change["old"]) < 1.0
    at = datetime.fromisoformat(opened["observed_at"].replace("Z", "+00:00"))
    assert timedelta(minutes=3_000) <= at - START <= timedelta(minutes=3_010)
    assert len(worker.store.points) == 4_000


def test_portions_make_no_difference() -> None:
    points = series(3_200, bad=range(3_000, 3_060))
    ids = []
    for size in (3_200, 333, 7):
        worker = Worker()
        ids.append([alert.event_id for portion in portions(points, size) for alert in worker.take(portion)])
    assert ids[0] == ids[1] == ids[2]
    assert len(ids[0]) == 2


def test_after_a_crash_the_same_is_found() -> None:
    points = series(3_200, bad=range(3_000, 3_060))
    others = series(3_200, node="other", first=0)
    both = [
        Pushed(2 * n + k, each.point)
        for n, pair in enumerate(zip(points, others, strict=True))
        for k, each in enumerate(pair)
    ]
    undisturbed = Worker()
    expected = {alert.event_id for portion in portions(both, 400) for alert in undisturbed.take(portion)}
    worker, found = Worker(), set()
    for portion in portions(both, 400):
        found |= {alert.event_id for alert in worker.take(portion, crash=True)}
        worker = Worker(worker.rows)  # half of the rows were kept
        found |= {alert.event_id for alert in worker.take(portion)}
    assert found == expected
    assert len(expected) == 2
    assert worker.rows == undisturbed.rows


def test_series_are_kept_apart() -> None:
    worker = Worker()
    for portion in portions(series(3_000), 500):
        worker.take(portion)
    other = PushedPoint("churn", "accuracy", 0.4, START + timedelta(minutes=3_001), {"region": "eu"})
    assert worker.take([Pushed(3_000 + n, replace(other, at=other.at + timedelta(minutes=n))) for n in range(60)]) == []


def test_messages_that_were_no_points_are_passed_over() -> None:
    worker = Worker()
    assert worker.watch.place(worker.rows) == 0
    worker.take([], through=7)
    assert worker.watch.place(worker.rows) == 7
    assert worker.watch.judge(series(5), 5, worker.rows) == []
    assert worker.store.points == {}
