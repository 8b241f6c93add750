"""A pipeline of three hops with a windowed join and two aggregates, written with the SDK, and what is true of it.

    clicks ───> enriched ──┐
                           ├──> joined ──> totals    one record of a user and window, made from all of them
    purchases ─────────────┘          └──> running   one record for each, made from it and the user's last one

The truth does not come from headers. Each source record has a number, and the application's own state says which
numbers an output was made from; the producers' acknowledgements say where each number and each output ended up.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from collecting import Lab
from confluent_kafka import KafkaError, Message, TopicPartition
from patience import deadline_in

from stream_lineage.sdk import Lineage, LineageConsumer, LineageProducer

Record = tuple[str, int, int]
"""Topic, partition, offset."""
USERS = 150
WINDOWS = 10
CLICKS, PURCHASES = 3_000, 1_500


@dataclass(slots=True)
class Planted:
    """``outputs`` has the source records that each record of ``enriched``, ``joined``, ``totals`` and ``running`` was
    made from, over all hops. ``last_hop`` are those of the last one."""

    clicks: str
    purchases: str
    enriched: str
    joined: str
    totals: str
    running: str
    run_id: str
    outputs: dict[Record, frozenset[Record]] = field(default_factory=dict)

    @property
    def topics(self) -> set[str]:
        """Those that the pipeline writes."""
        return {self.enriched, self.joined, self.totals, self.running}

    @property
    def last_hop(self) -> list[Record]:
        return sorted(record for record in self.outputs if record[0] in (self.totals, self.running))

    def sampled(self, count: int, seed: int = 7) -> list[Record]:
        """So many outputs of the last hop."""
        return random.Random(seed).sample(self.last_hop, count)


@dataclass(slots=True)
class _Written:
    """Where records ended up, by the numbers that they were made from."""

    places: list[tuple[Record, frozenset[int]]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def report(self, numbers: frozenset[int]) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failed.append(error.str())
            else:
                self.places.append(((message.topic(), message.partition(), message.offset()), numbers))

        return delivered


def run_pipeline(lab: Lab, *, name: str = "shop") -> Planted:
    """Create the topics, write the sources, run the three hops one after the other."""
    planted = Planted(
        *(lab.topic(f"{name}-{topic}", partitions) for topic, partitions in (
            ("clicks", 3), ("purchases", 2), ("enriched", 3), ("joined", 2), ("totals", 1), ("running", 2),
        )),
        run_id=f"{name}-run-1",
    )  # fmt: skip
    written = _Written()
    _write_sources(lab, planted, written)
    sources = {number: place for place, numbers in written.places for number in numbers}
    assert len(sources) == CLICKS + PURCHASES
    outputs = _Written()
    _enrich(lab, planted, outputs)
    _join(lab, planted, outputs)
    _aggregate(lab, planted, outputs)
    assert not written.failed
    assert not outputs.failed
    planted.outputs = {place: frozenset(sources[number] for number in numbers) for place, numbers in outputs.places}
    assert len(planted.outputs) == len(outputs.places)
    return planted


def _write_sources(lab: Lab, planted: Planted, written: _Written) -> None:
    chance = random.Random(11)
    producer = lab.producer({"linger.ms": 5})
    for number in range(CLICKS + PURCHASES):
        topic = planted.clicks if number < CLICKS else planted.purchases
        value = {"numbers": [number], "user": chance.randrange(USERS), "window": chance.randrange(WINDOWS)}
        producer.produce(topic, json.dumps(value), str(value["user"]), on_delivery=written.report(frozenset([number])))
        producer.poll(0)
    assert producer.flush(60) == 0


def _enrich(lab: Lab, planted: Planted, written: _Written) -> None:
    """One record from one: nothing is named."""
    with _consuming(lab, planted, planted.clicks) as (consumer, messages):
        producer = _producer(lab, consumer.lineage)
        for message in messages:
            value = json.loads(message.value())
            value["country"] = "DE" if value["user"] % 2 else "FR"
            numbers = frozenset(value["numbers"])
            producer.produce(planted.enriched, json.dumps(value), message.key(), on_delivery=written.report(numbers))
            producer.poll(0)
        assert producer.flush(60) == 0
        assert (consumer.lineage.counts.written, consumer.lineage.counts.missing) == (CLICKS, 0)


def _join(lab: Lab, planted: Planted, written: _Written) -> None:
    """Each click with all purchases of the same user and window: parents are named."""
    purchases: dict[tuple[int, int], list[Message]] = {}
    with _consuming(lab, planted, planted.purchases) as (_, messages):
        for message in messages:
            value = json.loads(message.value())
            purchases.setdefault((value["user"], value["window"]), []).append(message)
    with _consuming(lab, planted, planted.enriched) as (consumer, messages):
        producer = _producer(lab, consumer.lineage)
        for message in messages:
            click = json.loads(message.value())
            others = purchases.get((click["user"], click["window"]))
            if not others:
                continue
            numbers = sorted(
                {*click["numbers"], *(n for other in others for n in json.loads(other.value())["numbers"])}
            )
            producer.produce(
                planted.joined,
                json.dumps({**click, "numbers": numbers}),
                message.key(),
                on_delivery=written.report(frozenset(numbers)),
                parents=[message, *others],
            )
            producer.poll(0)
        assert producer.flush(60) == 0


def _aggregate(lab: Lab, planted: Planted, written: _Written) -> None:
    """All records of a user and window as one, by a window that is filled; and a running one, that is made from its own
    last output, once that is acknowledged, instead of all the records before."""
    with _consuming(lab, planted, planted.joined) as (consumer, messages):
        lineage = consumer.lineage
        producer = _producer(lab, lineage)
        windows: dict[tuple[int, int], tuple[Any, set[int]]] = {}
        last: dict[int, Message] = {}
        running: dict[int, set[int]] = {}
        waiting: list[tuple[int, Message, set[int]]] = []

        def write_running() -> None:
            reported: list[tuple[int, Message]] = []
            for user, message, numbers in waiting:
                running.setdefault(user, set()).update(numbers)
                note = written.report(frozenset(running[user]))

                def delivered(error: KafkaError | None, report: Message, user: int = user, note: Any = note) -> None:
                    note(error, report)
                    reported.append((user, report))

                before = [last[user]] if user in last else []
                producer.produce(
                    planted.running,
                    json.dumps({"user": user, "count": len(running[user])}),
                    str(user),
                    on_delivery=delivered,
                    parents=[message, *before],
                )
            assert producer.flush(60) == 0
            last.update(reported)
            waiting.clear()

        for message in messages:
            value = json.loads(message.value())
            user, numbers = value["user"], set(value["numbers"])
            window, seen = windows.setdefault((user, value["window"]), (lineage.window(), set()))
            window.add(message)
            seen |= numbers
            if any(user == each for each, _, _ in waiting):
                write_running()
            waiting.append((user, message, numbers))
        write_running()
        for (user, number), (window, seen) in windows.items():
            with window:
                producer.produce(
                    planted.totals,
                    json.dumps({"user": user, "window": number, "count": len(seen)}),
                    str(user),
                    on_delivery=written.report(frozenset(seen)),
                )
            producer.poll(0)
        assert producer.flush(60) == 0
        assert lineage.counts.missing == 0


def _producer(lab: Lab, lineage: Lineage) -> LineageProducer:
    config = {"bootstrap.servers": lab.bootstrap_servers, "enable.idempotence": True, "linger.ms": 5}
    return LineageProducer(config, lineage=lineage)


@contextmanager
def _consuming(lab: Lab, planted: Planted, topic: str) -> Iterator[tuple[LineageConsumer, Iterator[Message]]]:
    """A consumer, and all messages of a topic, each polled when the one before is done with."""
    consumer = LineageConsumer(
        {
            "bootstrap.servers": lab.bootstrap_servers,
            "group.id": f"{lab.name}-pipeline",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        },
        lineage=Lineage(run_id=planted.run_id),
    )
    try:
        partitions = lab.admin.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        yield consumer, _messages(consumer, set(partitions))
    finally:
        consumer.close()


def _messages(consumer: LineageConsumer, open_partitions: set[int]) -> Iterator[Message]:
    deadline = deadline_in(60)
    while open_partitions:
        message = consumer.poll(1)
        if message is None:
            assert time.monotonic() < deadline, f"no end of {open_partitions}"
            continue
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            open_partitions.discard(message.partition())
