"""Where consumer groups stand in some topics at this moment, asked once, for people who wait for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from aiokafka.client import AIOKafkaClient
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_lineage.agents.group_offsets import GROUPS_PER_ROUND, GroupFilter, GroupOffsets
from stream_lineage.explain.replay import GroupStand, LeftOut, PartitionId
from stream_lineage.wire.kafka import translated
from stream_lineage.wire.log_offsets import answered

_ANSWER_SECONDS = 10.0
_ANY = "(?s:.*)"


def group_states(admin: AdminClient) -> dict[str, str]:
    """Every consumer group that we may see, with its state: ``EMPTY``, ``STABLE``, ...

    Raises:
        KafkaUnavailable: no broker answered.
    """
    try:
        found = answered(admin.list_consumer_groups(request_timeout=_ANSWER_SECONDS), _ANSWER_SECONDS)
    except KafkaException as error:
        raise translated(error, "list the consumer groups") from error
    if not found.valid and found.errors:
        raise translated(found.errors[0], "list the consumer groups")
    return {each.group_id: each.state.name for each in found.valid}


def group_stands(
    admin: AdminClient,
    client: Callable[[], AIOKafkaClient],
    states: Mapping[str, str],
    topics: Collection[str],
    *,
    groups: Sequence[str] = (),
    own: Sequence[str] = (),
) -> tuple[list[GroupStand], list[LeftOut]]:
    """The groups that have committed offsets of these topics, and those that do not answer.

    Args:
        admin: asks for states and log ends.
        client: makes what asks for committed offsets, see ``group_client``.
        states: the groups that there are.
        topics: others are not looked at.
        groups: these only; all but ``own`` where there are none.
        own: ours.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    if not topics:
        return [], []
    include = [f"(?s:{re.escape(each)})" for each in groups] or [_ANY]
    chosen = GroupFilter(include, (), () if groups else own, lambda topic: topic in topics)
    expected = {group for group in states if chosen.takes(group)}
    committed, heard = asyncio.run(_asked(GroupOffsets(admin, client, chosen), len(expected)))
    # Who has joined or left since then is told by the newer look.
    now = {**states, **(group_states(admin) if committed else {})}
    stands = [GroupStand(group, now[group], each) for group, each in committed.items()]
    return stands, [LeftOut(group, "does not tell what it has committed") for group in sorted(expected - heard)]


async def _asked(offsets: GroupOffsets, count: int) -> tuple[dict[str, dict[PartitionId, int]], set[str]]:
    committed: dict[str, dict[PartitionId, int]] = {}
    heard: set[str] = set()
    try:
        for _ in range(-(-count // GROUPS_PER_ROUND)):
            found = await offsets.ask()
            heard |= found.asked
            for look in found.looks:
                mine = committed.setdefault(look.group, {})
                mine |= {(look.topic, number): read.committed for number, read in look.partitions.items()}
    finally:
        await offsets.close()
    return committed, heard
