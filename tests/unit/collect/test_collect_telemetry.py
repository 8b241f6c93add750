"""If this failed, a collector that hangs would go on hanging, or one that waits for brokers would be killed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from stream_lineage.collect.pipeline import Totals
from stream_lineage.collect.standing import Standing
from stream_lineage.collect.telemetry import SILENT_SECONDS, CollectorTelemetry


class Turning:
    def __init__(self) -> None:
        self.now = 100.0
        self.standing = Standing(Totals(), 100.0)
        self.telemetry = CollectorTelemetry(lambda: self.standing, clock=lambda: self.now)

    def value(self, name: str) -> float:
        [sample] = next(m for m in self.telemetry.metrics() if m.name == f"stream_lineage_collector_{name}").samples
        return sample.value


def test_a_main_thread_that_turns_no_more() -> None:
    role = Turning()
    role.now += SILENT_SECONDS - 1
    assert all(condition.holds for condition in role.telemetry.alive())
    role.now += 2
    [turns] = role.telemetry.alive()
    assert not turns.holds
    assert "481.0 s ago" in turns.detail
    assert role.value("turn_seconds") == 481


def test_ready_is_in_the_group_and_committing() -> None:
    role = Turning()
    assert [condition.holds for condition in role.telemetry.ready()] == [True, True]  # nothing to watch
    role.standing = replace(role.standing, topics=3)
    assert [condition.holds for condition in role.telemetry.ready()] == [False, True]
    role.standing = replace(role.standing, assigned=True, partitions=7)
    member, commits = role.telemetry.ready()
    assert (member.holds, commits.holds) == (True, True)
    assert member.detail == "3 topics are watched, 7 partitions are read"
    role.standing = replace(role.standing, rewinding=True)
    assert [condition.holds for condition in role.telemetry.ready()] == [True, False]


def test_what_was_committed_is_counted() -> None:
    role = Turning()
    totals = Totals(records=10, bytes=200, dead_letters=1, decoders=Counter(json=4, columnar=6))
    role.standing = Standing(totals, 100.0, topics=2, partitions=5, quarantined=1)
    assert (role.value("records_total"), role.value("bytes_total"), role.value("dead_letters_total")) == (10, 200, 1)
    assert (role.value("topics"), role.value("partitions"), role.value("quarantined_partitions")) == (2, 5, 1)
    decoded = next(m for m in role.telemetry.metrics() if m.name.endswith("decoded_total"))
    assert {sample.labels["decoder"]: sample.value for sample in decoded.samples} == {"json": 4, "columnar": 6}
