"""A replay plan as JSON."""

from __future__ import annotations

from typing import Any

from stream_lineage.explain.replay import GroupPlan, Plan, Start


def plan_document(plan: Plan) -> dict[str, Any]:
    """All of it."""
    return {
        "reason": plan.reason,
        "at": plan.at,
        "starts": [_start(each) for each in plan.starts],
        "groups": [_group(each) for each in plan.groups],
        "left_out": [{"what": each.what, "reason": each.reason} for each in plan.left_out],
        "notes": list(plan.notes),
    }


def _start(start: Start) -> dict[str, Any]:
    return {
        "topic": start.topic,
        "partition": start.partition,
        "offset": start.offset,
        "last": start.last,
        "by": start.means.value,
        "uncertain": start.uncertain,
        "timestamp": start.timestamp,
        "offset_by_time": start.by_time,
        "log_start": start.bounds.start,
        "log_end": start.bounds.end,
        "lost": start.lost,
    }


def _group(group: GroupPlan) -> dict[str, Any]:
    return {
        "group": group.group,
        "state": group.state.lower(),
        "stopped": group.stopped,
        "partitions": [
            {
                "topic": each.topic,
                "partition": each.partition,
                "committed": each.committed,
                "first_bad": each.start.offset,
                "verdict": each.verdict.value,
                "target": each.target,
                "again": each.again,
                "lost": each.lost,
                "by": each.start.means.value,
            }
            for each in group.partitions
        ],
    }
