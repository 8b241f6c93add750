"""If this failed, an incident of a large cluster would be too large to be told, and end the worker again and again."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from stream_lineage.explain.located import MOST_RESETS, Located
from stream_lineage.explain.replay import Bounds, GroupPlan, Means, Plan, Start, replayed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def plan(groups: int, partitions: int) -> Plan:
    """Every second partition of each group has read beyond the first bad record."""
    starts = tuple(Start("orders", each, 100, Means.GIVEN, Bounds(0, 10**9)) for each in range(partitions))
    resets = tuple(replayed(each, 10**8 if each.partition % 2 else 50) for each in starts)
    found = tuple(GroupPlan(f"group-{number:04}", "EMPTY", True, resets) for number in range(groups))
    return Plan("orders", NOW, starts, found)


def test_plans_of_many_groups_are_bounded_together_and_say_so() -> None:
    document = Located((), (), (plan(60, 300), plan(60, 300), plan(60, 300)), ()).document()
    assert len(orjson.dumps(document)) < 500_000
    told = [each for made in document["replay"] for group in made["groups"] for each in group["partitions"]]
    assert len(told) == MOST_RESETS
    assert all(each["target"] == 100 for each in told[:100])
    assert [made["group_count"] for made in document["replay"]] == [60, 60, 60]
    left = 3 * 60 * 300 - MOST_RESETS
    said = [int(made["notes"][0].partition(" ")[0].replace(",", "")) for made in document["replay"]]
    assert sum(said) == left


def test_a_plan_that_fits_is_whole() -> None:
    [made] = Located((), (), (plan(2, 5),), ()).document()["replay"]
    assert [len(group["partitions"]) for group in made["groups"]] == [5, 5]
    assert made["notes"] == []
