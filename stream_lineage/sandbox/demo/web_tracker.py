"""``web-tracker``: sends what visitors do. Its new release tells of scrolling too; in other scenarios it loses events,
or is late."""

from __future__ import annotations

import random
from datetime import timedelta

from stream_lineage.sandbox.demo.avro_values import AvroWriter
from stream_lineage.sandbox.demo.job import Job
from stream_lineage.sandbox.demo.report import delivered, first_bad
from stream_lineage.sandbox.demo.scenarios import LATE_SECONDS
from stream_lineage.sandbox.demo.shop import Shop
from stream_lineage.sandbox.demo.topics import CLICKS, schema

PER_SECOND = 150.0
_LOST = 0.75
"""Of the events, which are not sent any more."""


def run(job: Job) -> None:
    """Clicks, for as long as it takes."""
    shop, producer, chance = Shop(), job.producer(), random.Random(13)
    writer = AvroWriter(job.registry_url, CLICKS.subject, schema("click"))
    when_late = first_bad()
    for due in job.ticks(PER_SECOND):
        fault = job.fault
        for _ in range(due):
            click = shop.click(scrolls=fault == "schema")
            if fault == "drop" and chance.random() < _LOST:
                continue
            if late := fault == "late":
                click["clicked_at"] -= timedelta(seconds=LATE_SECONDS)
            producer.produce(
                CLICKS.name,
                writer.encode(click),
                key=click["customer_id"],
                timestamp=int(click["clicked_at"].timestamp() * 1000),
                on_delivery=when_late if late else delivered,
            )
        producer.poll(0)
    job.flush(producer)
