"""Which groups' offsets, and which topics, the transactional producers of the cluster write.

Brokers say which producers write to a partition, by producer id. To ``__consumer_offsets`` those write that commit
offsets in their transactions; whose offsets is in the records that they wrote there, so of each of them some are read
once. Of the records nothing is kept but the name of the group.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.errors import KafkaError as ClientError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_lineage.agents.describe_producers import DescribeProducers, active_producers
from stream_lineage.agents.group_offsets import started
from stream_lineage.errors import StreamLineageError
from stream_lineage.graph.from_transactions import Producers
from stream_lineage.logs import get_logger
from stream_lineage.wire.log_offsets import listed_offsets

OFFSETS = "__consumer_offsets"
TAIL = 5_000
"""Records at the end of a partition of ``__consumer_offsets`` that are read to find whose offsets a producer commits.
Larger: groups that commit seldom are found sooner."""
TAIL_BYTES = 1_000_000
PARTITIONS_PER_REQUEST = 500
SAID_AGAIN_SECONDS = 3600.0
_ANSWER_SECONDS = 10.0
_COMMIT_VERSIONS = (0, 1)
"""Of keys that are of offset commits; others are of the members of groups."""
_log = get_logger("stream_lineage.agents")


class TransactionLook:
    """``ask`` now and then. What a cluster does not let us see stops nothing: it is said once an hour."""

    def __init__(
        self,
        admin: AdminClient,
        client: Callable[[], AIOKafkaClient],
        takes: Callable[[str], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admin = admin
        self._make = client
        self._takes = takes
        self._clock = clock
        self._client: AIOKafkaClient | None = None
        self._groups: dict[int, frozenset[str]] = {}
        self._said = -SAID_AGAIN_SECONDS

    async def ask(self, topics: Iterable[str]) -> Producers | None:
        """Of the producers that have written to these topics of late; null where that cannot be seen."""
        try:
            return await asyncio.wait_for(self._asked(topics), 6 * _ANSWER_SECONDS)
        except IncompatibleBrokerVersion:
            self._say("the brokers do not tell who writes: Kafka 2.8 and later do")
        except (ClientError, OSError, TimeoutError, StreamLineageError, ValueError, struct.error) as error:
            self._say(str(error) or type(error).__name__)
            await self.close()
        return None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _asked(self, topics: Iterable[str]) -> Producers:
        client = await self._started()
        await client.force_metadata_update()
        committing = await self._writers(client, [OFFSETS])
        written: dict[int, set[str]] = {}
        mine = {producer for producers in committing.values() for producer in producers}
        if mine:
            for (topic, _), producers in (await self._writers(client, topics)).items():
                for producer in producers & mine:
                    written.setdefault(producer, set()).add(topic)
        self._groups = {producer: groups for producer, groups in self._groups.items() if producer in mine}
        unknown = written.keys() - self._groups.keys()
        partitions = [number for (_, number), producers in committing.items() if producers & unknown]
        if partitions:
            await self._read(client, partitions)
        committed = {producer: frozenset(filter(self._takes, groups)) for producer, groups in self._groups.items()}
        return Producers(committed, {producer: frozenset(names) for producer, names in written.items()})

    async def _writers(self, client: AIOKafkaClient, topics: Iterable[str]) -> dict[tuple[str, int], frozenset[int]]:
        found = {}
        refused = set()
        for broker, asked in _by_leader(client, topics):
            response = await client.send(broker, DescribeProducers(asked))
            for topic, partition, error, producers in active_producers(response):
                if error:
                    refused.add(topic)
                elif producers:
                    found[topic, partition] = producers
        if refused:
            some = ", ".join(sorted(refused)[:3])
            self._say(f"the producers of {len(refused)} topics cannot be seen, as of {some}")
        return found

    async def _read(self, client: AIOKafkaClient, partitions: Iterable[int]) -> None:
        """Find in the last records which groups' offsets producers commit."""
        keys = [(OFFSETS, partition) for partition in partitions]
        ends = await asyncio.to_thread(
            lambda: listed_offsets(self._admin, keys, OffsetSpec.latest(), timeout_seconds=_ANSWER_SECONDS)
        )
        begins = await asyncio.to_thread(
            lambda: listed_offsets(self._admin, keys, OffsetSpec.earliest(), timeout_seconds=_ANSWER_SECONDS)
        )
        found: dict[int, set[str]] = {}
        for key in keys:
            leader = client.cluster.leader_for_partition(TopicPartition(*key))
            if leader in (None, -1) or key not in ends:
                continue
            start = max(begins.get(key, 0), ends[key] - TAIL)
            asked = [(OFFSETS, [(key[1], start, TAIL_BYTES)])]
            response = await client.send(leader, FetchRequest(100, 1, TAIL_BYTES, 0, asked))
            for _, answers in response.topics:
                for answer in answers:
                    for producer, group in committed_groups(answer[-1] or b""):
                        found.setdefault(producer, set()).add(group)
        self._groups |= {producer: frozenset(groups) for producer, groups in found.items()}

    async def _started(self) -> AIOKafkaClient:
        if self._client is None:
            self._client = await started(self._make)
        return self._client

    def _say(self, why: str) -> None:
        now = self._clock()
        if now - self._said < SAID_AGAIN_SECONDS:
            return
        self._said = now
        hint = "Read on __consumer_offsets and on the watched topics lets lineage be seen in transactions"
        _log.info("what transactions write cannot be seen, in part or at all", reason=why, hint=hint)


def committed_groups(records: bytes) -> Iterator[tuple[int, str]]:
    """Producer id and group of each offset that is committed in a transaction."""
    batches = MemoryRecords(records)
    while batches.has_next():
        batch = batches.next_batch()
        if batch is None:
            return
        if not getattr(batch, "is_transactional", False) or batch.is_control_batch:
            continue
        for record in batch:
            group = _group(record.key or b"")
            if group is not None:
                yield batch.producer_id, group


def _group(key: bytes) -> str | None:
    """The group of a key of ``__consumer_offsets``: version, then the length of its name, then the name."""
    if len(key) < 4:
        return None
    version, length = struct.unpack_from(">hh", key)
    name = key[4 : 4 + length]
    if version not in _COMMIT_VERSIONS or not 0 < length == len(name):
        return None
    return name.decode("utf-8", "replace")


def _by_leader(client: AIOKafkaClient, topics: Iterable[str]) -> Iterator[tuple[int, Mapping[str, list[int]]]]:
    """Partitions by the broker that leads them, a portion at a time."""
    leaders: dict[int, list[tuple[str, int]]] = {}
    for topic in topics:
        for partition in sorted(client.cluster.partitions_for_topic(topic) or ()):
            leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
            if leader not in (None, -1):
                leaders.setdefault(leader, []).append((topic, partition))
    for leader, places in leaders.items():
        for start in range(0, len(places), PARTITIONS_PER_REQUEST):
            asked: dict[str, list[int]] = {}
            for topic, partition in places[start : start + PARTITIONS_PER_REQUEST]:
                asked.setdefault(topic, []).append(partition)
            yield leader, asked
