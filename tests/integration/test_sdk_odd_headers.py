"""If this failed, odd headers of others would cost an application's records their parents, or end the application."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from patience import deadline_in
from raw_kafka import RawRecord, batch, produce

from stream_lineage.sdk import LineageConsumer, LineageProducer
from stream_lineage.wire.lineage_headers import PARENTS_HEADER, decode_parents
from stream_lineage.wire.record_headers import readable_headers

pytestmark = pytest.mark.kafka

TRACEPARENT = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
ODD: list[list[tuple[bytes, bytes | None]]] = [
    [(b"\xff\xfe", b"x")],
    [(b"\xff\xfe", b"x"), (b"traceparent", TRACEPARENT[1])],
    [(b"traceparent", TRACEPARENT[1]), (b"\xed\xa0\x80", None)],
    [(b"traceparent", None), (b"", b""), (b"tracestate", b"")],
    [(b"lineage-parents", b"\xff" * 1000)],
    [],
]
ROUNDS = 50
"""So many that the interpreter has compiled the calls for what is called."""


def polled(consumer: Any) -> Message:
    deadline = deadline_in(30)
    while time.monotonic() < deadline:
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            return message
    raise AssertionError("no message came")


def test_whatever_others_write_records_have_their_parents_and_the_trace(cluster: Any) -> None:
    bootstrap, name = cluster.bootstrap_servers, f"odd-{uuid.uuid4().hex[:6]}"
    source, out = f"{name}-in", f"{name}-out"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in (source, out)]).values():
        future.result()
    records = [RawRecord(b"value", b"key", headers) for headers in ODD] * ROUNDS
    produce(bootstrap, source, 0, batch(records))
    config = {"bootstrap.servers": bootstrap, "group.id": name, "enable.auto.commit": False}
    consumer = LineageConsumer(config)
    consumer.assign([TopicPartition(source, 0, 0)])
    producer = LineageProducer({"bootstrap.servers": bootstrap}, lineage=consumer.lineage)
    for _ in records:
        polled(consumer)
        producer.produce(out, b"made", partition=0)
    assert producer.flush(100) == 0
    counts = consumer.lineage.counts
    consumer.close()
    reader = Consumer(config)
    reader.assign([TopicPartition(out, 0, 0)])
    for number, record in enumerate(records):
        first, *others = readable_headers(polled(reader)) or []
        (parent,) = decode_parents(first[1]).parents
        assert (first[0], parent.topic, parent.first_offset) == (PARENTS_HEADER, source, number)
        assert others == [TRACEPARENT] * ((b"traceparent", TRACEPARENT[1]) in record.headers)
    reader.close()
    assert (counts.written, counts.missing, counts.failed) == (len(records), 0, 0)
    for future in admin.delete_topics([source, out]).values():
        future.result()
