"""If this failed, a replay would move groups that somebody reads, or say that it has done what it has not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from stream_lineage.agents.group_reset import GroupReset, PartitionId
from stream_lineage.agents.replay_groups import Outcome, carried_out
from stream_lineage.errors import GroupBusy
from stream_lineage.explain.replay import Bounds, GroupPlan, Means, Plan, Start, replayed


class Broker(GroupReset):
    """What groups have committed; ``joined`` have members."""

    def __init__(self, offsets: dict[str, dict[PartitionId, int]], joined: Iterable[str] = ()) -> None:
        self.offsets, self.joined, self.closed = offsets, set(joined), False

    async def committed(self, group: str, partitions: Iterable[PartitionId]) -> dict[PartitionId, int]:
        return {key: self.offsets[group][key] for key in partitions if key in self.offsets[group]}

    async def commit(self, group: str, offsets: Mapping[PartitionId, int]) -> None:
        if group in self.joined:
            raise GroupBusy(f"the group {group} has members")
        self.offsets[group].update(offsets)

    async def close(self) -> None:
        self.closed = True


def carry_out(broker: Broker, *groups: GroupPlan) -> dict[str, Outcome]:
    plan = Plan("r", datetime(2026, 3, 1, tzinfo=UTC), (), groups)
    found = asyncio.run(carried_out(broker, plan))
    assert broker.closed
    return {each.group: each for each in found}


def group(name: str, state: str, *committed: int) -> GroupPlan:
    log = Bounds(0, 100)
    resets = tuple(replayed(Start("t", n, 50, Means.GIVEN, log), offset) for n, offset in enumerate(committed))
    return GroupPlan(name, state, state == "EMPTY", resets)


def test_what_is_done_is_told_as_the_brokers_have_it() -> None:
    broker = Broker({"g": {("t", 0): 90, ("t", 1): 10}})
    found = carry_out(broker, group("g", "EMPTY", 90, 10))
    assert found["g"] == Outcome("g", {("t", 0): 90}, {("t", 0): 50})
    assert broker.offsets["g"] == {("t", 0): 50, ("t", 1): 10}


def test_who_reads_is_left_as_it_is_and_the_others_are_done() -> None:
    broker = Broker({name: {("t", 0): 90} for name in ("active", "moved", "joins", "stopped", "none")}, {"joins"})
    broker.offsets["moved"][("t", 0)] = 91
    broker.offsets["none"].clear()
    states = {"active": "STABLE", "moved": "EMPTY", "joins": "EMPTY", "none": "EMPTY", "stopped": "EMPTY"}
    found = carry_out(broker, *(group(name, state, 90) for name, state in states.items()))
    assert {name: (each.refused or "")[:20] for name, each in found.items()} == {
        "active": "it has members (stab",
        "moved": "t[0] is at 91 by now",
        "joins": "the group joins has ",
        "none": "t[0] is at nothing b",
        "stopped": "",
    }
    assert broker.offsets == {
        "active": {("t", 0): 90}, "moved": {("t", 0): 91}, "joins": {("t", 0): 90}, "none": {},
        "stopped": {("t", 0): 50},
    }  # fmt: skip
    assert found["joins"].after == {("t", 0): 90}
