"""How the collector's consumer is configured: as a member of its group, and for how much it has to read."""

from __future__ import annotations

from collections.abc import Collection

from stream_lineage.collect.read_probe import ONE_BATCH
from stream_lineage.collect.settings import CollectSettings
from stream_lineage.collect.topic_watcher import refresh_seconds

Configuration = dict[str, str | int | float | bool]

_PREFETCHED_RECORDS = 10_000
"""The prefetch counts the bytes of values alone: records with long keys and headers are bounded by their number."""
_LARGEST_ANSWER = 128 * 1024 * 1024
"""Brokers take requests of 100 MiB unless configured otherwise. An answer that is larger than this would have the
client break the connection again and again, for all partitions of that broker."""
_LARGEST_MESSAGE = 1_048_576
"""What brokers take as one message unless configured otherwise; fetches are never smaller."""
_HEARTBEAT_MS = 3_000
_ASSIGNING_MS = 3
"""Per partition: how long librdkafka may take to compute an assignment, during which the member is silent. It took 25
to 30 s for 20,000 partitions on a busy machine (2.12)."""
_MANY_PARTITIONS = 2_000
"""librdkafka names every partition in every fetch and searches its list of topics for each in the answer, which takes a
second of one core with 20,000 of them (2.12): with so many each fetch should be worth it, or be late."""
_WORTH_A_FETCH = 65_536
_PARTITIONS_PER_MS = 8
_LEAST_WAIT_MS, _MOST_WAIT_MS = 500, 5_000
BROKERS_SESSION_SECONDS = 45.0
"""Brokers' default for groups of the newer protocol, of which they decide how long a member may be silent."""


def session_seconds(collect: CollectSettings, partitions: int) -> float:
    """How long this member may be silent before its group does without it."""
    if collect.group_protocol == "consumer":
        return BROKERS_SESSION_SECONDS
    return max(collect.session_timeout_seconds, partitions * _ASSIGNING_MS / 1000)


def bounds_of_answers(given: Collection[str]) -> Configuration:
    """How much a broker may answer, unless that is among the settings that are ``given``."""
    return {} if "receive.message.max.bytes" in given else {"receive.message.max.bytes": _LARGEST_ANSWER}


def member_config(
    collect: CollectSettings,
    given: Collection[str],
    instance: str,
    *,
    static: bool,
    partitions: int,
    careful: bool = False,
) -> Configuration:
    """librdkafka's settings, over those that were ``given`` by name.

    ``partitions`` are about as many as are watched, ``static`` says whether ``instance`` is a name that the group shall
    know. A ``careful`` member fetches as little at a time as it can.
    """
    config: Configuration = {
        "client.id": f"stream-lineage-{instance}",
        "group.protocol": collect.group_protocol,
        "auto.offset.reset": "error",  # where the log does not hold our offset, we want to know
        "enable.partition.eof": "true",
        "queued.max.messages.kbytes": collect.prefetch_kilobytes,
        "queued.min.messages": _PREFETCHED_RECORDS,
        "check.crcs": "true",  # else damage on a broker's disk would be taken for data
        "fetch.queue.backoff.ms": 10,  # a full queue is looked at again at once, not after a second
        "topic.metadata.refresh.interval.ms": int(1000 * refresh_seconds(collect.topic_refresh_seconds, partitions)),
        # One answer of a broker may exceed the prefetch by this, and is larger still when it is decompressed.
        "fetch.max.bytes": max(_LARGEST_MESSAGE, collect.prefetch_kilobytes * 1024 // 8),
    }
    if partitions > _MANY_PARTITIONS:
        config["fetch.min.bytes"] = _WORTH_A_FETCH
        wait_ms = partitions // _PARTITIONS_PER_MS
        config["fetch.wait.max.ms"] = min(_MOST_WAIT_MS, max(_LEAST_WAIT_MS, wait_ms))
    for name in ("fetch.max.bytes", "fetch.min.bytes", "fetch.wait.max.ms"):
        if name in given:
            config.pop(name, None)
    if careful:
        config |= ONE_BATCH
        config["queued.min.messages"] = _PREFETCHED_RECORDS // 100
    config |= bounds_of_answers(given)
    if static:
        config["group.instance.id"] = instance
    if collect.group_protocol == "classic":
        session_ms = int(session_seconds(collect, partitions) * 1000)
        config["partition.assignment.strategy"] = "cooperative-sticky"
        config["session.timeout.ms"] = session_ms
        config["heartbeat.interval.ms"] = min(_HEARTBEAT_MS, session_ms // 3)
    return config
