"""What a job of the pipeline tells the demo: one JSON line on standard output for each thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Self

from confluent_kafka import KafkaError, Message

_MARK = '{"acknowledged": '


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker has acknowledged the first bad record in a partition."""

    topic: str
    partition: int
    offset: int

    def line(self) -> str:
        return f"{_MARK}{json.dumps(asdict(self))}}}"

    @classmethod
    def from_line(cls, line: str) -> Self | None:
        """Null if the line says something else."""
        return cls(**json.loads(line)["acknowledged"]) if line.startswith(_MARK) else None


def delivered(error: KafkaError | None, message: Message) -> None:
    """What becomes of a record that is as it should be."""
    if error is not None:
        raise SystemExit(f"a record of {message.topic()} was not delivered: {error.str()}")


def first_bad() -> Callable[[KafkaError | None, Message], None]:
    """What becomes of records that are bad: where the first one ended up in each partition is reported, as the broker
    has it."""
    lowest: dict[int, int] = {}

    def on_delivery(error: KafkaError | None, message: Message) -> None:
        delivered(error, message)
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is None or partition is None or offset is None or lowest.get(partition, offset + 1) <= offset:
            return
        lowest[partition] = offset
        print(Acknowledged(topic, partition, offset).line(), flush=True)

    return on_delivery
