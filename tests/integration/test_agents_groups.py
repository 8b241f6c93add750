"""If this failed, a consumer group that stalls on a real Kafka would go unnoticed, or one that is fine would not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest
from alerting import Deployment, alerts, body, deployed, headers, wait_for
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_lineage.store.sqlite import SqliteStore

pytestmark = pytest.mark.kafka


@pytest.fixture
def deployment(cluster: Any, tmp_path: Any, request: pytest.FixtureRequest) -> Deployment:
    return deployed(cluster, tmp_path, request.node.name)


@dataclass
class Member:
    """A real consumer group of one member, which commits what it has read while it ``reads``."""

    bootstrap_servers: str
    group: str
    topic: str
    reads: Event = field(default_factory=Event)
    done: Event = field(default_factory=Event)
    committed: int = 0

    def run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": self.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "max.poll.interval.ms": 3_600_000,  # one that stalls stays in the group
            }
        )
        consumer.subscribe([self.topic])
        try:
            while not self.done.is_set():
                if not self.reads.is_set():
                    self.reads.wait(0.05)
                    continue
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    consumer.commit(offsets=[TopicPartition(self.topic, 0, message.offset() + 1)], asynchronous=False)
                    self.committed = message.offset() + 1
        finally:
            consumer.close()


@contextmanager
def members(*every: Member) -> Iterator[None]:
    threads = [Thread(target=member.run) for member in every]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for member in every:
            member.done.set()
        for thread in threads:
            thread.join(60)


class Traffic:
    """A record every tenth of a second, until it is closed."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0})
        self._topic = topic
        self._done = Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.1):
            self._producer.produce(self._topic, b"{}", partition=0)
            self._producer.poll(0)

    def close(self) -> None:
        self._done.set()
        self._thread.join(60)
        assert self._producer.flush(30) == 0


def of(found: list[Message]) -> list[tuple[str, str, str | None]]:
    """Group, kind and phase of each alert, each once, in order."""
    by_id = {headers(message)["ce_id"]: body(message) for message in found}
    return [(each["job"], each["kind"], each["phase"]) for each in by_id.values()]


def test_a_group_that_stalls_is_told_until_it_reads_again_and_one_that_is_well_never(deployment: Deployment) -> None:
    topic, servers = f"{deployment.prefix[:-1]}-orders", deployment.bootstrap_servers
    stuck, well = (Member(servers, f"{topic}-{name}", topic) for name in ("stuck", "well"))
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(30)
    stuck.reads.set()
    well.reads.set()
    settings = ["--group-poll-seconds", "0.3", "--groups-include", f"{topic}-.*"]
    with members(stuck, well), closing(Traffic(servers, topic)), deployment.agents(settings=settings):
        wait_for(lambda: stuck.committed > 5 and well.committed > 5, deployment.log)
        wait_for(lambda: looked_at(deployment) >= {stuck.group, well.group}, deployment.log)
        stuck.reads.clear()
        stalled = (stuck.group, "group-stalled", "open")
        found = alerts(deployment, "anomaly-alerts", lambda seen: stalled in of(seen), 120)
        at = stuck.committed
        stuck.reads.set()
        closed = (stuck.group, "group-stalled", "close")
        found = alerts(deployment, "anomaly-alerts", lambda seen: closed in of(seen), 120)
        wait_for(lambda: well.committed > at, deployment.log)

    assert of(found) == [stalled, closed]
    opened, ended = body(found[0]), body(found[-1])
    assert opened["fingerprint"] == ended["fingerprint"]
    assert (opened["topic"], opened["severity"]) == (topic, "critical")
    assert opened["first_offsets"] == {"0": at}
    assert opened["last_offsets"]["0"] > at
    with closing(SqliteStore(deployment.directory / "metrics.sqlite")) as store:
        hour = timedelta(hours=1)
        now = datetime.now(UTC)
        points = store.range("lineage_group", now - hour, now + hour, {"group": stuck.group, "partition": "0"})
    assert at in {point.fields["committed"] for point in points}
    assert max(int(point.fields["lag"]) for point in points) >= 10
    assert all(int(each.fields["log_end"]) - int(each.fields["committed"]) == each.fields["lag"] for each in points)


def looked_at(deployment: Deployment) -> set[str]:
    path = deployment.directory / "metrics.sqlite"
    if not path.exists():
        return set()
    now = datetime.now(UTC)
    with closing(SqliteStore(path)) as store:
        points = store.range("lineage_group", now - timedelta(hours=1), now + timedelta(hours=1))
    return {point.tags["group"] for point in points}


def test_a_group_that_is_deleted_closes_its_alert(deployment: Deployment) -> None:
    topic, servers = f"{deployment.prefix[:-1]}-clicks", deployment.bootstrap_servers
    member = Member(servers, f"{topic}-reader", topic)
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(30)
    member.reads.set()
    settings = ["--group-poll-seconds", "0.3", "--groups-include", f"{topic}-.*"]
    with closing(Traffic(servers, topic)), deployment.agents(settings=settings):
        with members(member):
            wait_for(lambda: member.committed > 5, deployment.log)
            wait_for(lambda: looked_at(deployment) == {member.group}, deployment.log)
        stopped = (member.group, "group-stopped", "open")
        alerts(deployment, "anomaly-alerts", lambda seen: stopped in of(seen), 120)
        deadline = time.monotonic() + 60
        while True:  # the group is not empty before its member's leaving has reached the coordinator
            try:
                admin.delete_consumer_groups([member.group])[member.group].result(30)
                break
            except KafkaException:
                assert time.monotonic() < deadline
        closed = (member.group, "group-stopped", "close")
        found = alerts(deployment, "anomaly-alerts", lambda seen: closed in of(seen), 120)
    assert of(found) == [stopped, closed]
    assert "no such group" in body(found[-1])["summary"]
