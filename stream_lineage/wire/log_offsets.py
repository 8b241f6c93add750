"""Where the logs of partitions begin and end, asked of the brokers at once for many."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_lineage.errors import KafkaUnavailable
from stream_lineage.wire.kafka import translated

_ABSENT = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


def answered(future: Future[Any], timeout_seconds: float) -> Any:
    """What an admin client's future gives.

    Raises:
        KafkaException: the brokers said no.
        KafkaUnavailable: nothing came, not even the client's own timeout: this process was stopped for a while.
    """
    try:
        return future.result(timeout=timeout_seconds + 1)
    except TimeoutError as error:
        raise KafkaUnavailable(f"no broker answered within {timeout_seconds:g} s") from error


def listed_offsets(
    admin: AdminClient,
    partitions: Iterable[tuple[str, int]],
    spec: OffsetSpec,
    *,
    timeout_seconds: float,
    committed: bool = True,
) -> dict[tuple[str, int], int]:
    """The offsets that ``spec`` asks for, behind which no transaction is open; or whatever is open, where not only what
    is ``committed`` counts. Partitions that do not exist are left out.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    wanted = {TopicPartition(*key): spec for key in partitions}
    found: dict[tuple[str, int], int] = {}
    if not wanted:
        return found
    try:
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        futures = admin.list_offsets(wanted, isolation_level=level, request_timeout=timeout_seconds)
        for where, future in futures.items():
            try:
                found[(where.topic, where.partition)] = answered(future, timeout_seconds).offset
            except KafkaException as error:
                if error.args[0].code() not in _ABSENT:
                    raise
    except KafkaException as error:
        raise translated(error, "ask for offsets") from error
    return found
