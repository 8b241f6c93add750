"""``crm-sync``: copies the CRM's customers into Kafka. Its new release sends ages as bands, which are strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Message

from stream_lineage.sandbox.demo.avro_values import AvroWriter, allow_any_change
from stream_lineage.sandbox.demo.job import Job
from stream_lineage.sandbox.demo.report import Acknowledged
from stream_lineage.sandbox.demo.shop import Shop, age_band
from stream_lineage.sandbox.demo.topics import CUSTOMERS, schema

PER_SECOND = 30.0


def run(job: Job) -> None:
    """All customers once, then those that change."""
    shop, producer = Shop(), job.producer()
    allow_any_change(job.registry_url, CUSTOMERS.subject)
    writer = AvroWriter(job.registry_url, CUSTOMERS.subject, schema("customer-1"))
    new_release = False
    on_delivery = _first_acknowledgements(writer.schema_id)

    def send(customer: dict[str, Any]) -> None:
        if new_release:
            customer["age"] = age_band(customer["age"])
        producer.produce(CUSTOMERS.name, writer.encode(customer), key=customer["customer_id"], on_delivery=on_delivery)

    for customer in shop.customers():
        send(customer)
    for due in job.ticks(PER_SECOND):
        if job.released and not new_release:
            new_release = True
            writer = AvroWriter(job.registry_url, CUSTOMERS.subject, schema("customer-2"))
            on_delivery = _first_acknowledgements(writer.schema_id)
        for _ in range(due):
            send(shop.changed_customer())
        producer.poll(0)
    job.flush(producer)


def _first_acknowledgements(schema_id: int) -> Callable[[KafkaError | None, Message], None]:
    """Reports where the first record under a schema ended up in each partition, as the broker has it."""
    lowest: dict[int, int] = {}

    def on_delivery(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise SystemExit(f"a customer was not delivered: {error.str()}")
        partition, offset = message.partition(), message.offset()
        if partition is None or offset is None or lowest.get(partition, offset + 1) <= offset:
            return
        lowest[partition] = offset
        print(Acknowledged(CUSTOMERS.name, schema_id, partition, offset).line(), flush=True)

    return on_delivery
