"""A process that reads partitions one after the other, for no other purpose than to see whether a reader survives it.

Its memory is limited; what it has come to stands on its stdout, a line ``INDEX OFFSET`` for each step. Started by
``read_probe``, which gives it the request as JSON on stdin.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream_lineage.collect.memory import limit_memory, no_core_dumps
from stream_lineage.wire import kafka
from stream_lineage.wire.settings import KafkaSettings

TOO_MUCH = 77
"""Exit status for too little memory."""
_QUIET_SECONDS = 30.0


def _read(reader: Consumer, index: int, where: TopicPartition, most_bytes: int) -> None:
    """Read a partition up to its end, or as far as it is wanted."""
    _say(index, where.offset)
    reader.assign([where])
    size, heard = 0, time.monotonic()
    while size < most_bytes and time.monotonic() - heard < _QUIET_SECONDS:
        messages = reader.consume(1_000, 0.5)
        for message in messages:
            if message.error() is not None:
                return  # its end, or what the collector itself will see to
            size += len(message.value() or b"") + len(message.key() or b"") + 100
        if messages:
            heard = time.monotonic()
            _say(index, int(messages[-1].offset() or 0) + 1)


def _say(index: int, offset: int) -> None:
    sys.stdout.write(f"{index} {offset}\n")
    sys.stdout.flush()


def main() -> None:
    """Entry point: ``python -m stream_lineage.collect.probe_reader``."""
    request: Mapping[str, Any] = json.load(sys.stdin)
    no_core_dumps()
    reader = kafka.consumer(KafkaSettings.model_validate(request["kafka"]), request["group_id"], request["overrides"])
    limit_memory(request["memory_mb"])
    try:
        for index, (topic, partition, offset) in enumerate(request["partitions"]):
            _read(reader, index, TopicPartition(topic, partition, offset), request["bytes"])
    except (MemoryError, SystemError):  # the client raises one from the other
        os._exit(TOO_MUCH)
    except KafkaException:
        os._exit(1)
    os._exit(0)  # whatever the client has still got to do


if __name__ == "__main__":
    main()
