"""If this failed, a damaged provenance log would pass for a sound one, or a question would get a wrong answer."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
from collecting import Acknowledged, Lab, Traffic, eventually
from confluent_kafka import KafkaError
from confluent_kafka import TopicPartition as Where
from confluent_kafka.admin import NewTopic

pytestmark = pytest.mark.kafka

PARTITIONS = 2


@dataclass(frozen=True)
class Raw:
    """A message of the log as it is."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def raw_log(lab: Lab) -> list[Raw]:
    """What a plain consumer reads from the observation log."""
    reader = lab.consumer(auto_offset_reset="earliest", enable_partition_eof=True)
    found: list[Raw] = []
    ends = 0
    reader.assign([Where(f"{lab.prefix}observations", number, 0) for number in range(PARTITIONS)])
    while ends < PARTITIONS:
        message = reader.poll(30)
        assert message is not None
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            ends += 1
            continue
        where = (int(message.partition() or 0), int(message.offset() or 0))
        found.append(Raw(*where, message.key() or b"", message.value() or b"", message.headers() or []))
    reader.close()
    return found


def rewrite(lab: Lab, messages: list[Raw]) -> None:
    """Put another log in the place of the one that there is."""
    log = f"{lab.prefix}observations"
    lab.delete_topic(log)
    eventually(lambda: created(lab, log), 30, "the log is there again")
    producer = lab.producer()
    for message in messages:
        producer.produce(log, message.value, message.key, partition=message.partition, headers=list(message.headers))
    assert producer.flush(30) == 0


def created(lab: Lab, topic: str) -> bool:
    future = lab.admin.create_topics([NewTopic(topic, PARTITIONS)])[topic]
    return future.exception(30) is None


def place(messages: list[Raw], victim: Raw) -> dict[str, Any]:
    """Where a message stands in a log that was rewritten."""
    before = [message for message in messages if message.partition == victim.partition]
    return {"log_partition": victim.partition, "log_offset": before.index(victim)}


def test_damage_is_found_where_it_is(lab: Lab) -> None:
    topics = [lab.topic(name, partitions=2) for name in ("clicks", "orders", "views")]
    known = Acknowledged()
    collector = lab.collect("--flush-interval-seconds", "0.2")
    collector.owns()
    with Traffic(lab, topics, lab.clicks(topics[0]), known, rate=500):
        eventually(lambda: len(known) > 1_500, 30, "there is enough")
    lab.caught_up(known)
    assert collector.terminate() == 0
    sound = raw_log(lab)
    assert len(sound) > 15

    rewrite(lab, sound)
    answer = lab.verify()
    assert answer.code == 0, answer.out

    chance = random.Random(7)
    victim = sound[len(sound) // 2]
    at = chance.randrange(5, len(victim.value))  # before that stands the registry's id of our own schema
    flipped = victim.value[:at] + bytes([victim.value[at] ^ (1 << chance.randrange(8))]) + victim.value[at + 1 :]
    edited = replace(victim, value=flipped)
    damaged = [edited if message is victim else message for message in sound]
    rewrite(lab, damaged)
    answer = lab.verify()
    assert answer.code == 1
    document = answer.json
    assert document["ok"] is False
    assert [{k: row.get(k) for k in ("log_partition", "log_offset")} for row in document["broken_links"]] == [
        place(damaged, edited)
    ]
    assert document["overlaps"] == document["gaps"] == []

    # One that is gone is missed by the one that followed it.
    followers = [m for m in sound if m.key == victim.key and m.offset > victim.offset]
    dropped = [message for message in sound if message is not victim]
    rewrite(lab, dropped)
    answer = lab.verify()
    assert answer.code == 1
    rows = answer.json["broken_links"]
    assert place(dropped, followers[0]) in [{k: row.get(k) for k in ("log_partition", "log_offset")} for row in rows]
    assert answer.json["gaps"]

    doubled = [*sound, replace(victim)]
    rewrite(lab, doubled)
    answer = lab.verify()
    assert answer.code == 1
    (row,) = answer.json["overlaps"]
    own = [message for message in sound if message.partition == victim.partition]
    assert (row["log_partition"], row["log_offset"]) == (victim.partition, len(own))

    last = next(m for m in reversed(sound) if m.key == victim.key)
    rewrite(lab, [message for message in sound if message is not last])
    answer = lab.verify()
    assert answer.code == 1
    assert "the tail is missing" in answer.out


def test_questions_about_what_is_not_there(lab: Lab) -> None:
    answer = lab.verify()
    assert answer.code == 1
    assert f"there is no topic {lab.prefix}observations" in answer.err
    assert "stream-lineage collect" in answer.err

    topic, unseen = lab.topic("clicks"), lab.topic("unseen")
    lab.send(topic, lab.clicks(topic, count=10), Acknowledged())
    lab.collect_until_end("--exclude", unseen)
    answer = lab.run("spans", "nowhere", *lab.flags())
    assert answer.code == 1
    assert "there is no topic nowhere" in answer.err
    assert lab.spans(unseen) == []
    for name, partition, offset, says in (
        ("nowhere", 0, 0, "there is no topic nowhere"),
        (unseen, 0, 0, "has not been observed"),
        (topic, 0, 10, "has not been observed"),
        (topic, 1, 0, "has not been observed"),
    ):
        answer = lab.record(name, partition, offset)
        assert (answer.code, answer.out) == (1, ""), answer
        assert says in answer.err
        assert "Traceback" not in answer.err
