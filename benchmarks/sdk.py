"""What lineage in an application costs.

    python benchmarks/sdk.py                       its own Kafka, about two minutes
    python benchmarks/sdk.py --bootstrap HOST:PORT a Kafka that is there

Each client takes its turn, several times, beside its peers: plain confluent-kafka, and the same with a header of that
size that never changes, which is what any header costs. What is told is the median of each, and ratios. ``produce`` and
``poll`` are throughput against a real broker by a loop that does nothing else; ``relay`` is what applications do, a
record out for each that comes in: as it is, with its JSON decoded, changed and encoded, or as a model's service does,
with Avro decoded, a score of 30 features computed and Avro encoded. Values are JSON of 200 bytes. ``header adds`` is
the processor time of a header by itself, ``we add`` what lineage takes beyond it, ``share`` that of the plain loop's.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from rich.console import Console
from rich.table import Table

from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.sdk import Lineage, LineageConsumer, LineageProducer, Manifest, verify_input
from stream_lineage.wire.lineage_headers import decode_parents, encode_parents
from stream_lineage.wire.parent_ranges import ParentRanges

VALUE = json.dumps({"user": 12_345, "amount": 17.25, "items": list(range(20)), "note": "x" * 60}).encode()
HEADER = ("lineage-parents", bytes(34))
GOAL = 0.95
EVENT = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "user", "type": "long"},
        {"name": "amount", "type": "double"},
        {"name": "items", "type": {"type": "array", "items": "long"}},
        {"name": "note", "type": "string"},
    ],
}
SCORE = {
    "type": "record",
    "name": "Score",
    "fields": [{"name": "user", "type": "long"}, {"name": "score", "type": "double"}],
}
WEIGHTS = [math.sin(number) for number in range(30)]
MOST_BYTES = 200


class Client(Enum):
    PLAIN = "plain"
    HEADER = "with a header"
    OURS = "lineage"


class Bench:
    """Topics and clients of one run."""

    def __init__(self, bootstrap: str, records: int) -> None:
        self.bootstrap = bootstrap
        self.records = records
        self.name = f"bench-sdk-{uuid.uuid4().hex[:6]}"
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.source = self.topic("source")
        producer = Producer(self.producer_config())
        for _ in range(records):
            while True:
                try:
                    producer.produce(self.source, VALUE, partition=0)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(120) == 0

    def topic(self, name: str) -> str:
        full = f"{self.name}-{name}"
        for future in self.admin.create_topics([NewTopic(full, 1, 1)]).values():
            future.result()
        return full

    def producer_config(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.bootstrap,
            "linger.ms": 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
        }

    @contextmanager
    def reading(self, client: type[Consumer]) -> Iterator[Consumer]:
        consumer = client(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.name,
                "enable.auto.commit": False,
                "queued.max.messages.kbytes": 65_536,
            }
        )
        consumer.assign([TopicPartition(self.source, 0, 0)])
        try:
            yield consumer
        finally:
            consumer.close()

    def first(self, consumer: Consumer) -> Message:
        """Connecting is not what is measured."""
        while True:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                return message

    def produce(self, *, client: Client) -> float:
        """Seconds to produce all records and have them acknowledged; with lineage, each with one parent."""
        out = self.topic(uuid.uuid4().hex[:6])
        with self.reading(LineageConsumer) as consumer:
            self.first(consumer)
            config = self.producer_config()
            producer = LineageProducer(config, lineage=consumer.lineage) if client is Client.OURS else Producer(config)
            producer.list_topics(out, timeout=30)
            more: dict[str, Any] = {"headers": [HEADER]} if client is Client.HEADER else {}
            started = time.perf_counter()
            for number in range(self.records):
                producer.produce(out, VALUE, **more)
                if number % 1000 == 0:
                    producer.poll(0)
            assert producer.flush(120) == 0
            seconds = time.perf_counter() - started
            assert client is not Client.OURS or consumer.lineage.counts.written == self.records
        self.admin.delete_topics([out])
        return seconds

    def consume(self, *, client: Client) -> float:
        """Seconds to poll all records and look at their values."""
        with self.reading(LineageConsumer if client is Client.OURS else Consumer) as consumer:
            self.first(consumer)
            started = time.perf_counter()
            seen = 1
            while seen < self.records:
                message = consumer.poll(1)
                if message is not None and message.error() is None and message.value() is not None:
                    seen += 1
            return time.perf_counter() - started

    def work(self, *, client: Client) -> float:
        """As ``relay``, with JSON decoded and encoded."""

        def change(value: bytes) -> bytes:
            document = json.loads(value)
            document["score"] = document["amount"] * len(document["items"])
            return json.dumps(document).encode()

        return self.relay(client=client, change=change)

    def score(self, *, client: Client) -> float:
        """As ``relay``, with a model between the client's own Avro deserializer and serializer."""
        registry = SchemaRegistryClient.new_client({"url": "mock://bench"})
        where = SerializationContext("scores", MessageField.VALUE)
        event = AvroSerializer(registry, json.dumps(EVENT))(json.loads(VALUE), where)
        serializer, deserializer = AvroSerializer(registry, json.dumps(SCORE)), AvroDeserializer(registry)

        def change(_: bytes) -> bytes:
            row: Any = deserializer(event, where)
            items = row["items"]
            rest = (row["amount"], sum(items) / len(items), max(items), min(items), len(row["note"]))
            features = [*items, *rest, *(math.log1p(each) for each in rest)]
            total = sum(weight * feature for weight, feature in zip(WEIGHTS, features, strict=True))
            score: bytes = serializer({"user": row["user"], "score": 1 / (1 + math.exp(-total / 1000))}, where)
            return score

        return self.relay(client=client, change=change)

    def relay(self, *, client: Client, change: Callable[[bytes], bytes] = lambda value: value) -> float:
        """Seconds to poll all records and produce one from each."""
        out = self.topic(uuid.uuid4().hex[:6])
        with self.reading(LineageConsumer if client is Client.OURS else Consumer) as consumer:
            message = self.first(consumer)
            config = self.producer_config()
            producer = LineageProducer(config, lineage=consumer.lineage) if client is Client.OURS else Producer(config)
            producer.list_topics(out, timeout=30)
            more: dict[str, Any] = {"headers": [HEADER]} if client is Client.HEADER else {}
            started = time.perf_counter()
            for number in range(self.records):
                producer.produce(out, change(message.value()), message.key(), **more)
                if number % 1000 == 0:
                    producer.poll(0)
                if number + 1 < self.records:
                    message = self.first(consumer)
            assert producer.flush(120) == 0
            seconds = time.perf_counter() - started
        self.admin.delete_topics([out])
        return seconds


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of some turns: seconds of the clock, and of processors in this process, the client's threads included."""

    seconds: float
    cpu: float


def compared(work: Callable[..., float], clients: Sequence[Client], turns: int) -> dict[Client, Cost]:
    """What each costs; they take turns."""
    found: dict[Client, list[tuple[float, float]]] = {client: [] for client in clients}
    for turn in range(turns + 1):
        for client in clients:
            before = time.process_time()
            seconds = work(client=client)
            if turn:  # the first one warms up
                found[client].append((seconds, time.process_time() - before))
    return {
        client: Cost(statistics.median(row[0] for row in rows), statistics.median(row[1] for row in rows))
        for client, rows in found.items()
    }


def header_bytes() -> int:
    """Of 1,000 contiguous parents in six partitions."""
    parents = ParentRanges()
    for number in range(1_000):
        parents.add("a-source-topic-with-a-usual-name", number % 6, 1_234_567_890 + number // 6)
    header = encode_parents(parents, "the-topic-that-is-written")
    assert sum(parent.length for parent in decode_parents(header).parents) == 1_000
    return len(header)


def many_parents(count: int, *, scattered: bool) -> float:
    """Microseconds to name so many parents of one record."""
    lineage = Lineage()
    parents = [("source", 0, number * (3 if scattered else 1)) for number in range(count)]
    return best(lambda: lineage.headers("out", parents), 20)


def verifying(features: int) -> tuple[float, float]:
    """Microseconds of a check, and of one that finds a difference."""
    names = [f"feature_{number}" for number in range(features)]
    manifest = Manifest(names, schema_hash="a" * 64)
    right, wrong = dict.fromkeys(names, 1.0), dict.fromkeys(names[1:], 1.0)
    return (
        best(lambda: verify_input(right, manifest, schema_hash="a" * 64), 20_000),
        best(lambda: verify_input(wrong, manifest, schema_hash="a" * 64), 2_000),
    )


def best(call: Callable[[], object], times: int) -> float:
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(times):
            call()
        rounds.append((time.perf_counter() - started) / times)
    return min(rounds) * 1e6


def report(bench: Bench, turns: int) -> bool:
    """Print what was measured; whether the goals are met."""
    names = (
        "records/s",
        "plain",
        "header",
        "lineage",
        "to plain",
        "to header",
        "header adds",
        "we add",
        "share",
        "goal",
    )
    table = Table(*names)
    met = True
    every = tuple(Client)
    for name, work, clients, goal in (
        ("produce", bench.produce, every, True),
        ("poll", bench.consume, (Client.PLAIN, Client.OURS), True),
        ("poll and produce", bench.relay, every, False),
        ("the same with JSON", bench.work, every, False),
        ("the same with a model", bench.score, every, False),
    ):
        costs = compared(work, clients, turns)
        plain, ours = costs[Client.PLAIN], costs[Client.OURS]
        header = costs.get(Client.HEADER)
        ratio = plain.seconds / ours.seconds
        met = met and (ratio >= GOAL or not goal)
        table.add_row(
            name,
            f"{bench.records / plain.seconds:,.0f}",
            "" if header is None else f"{bench.records / header.seconds:,.0f}",
            f"{bench.records / ours.seconds:,.0f}",
            f"{ratio:.2f}",
            "" if header is None else f"{header.seconds / ours.seconds:.2f}",
            "" if header is None else f"{(header.cpu - plain.cpu) / bench.records * 1e6:.2f} us",
            f"{(ours.cpu - (header or plain).cpu) / bench.records * 1e6:.2f} us",
            f"{(ours.cpu - (header or plain).cpu) / plain.cpu:.1%}",
            f"{'' if ratio >= GOAL else 'NOT '}met: {GOAL}" if goal else "",
        )
    size = header_bytes()
    met = met and size <= MOST_BYTES
    console = Console(width=140)
    console.print(table)
    console.print(f"1,000 contiguous parents: {size} bytes (goal: {MOST_BYTES})")
    console.print(
        f"naming 1,000 parents: {many_parents(1000, scattered=False):,.0f} us contiguous, "
        f"{many_parents(1000, scattered=True):,.0f} us scattered; "
        f"5,000 scattered, which are widened: {many_parents(5000, scattered=True):,.0f} us"
    )
    for features in (20, 200):
        right, wrong = verifying(features)
        console.print(f"verify_input of {features} features: {right:.2f} us; {wrong:.1f} us where it differs")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap")
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    if given.bootstrap:
        return 0 if report(Bench(given.bootstrap, given.records), given.turns) else 1
    with Sandbox(SandboxSettings()) as sandbox:
        return 0 if report(Bench(sandbox.bootstrap_servers, given.records), given.turns) else 1


if __name__ == "__main__":
    sys.exit(main())
