"""If this failed, what a crash can do to alerts, states and offsets would not be what our delivery was designed for.

Control records in the log itself say what is covered by a transaction and what is not: of Faust's ``exactly_once``, of
our agents, which do without it, and of the collector.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alerting import NOW, alerts, deployed, produce
from collecting import Acknowledged, Lab
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from patience import deadline_in
from raw_log import LoggedBatch, committed_by, logged

from stream_lineage.testing.observations import avro_reference, observation, span

pytestmark = pytest.mark.kafka
WORDS = 5
COUNTER = Path(__file__).with_name("faust_counter.py")


class Counter:
    """The application of ``faust_counter.py`` with topics of its own, whose log it has written by the end."""

    def __init__(self, bootstrap_servers: str, directory: Path, how: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.name = f"f{hashlib.sha256(f'{how}{time.time()}'.encode()).hexdigest()[:8]}"
        self.log = directory / "faust.log"
        topics = [NewTopic(self.topic(each), 1) for each in ("words", "consumed", "unconsumed", "counts-changelog")]
        admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        for future in admin.create_topics(topics).values():
            future.result(30)
        producer = Producer({"bootstrap.servers": bootstrap_servers})
        for number in range(WORDS):
            producer.produce(self.topic("words"), b"%d" % number, key=b"k")
        assert producer.flush(30) == 0
        with self._running(how, directory):
            self._wait(lambda: self._committed() == WORDS)
            for topic in ("consumed", "unconsumed", "counts-changelog"):
                self._wait(lambda topic=topic: records(self.written(topic)) >= WORDS)  # type: ignore[misc]

    def topic(self, name: str) -> str:
        return f"{self.name}-{name}"

    def written(self, name: str) -> list[LoggedBatch]:
        return logged(self.bootstrap_servers, self.topic(name))

    @contextmanager
    def _running(self, how: str, directory: Path) -> Iterator[None]:
        command = [sys.executable, str(COUNTER), self.bootstrap_servers, self.name, how, str(directory)]
        with self.log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": "."})
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def _committed(self) -> int:
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": self.name})
        try:
            [found] = consumer.committed([TopicPartition(self.topic("words"), 0)], timeout=30)
            return int(found.offset)
        except KafkaException:
            return -1  # the coordinator is not there yet
        finally:
            consumer.close()

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = deadline_in(60)
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.2)


def records(batches: list[LoggedBatch]) -> int:
    return sum(batch.last_offset - batch.first_offset + 1 for batch in batches if batch.marker is None)


def covered(batches: list[LoggedBatch]) -> bool:
    """Whether all records are in transactions that were committed, by control records; false where none is in any.

    Raises:
        AssertionError: some are and some are not.
    """
    mine = [batch for batch in batches if batch.marker is None]
    assert mine
    inside = {batch.is_transactional for batch in mine}
    assert len(inside) == 1
    for batch in mine if True in inside else []:
        ends = [
            each.marker
            for each in batches
            if each.producer_id == batch.producer_id and each.first_offset > batch.last_offset and each.marker
        ]
        assert ends[0] == "commit"
    return inside.pop()


def test_of_an_exactly_once_worker_of_faust_what_it_sends_elsewhere_is_outside(cluster: Any, tmp_path: Path) -> None:
    counter = Counter(cluster.bootstrap_servers, tmp_path, "worker")

    assert covered(counter.written("counts-changelog"))
    assert covered(counter.written("consumed"))
    assert covered(committed_by(cluster.bootstrap_servers, counter.name))
    # This is what alerts are: records for topics that the app does not consume. They are not only in no transaction,
    # they are by another producer, so that no commit of the others could ever cover them.
    outside = counter.written("unconsumed")
    assert not covered(outside)
    assert [batch.marker for batch in outside if batch.marker] == []
    inside = {batch.producer_id for name in ("counts-changelog", "consumed") for batch in counter.written(name)}
    assert inside.isdisjoint(batch.producer_id for batch in outside)


def test_an_exactly_once_app_that_fausts_worker_does_not_run_has_no_transactions(cluster: Any, tmp_path: Path) -> None:
    counter = Counter(cluster.bootstrap_servers, tmp_path, "embedded")

    for name in ("counts-changelog", "consumed", "unconsumed"):
        assert not covered(counter.written(name))


def test_ours_is_without_transactions_and_notes_what_it_is_about_to_tell(
    cluster: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    deployment = deployed(cluster, tmp_path, request.node.name)
    topic = f"{deployment.prefix}clicks"
    with deployment.agents():
        for number, version in enumerate((1, 2)):
            first = 10 * number
            produce(
                deployment,
                [
                    observation(
                        avro_reference(version), span(0, first, first + 9), topic=topic, cluster="test",
                        at=NOW + timedelta(seconds=number),
                    )
                ],
            )  # fmt: skip
        alerts(deployment, "drift-alerts", lambda seen: len(seen) == 1)
        changelog = f"{deployment.prefix}agents-state-changelog"
        deadline = deadline_in(60)
        while sum(key.startswith(b"journal/") for key in keys(cluster, changelog)) < 2:
            assert time.monotonic() < deadline, deployment.log()
            time.sleep(0.2)

    assert not covered(logged(cluster.bootstrap_servers, deployment.topic("drift-alerts")))
    # What is about to be told is noted before the state that goes with it, and cleared after.
    drift = [key for key in keys(cluster, changelog) if key.startswith((b"journal/", b"schema-drift/"))]
    assert [key.split(b"/")[0] for key in drift] == [b"schema-drift", b"journal", b"schema-drift", b"journal"]


def keys(cluster: Any, topic: str) -> list[bytes]:
    """Those of a topic of several partitions that holds records in few: in the order of each partition."""
    metadata = AdminClient({"bootstrap.servers": cluster.bootstrap_servers}).list_topics(topic, timeout=30)
    return [
        key
        for partition in metadata.topics[topic].partitions
        for batch in logged(cluster.bootstrap_servers, topic, partition)
        for key in batch.keys
        if key is not None
    ]


def test_the_collectors_observations_and_offsets_are_in_one_transaction(lab: Lab) -> None:
    topic, known = lab.topic("clicks"), Acknowledged()
    lab.send(topic, lab.clicks(topic, count=50), known)
    lab.collect_until_end()

    metadata = AdminClient({"bootstrap.servers": lab.bootstrap_servers}).list_topics(timeout=30)
    log = f"{lab.prefix}observations"
    written = [logged(lab.bootstrap_servers, log, partition) for partition in metadata.topics[log].partitions]
    [observations] = [batches for batches in written if batches]
    offsets = committed_by(lab.bootstrap_servers, lab.group)
    assert covered(observations)
    assert covered(offsets)
    [producer] = {batch.producer_id for batch in observations}
    assert producer in {batch.producer_id for batch in offsets if batch.marker is None}
