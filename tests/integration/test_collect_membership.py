"""If this failed, each restart of a collector would take the partitions of all others away for a while."""

from __future__ import annotations

import pytest
from collecting import Acknowledged, Lab, Running, Traffic, eventually

pytestmark = pytest.mark.kafka


def owned(collector: Running) -> list[int]:
    """How many partitions it had after each time that it got or lost some."""
    return [int(event["owned"]) for event in collector.all_events() if event.get("owned") is not None]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_that_is_restarted_moves_no_partition_of_another(lab: Lab, protocol: str) -> None:
    """KIP-345: who comes back under its name within the session gets what it had, and nobody else hears of it."""
    topic = lab.topic("clicks", partitions=4)
    known = Acknowledged()
    flags: tuple[str, ...] = ("--group-protocol", protocol, "--flush-interval-seconds", "0.3")
    if protocol == "classic":
        flags = (*flags, "--session-timeout-seconds", "30")  # with the other one it is the broker's to say
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=1_000):
        stays = lab.collect("--instance-id", "stays", *flags)
        stays.owns()
        comes = lab.collect("--instance-id", "comes", *flags)
        comes.owns()
        eventually(lambda: (owned(stays) or [0])[-1] == (owned(comes) or [0])[-1] == 2, 40, "they share")
        before = owned(stays)
        assert comes.terminate() == 0
        again = lab.collect("--instance-id", "comes", *flags)
        again.owns()
        lab.caught_up(known)
        assert owned(again)[-1] == 2
        assert owned(stays) == before, "it lost and got nothing meanwhile"
    lab.caught_up(known)
    assert again.terminate() == stays.terminate() == 0
    lab.check(known, topic)
