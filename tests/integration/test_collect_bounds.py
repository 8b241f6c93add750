"""If this failed, a collector would take more memory than it may, or write more than what it describes is worth."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from collecting import Acknowledged, Lab, Running, avro
from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as Where

pytestmark = pytest.mark.kafka

PARTITIONS = 1_000
RECORDS = 200_000
MEBIBYTE = 1024 * 1024
WIDE: dict[str, Any] = {
    "type": "record",
    "name": "Wide",
    "fields": [
        *({"name": f"count_{n}", "type": "long"} for n in range(30)),
        *({"name": f"ratio_{n}", "type": "double"} for n in range(30)),
        *({"name": f"text_{n}", "type": ["null", "string"]} for n in range(40)),
    ],
}


def wide(number: int) -> dict[str, Any]:
    counts = {f"count_{n}": number * 7919 % (10 ** (n % 9 + 1)) for n in range(30)}
    ratios = {f"ratio_{n}": (number * 104729 % 9973) / (n + 1) for n in range(30)}
    texts = {f"text_{n}": None if (number + n) % 11 == 0 else f"value-{number * (n + 3) % 3001}" for n in range(40)}
    return counts | ratios | texts


@contextmanager
def watched(collector: Running) -> Iterator[list[int]]:
    """The highest sum of resident memory of the collector and its worker, in bytes."""
    highest, done = [0], threading.Event()

    def look() -> None:
        while not done.wait(0.1):
            total = 0
            for process in collector.family():
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            highest[0] = max(highest[0], total)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


def observation_sizes(lab: Lab) -> list[int]:
    """Bytes of each message of the observation log, without compression."""
    reader: Consumer = lab.consumer(auto_offset_reset="earliest", enable_partition_eof=True)
    sizes, ends = [], 0
    reader.assign([Where(f"{lab.prefix}observations", number, 0) for number in range(2)])
    while ends < 2:
        message = reader.poll(30)
        assert message is not None
        if message.error() is None:
            sizes.append(len(message.value() or b""))
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF
            ends += 1
    reader.close()
    return sizes


@pytest.mark.slow
def test_a_thousand_partitions_and_a_hundred_fields(lab: Lab) -> None:
    topic = lab.topic("wide", partitions=PARTITIONS)
    schema_id = lab.schema(topic, WIDE)
    payloads = [avro(WIDE, wide(number), schema_id) for number in range(2_000)]
    known, size = Acknowledged(), 0
    producer = lab.producer({"linger.ms": 50, "compression.type": "lz4"})
    remember = known.callback(schema_id)
    for number in range(RECORDS):
        value = payloads[number % len(payloads)]
        size += len(value)
        while True:
            try:
                producer.produce(topic, value, partition=number % PARTITIONS, on_delivery=remember)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0

    collector = lab.collect("--until-end")
    with watched(collector) as highest:
        assert collector.wait(120) == 0, collector.log()[-4000:]
    busy = observation_sizes(lab)
    print(f"memory {highest[0] / MEBIBYTE:.0f} MiB; {len(busy)} observations, {sum(busy) / size:.2%} of {size} bytes")
    print(collector.summary())

    # Quiet: one record in each partition.
    for partition in range(PARTITIONS):
        producer.produce(topic, payloads[partition], partition=partition, on_delivery=remember)
    assert producer.flush(120) == 0
    collector = lab.collect("--until-end")
    with watched(collector) as quiet_highest:
        assert collector.wait(120) == 0, collector.log()[-4000:]
    quiet = observation_sizes(lab)[len(busy) :]
    print(f"memory {quiet_highest[0] / MEBIBYTE:.0f} MiB; quiet observations of {sorted(quiet)} bytes")
    lab.check(known, topic)
    lab.delete_topic(topic)

    assert max(highest[0], quiet_highest[0]) <= 400 * MEBIBYTE
    assert sum(busy) <= 0.02 * size
    assert max(quiet) <= 65_536
