"""If this failed, a cluster that loses a broker, a leader or a coordinator would cost records, double them, or need a
hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from collecting import Acknowledged, Lab, Running, Traffic, eventually
from confluent_kafka import Consumer, ElectionType, KafkaException, TopicPartition
from patience import deadline_in

from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.sandbox.kafka import KafkaBroker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
INSTANCE = "one"


@pytest.fixture(scope="module")
def brokers(sandbox_artifacts: None) -> Iterator[Sandbox]:
    """Three brokers of this file's own, to be stopped and killed."""
    with Sandbox(SandboxSettings(registry=False, brokers=3)) as sandbox:
        yield sandbox


class ClusterLab(Lab):
    """Asks for committed offsets with a consumer: an admin client finds no coordinator again once it has lost it, and
    may then abort the process (librdkafka's issue 3663)."""

    def committed(self) -> dict[tuple[str, int], int]:
        own = {"bootstrap.servers": self.bootstrap_servers, "group.id": self.group, "enable.auto.commit": False}
        reader = Consumer({**own, "isolation.level": "read_committed"})
        try:
            asked = [TopicPartition(*where) for where in partitions(self) if where[0].startswith(f"{self.name}.")]
            found = reader.committed(asked, timeout=5)
        except KafkaException:
            return {}  # not known for the moment
        finally:
            reader.close()
        return {(where.topic, where.partition): where.offset for where in found if where.offset >= 0}


@pytest.fixture
def lab(brokers: Sandbox, cluster: Any, tmp_path: Path) -> Iterator[Lab]:
    for broker in brokers.brokers:
        if broker.pid is None:
            broker.launch()
    for broker in brokers.brokers:
        broker.wait(time.monotonic() + 120)
    made = ClusterLab(brokers.bootstrap_servers, cluster.schema_registry_url, tmp_path)
    yield made
    made.close()


class Scene:
    """A collector at work, producers that want all replicas' word, and what they were told."""

    def __init__(self, lab: Lab, brokers: Sandbox) -> None:
        self.lab, self.brokers = lab, brokers
        self.topic = lab.topic("clicks", partitions=6)
        self.known = Acknowledged()
        self.traffic = Traffic(lab, [self.topic], lab.clicks(self.topic), self.known, rate=1_000)
        self.collector: Running

    def __enter__(self) -> Scene:
        self.traffic.__enter__()
        self.collector = self.lab.collect("--flush-interval-seconds", "0.1", "--instance-id", INSTANCE)
        self.collector.owns()
        self.all_is_well()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.traffic.__exit__()
        if kind is None:
            self.lab.caught_up(self.known, 60)
            assert self.collector.process.poll() is None, self.collector.log()[-4000:]
            assert self.collector.terminate() == 0
            self.lab.check(self.known, self.topic)

    def all_is_well(self) -> None:
        """Every replica is in sync, records arrive, and they are observed."""
        eventually(lambda: min(map(len, in_sync(self.lab).values())) == 3, 60, "all replicas are in sync")
        before = len(self.known)
        eventually(lambda: len(self.known) > before, 60, "records arrive")
        self.lab.caught_up(self.known, 60)

    def broker(self, node_id: int) -> KafkaBroker:
        return self.brokers.brokers[node_id - 1]

    def lose(self, node_id: int) -> None:
        """Kill a broker; the other two take over what it did, and then it comes again."""
        self.broker(node_id).kill()
        eventually(lambda: node_id not in leaders(self.lab).values(), 60, "the others lead")
        before = len(self.known)
        eventually(lambda: len(self.known) > before, 60, "records arrive")
        self.lab.caught_up(self.known, 60)
        self.broker(node_id).start()


def partitions(lab: Lab) -> dict[tuple[str, int], Any]:
    """Asked until somebody answers: the broker that is asked may be the one that is gone."""
    deadline = deadline_in(60)
    while True:
        try:
            found = lab.admin.list_topics(timeout=10).topics
            break
        except KafkaException:
            if time.monotonic() > deadline:
                raise
    return {(name, number): state for name, topic in found.items() for number, state in topic.partitions.items()}


def in_sync(lab: Lab) -> dict[tuple[str, int], list[int]]:
    return {where: state.isrs for where, state in partitions(lab).items()}


def leaders(lab: Lab) -> dict[tuple[str, int], int]:
    """Leader of each partition, of Kafka's own topics too."""
    return {where: state.leader for where, state in partitions(lab).items()}


def coordinator(lab: Lab, topic: str, name: str) -> int:
    """The broker that looks after a group or a transactional id: the leader of that partition of ``topic`` that Java's
    hash of the name points to."""
    found = {number: leader for (of, number), leader in leaders(lab).items() if of == topic}
    value = 0
    for character in name.encode("utf-16-be")[1::2]:
        value = (31 * value + character) & 0xFFFF_FFFF
    return found[min(value, 2**32 - value) % len(found)]


def test_the_coordinators_are_lost_and_come_again(lab: Lab, brokers: Sandbox) -> None:
    with Scene(lab, brokers) as scene:
        group = coordinator(lab, "__consumer_offsets", lab.group)
        described = lab.admin.describe_consumer_groups([lab.group])[lab.group].result(30)
        assert described.coordinator.id == group
        scene.lose(group)
        scene.all_is_well()
        scene.lose(coordinator(lab, "__transaction_state", f"{lab.group}-{INSTANCE}"))
        scene.all_is_well()


def test_leaders_move_away_and_back(lab: Lab, brokers: Sandbox) -> None:
    with Scene(lab, brokers) as scene:
        for node_id in (1, 2, 3):
            led = [where for where, leader in leaders(lab).items() if leader == node_id]
            assert any(topic == scene.topic for topic, _ in led)
            scene.broker(node_id).stop()  # in order: it hands over what it leads
            scene.broker(node_id).start()
            scene.all_is_well()
            elect_preferred(lab)
            eventually(lambda node_id=node_id: node_id in leaders(lab).values(), 30, "it leads again")  # type: ignore[misc]
        scene.all_is_well()


def elect_preferred(lab: Lab) -> None:
    def elected() -> bool:
        try:
            lab.admin.elect_leaders(ElectionType.PREFERRED, None).result(30)
        except KafkaException:
            return False
        return True

    eventually(elected, 30, "leaders are elected")


def test_too_few_replicas_stop_everything_for_a_while_only(lab: Lab, brokers: Sandbox) -> None:
    with Scene(lab, brokers) as scene:
        brokers.brokers[0].kill()
        brokers.brokers[2].kill()
        stood_still = still_since(scene)
        # Which comes first is chance: a flush cannot be committed, or the group's coordinator is missed.
        troubles = ("a flush was not committed and is read again", "partitions were lost")
        eventually(lambda: any(map(scene.collector.events, troubles)), 60, "the collector is held up")
        assert len(scene.known) == stood_still, "nothing can be written meanwhile"
        for broker in (brokers.brokers[0], brokers.brokers[2]):
            broker.launch()
        for broker in (brokers.brokers[0], brokers.brokers[2]):
            broker.wait(time.monotonic() + 120)
        scene.all_is_well()


def still_since(scene: Scene) -> int:
    """How many records are acknowledged, once that grows no more: two brokers were needed for one more."""
    counts = [-1, -2]

    def still() -> bool:
        counts.append(len(scene.known))
        return len(set(counts[-15:])) == 1

    eventually(still, 60, "no record is acknowledged any more")
    return counts[-1]
