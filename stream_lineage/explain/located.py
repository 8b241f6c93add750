"""What Kafka tells of an answer beyond its bundle: the first bad records, what is made of them, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stream_lineage.explain.first_bad import FirstBad
from stream_lineage.explain.replay import Plan
from stream_lineage.explain.replay_document import plan_document

MOST_PARTITIONS, MOST_COLUMNS, MOST_GROUPS = 200, 100, 50
"""In a message."""
MOST_RESETS = 1_000
"""Partitions of groups in a message, of all plans together: with more the brokers would not take it."""
MEMBERS = ("first_bad", "first_bad_notes", "columns", "consumer_groups", "replay", "located")
"""Of the document, beside those of the answer."""
UNKNOWN: dict[str, Any] = {"first_bad": None, "columns": [], "consumer_groups": [], "replay": None}


@dataclass(frozen=True, slots=True)
class Located:
    """``first_bad`` by cause. ``columns`` are those that are made of what is bad; ``plans`` one for each topic."""

    first_bad: tuple[tuple[str, FirstBad], ...]
    columns: tuple[str, ...]
    plans: tuple[Plan, ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON, bounded: docs/root-cause.md has the members."""
        groups = sorted({group.group for plan in self.plans for group in plan.groups})
        plans: list[dict[str, Any]] = []
        room = MOST_RESETS
        for plan in self.plans:
            plans.append(_plan(plan, room))
            room -= sum(len(group["partitions"]) for group in plans[-1]["groups"])
        return {
            "first_bad": [{"cause": cause, **each.document()} for cause, each in self.first_bad[:MOST_PARTITIONS]],
            "first_bad_notes": list(self.notes),
            "columns": list(self.columns[:MOST_COLUMNS]),
            "consumer_groups": groups[:MOST_GROUPS],
            "replay": plans,
            "located": said(self.first_bad, len(groups)),
        }


def unlocated(why: str) -> dict[str, Any]:
    """Where that is not known, as JSON."""
    return {**UNKNOWN, "first_bad_notes": [why], "located": why}


def said(first_bad: Sequence[tuple[str, FirstBad]], groups: int) -> str:
    """For people, in a sentence."""
    if not first_bad:
        return "Which record is the first bad one is not known."
    each = [_where(one) for _, one in first_bad[:3]]
    more = f" and in {len(first_bad) - 3} more partitions" if len(first_bad) > 3 else ""
    readers = f" {groups} consumer group{'s' if groups != 1 else ''} read that." if groups else ""
    return f"First bad record: {', '.join(each)}{more}.{readers}"


def _where(each: FirstBad) -> str:
    place = f"{each.topic}[{each.partition}]"
    if each.exact:
        return f"{place} offset {each.offset}"
    between = f"between {each.first} and {each.last}"
    return f"{place} {between}" if each.offset is None else f"{place} {between}, most likely {each.offset}"


def _plan(plan: Plan, room: int) -> dict[str, Any]:
    """With so many partitions of groups at most, those first that something becomes of."""
    document = plan_document(plan)
    groups = document["groups"]
    shown: list[dict[str, Any]] = []
    for group in groups[:MOST_GROUPS]:
        first = sorted(group["partitions"], key=lambda each: each["target"] is None)
        shown.append({**group, "partitions": first[: min(MOST_PARTITIONS, room)]})
        room -= len(shown[-1]["partitions"])
    left = sum(len(group["partitions"]) for group in groups) - sum(len(group["partitions"]) for group in shown)
    more = [f"{left:,} more partitions of groups are left out here: `stream-lineage replay` has all"] if left else []
    return {
        **document,
        "at": plan.at.isoformat(timespec="milliseconds"),
        "starts": [{**each, "timestamp": _text(each["timestamp"])} for each in document["starts"][:MOST_PARTITIONS]],
        "groups": shown,
        "group_count": len(groups),
        "left_out": document["left_out"][:MOST_GROUPS],
        "notes": [*more, *document["notes"][:MOST_GROUPS]],
    }


def _text(time: Any) -> str | None:
    return None if time is None else str(time.isoformat(timespec="milliseconds"))
