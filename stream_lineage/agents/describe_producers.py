"""Kafka's request for the producers that write to partitions (KIP-664, Kafka 2.8 and later), which no client of ours
speaks. It needs Read on the topics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

_PRODUCER = CompactArray(
    ("producer_id", Int64),
    ("producer_epoch", Int32),
    ("last_sequence", Int32),
    ("last_timestamp", Int64),
    ("coordinator_epoch", Int32),
    ("current_txn_start_offset", Int64),
    ("tags", TaggedFields),
)
_PARTITION = CompactArray(
    ("partition", Int32),
    ("error_code", Int16),
    ("error_message", CompactString("utf-8")),
    ("active_producers", _PRODUCER),
    ("tags", TaggedFields),
)


class DescribeProducersResponse(Response):  # type: ignore[misc]
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(("name", CompactString("utf-8")), ("partitions", _PARTITION), ("tags", TaggedFields)),
        ),
        ("tags", TaggedFields),
    )


class DescribeProducersV0(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 61
    API_VERSION = 0
    RESPONSE_TYPE = DescribeProducersResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("name", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("tags", TaggedFields),
    )


class DescribeProducers(Request[DescribeProducersV0]):  # type: ignore[misc]
    """To be sent to the broker that leads these partitions."""

    API_KEY = 61

    def __init__(self, partitions: Mapping[str, Sequence[int]]) -> None:
        self._partitions = partitions

    def build(self, request_struct_class: type[DescribeProducersV0]) -> DescribeProducersV0:
        return request_struct_class([(topic, list(numbers), {}) for topic, numbers in self._partitions.items()], {})


def active_producers(response: Any) -> Iterator[tuple[str, int, int, frozenset[int]]]:
    """Topic, partition, error code and the ids of the producers that are known to have written there of late."""
    for topic, partitions, _ in response.topics:
        for partition, error, _, producers, _ in partitions:
            yield topic, partition, error, frozenset(producer[0] for producer in producers or ())
