"""What lineage in an application costs.

    python benchmarks/sdk.py                       its own Kafka, about four minutes
    python benchmarks/sdk.py --bootstrap HOST:PORT a Kafka that is there

Plain confluent-kafka is beside the same with a header of that size that never changes, which is what any header costs,
and beside lineage. They take turns, and what is told is the median of what two differ by in each turn: of processor
time, of all threads of this process, which other work on the machine changes little; and of records per second.

``one call`` is what the calling thread alone takes, in short turns, with nobody to send to. ``produce``, ``poll`` are
loops that do nothing else, against a real broker; ``relay`` is what applications do, a record out for each that comes
in: as it is, with its JSON decoded, changed and encoded, or as a model's service does, with Avro decoded, a score of 30
features computed and Avro encoded. Values are JSON of 200 bytes, or of 1,000 where that is said. ``header adds`` is the
processor time of a header by itself, ``we add`` what lineage takes beyond it, ``share`` that of the plain loop's.
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
from functools import partial
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
LARGE = json.dumps({"user": 12_345, "amount": 17.25, "items": list(range(100)), "note": uuid.uuid4().hex * 17}).encode()
HEADER_BYTES = 39
"""Of a record with one parent, for the topics' names here."""
GOAL = 0.05
"""Share of a plain loop's processor time that lineage may take."""
CHUNK = 500
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


HEADER = ("lineage-parents", bytes(range(HEADER_BYTES)))


@dataclass(frozen=True, slots=True)
class Spent:
    """For one record, seconds of the clock, and of processors in this process."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Load:
    """What is written and read."""

    value: bytes = VALUE
    compression: str = "lz4"


SMALL, ONE_KB, ONE_KB_PLAIN = Load(), Load(LARGE), Load(LARGE, "none")


class Bench:
    """Topics and clients of one run."""

    def __init__(self, bootstrap: str, records: int) -> None:
        self.bootstrap = bootstrap
        self.records = records
        self.name = f"bench-sdk-{uuid.uuid4().hex[:6]}"
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.sources: dict[Load, str] = {}

    def source(self, load: Load) -> str:
        """A topic that is full of it."""
        if load not in self.sources:
            self.sources[load] = source = self.topic(f"source{len(self.sources)}")
            producer = Producer(self.producer_config(load))
            for _ in range(self.records):
                while True:
                    try:
                        producer.produce(source, load.value, partition=0)
                        break
                    except BufferError:
                        producer.poll(0.1)
            assert producer.flush(120) == 0
        return self.sources[load]

    def topic(self, name: str) -> str:
        full = f"{self.name}-{name}"
        for future in self.admin.create_topics([NewTopic(full, 1, 1)]).values():
            future.result()
        return full

    def producer_config(self, load: Load = SMALL) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.bootstrap,
            "linger.ms": 20,
            "compression.type": load.compression,
            "queue.buffering.max.messages": 1_000_000,
        }

    @contextmanager
    def reading(self, client: type[Consumer], load: Load = SMALL) -> Iterator[Consumer]:
        consumer = client(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": self.name,
                "enable.auto.commit": False,
                "queued.max.messages.kbytes": 65_536,
            }
        )
        consumer.assign([TopicPartition(self.source(load), 0, 0)])
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

    def producer(self, client: Client, consumer: Consumer, load: Load = SMALL) -> Producer:
        config = self.producer_config(load)
        return LineageProducer(config, lineage=consumer.lineage) if client is Client.OURS else Producer(config)

    @contextmanager
    def spent(self) -> Iterator[list[Spent]]:
        found: list[Spent] = []
        seconds, cpu = time.perf_counter(), time.process_time()
        yield found
        found.append(Spent((time.perf_counter() - seconds) / self.records, (time.process_time() - cpu) / self.records))

    def produce(self, client: Client, load: Load = SMALL) -> Spent:
        """To produce all records and have them acknowledged; with lineage, each with one parent."""
        out, value = self.topic(uuid.uuid4().hex[:6]), load.value
        with self.reading(LineageConsumer) as consumer:
            message = self.first(consumer)
            consumer.pause([TopicPartition(message.topic(), 0)])
            producer = self.producer(client, consumer, load)
            producer.list_topics(out, timeout=30)
            with self.spent() as spent:
                for number in range(self.records):
                    if client is Client.HEADER:
                        producer.produce(out, value, headers=[HEADER])
                    else:
                        producer.produce(out, value)
                    if number % 1000 == 0:
                        producer.poll(0)
                assert producer.flush(120) == 0
            assert client is not Client.OURS or consumer.lineage.counts.written == self.records
        self.admin.delete_topics([out])
        return spent[0]

    def consume(self, client: Client, load: Load = SMALL) -> Spent:
        """To poll all records and look at their values."""
        with self.reading(LineageConsumer if client is Client.OURS else Consumer, load) as consumer:
            self.first(consumer)
            with self.spent() as spent:
                seen = 1
                while seen < self.records:
                    message = consumer.poll(1)
                    if message is not None and message.error() is None and message.value() is not None:
                        seen += 1
            return spent[0]

    def work(self, client: Client) -> Spent:
        """As ``relay``, with JSON decoded and encoded."""

        def change(value: bytes) -> bytes:
            document = json.loads(value)
            document["score"] = document["amount"] * len(document["items"])
            return json.dumps(document).encode()

        return self.relay(client, change)

    def score(self, client: Client) -> Spent:
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

        return self.relay(client, change)

    def relay(self, client: Client, change: Callable[[bytes], bytes] = lambda value: value) -> Spent:
        """To poll all records and produce one from each."""
        out = self.topic(uuid.uuid4().hex[:6])
        with self.reading(LineageConsumer if client is Client.OURS else Consumer) as consumer:
            message = self.first(consumer)
            producer = self.producer(client, consumer)
            producer.list_topics(out, timeout=30)
            with self.spent() as spent:
                for number in range(self.records):
                    if client is Client.HEADER:
                        producer.produce(out, change(message.value()), message.key(), headers=[HEADER])
                    else:
                        producer.produce(out, change(message.value()), message.key())
                    if number % 1000 == 0:
                        producer.poll(0)
                    if number + 1 < self.records:
                        message = self.first(consumer)
                assert producer.flush(120) == 0
        self.admin.delete_topics([out])
        return spent[0]


def compared(work: Callable[[Client], Spent], clients: Sequence[Client], turns: int) -> dict[Client, list[Spent]]:
    """What each spends in each turn."""
    found: dict[Client, list[Spent]] = {client: [] for client in clients}
    for turn in range(turns + 1):
        for client in clients:
            spent = work(client)
            if turn:  # the first one warms up
                found[client].append(spent)
    return found


def one_call(bench: Bench, turns: int) -> dict[str, float]:
    """Seconds that the calling thread spends in a call, by what is called; turns of a few hundred calls."""
    nobody = {"bootstrap.servers": "localhost:1", "queue.buffering.max.messages": 1_000_000, "log_level": 0}
    with bench.reading(LineageConsumer) as ours, bench.reading(Consumer) as plain:
        for consumer in (ours, plain):
            bench.first(consumer)
        producers = [Producer(nobody), LineageProducer(nobody, lineage=ours.lineage)]

        def polls(consumer: Consumer) -> Callable[[], None]:
            def calls() -> None:
                for _ in range(CHUNK):
                    message = consumer.poll(1)  # noqa: F841  (as long as applications have it)

            return calls

        def produces(producer: Producer) -> Callable[[], None]:
            def calls() -> None:
                for _ in range(CHUNK):
                    producer.produce("out", VALUE)

            return calls

        def with_header() -> None:
            for _ in range(CHUNK):
                producers[0].produce("out", VALUE, headers=[HEADER])

        def serves(producer: Producer) -> Callable[[], None]:
            def calls() -> None:
                for _ in range(CHUNK):
                    producer.poll(0)

            return calls

        called: dict[str, Callable[[], None]] = {
            "poll": polls(plain),
            "poll with lineage": polls(ours),
            "produce": produces(producers[0]),
            "produce with a header": with_header,
            "produce with lineage": produces(producers[1]),
            "the producer's poll": serves(producers[0]),
            "the producer's poll with lineage": serves(producers[1]),
        }
        found: dict[str, list[float]] = {name: [] for name in called}
        for turn in range(turns):
            for name, calls in called.items():
                started = time.thread_time()
                calls()
                if turn > 10:
                    found[name].append((time.thread_time() - started) / CHUNK)
            for producer in producers:
                producer.purge()
                producer.poll(0)
    assert ours.lineage.counts.missing == 0
    return {name: statistics.median(each) for name, each in found.items()}


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


def report(bench: Bench, turns: int, only: str) -> bool:
    """Print what was measured; whether the goals are met."""
    console = Console(width=150)
    calls = one_call(bench, min(200, bench.records // CHUNK - 2))
    for name, seconds in calls.items():
        console.print(f"one call of {name}: {seconds * 1e6:.2f} us in its thread")
    table = Table(
        "records/s", "plain", "header", "lineage", "header/plain", "lineage/plain", "lineage/header", "header adds",
        "we add", "share", "goal",
    )  # fmt: skip
    met = True
    every, two = tuple(Client), (Client.PLAIN, Client.OURS)
    works: list[tuple[str, Callable[[Client], Spent], tuple[Client, ...]]] = [
        ("produce", bench.produce, every),
        ("produce 1 KB, lz4", partial(bench.produce, load=ONE_KB), every),
        ("produce 1 KB, not compressed", partial(bench.produce, load=ONE_KB_PLAIN), every),
        ("poll", bench.consume, two),
        ("poll 1 KB, lz4", partial(bench.consume, load=ONE_KB), two),
        ("poll 1 KB, not compressed", partial(bench.consume, load=ONE_KB_PLAIN), two),
        ("poll and produce", bench.relay, every),
        ("the same with JSON", bench.work, every),
        ("the same with a model", bench.score, every),
    ]
    for name, work, clients in works:
        if only not in name:
            continue
        found = compared(work, clients, turns)
        header = Client.HEADER if Client.HEADER in found else Client.PLAIN
        plain = statistics.median(each.cpu for each in found[Client.PLAIN])
        adds, ours = _more(found, header, Client.PLAIN), _more(found, Client.OURS, header)
        met = met and ours / plain <= GOAL
        table.add_row(
            name,
            *(f"{_rate(found[client]):,.0f}" if client in found else "" for client in Client),
            f"{_ratio(found, header, Client.PLAIN):.2f}" if header is Client.HEADER else "",
            f"{_ratio(found, Client.OURS, Client.PLAIN):.2f}",
            f"{_ratio(found, Client.OURS, header):.2f}" if header is Client.HEADER else "",
            f"{adds * 1e6:.2f} us" if header is Client.HEADER else "",
            f"{ours * 1e6:.2f} us",
            f"{ours / plain:.1%}",
            f"{'' if ours / plain <= GOAL else 'NOT '}met: {GOAL:.0%}",
        )
    size = header_bytes()
    met = met and size <= MOST_BYTES
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


def _more(found: dict[Client, list[Spent]], one: Client, other: Client) -> float:
    """Processor time that one takes beyond another, for a record."""
    return statistics.median(a.cpu - b.cpu for a, b in zip(found[one], found[other], strict=True))


def _ratio(found: dict[Client, list[Spent]], one: Client, other: Client) -> float:
    """Records per second of one, of another's."""
    return statistics.median(b.seconds / a.seconds for a, b in zip(found[one], found[other], strict=True))


def _rate(spent: list[Spent]) -> float:
    return 1 / statistics.median(each.seconds for each in spent)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--only", default="", help="rows of this text")
    given = parser.parse_args()
    if given.bootstrap:
        return 0 if report(Bench(given.bootstrap, given.records), given.turns, given.only) else 1
    with Sandbox(SandboxSettings()) as sandbox:
        return 0 if report(Bench(sandbox.bootstrap_servers, given.records), given.turns, given.only) else 1


if __name__ == "__main__":
    sys.exit(main())
