"""``purchase-scorer``: how likely it is that a visitor buys something. It takes a missing age for zero."""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime
from typing import Any

from stream_lineage.sandbox.demo.avro_values import AvroReader, AvroWriter
from stream_lineage.sandbox.demo.job import Job
from stream_lineage.sandbox.demo.topics import FEATURES, PREDICTIONS, schema

MODEL = "purchase-7"
_EVENT_WEIGHTS = {"view": 0.0, "click": 0.6, "purchase": 1.8}


def run(job: Job) -> None:
    """A prediction for every row of features."""
    reader, producer = AvroReader(job.registry_url), job.producer()
    writer = AvroWriter(job.registry_url, PREDICTIONS.subject, schema("prediction"))
    for batch in job.messages(FEATURES.name):
        for message in batch:
            row = reader.decode(message.value() or b"")
            prediction = {
                "prediction_id": str(uuid.uuid4()),
                "click_id": row["click_id"],
                "customer_id": row["customer_id"],
                "purchase_probability": probability(row),
                "model": MODEL,
                "predicted_at": datetime.now(UTC),
            }
            value = writer.encode(prediction)
            producer.produce(
                PREDICTIONS.name,
                value,
                key=row["customer_id"],
                timestamp=message.timestamp()[1],
                parents=[message],
            )
        producer.poll(0)
    reader.close()
    job.flush(producer)


def probability(row: dict[str, Any]) -> float:
    """A logistic model."""
    score = (
        -3.4
        + 0.045 * (row["age"] or 0)
        + 0.35 * math.log1p(row["total_spend"]) / math.log(10)
        + 0.04 * row["clicks_in_session"]
        + _EVENT_WEIGHTS.get(row["event_type"], 0.0)
    )
    return 1 / (1 + math.exp(-score))
