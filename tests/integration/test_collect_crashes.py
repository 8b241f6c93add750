"""If this failed, a collector that is killed would lose records or count them twice."""

from __future__ import annotations

import random
import time

import pytest
from collecting import Acknowledged, Lab, Traffic

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
