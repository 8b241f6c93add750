"""What consumer groups have committed, asked of the brokers: one request for each group, and one for all log ends.

Committed offsets are asked for by Faust's Kafka client. librdkafka's admin client ends the process when a coordinator
has just moved (librdkafka issue 5040, seen with 2.12.2).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import KafkaError as ClientError
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_lineage.agents.security import Security
from stream_lineage.errors import KafkaUnavailable, StreamLineageError
from stream_lineage.graph.from_groups import Member
from stream_lineage.logs import get_logger
from stream_lineage.model.group import GroupLook, PartitionRead
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.log_offsets import answered, listed_offsets

GROUPS_PER_ROUND = 500
"""Groups that one round asks for; others have their turn in the next one. Larger: the brokers have more to do at
once."""
MOST_PARTITIONS = 20_000
"""Partitions, of all groups together, that one round looks at."""
INTERNAL = ("-changelog", "-repartition")
"""What the names of topics end in that applications keep to themselves."""
SAID_AGAIN_SECONDS = 3600.0
_AT_ONCE = 20
_ANSWER_SECONDS = 10.0
_log = get_logger("stream_lineage.agents")


@dataclass(frozen=True, slots=True)
class GroupFilter:
    """Regular expressions of group names, which must match the whole of it; ``exclude`` wins. ``own`` groups are never
    looked at, nor those whose names go on behind one of them and a dot."""

    include: Sequence[str]
    exclude: Sequence[str]
    own: Sequence[str]
    watches: Callable[[str], bool]
    """Which topics are looked at."""

    def takes(self, group: str) -> bool:
        if any(group == own or group.startswith(f"{own}.") for own in self.own):
            return False
        return _any(self.include, group) and not _any(self.exclude, group)


@dataclass(frozen=True, slots=True)
class Round:
    """``looks`` by group and topic, of the groups in ``asked``: what is not among them is not there. ``listed``: all
    the groups that there are; null where that is not known. ``reads``: the topics of each group asked, with those that
    applications keep to themselves."""

    looks: Sequence[GroupLook]
    asked: frozenset[str]
    listed: frozenset[str] | None
    reads: Mapping[str, frozenset[str]] = field(default_factory=dict)


class GroupOffsets:
    """``ask`` now and then. Nothing that a cluster does not let us see stops anything: it is said once an hour."""

    def __init__(
        self,
        admin: AdminClient,
        client: Callable[[], AIOKafkaClient],
        groups: GroupFilter,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._admin = admin
        self._make = client
        self._groups = groups
        self._clock = clock
        self._client: AIOKafkaClient | None = None
        self._starting = asyncio.Lock()
        self._coordinators: dict[str, int] = {}
        self._said: dict[str, float] = {}
        self._last = ""

    async def ask(self) -> Round:
        """One round. Groups that cannot be asked for are left out."""
        try:
            states, complete = await asyncio.to_thread(self._listed)
        except StreamLineageError as error:
            self._say("consumer groups cannot be listed", error.message)
            return Round((), frozenset(), None)
        taken = sorted(filter(self._groups.takes, states))
        if complete and not taken:
            why = "there is none but ours, or Describe on groups is not granted"
            self._say("no consumer group to be watched can be seen", why, info=True)
        mine = self._next(taken)
        gate = asyncio.Semaphore(_AT_ONCE)
        answers = await asyncio.gather(*(self._committed(group, gate) for group in mine))
        # Ends are asked for afterwards: a lag is never taken for too small, and never below 0.
        committed: dict[str, dict[tuple[str, int], int]] = {}
        reads: dict[str, frozenset[str]] = {}
        room = MOST_PARTITIONS
        for group, found in zip(mine, answers, strict=True):
            if found is None:
                continue
            reads[group] = frozenset(topic for topic, _ in found)
            watched = {key: offset for key, offset in found.items() if self._groups.watches(key[0])}
            if len(watched) <= room:
                committed[group] = watched
                room -= len(watched)
        at = self._clock()
        try:
            ends = await asyncio.to_thread(self._ends, {key for found in committed.values() for key in found})
        except StreamLineageError as error:
            self._say("log ends cannot be asked for", error.message)
            return Round((), frozenset(), None)
        looks = [
            look
            for group, found in committed.items()
            for look in _looks(group, found, ends, at, empty=states[group] is ConsumerGroupState.EMPTY)
        ]
        return Round(looks, frozenset(committed), frozenset(states) if complete else None, reads)

    async def members(self, groups: Iterable[str]) -> dict[str, list[Member]]:
        """The members of these groups, of those that answer. Groups of the protocol of KIP-848 are described without
        members: this client does not speak it."""
        gate = asyncio.Semaphore(_AT_ONCE)
        names = list(groups)[:GROUPS_PER_ROUND]
        answers = await asyncio.gather(*(self._described(group, gate) for group in names))
        return {group: found for group, found in zip(names, answers, strict=True) if found is not None}

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _listed(self) -> tuple[dict[str, Any], bool]:
        """State by group, and whether these are all that we may see."""
        try:
            found = answered(self._admin.list_consumer_groups(request_timeout=_ANSWER_SECONDS), _ANSWER_SECONDS)
        except KafkaException as error:
            raise translated(error, "list the consumer groups") from error
        for failure in found.errors:
            self._say("some consumer groups cannot be listed", str(failure))
        return {each.group_id: each.state for each in found.valid}, not found.errors

    def _next(self, groups: list[str]) -> list[str]:
        """Those behind the last one, in turn."""
        behind = [group for group in groups if group > self._last]
        chosen = [*behind, *groups[: len(groups) - len(behind)]][:GROUPS_PER_ROUND]
        self._last = chosen[-1] if chosen else ""
        return chosen

    async def _committed(self, group: str, gate: asyncio.Semaphore) -> dict[tuple[str, int], int] | None:
        """By topic and partition; null where nobody answers for it."""
        async with gate:
            try:
                return await asyncio.wait_for(self._fetched(group), _ANSWER_SECONDS)
            except (ClientError, OSError, TimeoutError, KafkaUnavailable) as error:
                self._coordinators.pop(group, None)
                self._say("what a consumer group has committed cannot be seen", _told(error), group=group)
                return None

    async def _fetched(self, group: str) -> dict[tuple[str, int], int]:
        client = await self._started()
        coordinator = await self._coordinator(client, group)
        response = await client.send(coordinator, OffsetFetchRequest(group, None))
        if response.error_code:
            raise for_code(response.error_code)
        return {
            (topic, partition): offset
            for topic, partitions in response.topics
            if self._groups.watches(topic) or topic.endswith(INTERNAL)
            for partition, offset, _, error in partitions
            if not error and offset >= 0
        }

    async def _described(self, group: str, gate: asyncio.Semaphore) -> list[Member] | None:
        async with gate:
            try:
                client = await self._started()
                coordinator = await self._coordinator(client, group)
                response = await asyncio.wait_for(
                    client.send(coordinator, DescribeGroupsRequest([group])), _ANSWER_SECONDS
                )
            except (ClientError, OSError, TimeoutError, KafkaUnavailable) as error:
                self._coordinators.pop(group, None)
                self._say("the members of a consumer group cannot be seen", _told(error), group=group)
                return None
        found = []
        for described in response.groups:
            if described[0]:  # an error
                return None
            consumers = described[3] == "consumer"
            found += [
                Member(member[1] or "", member[2] or "", _assigned(member[4]) if consumers else frozenset())
                for member in described[5]
            ]
        return found

    async def _coordinator(self, client: AIOKafkaClient, group: str) -> int:
        coordinator = self._coordinators.get(group)
        if coordinator is None:
            coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
            self._coordinators[group] = coordinator
        return coordinator

    async def _started(self) -> AIOKafkaClient:
        async with self._starting:
            if self._client is None:
                self._client = await started(self._make)
            return self._client

    def _ends(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return listed_offsets(self._admin, partitions, OffsetSpec.latest(), timeout_seconds=_ANSWER_SECONDS)

    def _say(self, what: str, why: str, *, info: bool = False, **more: str) -> None:
        """Once an hour, of each trouble."""
        now = self._clock()
        if now - self._said.get(what, -SAID_AGAIN_SECONDS) < SAID_AGAIN_SECONDS:
            return
        self._said[what] = now
        hint = "`stream-lineage doctor --print-acls` prints what is needed to watch the lag of consumer groups"
        (_log.info if info else _log.warning)(what, reason=why, hint=hint, **more)


def group_client(servers: Sequence[str], security: Security) -> Callable[[], AIOKafkaClient]:
    """Makes clients that are let in as we are. To be called where an event loop runs."""
    return lambda: AIOKafkaClient(
        bootstrap_servers=list(servers),
        client_id="stream-lineage",
        request_timeout_ms=int(_ANSWER_SECONDS * 1000),
        security_protocol=security.protocol,
        ssl_context=security.context,
        sasl_mechanism=security.mechanism or "PLAIN",
        sasl_plain_username=security.username,
        sasl_plain_password=security.password,
        sasl_oauth_token_provider=security.token_provider(),
    )


async def started(make: Callable[[], AIOKafkaClient]) -> AIOKafkaClient:
    """A client that knows the cluster; closed again where no broker answers."""
    client = make()
    try:
        await client.bootstrap()
    except BaseException:
        await client.close()
        raise
    return client


def _looks(
    group: str, committed: dict[tuple[str, int], int], ends: dict[tuple[str, int], int], at: float, *, empty: bool
) -> list[GroupLook]:
    topics: dict[str, dict[int, PartitionRead]] = {}
    for key, offset in sorted(committed.items()):
        if key in ends:
            topics.setdefault(key[0], {})[key[1]] = PartitionRead(offset, ends[key])
    return [GroupLook(group, topic, at, empty, partitions) for topic, partitions in topics.items()]


def _assigned(content: bytes) -> frozenset[str]:
    """The topics that a member is assigned partitions of; none where that cannot be read."""
    try:
        return frozenset(topic for topic, _ in ConsumerProtocol.ASSIGNMENT.decode(content).assignment)
    except Exception:  # noqa: BLE001  # whatever a member of another making leaves there
        return frozenset()


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _any(patterns: Sequence[str], name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)
