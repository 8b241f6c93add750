"""How replay plans, and what became of them, are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from stream_lineage.cli.output import console, print_table
from stream_lineage.explain.replay import GroupPlan, Plan, Reset, Verdict
from stream_lineage.explain.replay_document import plan_document

if TYPE_CHECKING:
    from stream_lineage.agents.replay_groups import Outcome

_SAID = {
    Verdict.RESET: "reset",
    Verdict.NOT_REACHED: "not read so far",
    Verdict.GONE: "gone from Kafka",
    Verdict.AS_IT_IS: "there already",
}


def outcomes_document(plan: Plan, outcomes: Sequence[Outcome], path: Path | None) -> dict[str, Any]:
    """What was done, as JSON, with the plan."""
    done = [
        {
            "group": each.group,
            "done": each.refused is None,
            "refused": each.refused,
            "partitions": [
                {"topic": key[0], "partition": key[1], "before": each.before[key], "after": each.after.get(key)}
                for key in each.before
            ],
        }
        for each in outcomes
    ]
    return {"plan": plan_document(plan), "go_back": None if path is None else str(path), "outcomes": done}


def print_plan(plan: Plan) -> None:
    """For people."""
    screen = console()
    screen.print(Text(_printable(plan.reason), style="bold"), soft_wrap=True)
    rows = [_row(group, each) for group in plan.groups for each in group.partitions]
    columns = ("group", "state", "partition", "stands at", "goes to", "reads again", "lost", "what", "known by")
    right = ("stands at", "goes to", "reads again", "lost")
    if rows:
        print_table(columns, rows, right=right, styles={"reset": "yellow", "gone from Kafka": "red"})
    else:
        screen.print("no group has committed an offset there")
    for left in plan.left_out:
        screen.print(
            Text(f"left out: {_printable(left.what)}: {_printable(left.reason)}", style="yellow"), soft_wrap=True
        )
    for note in plan.notes:
        screen.print(Text(f"note: {_printable(note)}", style="yellow"), soft_wrap=True)


def print_outcomes(outcomes: Sequence[Outcome], path: Path) -> None:
    """For people."""
    rows = [
        (_printable(each.group), f"{key[0]}[{key[1]}]", before, _after(each.after, key), _done(each))
        for each in outcomes
        for key, before in each.before.items()
    ]
    print_table(("group", "partition", "before", "after", "done"), rows, right=("before", "after"))
    screen = console()
    for each in outcomes:
        if each.refused is not None:
            screen.print(Text(f"{_printable(each.group)}: {_printable(each.refused)}", style="red"), soft_wrap=True)
    screen.print(Text(f"back to how it was: stream-lineage replay --back {path} --execute"), soft_wrap=True)


def _after(after: Mapping[tuple[str, int], int], key: tuple[str, int]) -> str:
    return str(after[key]) if key in after else "not known"


def _done(outcome: Outcome) -> str:
    return "yes" if outcome.refused is None else "no"


def _row(group: GroupPlan, each: Reset) -> tuple[object, ...]:
    means = each.start.means.value + (", or later" if each.start.uncertain else "")
    return (
        _printable(group.group),
        group.state.lower(),
        f"{each.topic}[{each.partition}]",
        each.committed,
        each.target,
        f"{each.again:,}" if each.again else None,
        f"{each.lost:,}" if each.lost else None,
        f"forward: {-each.committed + (each.target or 0):,} not read" if each.forward else _SAID[each.verdict],
        means,
    )


def _printable(text: str) -> str:
    """No line end or control character of a group's name moves anything on a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
