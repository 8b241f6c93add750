"""Real agents on the real Kafka of the session, in processes of their own, and what they publish."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from patience import deadline_in

from stream_lineage.model.observation import Observation
from stream_lineage.model.schema_files import schema_text
from stream_lineage.provenance.codec import encode_observation

PARTITIONS = 3
OWN_PARTITION = -1
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Deployment:
    """One topic prefix with its topics, and the files of its agents."""

    bootstrap_servers: str
    registry_url: str
    prefix: str
    directory: Path

    def topic(self, name: str) -> str:
        return self.prefix + name

    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "stream_lineage.cli.main", "agents",
            "--bootstrap-servers", self.bootstrap_servers,
            "--schema-registry-url", self.registry_url,
            "--topic-prefix", self.prefix,
            "--observation-partitions", str(PARTITIONS),
            "--agents-id", f"{self.prefix}agents",
            "--agents-state-dir", str(self.directory / "agents"),
            "--sqlite-path", str(self.directory / "metrics.sqlite"),
            "--cluster", "test",
            "--group-poll-seconds", "0",  # the groups of other tests are none of ours
        ]  # fmt: skip

    @contextmanager
    def agents(self, name: str = "agents", *, settings: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
        with (self.directory / f"{name}.log").open("ab") as log:
            command = [*self.command(), *settings]
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": "."})
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()

    def log(self, name: str = "agents") -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")


def deployed(cluster: Any, directory: Path, name: str) -> Deployment:
    """A deployment with topics of its own. ``name``: of the test."""
    prefix = f"t{hashlib.sha256(f'{name}{time.time()}'.encode()).hexdigest()[:8]}."
    made = Deployment(cluster.bootstrap_servers, cluster.schema_registry_url, prefix, directory)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    topics = [NewTopic(made.topic("observations"), num_partitions=PARTITIONS, replication_factor=1)]
    topics += [NewTopic(made.topic(name), num_partitions=1) for name in ("drift-alerts", "anomaly-alerts")]
    for future in admin.create_topics(topics).values():
        future.result(30)
    return made


def produce(
    deployment: Deployment,
    observations: list[Observation],
    *,
    transactional: bool = True,
    partition: int = OWN_PARTITION,
) -> None:
    """Put observations into the log, into one partition of it or each into its topic's own."""
    config: dict[str, Any] = {"bootstrap.servers": deployment.bootstrap_servers, "partitioner": "murmur2_random"}
    if transactional:
        config["transactional.id"] = f"{deployment.prefix}collector"
    producer = Producer(config)
    if transactional:
        producer.init_transactions(30)
        producer.begin_transaction()
    for item in observations:
        producer.produce(
            deployment.topic("observations"), encode_observation(item), key=item.topic.encode(), partition=partition
        )
    if transactional:
        producer.commit_transaction(30)
    assert producer.flush(30) == 0


def consumed(deployment: Deployment, name: str) -> Iterator[Message | None]:
    """Messages of one of our topics from its beginning, null when there is none at the moment."""
    consumer = Consumer(
        {
            "bootstrap.servers": deployment.bootstrap_servers,
            "group.id": f"{deployment.prefix}reader-{random.random()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([deployment.topic(name)])
    try:
        while True:
            message = consumer.poll(0.2)
            if message is not None and message.error():
                continue
            yield message
    finally:
        consumer.close()


def alerts(
    deployment: Deployment, name: str, until: Callable[[list[Message]], bool], seconds: float = 60
) -> list[Message]:
    """Wait for alerts until a condition holds."""
    deadline = deadline_in(seconds)
    found: list[Message] = []
    messages = consumed(deployment, name)
    with closing(messages):  # type: ignore[type-var]
        for message in messages:
            if message is not None:
                found.append(message)
            if until(found):
                return found
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-6000:] for path in sorted(deployment.directory.glob("*.log")))
                raise AssertionError(f"{len(found)} alerts within {seconds} s\n{logs}")
    raise AssertionError("unreachable")


def headers(message: Message) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers() or []}


ALERT = jsonschema.Draft202012Validator(json.loads(schema_text("alert.schema.json")))


def body(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(message.value() or b"")
    ALERT.validate(document)
    return document


def wait_for(condition: Callable[[], object], what: Callable[[], str], seconds: float = 60) -> None:
    deadline = deadline_in(seconds)
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
