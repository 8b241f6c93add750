"""If this failed, a collector of very many topics would leave some out, or ask the cluster about each by itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest
from collecting import Acknowledged, Lab, Running, eventually, observed_offsets
from confluent_kafka.admin import NewTopic

pytestmark = pytest.mark.kafka

TOPICS = 1_005
PARTITIONS = 2
LATE = 5
AT_ONCE = 250
SENT = re.compile(r"Sent (\w+)Request ")
BY_TIME = {"Fetch", "Heartbeat", "Produce"}
"""Requests of which there are the more, the longer it takes, whatever the number of topics."""


@pytest.fixture
def topics(lab: Lab) -> Iterator[list[str]]:
    """More partitions than fetches are frugal for; gone at the end, since every test lists all topics."""
    names = [f"{lab.name}.many{number:04}" for number in range(TOPICS)]
    create(lab, names)
    yield names
    for first in range(0, TOPICS, AT_ONCE):
        for future in lab.admin.delete_topics(names[first : first + AT_ONCE]).values():
            future.result(60)


def create(lab: Lab, names: list[str]) -> None:
    for first in range(0, len(names), AT_ONCE):
        wanted = [NewTopic(name, PARTITIONS, 1) for name in names[first : first + AT_ONCE]]
        for future in lab.admin.create_topics(wanted, operation_timeout=30).values():
            future.result(60)


def send(lab: Lab, names: Iterable[str], known: Acknowledged) -> None:
    """One record to each partition of these topics."""
    producer = lab.producer({"linger.ms": 50, "log_level": 3, "topic.metadata.propagation.max.ms": 120_000})
    for name in names:
        for partition in range(PARTITIONS):
            producer.produce(name, b'{"of": "many"}', partition=partition, on_delivery=known.callback(None))
        producer.poll(0)
    assert producer.flush(120) == 0
    assert not known.failed


def knows_all(lab: Lab, partitions: int) -> None:
    """Wait until the group has an offset of every partition, also of those that never held a record."""
    eventually(lambda: len(lab.committed()) == partitions, 120, f"{partitions} partitions have an offset")


def requests(collector: Running) -> Counter[str]:
    found = (SENT.search(str(event.get("text", ""))) for event in collector.all_events())
    return Counter(match[1] for match in found if match is not None)


def test_a_thousand_topics_each_record_once_under_either_protocol(lab: Lab, topics: list[str]) -> None:
    known = Acknowledged()
    partitions = TOPICS * PARTITIONS
    flags = ("--topic-refresh-seconds", "3", "--log-level", "debug", "--kafka", "debug=protocol")
    send(lab, topics[::20], known)

    first = lab.collect("--group-protocol", "classic", *flags)
    lab.caught_up(known, 120)
    knows_all(lab, partitions)
    # None of what it asks the brokers is asked once for each topic.
    counts = requests(first)
    assert counts["Metadata"] > 0, counts
    assert all(count < 200 for name, count in counts.items() if name not in BY_TIME), counts
    late = [f"{lab.name}.late{number}" for number in range(LATE)]
    create(lab, late)
    send(lab, [*late, *topics[::50]], known)
    lab.caught_up(known, 120)
    assert first.terminate(40) == 0

    # The same group under the other protocol goes on where it stood.
    send(lab, topics[::30], known)
    second = lab.collect("--group-protocol", "consumer", *flags)
    lab.caught_up(known, 120)
    knows_all(lab, partitions + LATE * PARTITIONS)
    assert all(count < 200 for name, count in requests(second).items() if name not in BY_TIME), requests(second)
    assert second.terminate(40) == 0

    document = lab.verify().json
    assert document["ok"], document
    assert document["records"] == len(known)
    expected = {number: Counter({(offset, None): 1 for offset in ids}) for number, ids in known.of(late[0]).items()}
    assert observed_offsets(lab.spans(late[0])) == expected
