"""If this failed, losing the decode worker would lose records, count them twice, or blame records that did nothing."""

from __future__ import annotations

import io
import json
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import fastavro
import psutil  # type: ignore[import-untyped]
import pytest
from collecting import CLICK, Acknowledged, Lab, Running, avro, click, eventually
from evidence import (
    Record,
    check_profile,
    counted,
    counted_json,
    dead_letters,
    logs_of,
    observations,
    profiles,
    send,
)

pytestmark = pytest.mark.kafka

NODE: dict[str, Any] = {
    "type": "record",
    "name": "Node",
    "fields": [{"name": "id", "type": "long"}, {"name": "next", "type": ["null", "Node"]}],
}
NAMES = [each["name"] for each in CLICK["fields"]]


def one_click(number: int) -> dict[str, Any]:
    return {name: click(number)[name] for name in NAMES}


def node(schema_id: int, number: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(NODE), {"id": number, "next": None})
    return b"\x00" + schema_id.to_bytes(4, "big") + out.getvalue()


def workers(collector: Running) -> list[psutil.Process]:
    """The decode workers of a collector: its children. Their own children, which try records, are not."""
    try:
        children = psutil.Process(collector.pid).children()
        return [child for child in children if "stream_lineage.collect.worker" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


@contextmanager
def harassed(collector: Running, number: signal.Signals, pauses: list[float]) -> Iterator[list[int]]:
    """Send a signal to the worker of the moment, so many seconds after it was first seen, once for each pause."""
    hit: list[int] = []
    over = threading.Event()

    def harass() -> None:
        left = list(pauses)
        while left:
            found = [worker for worker in workers(collector) if worker.pid not in hit]
            if over.wait(left[0] if found else 0.01):
                return
            if found:
                try:
                    found[0].send_signal(number)
                except psutil.NoSuchProcess:
                    continue
                hit.append(found[0].pid)
                left.pop(0)

    thread = threading.Thread(target=harass)
    thread.start()
    try:
        yield hit
    finally:
        over.set()
        thread.join()


def _as_many(hit: list[int], number: int) -> bool:
    return len(hit) > number


def test_killed_at_random_moments_and_on_sight(lab: Lab) -> None:
    """Three formats, bad records among them: each is profiled once, or named once."""
    known, chance = Acknowledged(), random.Random(8)
    clicks, nodes, documents = lab.topic("clicks", 2), lab.topic("nodes"), lab.topic("documents")
    click_id, node_id = lab.schema(clicks, CLICK), lab.schema(nodes, NODE)
    rounds, size = 9, 4_000
    count = rounds * size

    def records(topic: str, numbers: range) -> list[Record]:
        match topic:
            case _ if topic == clicks:
                own = [Record(avro(CLICK, one_click(n), click_id), None, (), n % 2, None, click_id) for n in numbers]
                bad = Record(b"\x00" + click_id.to_bytes(4, "big") + b"\x02", label="bad", schema_id=click_id)
            case _ if topic == nodes:
                own = [Record(node(node_id, n), schema_id=node_id) for n in numbers]
                bad = Record(node(node_id, 1) + b"\x00", label="bad", schema_id=node_id)
            case _:
                own = [Record(json.dumps({"n": n}).encode()) for n in numbers]
                bad = Record(b'{"n": ', label="bad")
        for _ in range(3):
            own.insert(chance.randrange(len(own)), bad)
        return own

    collector = lab.collect("--flush-interval-seconds", "0.3")
    collector.owns()
    labels: dict[str, dict[int, list[Any]]] = {clicks: {}, nodes: {}, documents: {}}
    pauses = [0.0, 0.05, 0.2, 0.0, 0.1, 0.3, 0.0, 0.02, 0.6]
    with harassed(collector, signal.SIGKILL, pauses) as hit:
        for number in range(rounds):
            for topic, own in labels.items():
                sent = send(lab, topic, records(topic, range(number * size, (number + 1) * size)), known)
                for partition, each in sent.items():
                    own.setdefault(partition, []).extend(each)
            eventually(partial(_as_many, hit, number), 30, "the worker is ended")
        lab.caught_up(known)
    assert collector.terminate() == 0
    expected = {
        topic: sorted((partition, offset) for partition, each in own.items() for offset, x in enumerate(each) if x)
        for topic, own in labels.items()
    }
    assert len(hit) == rounds
    assert collector.events("the decode worker was lost and is started again")
    letters = dead_letters(lab)
    for topic in labels:
        assert sorted((x["partition"], x["offset"]) for x in letters if x["topic"] == topic) == expected[topic]
    assert "worker-lost" not in {letter["kind"] for letter in letters}
    found = observations(lab)
    for topic, counts in (
        (clicks, counted(CLICK, (one_click(n) for n in range(count)))),
        (nodes, counted(NODE, ({"id": n, "next": None} for n in range(count)))),
        (documents, counted_json({"n": n} for n in range(count))),
    ):
        mine = [observation for observation in found if observation["topic"] == topic]
        check_profile(mine, counts)
        assert sum(profile["undecoded"] for profile in profiles(mine)) == 3 * rounds
    lab.check(known, *labels)


def test_stopped_it_is_given_up_at_its_deadline(lab: Lab) -> None:
    known = Acknowledged()
    topic = lab.topic("clicks")
    schema_id = lab.schema(topic, CLICK)
    count = 0
    collector = lab.collect("--worker-deadline-seconds", "1", "--flush-interval-seconds", "0.2")
    collector.owns()
    for _ in range(2):
        [worker] = eventually(lambda: workers(collector), 30, "there is a worker")
        worker.suspend()
        # More than the socket's buffer holds, so that the collector is stopped while it sends, too.
        new = range(count, count + 30_000)
        count += len(new)
        records = [Record(avro(CLICK, one_click(n), schema_id), schema_id=schema_id) for n in new]
        send(lab, topic, records, known)
        lab.caught_up(known)
        assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert collector.terminate() == 0
    assert [event["reason"] for event in collector.events("the decode worker was lost and is started again")] == [
        "the decode worker ran past its deadline of 1 s"
    ] * 2
    check_profile(observations(lab, topic), counted(CLICK, (one_click(n) for n in range(count))))
    assert dead_letters(lab) == []
    lab.check(known, topic)


def test_a_stopped_worker_does_not_keep_the_collector_from_ending(lab: Lab) -> None:
    known = Acknowledged()
    topic = lab.topic("clicks")
    schema_id = lab.schema(topic, CLICK)
    collector = lab.collect("--worker-deadline-seconds", "100", "--shutdown-timeout-seconds", "5")
    collector.owns()
    [worker] = eventually(lambda: workers(collector), 30, "there is a worker")
    worker.suspend()
    records = [Record(avro(CLICK, one_click(n), schema_id), schema_id=schema_id) for n in range(1_000)]
    send(lab, topic, records, known)
    assert collector.terminate(30) == 0
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    lab.collect_until_end()
    check_profile(observations(lab, topic), counted(CLICK, (one_click(n) for n in range(1_000))))
    lab.check(known, topic)


def test_records_beyond_the_memory_limit_are_named_and_no_others(lab: Lab) -> None:
    """Each of the large ones fits by itself, not all together; two are too large by themselves."""
    known = Acknowledged()
    size = {"max.message.bytes": 30_000_000}
    topic, other = lab.topic("documents", **size), lab.topic("other")

    def document(number: int) -> dict[str, Any]:
        return {"n": number, "items": [1_000_000 + number] * (250_000 if number % 20 == 3 else 2)}

    def large(key: bytes | None) -> Record:
        return Record(b'{"n": 1, "items": [' + b"1000," * 3_000_000 + b"1]}", key, label="large")

    records = [Record(json.dumps(document(n)).encode()) for n in range(120)]
    records.insert(31, large(None))
    records.insert(90, large(b"key"))
    labels = send(lab, topic, records, known)[0]
    send(lab, other, [Record(b'{"m": 1}')] * 50, known)
    lab.collect_until_end("--worker-memory-mb", "64", "--flush-max-bytes", "33554432", seconds=150)

    letters = dead_letters(lab)
    expected = [offset for offset, label in enumerate(labels) if label]
    assert sorted(letter["offset"] for letter in letters) == expected
    assert {(letter["kind"], letter["role"], letter["topic"]) for letter in letters} == {
        ("worker-lost", "value", topic)
    }
    assert {letter["size"] for letter in letters} == {len(large(None).value or b"")}
    assert all("memory" in letter["error"] for letter in letters)
    found = observations(lab, topic)
    check_profile(found, counted_json(document(n) for n in range(120)))
    assert sum(profile["undecoded"] for profile in profiles(found)) == 2
    check_profile(observations(lab, other), counted_json([{"m": 1}] * 50))
    lab.check(known, topic, other)

    lab.collect_until_end("--worker-memory-mb", "64")  # they do not come back
    assert len(dead_letters(lab)) == 2
    assert not any(b"1000,1000" in log.read_bytes() for log in logs_of(lab))
