"""If this failed, collectors that come, go, hang or share a name would lose records or count them twice."""

from __future__ import annotations

import random
import time

import pytest
from collecting import Acknowledged, Lab, Running, Traffic, eventually, paused

pytestmark = pytest.mark.kafka


@pytest.mark.slow
def test_collectors_that_join_leave_and_die_share_every_record(lab: Lab) -> None:
    topic = lab.topic("clicks", partitions=6)
    known = Acknowledged()
    flags = ("--flush-interval-seconds", "0.3")
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=2_000):
        first, second, third = started_in_turn(lab, 3, flags)
        described = lab.admin.describe_consumer_groups([lab.group])[lab.group].result(30)
        assert described.partition_assignor == "cooperative-sticky"
        assert first.terminate() == 0
        second.kill()
        (fourth,) = started_in_turn(lab, 1, flags)
        third.kill()
        (fifth,) = started_in_turn(lab, 1, flags)
        assert fourth.terminate() == 0
    lab.caught_up(known)
    assert fifth.terminate() == 0
    lab.check(known, topic)


def test_collectors_share_every_record_under_the_new_protocol_too(lab: Lab) -> None:
    """KIP-848: the broker decides who gets what. It also decides when a member is dead, hence no killing here."""
    topic = lab.topic("clicks", partitions=6)
    known = Acknowledged()
    flags = ("--flush-interval-seconds", "0.3", "--group-protocol", "consumer")
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=2_000):
        first, second = started_in_turn(lab, 2, flags)
        assert first.terminate() == 0
        (third,) = started_in_turn(lab, 1, flags)
        assert second.terminate() == 0
    lab.caught_up(known)
    described = lab.admin.describe_consumer_groups([lab.group])[lab.group].result(30)
    assert described.type.name == "CONSUMER"
    assert third.terminate() == 0
    lab.check(known, topic)


def started_in_turn(lab: Lab, count: int, flags: tuple[str, ...]) -> list[Running]:
    """Collectors of which each has got partitions before the next one comes."""
    made = []
    for _ in range(count):
        made.append(lab.collect(*flags))
        made[-1].owns()
    return made


@pytest.mark.slow
def test_a_collector_that_hangs_while_another_takes_over_doubles_nothing(lab: Lab) -> None:
    topic = lab.topic("clicks", partitions=4)
    known = Acknowledged()
    chance = random.Random(4)
    # A flush is nearly always under way, so that it is one that is stopped.
    flags = ("--flush-interval-seconds", "0.05", "--transaction-timeout-seconds", "2")
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=2_000):
        first = lab.collect(*flags)
        first.owns()
        second = lab.collect(*flags)
        second.owns()
        for hanging, other in ((first, second), (second, first)):
            time.sleep(chance.uniform(1.0, 2.0))
            with paused(hanging):
                eventually(lambda other=other: owned(other) == 4, 40, "the other one takes over")  # type: ignore[misc]
            eventually(lambda: owned(first) == owned(second) == 2, 40, "they share again")
    lab.caught_up(known)
    assert first.terminate() == second.terminate() == 0
    lab.check(known, topic)


def owned(collector: Running) -> int:
    """How many partitions it had when it last got or lost some."""
    events = [event for event in collector.all_events() if event.get("owned") is not None]
    return int(events[-1]["owned"]) if events else 0


def test_a_stolen_transactional_id_doubles_nothing(lab: Lab) -> None:
    topic = lab.topic("clicks", partitions=2)
    known = Acknowledged()
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=1_000):
        collector = lab.collect("--instance-id", "one", "--flush-interval-seconds", "0.1")
        collector.owns()
        for _ in range(3):
            thief = lab.producer({"transactional.id": f"{lab.group}-one"})
            thief.init_transactions(30)
            lab.caught_up(known)
    assert collector.events("a flush was not committed and is read again")
    lab.caught_up(known)
    assert collector.terminate() == 0
    lab.check(known, topic)


def test_the_older_of_two_collectors_with_one_name_ends(lab: Lab) -> None:
    topic = lab.topic("clicks", partitions=2)
    known = Acknowledged()
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=1_000):
        older = lab.collect("--instance-id", "one", "--flush-interval-seconds", "0.2")
        older.owns()
        younger = lab.collect("--instance-id", "one", "--flush-interval-seconds", "0.2")
        assert older.wait(30) == 1
        younger.owns()
    assert "error:" in older.log()
    assert "the same instance_id" in older.log()
    lab.caught_up(known)
    assert younger.terminate() == 0
    lab.check(known, topic)


def test_a_collector_that_was_put_out_by_nobody_who_stays_comes_back(lab: Lab) -> None:
    """So it puts itself out, when it loses the group's coordinator and joins twice."""
    topic = lab.topic("clicks", partitions=2)
    known = Acknowledged()
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=1_000):
        collector = lab.collect("--instance-id", "one", "--flush-interval-seconds", "0.2")
        collector.owns()
        ghost = lab.consumer(
            group_id=lab.group, group_instance_id="one", partition_assignment_strategy="cooperative-sticky",
            session_timeout_ms=6_000,
        )  # fmt: skip
        ghost.subscribe([topic])
        eventually(lambda: (ghost.poll(0.1), ghost.assignment())[1], 30, "the other one has taken over")
        ghost.close()  # a static member does not leave: it is missed after a while
        collector.wait_for("nobody else goes by this name: starting again")
        eventually(lambda: len(collector.events("partitions assigned")) == 2, 30, "it is in the group again")
    lab.caught_up(known)
    assert collector.terminate() == 0
    lab.check(known, topic)
