"""Carrying out a replay plan, group by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream_lineage.agents.group_reset import GroupReset
from stream_lineage.errors import StreamLineageError
from stream_lineage.explain.replay import GroupPlan, PartitionId, Plan


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done with one group. ``refused`` says why nothing was, or why it is not known whether anything was."""

    group: str
    before: Mapping[PartitionId, int]
    after: Mapping[PartitionId, int]
    refused: str | None = None


async def carried_out(reset: GroupReset, plan: Plan) -> list[Outcome]:
    """Commit the plan's offsets for the groups without members, one after the other. A group that has members, or
    whose offsets are no longer those of the plan, is left as it is. Whatever goes wrong is told in the outcome."""
    try:
        return [await _one(reset, group) for group in plan.changing]
    finally:
        await reset.close()


async def _one(reset: GroupReset, group: GroupPlan) -> Outcome:
    planned = {(each.topic, each.partition): each.committed for each in group.resets}
    targets = {(each.topic, each.partition): each.target for each in group.resets if each.target is not None}
    before: dict[PartitionId, int] = {}
    if not group.stopped:
        return Outcome(group.group, planned, planned, f"it has members ({group.state.lower()}): stop them first")
    try:
        before = await reset.committed(group.group, planned)
        if before != planned:
            topic, partition = moved = next(key for key in planned if before.get(key) != planned[key])
            now = before.get(moved, "nothing")
            why = f"{topic}[{partition}] is at {now} by now, not at {planned[moved]}: somebody reads or resets"
            return Outcome(group.group, before, before, why)
        await reset.commit(group.group, targets)
        return Outcome(group.group, before, await reset.committed(group.group, planned))
    except StreamLineageError as error:
        return Outcome(group.group, before, await _known(reset, group.group, planned), error.message)


async def _known(reset: GroupReset, group: str, planned: Mapping[PartitionId, int]) -> dict[PartitionId, int]:
    try:
        return await reset.committed(group, planned)
    except StreamLineageError:
        return {}
