"""How long it takes from the first drifted record to the alert, at 50,000 records a second.

    python benchmarks/latency.py                            100 drifts, about seven minutes
    python benchmarks/latency.py --trials 30 --rate 100000

A real Kafka and a real schema registry; collector and agents are processes of their own with their default settings,
and so is the producer: six-field Avro records over all partitions of some topics. Every few seconds, at random, one of
the topics goes over to a new version of its schema, or back to its first one. Measured by the broker's clock alone
(LogAppendTime): from the append of the first record under the other version to the append of the alert about it. On
the way, the observation's own append and the time at which its flush was closed. What the producer was told by the
broker must be what the alerts say: each first offset is compared.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import psutil
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream_lineage.model.schema import SchemaType
from stream_lineage.model.span import OffsetSpan
from stream_lineage.provenance.codec import decode_observation
from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.wire.registry import SchemaRegistry
from stream_lineage.wire.settings import RegistrySettings

BATCH = 100
PAYLOADS = 2_000
START_SECONDS = 120.0
WARM_UP_SECONDS = 15.0
ALERT_SECONDS = 30.0
WANTED = {50: 1_000.0, 99: 2_000.0}
PASSED_ON = ("trials", "rate", "topics", "partitions", "seed")
HOPS = ("record to closed flush", "closed flush to observation", "observation to alert", "record to alert")


@dataclass(frozen=True, slots=True)
class Drift:
    """A topic went from one schema to another: the first offset under it in each partition, as the broker told the
    producer."""

    topic: str
    before: int
    after: int
    first: dict[int, int]
    is_return: bool


def schema(topic: str, version: int) -> str:
    """Six fields. Versions differ in the name of the last one, which may be missing: all can read each other."""
    fields: list[dict[str, Any]] = [
        {"name": "user_id", "type": "long"},
        {"name": "session", "type": "int"},
        {"name": "amount", "type": "double"},
        {"name": "country", "type": "string"},
        {"name": "event_type", "type": "string"},
        {"name": f"age_{version}", "type": ["null", "int"], "default": None},
    ]
    return json.dumps(
        {"type": "record", "name": f"Click_{topic.replace('-', '_')}", "namespace": "bench", "fields": fields}
    )


def bodies(chance: random.Random) -> list[bytes]:
    """Records without the prefix that names the schema: all versions write them alike."""
    parsed = fastavro.parse_schema(json.loads(schema("any", 1)))
    found = []
    for index in range(PAYLOADS):
        buffer = io.BytesIO()
        record = {
            "user_id": 10**9 + index,
            "session": chance.randrange(100_000),
            "amount": chance.random() * 100,
            "country": chance.choice(("DE", "FR", "US", "GB", "ES", "IT", "NL", "PL")),
            "event_type": chance.choice(("view", "click", "purchase", "search")),
            "age_1": None if chance.random() < 0.1 else chance.randrange(18, 90),
        }
        fastavro.schemaless_writer(buffer, parsed, record)
        found.append(buffer.getvalue())
    return found


def produce(given: argparse.Namespace) -> None:
    """The producer's process. Says how it went as one line of JSON."""
    chance = random.Random(given.seed)
    registry = SchemaRegistry(RegistrySettings(schema_registry_url=given.registry))
    topics = [topic_name(number) for number in range(given.topics)]
    rounds = -(-given.trials // given.topics)
    ids = {
        topic: [
            registry.register(f"{topic}-value", schema(topic, version), SchemaType.AVRO)
            for version in range(-(-rounds // 2) + 1)
        ]
        for topic in topics
    }
    registry.close()
    plain = bodies(chance)

    def under(schema_id: int) -> list[list[dict[str, bytes]]]:
        prefix = b"\x00" + schema_id.to_bytes(4, "big")
        whole = [{"value": prefix + body} for body in plain]
        return [whole[at : at + BATCH] for at in range(0, len(whole), BATCH)]

    producer = Producer(
        {
            "bootstrap.servers": given.bootstrap, "linger.ms": 5, "acks": "all", "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
        }
    )  # fmt: skip
    places = [(topic, partition) for partition in range(given.partitions) for topic in topics]
    records = {topic: under(ids[topic][0]) for topic in topics}
    drifts: list[Drift] = []
    fresh: set[tuple[str, int]] = set()
    began = last = time.monotonic()
    due, number, failed = began + WARM_UP_SECONDS, 0, 0

    def told(drift: Drift, partition: int) -> Any:
        def delivered(error: Any, message: Message) -> None:
            assert error is None, error
            drift.first[partition] = message.offset()

        return delivered

    while True:
        now = time.monotonic()
        if len(drifts) == given.trials and now > last + ALERT_SECONDS / 3:
            break
        if len(drifts) < given.trials and now >= due:
            topic, turn = topics[len(drifts) % len(topics)], len(drifts) // len(topics)
            is_return = turn % 2 == 1
            newest = ids[topic][turn // 2 + 1]
            before, after = (newest, ids[topic][0]) if is_return else (ids[topic][0], newest)
            records[topic] = under(after)
            drifts.append(Drift(topic, before, after, {}, is_return))
            fresh |= {(topic, partition) for partition in range(given.partitions)}
            last, due = now, now + chance.uniform(*given.pause)
        for _ in range(int((now - began) * given.rate) // BATCH - number):
            topic, partition = place = places[number % len(places)]
            messages = records[topic][number // len(places) % len(records[topic])]
            if place in fresh:
                fresh.discard(place)
                drift = next(drift for drift in reversed(drifts) if drift.topic == topic)
                producer.produce(topic, messages[0]["value"], partition=partition, on_delivery=told(drift, partition))
                messages = messages[1:]
            failed += len(messages) - producer.produce_batch(topic, messages, partition=partition)
            number += 1
        producer.poll(0)
        time.sleep(0.002)
    assert producer.flush(60) == 0
    seconds = time.monotonic() - began
    cpu = time.process_time() / seconds
    print(
        json.dumps(
            {
                "rate": (number * BATCH - failed) / seconds, "cpu": cpu, "failed": failed,
                "drifts": [[*astuple(drift)[:3], sorted(drift.first.items()), drift.is_return] for drift in drifts],
            }
        )
    )  # fmt: skip


def topic_name(number: int) -> str:
    return f"clicks-{number}"


@contextmanager
def running(directory: Path, role: str, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A role of ours in a process of its own. Ended with SIGTERM, as a supervisor would."""
    path = directory / f"{role}.log"
    with path.open("wb") as out:
        command = [sys.executable, "-m", "stream_lineage.cli.main", role]
        given = {f"STREAM_LINEAGE_{name.upper()}": value for name, value in settings.items()}
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **given})
    try:
        wait_for(path, process, "partitions assigned")
        yield process
        process.terminate()
        assert process.wait(60) == 0, path.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


def wait_for(path: Path, process: subprocess.Popen[bytes], event: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while event not in path.read_text(errors="replace"):
        assert process.poll() is None, path.read_text()[-3000:]
        assert time.monotonic() < deadline, path.read_text()[-3000:]
        time.sleep(0.1)


def family_cpu(pid: int) -> float:
    """Seconds of processor that a process and its children have taken."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def messages(bootstrap: str, topic: str) -> list[Message]:
    """All that is committed."""
    with closing(_reader(bootstrap)) as reader:
        partitions = reader.list_topics(topic, timeout=30).topics[topic].partitions
        reader.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found, ended = [], 0
        while ended < len(partitions):
            for message in reader.consume(1_000, timeout=1):
                if message.error() is None:
                    found.append(message)
                else:
                    ended += 1
        return found


def appended_ms(reader: Consumer, topic: str, partition: int, offset: int) -> int:
    """The broker's time of a record."""
    reader.assign([TopicPartition(topic, partition, offset)])
    while True:
        message = reader.poll(30)
        assert message is not None, f"{topic}[{partition}] {offset} cannot be read"
        if message.error() is None:
            assert message.offset() == offset, "the record is gone"
            return int(message.timestamp()[1])


def _reader(bootstrap: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "latency",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )


def covers(span: OffsetSpan, partition: int, offset: int) -> bool:
    return span.partition == partition and span.first_offset <= offset <= span.last_offset


def judge(bootstrap: str, drifts: list[Drift]) -> list[tuple[float, ...]]:
    """The hops of each drift in milliseconds.

    Raises:
        AssertionError: an alert is missing, or says something else than what the broker told the producer.
    """
    observed: dict[tuple[str, int | None], list[tuple[int, tuple[OffsetSpan, ...]]]] = {}
    for message in messages(bootstrap, "lineage.observations"):
        observation = decode_observation(message.value())
        about = observation.topic, observation.value_schema.id
        observed.setdefault(about, []).append((message.timestamp()[1], observation.spans))
    alerts: dict[tuple[str, int, int, bool], list[tuple[int, dict[str, Any]]]] = {}
    for message in messages(bootstrap, "lineage.drift-alerts"):
        body = json.loads(message.value())
        assert body["kind"] in ("schema-drift", "schema-version-returned"), body
        is_return = body["kind"] == "schema-version-returned"
        what = body["topic"], body["before"]["id"], body["after"]["id"], is_return
        alerts.setdefault(what, []).append((message.timestamp()[1], body))
    found = []
    with closing(_reader(bootstrap)) as reader:
        for drift in drifts:
            told = alerts.get((drift.topic, drift.before, drift.after, drift.is_return))
            assert told, f"no alert for {drift}"
            said = {int(partition): offset for _, body in told for partition, offset in body["first_offsets"].items()}
            assert said == drift.first, f"{said} instead of {drift.first}"
            times = {at: appended_ms(reader, drift.topic, *at) for at in drift.first.items()}
            place = min(times, key=lambda at: times[at])
            first, (alert, body) = times[place], told[0]
            closed = int(datetime.fromisoformat(body["observed_at"]).timestamp() * 1000)
            log = min(at for at, spans in observed[drift.topic, drift.after] if any(covers(s, *place) for s in spans))
            found.append(tuple(map(float, (closed - first, log - closed, alert - log, alert - first))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rate", type=int, default=50_000, help="records a second, of all topics together")
    parser.add_argument("--topics", type=int, default=25)
    parser.add_argument("--partitions", type=int, default=4, help="of each topic")
    parser.add_argument("--pause", type=float, nargs=2, default=(2.0, 5.0), help="seconds between two drifts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settings", nargs="*", default=[], help="other settings of ours: flush_interval_seconds=2")
    parser.add_argument("--keep", type=Path, help="where to leave the logs")
    parser.add_argument("--producer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", help=argparse.SUPPRESS)
    parser.add_argument("--registry", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.producer:
        produce(given)
        return
    settings = SandboxSettings(heap="512m", broker_config={"log.message.timestamp.type": "LogAppendTime"})
    with Sandbox(settings) as sandbox, tempfile.TemporaryDirectory() as scratch:
        directory = given.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        bootstrap, registry = sandbox.bootstrap_servers, str(sandbox.schema_registry_url)
        admin = AdminClient({"bootstrap.servers": bootstrap})
        names = [topic_name(number) for number in range(given.topics)]
        for future in admin.create_topics([NewTopic(name, given.partitions, 1) for name in names]).values():
            future.result(30)
        ours = {
            "bootstrap_servers": bootstrap, "schema_registry_url": registry, "state_dir": scratch, "log_format": "json",
            **dict(setting.split("=", 1) for setting in given.settings),
        }  # fmt: skip
        with running(directory, "collect", ours) as collect, running(directory, "agents", ours) as agents:
            pids, began = {"collector": collect.pid, "agents": agents.pid}, time.monotonic()
            done = subprocess.run(
                [
                    sys.executable, __file__, "--producer", "--bootstrap", bootstrap, "--registry", registry,
                    *(f"--{name}={getattr(given, name)}" for name in PASSED_ON),
                    "--pause", *map(str, given.pause),
                ],
                stdout=subprocess.PIPE, check=True, text=True,
            )  # fmt: skip
            cpu = {name: family_cpu(pid) / (time.monotonic() - began) for name, pid in pids.items()}
        told = json.loads(done.stdout)
        drifts = [Drift(topic, old, new, dict(first), back) for topic, old, new, first, back in told["drifts"]]
        hops = np.array(judge(bootstrap, drifts))
    print(
        f"{len(drifts)} drifts in {given.topics} topics of {given.partitions} partitions, {told['rate']:,.0f} records/s"
    )
    print(f"of a core: collector {cpu['collector']:.0%}, agents {cpu['agents']:.0%}, producer {told['cpu']:.0%}")
    print(f"{'milliseconds':30} {'median':>8} {'p90':>8} {'p99':>8} {'longest':>8}")
    returns = np.array([drift.is_return for drift in drifts])
    rows = dict(zip(HOPS, hops.T, strict=True))
    if returns.any():
        rows |= {"  to a new version": hops[~returns, -1], "  back to an old version": hops[returns, -1]}
    for name, column in rows.items():
        print(f"{name:30} " + " ".join(f"{value:8.0f}" for value in np.percentile(column, (50, 90, 99, 100))))
    for percentile, most in WANTED.items():
        reached = float(np.percentile(hops[:, -1], percentile))
        print(
            f"percentile {percentile}: {reached:.0f} ms, wanted below {most:.0f}: {'yes' if reached < most else 'NO'}"
        )


if __name__ == "__main__":
    main()
