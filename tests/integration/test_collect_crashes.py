"""If this failed, a collector that is killed would lose records or count them twice."""

from __future__ import annotations

import random
import time

import pytest
from collecting import Acknowledged, Lab, Traffic, eventually

pytestmark = pytest.mark.kafka


@pytest.mark.slow
def test_twenty_kills_lose_and_double_nothing(lab: Lab) -> None:
    topic = lab.topic("clicks", partitions=4)
    known = Acknowledged()
    chance = random.Random(20)
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=5_000):
        for kill in range(20):
            # Most restarts are quick, since the instance comes back under its name; some have to wait for the session.
            collector = lab.collect("--instance-id", "one", name=f"kill-{kill}")
            collector.owns()
            time.sleep(chance.uniform(0.0, 2.5))
            collector.kill()
    lab.collect_until_end("--instance-id", "one")
    assert len(known) > 100_000
    lab.check(known, topic)


def test_a_stop_writes_what_was_read_and_leaves_nothing_behind(lab: Lab) -> None:
    topic = lab.topic("clicks", partitions=4)
    known = Acknowledged()
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=5_000):
        collector = lab.collect("--flush-interval-seconds", "5")
        collector.owns()
        eventually(lambda: len(known) > 10_000, 30, "records arrive")
        family = collector.family()
        assert len(family) >= 2, "the collector and its worker"
        assert collector.terminate(10) == 0
    assert not [process for process in family if process.is_running()]
    assert sum(lab.committed().values()) == collector.summary()["records"] > 0
    # Nobody has to wait for a session that times out.
    (group,) = (future.result(30) for future in lab.admin.describe_consumer_groups([lab.group]).values())
    assert group.members == []
    lab.collect_until_end()
    lab.check(known, topic)
