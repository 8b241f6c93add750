"""What lineage in an application costs.

    python benchmarks/sdk.py                       its own Kafka, about two minutes
    python benchmarks/sdk.py --bootstrap HOST:PORT a Kafka that is there

Each client takes its turn, several times, beside its peer of plain confluent-kafka; what is told is the median of each
and the ratio. ``produce`` and ``poll`` are throughput against a real broker by a loop that does nothing else;
``relay`` is what applications do, a record out for each that comes in, as it is or with its JSON decoded, changed and
encoded. The calls of ``produce`` alone, into a queue, are measured too. Values are JSON of 200 bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console
from rich.table import Table

from stream_lineage.sandbox import Sandbox, SandboxSettings
from stream_lineage.sdk import Lineage, LineageConsumer, LineageProducer, Manifest, verify_input
from stream_lineage.wire.lineage_headers import decode_parents, encode_parents
from stream_lineage.wire.parent_ranges import ParentRanges

VALUE = json.dumps({"user": 12_345, "amount": 17.25, "items": list(range(20)), "note": "x" * 60}).encode()
GOAL = 0.95
MOST_BYTES = 200


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

    def produce(self, *, ours: bool) -> float:
        """Seconds to produce all records and have them acknowledged; with lineage, each with one parent."""
        out = self.topic(uuid.uuid4().hex[:6])
        with self.reading(LineageConsumer) as consumer:
            self.first(consumer)
            config = self.producer_config()
            producer = LineageProducer(config, lineage=consumer.lineage) if ours else Producer(config)
            producer.list_topics(out, timeout=30)
            started = time.perf_counter()
            for number in range(self.records):
                producer.produce(out, VALUE)
                if number % 1000 == 0:
                    producer.poll(0)
            assert producer.flush(120) == 0
            seconds = time.perf_counter() - started
            assert not ours or consumer.lineage.counts.written == self.records
        self.admin.delete_topics([out])
        return seconds

    def consume(self, *, ours: bool) -> float:
        """Seconds to poll all records and look at their values."""
        with self.reading(LineageConsumer if ours else Consumer) as consumer:
            self.first(consumer)
            started = time.perf_counter()
            seen = 1
            while seen < self.records:
                message = consumer.poll(1)
                if message is not None and message.error() is None and message.value() is not None:
                    seen += 1
            return time.perf_counter() - started

    def work(self, *, ours: bool) -> float:
        """As ``relay``, with JSON decoded and encoded."""

        def change(value: bytes) -> bytes:
            document = json.loads(value)
            document["score"] = document["amount"] * len(document["items"])
            return json.dumps(document).encode()

        return self.relay(ours=ours, change=change)

    def relay(self, *, ours: bool, change: Callable[[bytes], bytes] = lambda value: value) -> float:
        """Seconds to poll all records and produce one from each."""
        out = self.topic(uuid.uuid4().hex[:6])
        with self.reading(LineageConsumer if ours else Consumer) as consumer:
            message = self.first(consumer)
            config = self.producer_config()
            producer = LineageProducer(config, lineage=consumer.lineage) if ours else Producer(config)
            producer.list_topics(out, timeout=30)
            started = time.perf_counter()
            for number in range(self.records):
                producer.produce(out, change(message.value()), message.key())
                if number % 1000 == 0:
                    producer.poll(0)
                if number + 1 < self.records:
                    message = self.first(consumer)
            assert producer.flush(120) == 0
            seconds = time.perf_counter() - started
        self.admin.delete_topics([out])
        return seconds

    def calls(self, *, ours: bool) -> float:
        """Seconds that the calls of ``produce`` alone take, into a queue."""
        with self.reading(LineageConsumer) as consumer:
            self.first(consumer)
            config = {**self.producer_config(), "linger.ms": 60_000, "batch.num.messages": 1_000_000}
            producer = LineageProducer(config, lineage=consumer.lineage) if ours else Producer(config)
            started = time.perf_counter()
            for _ in range(self.records // 4):
                producer.produce(self.source, VALUE, partition=0)
            seconds = time.perf_counter() - started
            producer.purge()
            producer.flush(1)
            return seconds * 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of some turns: seconds of the clock, and of processors in this process, the client's threads included."""

    seconds: float
    cpu: float


def compared(work: Callable[..., float], turns: int) -> tuple[Cost, Cost]:
    """What the peer and ours cost, who take turns."""
    found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for turn in range(turns + 1):
        for ours in (False, True):
            before = time.process_time()
            seconds = work(ours=ours)
            if turn:  # the first one warms up
                found[ours].append((seconds, time.process_time() - before))
    plain, lineage = (
        Cost(statistics.median(row[0] for row in found[ours]), statistics.median(row[1] for row in found[ours]))
        for ours in (False, True)
    )
    return plain, lineage


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
    table = Table("", "confluent-kafka", "with lineage", "ratio", "CPU added", "goal")
    met = True
    for name, work, goal in (
        ("produce, records/s", bench.produce, True),
        ("poll, records/s", bench.consume, True),
        ("poll and produce, records/s", bench.relay, False),
        ("the same with JSON, records/s", bench.work, False),
        ("calls of produce, records/s", bench.calls, False),
    ):
        plain, ours = compared(work, turns)
        ratio = plain.seconds / ours.seconds
        met = met and (ratio >= GOAL or not goal)
        table.add_row(
            name,
            f"{bench.records / plain.seconds:,.0f}",
            f"{bench.records / ours.seconds:,.0f}",
            f"{ratio:.3f}",
            f"{(ours.cpu - plain.cpu) / bench.records * 1e6:.2f} us",
            f"{'' if ratio >= GOAL else 'NOT '}met: {GOAL}" if goal else "",
        )
    size = header_bytes()
    met = met and size <= MOST_BYTES
    console = Console(width=120)
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
