"""If this failed, an alert about a consumer group would get lost in a crash, or come twice under two ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from stream_lineage.agents.alerts import Alert
from stream_lineage.agents.group_offsets import GroupFilter, Round
from stream_lineage.agents.group_watch import MEASUREMENT, GroupWatch
from stream_lineage.agents.settings import AgentsSettings
from stream_lineage.model.group import GroupLook, PartitionRead
from stream_lineage.model.schema_files import schema_text
from stream_lineage.store.ports import Point


class Store:
    def __init__(self) -> None:
        self.points: list[Point] = []

    def write(self, points: Any) -> None:
        self.points += points


class Worker:
    """A watch with its table; ``restart`` leaves the table only."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.store = Store()
        self.restart()

    def restart(self) -> None:
        self.watch = GroupWatch(self.store, "test", "http://ui", seconds=10)  # type: ignore[arg-type]

    def look(self, at: float, groups: Mapping[str, tuple[int, int]], *, listed: bool = True) -> list[Alert]:
        looks = [GroupLook(group, "orders", at, False, {0: PartitionRead(*reads)}) for group, reads in groups.items()]
        names = frozenset(groups)
        told: list[Alert] = []
        for _, outcome in self.watch.judge(Round(looks, names, names if listed else None), self.rows):
            told += outcome.alerts
            for row in outcome.changed:
                if row.value is None:
                    self.rows.pop(row.key, None)
                else:
                    self.rows[row.key] = row.value
        return told


def stalled(worker: Worker, looks: int = 11) -> list[Alert]:
    return [alert for n in range(looks) for alert in worker.look(1000.0 + 10 * n, {"billing": (50, 100 + 10 * n)})]


def phases(alerts: list[Alert]) -> list[str]:
    return [json.loads(alert.value)["phase"] for alert in alerts]


def test_a_group_that_stalls_is_an_alert_as_the_schema_says_and_is_told_once() -> None:
    worker = Worker()
    [opened] = stalled(worker, 30)
    document = json.loads(opened.value)
    jsonschema.Draft202012Validator(json.loads(schema_text("alert.schema.json"))).validate(document)
    assert (document["kind"], document["phase"], document["job"]) == ("group-stalled", "open", "billing")
    assert document["first_offsets"] == {"0": 50}


def test_what_was_told_is_told_no_more_after_a_crash_and_closed_when_it_is_over() -> None:
    worker = Worker()
    told = stalled(worker)
    worker.restart()
    assert [alert for n in range(20) for alert in worker.look(1200.0 + 10 * n, {"billing": (50, 900)})] == []
    told += worker.look(2000.0, {"billing": (3000, 3000)})
    assert phases(told) == ["open", "close"]
    assert len({alert.event_id for alert in told}) == 2
    assert len({json.loads(alert.value)["fingerprint"] for alert in told}) == 1


def test_a_group_that_is_gone_is_closed_and_leaves_nothing_behind() -> None:
    worker = Worker()
    stalled(worker)
    assert worker.look(1200.0, {"other": (5, 5)}, listed=False) == []  # nobody knows whether it is there
    assert worker.look(1210.0, {"other": (5, 5)}, listed=False) == []
    assert worker.look(1220.0, {"other": (5, 5)}) == []
    assert phases(worker.look(1230.0, {"other": (5, 5)})) == ["close"]
    assert [alert for n in range(4) for alert in worker.look(1240.0 + 10 * n, {"other": (5, 5)})] == []
    assert [key for key in worker.rows if b"billing" in key] == []


def test_lag_goes_into_the_store_by_partition_and_as_a_whole() -> None:
    worker = Worker()
    partitions = {0: PartitionRead(10, 25), 3: PartitionRead(7, 7)}
    look = GroupLook("billing", "orders", 1000.0, True, partitions)
    worker.watch.judge(Round([look], frozenset({"billing"}), frozenset({"billing"})), {})
    found = {point.tags["partition"]: dict(point.fields) for point in worker.store.points}
    assert found["0"] == {"committed": 10, "log_end": 25, "lag": 15}
    assert found["3"] == {"committed": 7, "log_end": 7, "lag": 0, "lag_seconds": 0.0}
    assert (found["all"]["lag"], found["all"]["empty"]) == (15, True)
    assert {point.measurement for point in worker.store.points} == {MEASUREMENT}


def test_our_own_groups_are_never_looked_at() -> None:
    groups = GroupFilter([".*"], ["test-.*"], ["stream-lineage", "agents"], lambda _: True)
    names = ["billing", "stream-lineage", "stream-lineage.reader", "stream-lineage-too", "agents", "test-1", "a test-1"]
    assert [name for name in names if groups.takes(name)] == ["billing", "stream-lineage-too", "a test-1"]


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        AgentsSettings(groups_exclude=("(",))
