"""``crm-sync``: copies the CRM's customers into Kafka. Its new release sends ages as bands, which are strings; in other
scenarios it loses countries, or sends money in cents."""

from __future__ import annotations

import random
from typing import Any

from stream_lineage.sandbox.demo.avro_values import AvroWriter, allow_any_change
from stream_lineage.sandbox.demo.job import Job
from stream_lineage.sandbox.demo.report import delivered, first_bad
from stream_lineage.sandbox.demo.shop import Shop, age_band
from stream_lineage.sandbox.demo.topics import CUSTOMERS, schema

PER_SECOND = 30.0
_LOST = 0.6
"""Of the customers, whose countries are not found any more."""


def run(job: Job) -> None:
    """All customers once, then those that change."""
    shop, producer, chance = Shop(), job.producer(), random.Random(11)
    allow_any_change(job.registry_url, CUSTOMERS.subject)
    writer = AvroWriter(job.registry_url, CUSTOMERS.subject, schema("customer-1"))
    new_release = False
    when_bad = first_bad()

    def send(customer: dict[str, Any], fault: str | None) -> None:
        bad = spoilt(customer, fault, chance)
        producer.produce(
            CUSTOMERS.name,
            writer.encode(customer),
            key=customer["customer_id"],
            on_delivery=when_bad if bad else delivered,
        )

    job.wait_for_begin()
    for customer in shop.customers():
        send(customer, None)
    for due in job.ticks(PER_SECOND):
        fault = job.fault  # once a turn: the release may come at any time
        if fault == "schema" and not new_release:
            new_release = True
            writer = AvroWriter(job.registry_url, CUSTOMERS.subject, schema("customer-2"))
        for _ in range(due):
            send(shop.changed_customer(), fault)
        producer.poll(0)
    job.flush(producer)


def spoilt(customer: dict[str, Any], fault: str | None, chance: random.Random) -> bool:
    """Whether the new release makes something else of a customer, who is changed by it."""
    if fault == "schema":
        customer["age"] = age_band(customer["age"])
    elif fault == "unit-change":
        customer["total_spend"] = round(100 * customer["total_spend"])
    elif fault == "nulls" and chance.random() < _LOST:
        customer["country"] = None
    else:
        return False
    return True
