"""``feature-builder``: joins each click with the customer who made it, for a model to look at.

It is written the way many such jobs are: what it cannot parse is null, and nobody is told.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from stream_lineage.sandbox.demo.avro_values import AvroReader, AvroWriter
from stream_lineage.sandbox.demo.job import Job
from stream_lineage.sandbox.demo.topics import CLICKS, CUSTOMERS, FEATURES, schema


def run(job: Job) -> None:
    """Features for every click, as soon as its customer is known."""
    reader, producer = AvroReader(job.registry_url), job.producer()
    writer = AvroWriter(job.registry_url, FEATURES.subject, schema("feature"))
    customers: dict[str, tuple[dict[str, Any], Message]] = {}
    clicks: dict[str, int] = {}
    waiting: list[tuple[dict[str, Any], Message]] = []
    for batch in job.messages(CUSTOMERS.name, CLICKS.name):
        for message in batch:
            value = reader.decode(message.value() or b"")
            if message.topic() == CUSTOMERS.name:
                customers[value["customer_id"]] = value, message
            else:
                waiting.append((value, message))
        for click, clicked in waiting:
            if click["customer_id"] in customers:
                customer, changed = customers[click["customer_id"]]
                session = click["session_id"]
                clicks[session] = clicks.get(session, 0) + 1
                row = features(click, customer, clicks[session])
                made_from = [clicked, changed]
                producer.produce(
                    FEATURES.name,
                    writer.encode(row),
                    key=row["customer_id"],
                    timestamp=clicked.timestamp()[1],  # a row is as old as what it tells of
                    parents=made_from,
                )
        waiting = [(click, clicked) for click, clicked in waiting if click["customer_id"] not in customers]
        producer.poll(0)
    reader.close()
    job.flush(producer)


def features(click: dict[str, Any], customer: dict[str, Any], clicks_in_session: int) -> dict[str, Any]:
    """What the model sees of a click."""
    return {
        "click_id": click["click_id"],
        "customer_id": click["customer_id"],
        "event_type": click["event_type"],
        "device": click["client"]["device"],
        "country": customer["country"],
        "segment": customer["segment"],
        "age": _age(customer["age"]),
        "total_spend": customer["total_spend"],
        "clicks_in_session": clicks_in_session,
        "clicked_at": click["clicked_at"],
    }


def _age(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
