"""Changing what a consumer group has committed, as Kafka's own tools do it: a commit by nobody's member.

The brokers refuse that while the group has members, so that between a look at the group and the commit nobody can
start it unseen. By Faust's Kafka client, for the reason that ``group_offsets`` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    GroupLoadInProgressError,
    IllegalGenerationError,
    NotCoordinatorForGroupError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.errors import KafkaError as ClientError
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from stream_lineage.agents.group_offsets import started
from stream_lineage.errors import ConnectionFailed, GroupBusy, KafkaUnavailable, SettingsError, StreamLineageError

T = TypeVar("T")
PartitionId = tuple[str, int]
_NOBODY, _NO_GENERATION, _NO_RETENTION = "", -1, -1
_ANSWER_SECONDS = 10.0
_PAUSE_SECONDS = 0.2
_PASSES = (CoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
_BUSY = (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError)


class GroupReset:
    """To be used where one event loop runs, and closed there."""

    def __init__(self, client: Callable[[], AIOKafkaClient]) -> None:
        self._make = client
        self._client: AIOKafkaClient | None = None

    async def committed(self, group: str, partitions: Iterable[PartitionId]) -> dict[PartitionId, int]:
        """What a group has committed of these partitions; those of which it has committed nothing are left out.

        Raises:
            KafkaUnavailable, ConnectionFailed, SettingsError: the brokers do not answer, or do not let us.
        """
        wanted = [(topic, list(numbers)) for topic, numbers in _by_topic({key: 0 for key in partitions}).items()]
        response = await self._asked(group, lambda: OffsetFetchRequest(group, wanted))
        if getattr(response, "error_code", 0):
            raise _translated(for_code(response.error_code)(), group, "ask for the offsets of")
        found: dict[PartitionId, int] = {}
        for topic, parts in response.topics:
            for partition, offset, _, code in parts:
                if code:
                    raise _translated(for_code(code)(), group, "ask for the offsets of")
                if offset >= 0:
                    found[(topic, partition)] = offset
        return found

    async def commit(self, group: str, offsets: Mapping[PartitionId, int]) -> None:
        """Let a group read on at these offsets.

        Raises:
            GroupBusy: it has members. Nothing is changed.
            KafkaUnavailable, ConnectionFailed, SettingsError: the brokers do not answer, or do not let us.
        """
        topics = [
            (topic, [(partition, offset, "") for partition, offset in parts.items()])
            for topic, parts in _by_topic(offsets).items()
        ]
        response = await self._asked(
            group, lambda: OffsetCommitRequest(group, _NO_GENERATION, _NOBODY, _NO_RETENTION, topics), changes=True
        )
        for topic, parts in response.topics:
            for partition, code in parts:
                if code:
                    raise _translated(for_code(code)(), group, f"commit {topic}[{partition}] for")

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _asked(self, group: str, request: Callable[[], Any], *, changes: bool = False) -> Any:
        """Asks the group's coordinator, again where it has just moved. A commit that names an offset may be sent again:
        it says the same."""
        doing = "commit for" if changes else "ask for the offsets of"
        deadline = asyncio.get_running_loop().time() + _ANSWER_SECONDS
        while True:
            try:
                return await _within(self._once(group, request), deadline)
            except _PASSES as error:
                if asyncio.get_running_loop().time() + _PAUSE_SECONDS > deadline:
                    raise _translated(error, group, doing) from error
                await asyncio.sleep(_PAUSE_SECONDS)
            except (ClientError, OSError, TimeoutError) as error:
                raise _translated(error, group, doing) from error

    async def _once(self, group: str, request: Callable[[], Any]) -> Any:
        if self._client is None:
            self._client = await started(self._make)
        coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, group)
        response = await self._client.send(coordinator, request())
        for code in _codes(response):
            if code and issubclass(for_code(code), _PASSES):
                raise for_code(code)()
        return response


async def _within(answer: Awaitable[T], deadline: float) -> T:
    return await asyncio.wait_for(answer, max(0.1, deadline - asyncio.get_running_loop().time()))


def _codes(response: Any) -> list[int]:
    found = [getattr(response, "error_code", 0)]
    for _, parts in response.topics:
        found += [part[-1] for part in parts]
    return found


def _by_topic(offsets: Mapping[PartitionId, int]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        found.setdefault(topic, {})[partition] = offset
    return found


def _translated(error: BaseException, group: str, doing: str) -> StreamLineageError:
    said = f"could not {doing} the group {group}"
    if isinstance(error, _BUSY):
        return GroupBusy(f"the group {group} has members", hint="Stop its consumers first, all of them.")
    if isinstance(error, GroupAuthorizationFailedError | TopicAuthorizationFailedError):
        needed = "Read on the consumer group and on the topic"
        return SettingsError(f"{said}: not allowed", hint=f"Ask for {needed} (ACLs) on the cluster.")
    why = str(error) or type(error).__name__
    if isinstance(error, OSError | TimeoutError) or getattr(error, "retriable", False):
        return KafkaUnavailable(f"{said}: {why}")
    return ConnectionFailed(f"{said}: {why}")
