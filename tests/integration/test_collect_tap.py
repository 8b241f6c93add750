"""If this failed, what is republished would differ from the original, be missing, come twice or name a wrong origin."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import raw_kafka
from collecting import CLICK, CLICK_2, Acknowledged, Lab, Traffic, eventually
from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, Message
from confluent_kafka import TopicPartition as Where
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from stream_lineage.provenance.stamp import PROVENANCE_HEADER

pytestmark = pytest.mark.kafka
Copy = tuple[Any, ...]


def read(lab: Lab, topic: str, partition: int, shape: Callable[[Message], Copy]) -> list[Copy]:
    """Every committed record of a partition."""
    reader = lab.consumer(enable_partition_eof=True, auto_offset_reset="earliest", isolation_level="read_committed")
    found = []
    try:
        reader.assign([Where(topic, partition, 0)])
        while True:
            message = reader.poll(30)
            assert message is not None
            if message.error() is None:
                found.append(shape(message))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                return found
    finally:
        reader.close()


def original(message: Message) -> Copy:
    return (message.offset(), message.key(), message.value(), message.timestamp(), message.headers() or [])


def traced(message: Message) -> Copy:
    *headers, (name, value) = message.headers()
    assert name == PROVENANCE_HEADER
    return (json.loads(value), message.key(), message.value(), message.timestamp(), headers)


def send_all_kinds(lab: Lab, topic: str) -> None:
    """Keys, tombstones, times and headers of every kind."""
    old = lab.schema(topic, CLICK)
    new = lab.schema(topic, CLICK_2)
    (first, _), *_ = lab.clicks(topic, CLICK, 1)
    (second, _), *_ = lab.clicks(topic, CLICK_2, 1)
    assert {int.from_bytes(value[1:5], "big") for value in (first, second)} == {old, new}
    known = Acknowledged()
    producer = lab.producer({"compression.type": "zstd", "message.max.bytes": 50_000_000})
    options: dict[str, Any] = {"on_delivery": known.callback(None)}
    now = int(time.time() * 1000)
    trace = "0af7651916cd43dd8448eb211c80319c"
    for number in range(300):
        value: bytes | None = (first, second)[number % 7 == 0]
        key: bytes | None = b"k%d" % (number % 11)
        headers: list[tuple[str, bytes | None]] = []
        if number % 5 == 0:
            key = None
        if number % 13 == 0:
            value = None
        if number % 3 == 0:
            headers = [
                ("a", b"1"),
                ("a", b"2"),
                ("empty", b""),
                ("none", None),
                ("\N{GREEK SMALL LETTER PI}", b"\xff\x00"),
            ]
        if number % 10 == 0:
            headers.append(("traceparent", f"00-{trace}-b7ad6b7169203331-01".encode()))
        when = now - 1_000 * number if number else 1  # the first one is as old as it can be
        producer.produce(topic, value, key, partition=number % 3, timestamp=when, headers=headers, **options)
    producer.produce(topic, b"\x00" * 3_000_000, b"large", partition=0, **options)
    producer.produce(topic, b"not framed", b"text", partition=1, **options)
    assert producer.flush(60) == 0
    assert not known.failed


def test_each_record_once_as_it_was_with_where_it_came_from(lab: Lab) -> None:
    topic = lab.topic("orders", partitions=3, max_message_bytes=3_500_000, retention_ms=-1)
    other = lab.topic("clicks", partitions=1)
    producer = lab.producer()
    producer.produce(other, b"{}")
    producer.flush(30)
    send_all_kinds(lab, topic)
    summary = lab.collect_until_end("--tap", topic)
    assert summary["traced"] == 302
    topics = lab.admin.list_topics(timeout=10).topics
    assert [name for name in topics if name.startswith(lab.name) and name.endswith(".traced")] == [f"{topic}.traced"]
    assert len(topics[f"{topic}.traced"].partitions) == 3
    checked = 0
    for partition in range(3):
        before = read(lab, topic, partition, original)
        after = read(lab, f"{topic}.traced", partition, traced)
        assert [record[1:] for record in after] == [record[1:] for record in before]
        for (stamp, *_), (offset, key, value, (kind, when), _) in zip(after, before, strict=True):
            assert kind == TIMESTAMP_CREATE_TIME
            assert (stamp["version"], stamp["topic"], stamp["partition"], stamp["offset"]) == (
                1,
                topic,
                partition,
                offset,
            )
            assert stamp["timestamp_type"] == "create"
            assert (stamp["key_hash"] is None) is (key is None)
            if value is not None and value[:1] == b"\x00" and key != b"large":
                assert stamp["schema"]["id"] == int.from_bytes(value[1:5], "big")
                assert stamp["schema"]["subject"] == f"{topic}-value"
            elif key in (b"large", b"text"):
                assert stamp["schema"]["type"] == "NONE"
            if offset % 20 == 0:
                # The command that reads it from the log says the same.
                answer = lab.run("record", topic, str(partition), str(offset), *lab.flags(), "--output", "json").json
                assert {name: answer[name] for name in stamp if name != "version"} == {
                    **{name: stamp[name] for name in stamp if name != "version"}
                }
                checked += 1
            assert when > 0
    assert checked > 10
    # What is written by the tap is not watched: the next run finds nothing to do.
    assert lab.collect_until_end("--tap", f"{lab.name}.*")["records"] == 0


def test_kills_and_a_deleted_traced_topic_cost_no_copy_and_double_none(lab: Lab) -> None:
    topic = lab.topic("orders", partitions=2)
    known = Acknowledged()
    chance = random.Random(7)
    with Traffic(lab, [topic], lab.clicks(topic), known, rate=4_000):
        for kill in range(4):
            collector = lab.collect("--instance-id", "one", "--tap", topic, name=f"kill-{kill}")
            collector.owns()
            time.sleep(chance.uniform(0.2, 1.5))
            collector.kill()
    lab.collect_until_end("--instance-id", "one", "--tap", topic)
    assert len(known) > 10_000
    for partition in range(2):
        stamps = read(
            lab, f"{topic}.traced", partition, lambda message: (json.loads(message.headers()[-1][1])["offset"],)
        )
        assert [offset for (offset,) in stamps] == sorted(known.of(topic)[partition])
    lab.check(known, topic)


def test_a_header_that_cannot_be_written_is_said_to_be_missing(lab: Lab) -> None:
    topic = lab.topic("orders")
    headers = [(b"before", b"1"), (b"\xff\xfe", b"2"), (b"after", b"3")]
    raw_kafka.produce(lab.bootstrap_servers, topic, 0, raw_kafka.batch([raw_kafka.RawRecord(b"{}", headers=headers)]))
    assert lab.collect_until_end("--tap", topic)["traced"] == 1
    ((stamp, _, value, _, copied),) = read(lab, f"{topic}.traced", 0, traced)
    assert (value, copied) == (b"{}", [("before", b"1"), ("after", b"3")])
    assert stamp["headers_left_out"] == 1
    answer = lab.run("record", topic, "0", "0", *lab.flags(), "--output", "json")
    assert answer.code == 0, answer.err


def test_a_topic_that_grows_and_a_traced_topic_that_is_deleted(lab: Lab) -> None:
    topic = lab.topic("orders", partitions=1)
    known = Acknowledged()
    payloads = lab.clicks(topic, count=10)
    lab.send(topic, payloads, known)
    collector = lab.collect("--tap", topic)
    lab.caught_up(known)
    lab.add_partitions(topic, 3)
    lab.send(topic, payloads, known, partition=2)
    lab.caught_up(known)
    assert len(read(lab, f"{topic}.traced", 2, traced)) == 10
    lab.delete_topic(f"{topic}.traced")
    lab.send(topic, payloads, known, partition=1)
    lab.caught_up(known)
    assert len(read(lab, f"{topic}.traced", 1, traced)) == 10
    assert collector.terminate() == 0
    lab.check(known, topic)


def test_a_traced_topic_that_takes_no_large_records_is_named_and_waited_for(lab: Lab) -> None:
    topic = lab.topic("orders")
    traced_topic = lab.topic("orders.traced", max_message_bytes=2_000)
    known = Acknowledged()
    lab.send(topic, [(random.Random(1).randbytes(5_000), None)], known)
    collector = lab.collect("--tap", topic)
    collector.wait_for("a flush was not committed and is read again")
    assert traced_topic in collector.events("a flush was not committed and is read again")[0]["reason"]
    assert "max.message.bytes" in collector.log()
    larger = ConfigEntry("max.message.bytes", "10000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, traced_topic, incremental_configs=[larger])
    lab.admin.incremental_alter_configs([resource])[resource].result(30)
    lab.caught_up(known)
    assert len(read(lab, traced_topic, 0, traced)) == 1


def test_what_cannot_be_tapped_is_said_at_the_start(lab: Lab) -> None:
    long = lab.topic("x" * (249 - len(lab.name) - 1))
    collector = lab.collect("--until-end", "--tap", long)
    assert collector.wait(60) == 1
    assert "is longer than Kafka allows" in collector.log()
    assert "tap_suffix" in collector.log()


def test_the_traced_topic_is_kept_as_long_as_its_source(lab: Lab) -> None:
    topic = lab.topic("orders", retention_ms=123_456_789, cleanup_policy="delete", max_message_bytes=2_000_000)
    lab.collect("--tap", topic).owns()
    resource = ConfigResource(ConfigResource.Type.TOPIC, f"{topic}.traced")
    config = eventually(lambda: lab.admin.describe_configs([resource])[resource].result(10), 30, "its configuration")
    assert config["retention.ms"].value == "123456789"
    assert int(config["max.message.bytes"].value) > 2_000_000
    assert config["message.timestamp.type"].value == "CreateTime"
