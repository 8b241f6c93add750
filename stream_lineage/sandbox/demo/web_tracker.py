"""``web-tracker``: sends what visitors do. Its new release tells of scrolling too."""

from __future__ import annotations

from stream_lineage.sandbox.demo.avro_values import AvroWriter
from stream_lineage.sandbox.demo.job import Job
from stream_lineage.sandbox.demo.shop import Shop
from stream_lineage.sandbox.demo.topics import CLICKS, schema

PER_SECOND = 150.0


def run(job: Job) -> None:
    """Clicks, for as long as it takes."""
    shop, producer = Shop(), job.producer()
    writer = AvroWriter(job.registry_url, CLICKS.subject, schema("click"))
    for due in job.ticks(PER_SECOND):
        for _ in range(due):
            click = shop.click(scrolls=job.released)
            producer.produce(CLICKS.name, writer.encode(click), key=click["customer_id"])
        producer.poll(0)
    job.flush(producer)
