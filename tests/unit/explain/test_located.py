"""If this failed, an incident of a large cluster would be too large to be told, and end the worker again and again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from stream_lineage.explain.first_bad import By, FirstBad
from stream_lineage.explain.located import MEMBERS, MOST_PARTITIONS, MOST_RESETS, Located, said, unlocated
from stream_lineage.explain.replay import Bounds, GroupPlan, LeftOut, Means, Plan, Start, replayed

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


def exact(partition: int) -> FirstBad:
    return FirstBad(
        "orders", partition, 40 + partition, 40 + partition, 40 + partition, True, By.VALUES, "why", NOW, "id"
    )


BETWEEN = FirstBad("orders", 7, None, 10, 19, False, By.TIME, "no single record is bad by itself")
LIKELY = FirstBad("orders", 8, 12, 10, 19, False, By.VALUES, "few")


@pytest.mark.parametrize(
    ("first_bad", "groups", "sentence"),
    [
        ([], 3, "Which record is the first bad one is not known."),
        ([exact(0)], 0, "First bad record: orders[0] offset 40."),
        ([exact(0)], 1, "First bad record: orders[0] offset 40. 1 consumer group read that."),
        ([BETWEEN, LIKELY], 2, "First bad record: orders[7] between 10 and 19, orders[8] between 10 and 19, most likely"
                               " 12. 2 consumer groups read that."),
        ([exact(each) for each in range(3)], 0, "First bad record: orders[0] offset 40, orders[1] offset 41, orders[2]"
                                                " offset 42."),
        ([exact(each) for each in range(5)], 0, "First bad record: orders[0] offset 40, orders[1] offset 41, orders[2]"
                                                " offset 42 and in 2 more partitions."),
    ],
)  # fmt: skip
def test_where_it_began_is_said_for_people(first_bad: list[FirstBad], groups: int, sentence: str) -> None:
    assert said([("orders", each) for each in first_bad], groups) == sentence


def test_a_document_has_all_that_is_known() -> None:
    made = plan(1, 2)
    left_out = LeftOut("other", "it does not say where it stands")
    start = Start("orders", 1, 100, Means.ALERT, Bounds(0, 10**9), 120, True, NOW, 90)
    whole = Plan("orders", NOW, (made.starts[0], start), made.groups, (left_out,), ("orders is compacted",))
    document = Located((("raw", exact(0)), ("raw", BETWEEN)), ("orders.amount",), (whole,), ("two",)).document()
    assert tuple(document) == MEMBERS
    assert document["located"].startswith("First bad record: orders[0] offset 40, orders[7] between 10 and 19. 1 cons")
    assert document["columns"] == ["orders.amount"]
    assert document["first_bad_notes"] == ["two"]
    assert document["consumer_groups"] == ["group-0000"]
    time = "2026-03-01T12:00:00.000+00:00"
    told: list[dict[str, Any]] = document["first_bad"]
    assert told[0] == {
        "cause": "raw", "topic": "orders", "topic_id": "id", "partition": 0, "offset": 40, "exact": True, "first": 40,
        "last": 40, "by": "values", "timestamp": time, "why": "why",
    }  # fmt: skip
    assert (told[1]["offset"], told[1]["timestamp"], told[1]["last"]) == (None, None, 19)
    [replay] = document["replay"]
    assert (replay["reason"], replay["at"], replay["group_count"]) == ("orders", time, 1)
    assert replay["left_out"] == [{"what": "other", "reason": "it does not say where it stands"}]
    assert replay["notes"] == ["orders is compacted"]
    assert replay["starts"][0]["timestamp"] is None
    assert replay["starts"][1] == {
        "topic": "orders", "partition": 1, "offset": 100, "last": 120, "by": "alert", "uncertain": True,
        "timestamp": time, "offset_by_time": 90, "log_start": 0, "log_end": 10**9, "lost": 0,
    }  # fmt: skip
    [group] = replay["groups"]
    assert (group["group"], group["state"], group["stopped"]) == ("group-0000", "empty", True)
    # What is changed comes first.
    assert group["partitions"] == [
        {"topic": "orders", "partition": 1, "committed": 10**8, "first_bad": 100, "verdict": "reset", "target": 100,
         "again": 10**8 - 100, "lost": 0, "by": "given"},
        {"topic": "orders", "partition": 0, "committed": 50, "first_bad": 100, "verdict": "not-reached",
         "target": None, "again": 0, "lost": 0, "by": "given"},
    ]  # fmt: skip


def test_first_bad_records_of_many_partitions_are_bounded() -> None:
    document = Located(tuple(("raw", exact(each)) for each in range(MOST_PARTITIONS + 9)), (), (), ()).document()
    assert len(document["first_bad"]) == MOST_PARTITIONS
    assert document["located"].endswith(f"and in {MOST_PARTITIONS + 6} more partitions.")


def test_where_nothing_is_known_the_document_says_why_and_has_the_same_members() -> None:
    document = unlocated("Kafka does not answer.")
    assert set(document) == set(MEMBERS)
    assert document["located"] == "Kafka does not answer."
    assert document["first_bad_notes"] == ["Kafka does not answer."]
    assert (document["first_bad"], document["replay"], document["consumer_groups"]) == (None, None, [])
